"""A chain as one list of rules: what it jumps to stands in the place of the jump, each rule with the jump's tests in front.

    tcp jump flags; jump group; drop        ->    tcp flags fin|syn drop; tcp dport 22 accept; drop

A call stays as it is where that is not the same: a way back to the caller that cannot be put as a test of the rules behind
it, a goto that may come back, effects that change what the call asks for, alternatives that would be multiplied. So does one
of a chain that logs all its packets and ends, and one of a chain of several rules that turns away all packets to or from few
addresses: others pass one rule, and not one for each of that chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Log
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import TERMINAL, Dispatch, Drop, Goto, Jump, Reject, Return
from fwtrans.ir.walk import fields_read, targets_of
from fwtrans.optimizer.clauses import Clauses, met, touches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Table

# A chain that would be longer than this, with all that it calls, is called as before.
LONGEST = 200
_ENDS = (*TERMINAL, Return, Goto)
_ADDRESSES = frozenset({FieldKind.IPV4, FieldKind.IPV6})
# A test that holds for no more than one in 2**8 addresses is for few.
_BITS_OF_FEW = 8


@dataclass(slots=True)
class FlatLists:
    """The flat lists of a table's chains. `ending` are the chains in which every packet's way ends."""

    table: Table
    clauses: Clauses
    ending: AbstractSet[str]
    _known: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    _rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    _returning: dict[str, bool] = field(default_factory=dict)
    _to_logs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take in what the table holds under names."""
        self._rules = {chain.name: chain.rules for chain in self.table.chains}
        self._returning = {
            item.name: any(map(self._comes_back, (e.value for e in item.elements))) for item in self.table.maps
        }
        logs = {name for name, rules in self._rules.items() if rules and all(map(_only_logs, rules))}
        self._to_logs = {item.name for item in self.table.maps if (led_to := set(targets_of(item))) and led_to <= logs}

    def of(self, name: str) -> tuple[Rule, ...]:
        """Return the chain's rules with those of the chains that it calls in their places."""
        known = self._known.get(name)
        if known is None:
            self._known[name] = rules = self._rules[name]  # a loop of jumps does not load anyway
            found = tuple(part for rule in rules for part in self._in_place(rule))
            known = found if len(found) <= LONGEST else rules
            self._known[name] = known
        return known

    def _in_place(self, rule: Rule) -> tuple[Rule, ...]:
        verdict = rule.verdict
        if not isinstance(verdict, (Jump, Goto)) or not all(map(is_pure, rule.steps)):
            return (rule,)
        if isinstance(verdict, Goto) and verdict.chain not in self.ending:
            return (rule,)
        if verdict.chain in self.ending and self._is_aside(rule, verdict.chain):
            return (rule,)
        written = self.clauses.chain_writes(verdict.chain)
        if written and any(touches(asked, written) for asked in fields_read(replace(rule, verdict=None))):
            return (rule,)
        called = self._without_returns(self.of(verdict.chain))
        if called is None or any(map(self._leaves, called)):
            return (rule,)
        found: list[Rule] = []
        for item in called:
            steps = both(rule.steps, item.steps)
            if steps is None:
                return (rule,)
            if not any(isinstance(step, FieldTest) and step.values.is_empty for step in steps):
                origins = tuple(dict.fromkeys((*rule.origins, *item.origins)))
                found.append(Rule(steps, item.verdict, origins, item.counters, item.comment))
        return tuple(found)

    def _is_aside(self, rule: Rule, called: str) -> bool:
        """Tell whether a chain in which all packets end has no part in what others pass."""
        if self._logs_all(self._rules[called]):
            return True
        rules = self.of(called)
        turns_away = len(rules) > 1 and all(isinstance(item.verdict, (Drop, Reject)) for item in rules)
        return turns_away and any(map(_is_for_few, rule.steps))

    def _logs_all(self, rules: Sequence[Rule]) -> bool:
        """Tell whether a chain begins with a log for all packets, or the way to it: such stand off the way of others."""
        if not rules or any(map(is_pure, rules[0].steps)):
            return False
        first = rules[0]
        if isinstance(first.verdict, Dispatch) and not first.steps:
            return first.verdict.map_name in self._to_logs
        return any(isinstance(step, Log) for step in first.steps)

    def _leaves(self, rule: Rule) -> bool:
        """Tell whether the rule would lead elsewhere from the caller's list than from its own chain."""
        if isinstance(rule.verdict, Dispatch):
            return self._returning[rule.verdict.map_name]
        return self._comes_back(rule.verdict)

    def _comes_back(self, verdict: object) -> bool:
        return isinstance(verdict, Return) or (isinstance(verdict, Goto) and verdict.chain not in self.ending)

    def _without_returns(self, rules: Sequence[Rule]) -> tuple[Rule, ...] | None:
        """Return the rules with other values to ask for in place of returns; None where that cannot be said.

        A return on a field's values says that the rules behind it are for the others, if they ask for that field anyway.
        """
        found: list[Rule] = []
        others: dict[object, ValueSet] = {}
        for rule in rules:
            if others:
                tests = {step.field: step for step in rule.steps if isinstance(step, FieldTest)}
                if any(asked not in tests for asked in others):
                    return None
                steps = tuple(
                    replace(step, values=met(step.values, others[step.field]))
                    if isinstance(step, FieldTest) and step.field in others
                    else step
                    for step in rule.steps
                )
                rule = replace(rule, steps=steps)  # noqa: PLW2901
                if any(touches(asked, self.clauses.writes(rule)) for asked in others):  # type: ignore[arg-type]
                    return None
            if not isinstance(rule.verdict, Return):
                found.append(rule)
                continue
            if len(rule.steps) != 1 or not isinstance(rule.steps[0], FieldTest):
                return None
            asked, rest = rule.steps[0].field, rule.steps[0].values.complement()
            others[asked] = rest if asked not in others else met(others[asked], rest)
        return tuple(found)


def _is_for_few(step: Step) -> bool:
    """Tell whether a test holds for few addresses; of a named set nobody knows here how much it holds."""
    if isinstance(step, MemberTest):
        return step.inside and any(part.field.kind in _ADDRESSES for part in step.key)
    if not isinstance(step, FieldTest) or not isinstance(step.values, IntervalSet):
        return False
    return step.field.kind in _ADDRESSES and step.values.size <= 1 << step.field.width - _BITS_OF_FEW


def _only_logs(rule: Rule) -> bool:
    return any(isinstance(step, Log) for step in rule.steps)


def both(first: tuple[Step, ...], second: tuple[Step, ...]) -> tuple[Step, ...] | None:
    """Return pure tests and the steps behind them as one list, each field asked once; None where both have alternatives."""
    if any(isinstance(step, AnyOf) for step in first) and any(isinstance(step, AnyOf) for step in second):
        return None
    front: list[Step] = list(first)
    rest: list[Step] = []
    places = {step.field: place for place, step in enumerate(front) if isinstance(step, FieldTest)}
    pure = True
    for step in second:
        pure = pure and is_pure(step)
        if pure and isinstance(step, FieldTest) and step.field in places:
            place = places[step.field]
            known = front[place]
            assert isinstance(known, FieldTest)  # noqa: S101 -- that is what `places` holds
            front[place] = replace(known, values=met(known.values, step.values))
        elif not pure or step not in front:
            rest.append(step)
    return (*front, *rest)


def always_ends(rule: Rule) -> bool:
    """Tell whether the rule ends the list for every packet."""
    return not rule.steps and isinstance(rule.verdict, _ENDS)
