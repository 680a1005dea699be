"""Where packets go on that come back from a chain, by the bits of the mark: what a jump has to know of the rules behind it.

jump group; mark & 1 == 1 accept; ...      packets that leave group with the bit set end with accept
tap-out: jump group; mark & 1 == 1 return  so they do, if behind every call of tap-out nothing is left but a policy
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import MARK
from fwtrans.ir.rule import Rule
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.by_name import rules_for
from fwtrans.optimizer.interpreter import Interpreter
from fwtrans.optimizer.leaving import Leaving, class_of
from fwtrans.optimizer.mark_bits import bits_read
from fwtrans.optimizer.rule_walk import ASKING, walk_steps
from fwtrans.optimizer.state import State, joined_states

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.optimizer.chain_walk import ChainWalk, Visited
    from fwtrans.optimizer.leaving import BitClass, Endings

# More values of the bits than this are not told apart.
_MOST_VALUES = 8
# What stands behind a jump is made a chain of its own only up to this many rules.
_LONGEST_TAIL = 64
_ONES = (1 << MARK.width) - 1


class MarkInterpreter(Interpreter):
    """Walks chains and lets called ones say where their packets go on, so that no bit has to say it."""

    def __init__(self, table: Table, mask: int, *, names: Iterable[str] = (), tails: bool = True) -> None:
        super().__init__(table, learn=True, names=names, mask=mask)
        self._tails = tails
        self._reads: dict[str, int] = {}
        self._values = _values(table, mask)

    # --- jumps ---

    def jumped(self, walk: ChainWalk, behind: int, name: str, held: State) -> Visited:
        """Return what a jump leads to, called so that as few packets as can be come back with a bit that is read."""
        leaving = walk.leaving or Leaving()
        if MARK not in self.touched(name).relevant:
            return self.called(name, held)
        rest = _Rest(self, walk, behind, held, self.touched(name).written, leaving)
        same = rest.ending(None)
        if same is not None:
            # whatever the bits are, nobody asks for them
            plain = Leaving(may=frozenset({(None, same)}), seen=leaving.seen)
            return self.called(name, held, plain)
        endings: dict[BitClass, Rule] = {
            value: ending for value in self._values if (ending := rest.ending(value)) is not None
        }
        cares = rest.cares()
        plain = Leaving(may=frozenset(endings.items()), cares=cares, seen=leaving.seen)
        found = self.called(name, held, plain)
        if found.exits.lacks:
            endings |= rest.tails(value for value in self._values if value not in endings)
            plain = plain._replace(may=frozenset(endings.items()))
            found = self.called(name, held, plain)
            # what the callee lacks, and lies behind this chain's own end, only its callers can name
            walk.lacks = walk.lacks or (found.exits.lacks and rest.lacks)
        if not cares or _is_one(found):
            return found
        for must in self._choices(found, rest, endings):
            ended = self.called(name, held, plain._replace(must=must))
            if _is_one(ended):
                return ended
        walk.lacks = walk.lacks or rest.lacks
        return found

    def _choices(self, found: Visited, rest: _Rest, endings: dict[BitClass, Rule]) -> Iterable[Endings]:
        """Yield ends that a chain may have to say; at the end of the chain packets had best just come back."""
        falls = found.exits.falls
        if len(endings) < len(self._values) - 1:
            endings = endings | rest.tails(value for value in self._values if value not in endings and value != falls)
        if falls in endings and len(endings) == len(self._values):
            yield frozenset((value, ending) for value, ending in endings.items() if value != falls)
        if endings:
            yield frozenset(endings.items())

    # --- what rules lead to ---

    def outcome(self, chain: Chain, at: int, state: State, *, seen: bool) -> Rule | State | None:
        """Return how packets of a state end that come to a rule.

        That is a rule without steps, or the state in which they all come to the chain's end or return; None where they
        part, or where something happens to them on the way.
        """
        for _, rule in rules_for(chain, at, state.facts):
            walked = walk_steps(self.decider, rule, state, learn=True)
            if any(not isinstance(step, ASKING) and (seen or not self._writes_bits(step)) for step in walked.steps):
                return None
            if walked.held is None or rule.verdict is None:
                onward = joined_states(walked.failed, walked.held)
            elif walked.failed is not None:
                return None
            else:
                found = self._verdict_outcome(rule, walked.held, seen=seen)
                if not isinstance(found, State) or not isinstance(rule.verdict, verdicts.Jump):
                    return found
                onward = found
            assert onward is not None  # noqa: S101 -- packets either pass a rule or do not
            state = onward
        return state

    def _verdict_outcome(self, rule: Rule, held: State, *, seen: bool) -> Rule | State | None:
        verdict = rule.verdict
        if isinstance(verdict, (verdicts.Jump, verdicts.Goto)):
            return self.outcome(self.original(verdict.chain), 0, held, seen=seen)
        if isinstance(verdict, verdicts.Return):
            return held
        if isinstance(verdict, verdicts.TERMINAL):
            return Rule((), verdict, rule.origins)
        return None

    def _writes_bits(self, step: Step) -> bool:
        """Tell whether a step does nothing but write bits whose only use is to decide."""
        if not isinstance(step, does.Assign) or step.field is not MARK or step.source is not None:
            return False
        return not ((_ONES & ~step.keep) | step.constant) & ~self.mask

    def reads(self, name: str) -> int:
        """Return the bits of the mark that a chain, or one that it leads to, looks at."""
        if name not in self._reads:
            found = 0
            for rule in self.original(name).rules:
                found |= self.rule_reads(rule)
            self._reads[name] = found
        return self._reads[name]

    def rule_reads(self, rule: Rule) -> int:
        """Return the same for one rule."""
        found = bits_read(rule)
        for target in self.targets(rule):
            found |= self.reads(target)
        return found

    def tail(self, chain: Chain, at: int, state: State, leaving: Leaving) -> Rule | None:
        """Return the rules from a number on as a chain to go to, where they and what is behind them always end a packet."""
        if not self._tails:
            return None
        rest = replace(chain, rules=chain.rules[at:])
        rules, exits = self._walk(rest, state, leaving)
        if exits.states or not rules or len(rules) > _LONGEST_TAIL:
            return None
        name = self.named(chain.name, f"{chain.name}-rest", rules)
        return Rule((), verdicts.Goto(name), rules[0].origins)


class _Rest:
    """The rules behind a jump, for packets that come back from the chain it leads to."""

    def __init__(
        self,
        interpreter: MarkInterpreter,
        walk: ChainWalk,
        behind: int,
        held: State,
        written: frozenset[Field],
        leaving: Leaving,
    ) -> None:
        self._interpreter = interpreter
        self._chain = walk.chain
        self._behind = behind
        self._leaving = leaving
        self._back = held.returning(written, State({}, {}))
        self.lacks = False

    def _state(self, value: BitClass) -> State:
        return self._back if value is None else self._back.writing(MARK, value)

    def ending(self, value: BitClass) -> Rule | None:
        """Return how packets end that come back with the bits."""
        found = self._interpreter.outcome(self._chain, self._behind, self._state(value), seen=self._leaving.seen)
        if isinstance(found, State):
            left = class_of(found.facts, self._interpreter.mask)
            ending = self._leaving.possible(left)
            self.lacks = self.lacks or ending is None
            # a chain of its own may read the bits, and who ends there from the callee passes no write behind the jump
            is_written = ending is not None and isinstance(ending.verdict, verdicts.Goto) and left != value
            return None if is_written else ending
        return found

    def tails(self, values: Iterable[BitClass]) -> dict[BitClass, Rule]:
        """Return ends by a chain of their own."""
        leaving = self._leaving._replace(must=self._leaving.may | self._leaving.must, may=frozenset())
        found: dict[BitClass, Rule] = {}
        for value in values:
            tail = self._interpreter.tail(self._chain, self._behind, self._state(value), leaving)
            if tail is not None:
                found[value] = tail
        return found

    def cares(self) -> bool:
        """Tell whether somebody reads the bits behind the jump."""
        changing = self._interpreter.touched(self._chain.name).written
        known = {field: values for field, values in self._back.facts.items() if field not in changing}
        state = State(known, known)
        for rule in self._chain.rules[self._behind :]:
            if not self._interpreter.rule_reads(rule) & self._interpreter.mask:
                continue
            walked = walk_steps(self._interpreter.decider, rule, state, learn=False)
            if walked.held is not None or walked.steps:
                return True
        return self._leaving.cares


def _is_one(found: Visited) -> bool:
    """Tell whether all packets come back with the same known bits."""
    classes = found.exits.classes
    return len(classes) <= 1 and None not in classes


def _values(table: Table, mask: int) -> tuple[BitSet, ...]:
    """Return the values of the bits that rules write or ask for, zero first."""
    found = {0}
    for chain in table.chains:
        for rule in chain.rules:
            for step in flat_steps(rule.steps):
                if isinstance(step, does.Assign) and step.field is MARK:
                    found.add(step.constant & mask)
                values = getattr(step, "values", None)
                if getattr(step, "field", None) is MARK and isinstance(values, BitSet):
                    found.update(value & mask for _, value in values.cubes)
    if mask.bit_count() == 1:
        found.add(mask)
    return tuple(BitSet.cube(MARK.width, mask, value) for value in sorted(found)[:_MOST_VALUES])
