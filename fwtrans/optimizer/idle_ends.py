"""What a chain says at its end goes where those that lead to the chain say the same behind it.

    before   base { ...; jump a; drop }      a: tcp dport 22 accept; udp dport 53 drop; drop
    after    base { ...; jump a; drop }      a: tcp dport 22 accept

    before   base, policy accept { ...; meta l4proto vmap { tcp : goto a, udp : goto b } }      a: th sport 1 drop; accept      b: accept
    after    base, policy accept { ...; meta l4proto vmap { tcp : goto a } }                    a: th sport 1 drop

Searches by service have such ends: their leaves hold all that a packet with a key meets, what lets it go on as well.

Why it is safe: what becomes of a packet at a chain's end is known where all that lead to the chain agree: a base chain that
accepts what comes to its end, a rule behind a jump that ends every packet, the drop that is printed behind the last rule of a
base chain with that policy. Rules at the end that only ask, and say that,
change nothing; nor does an element of a map that says it, where the look-up is the last rule.

It declines behind other rules of base chains that drop what comes to their end, by policy or by a last rule (as which such a policy is printed), and on bridges with
more than two guests: there searches stay as they are, so that guests can come to share them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.ir.ending import drops_at_end
from fwtrans.ir.names import NamePattern
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import TERMINAL, Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.ir.walk import map_names
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.few_guests import has_many_guests
from fwtrans.optimizer.names import is_cut, is_made
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapElement, NamedMap
    from fwtrans.ir.verdict import Verdict


def without_idle_ends(table: Table) -> Table:
    """Return the table without what only says how a packet's way ends anyway."""
    if has_many_guests(table):
        return table
    bases = [chain.name for chain in table.chains if chain.base is not None]
    before = None
    while table is not before:
        # a chain without its end may be one that nobody has to go to
        before = table
        changed = _Ends(table).run(bases)
        if changed != table:
            table = reached(changed, bases)
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without what only says how a packet's way ends anyway."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_idle_ends(table)))


PASS = Pass("idle-ends", "rules and elements at the end of a chain go that say what follows anyway", run)


@dataclass(slots=True)
class _Ends:
    """One walk over a table, callers first."""

    table: Table
    maps: dict[str, NamedMap] = field(init=False)
    uses: Counter[str] = field(init=False)
    only: dict[str, Verdict] = field(init=False)
    """What chains say that say nothing else."""
    behind: dict[str, set[Verdict | None]] = field(default_factory=dict)
    """What becomes of packets at a chain's end, as those say that lead to it; None is what is not known."""

    def __post_init__(self) -> None:
        self.maps = {item.name: item for item in self.table.maps}
        self.uses = Counter(name for chain in self.table.chains for rule in chain.rules for name in map_names(rule))
        self.only = {
            chain.name: verdict
            for chain in self.table.chains
            if chain.base is None and (verdict := _only_verdict(chain.rules)) is not None
        }

    def run(self, bases: Sequence[str]) -> Table:
        changed = {chain.name: self._changed(chain) for chain in callees_last(self.table, bases)}
        chains = tuple(changed.get(chain.name, chain) for chain in self.table.chains)
        maps = tuple(self.maps[item.name] for item in self.table.maps)
        if chains == self.table.chains and maps == self.table.maps:
            return self.table
        return replace(self.table, chains=chains, maps=maps)

    def _changed(self, chain: Chain) -> Chain:
        end = self._end(chain)
        rules = [self._with_verdicts(rule) for rule in chain.rules]
        if end is not None:
            self._trim(rules, {end, Return()})
        last = _sure(rules[-1]) if rules else None
        if last is not None:
            self._trim(rules, {last}, kept=1, in_base=chain.base is not None)
        if not rules and chain.base is None and chain.rules:
            rules = [Rule((), end, chain.rules[-1].origins)]
        for at, rule in enumerate(rules):
            following = rules[at + 1] if at + 1 < len(rules) else None
            for target, is_jump in self._targets(rule):
                after = end if not is_jump or following is None else _sure(following)
                if following is None and chain.base is not None and not chain.base.accepts:
                    after = Drop()  # as a rule it is printed behind this one
                if isinstance(after, Drop) and self._is_filled_by_others(rule):
                    after = None  # where a packet comes from that goes there by an element of theirs is not known
                self.behind.setdefault(target, set()).add(after)
        return chain if tuple(rules) == chain.rules else replace(chain, rules=tuple(rules))

    def _end(self, chain: Chain) -> Verdict | None:
        if chain.base is not None:
            return None if drops_at_end(chain, self.table.family) else Accept()
        ends = self.behind.get(chain.name, set())
        return next(iter(ends)) if len(ends) == 1 else None

    def _trim(self, rules: list[Rule], said: set[object], kept: int = 0, *, in_base: bool = False) -> None:
        """Take away the last rules, in front of those that are kept, that say no more than what follows."""
        while len(rules) > kept:
            last = rules[-1 - kept]
            if not all(map(is_pure, last.steps)):
                return
            if isinstance(last.verdict, Dispatch) and self._is_own(last.verdict.map_name):
                own = kept > 0 and (in_base or is_cut(last.verdict.map_name))
                if self._without(last.verdict.map_name, said, only_all=own):
                    return
            elif last.verdict not in said:
                return
            del rules[-1 - kept]

    def _is_own(self, name: str) -> bool:
        """Tell whether a pass made a map for this rule alone: others may be filled by programs."""
        return self.uses[name] == 1 and is_made(name)

    def _is_filled_by_others(self, rule: Rule) -> bool:
        """Tell whether programs may add elements that lead where the rule's map does."""
        return isinstance(rule.verdict, Dispatch) and not is_made(rule.verdict.map_name)

    def _without(self, name: str, said: set[object], *, only_all: bool) -> bool:
        """Take the elements away that say no more than the end; tell whether others are left.

        Where a rule behind says it, that is a step more, which the packets of a list's first rule are not to take: then
        `only_all` of them go.
        """
        item = self.maps[name]
        kept = tuple(element for element in item.elements if element.value not in said)
        # a longer name keeps packets from the elements of the shorter ones
        only_all |= any(isinstance(part, NamePattern) and part.is_prefix for e in kept for part in e.key)
        if kept and len(kept) < len(item.elements) and not only_all:
            self.maps[name] = replace(item, elements=kept)
        return bool(kept)

    # --- chains that only say a verdict ---

    def _with_verdicts(self, rule: Rule) -> Rule:
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)) and verdict.chain in self.only:
            return replace(rule, verdict=self.only[verdict.chain])
        if isinstance(verdict, Dispatch):
            item = self.maps[verdict.map_name]
            elements = tuple(map(self._element, item.elements))
            if elements != item.elements:
                self.maps[item.name] = replace(item, elements=elements)
        return rule

    def _element(self, element: MapElement) -> MapElement:
        value = element.value
        if isinstance(value, (Jump, Goto)) and isinstance(self.only.get(value.chain), (Accept, Drop)):
            return element._replace(value=self.only[value.chain])
        return element

    def _targets(self, rule: Rule) -> Iterator[tuple[str, bool]]:
        """Yield the chains that a rule leads to, and whether they give packets back to it."""
        values: Iterable[object] = (rule.verdict,)
        if isinstance(rule.verdict, Dispatch):
            values = {element.value for element in self.maps[rule.verdict.map_name].elements}
        for value in values:
            if isinstance(value, (Jump, Goto)):
                yield value.chain, isinstance(value, Jump)


def _only_verdict(rules: Sequence[Rule]) -> Verdict | None:
    return _sure(rules[0]) if len(rules) == 1 else None


def _sure(rule: Rule) -> Verdict | None:
    """Return the verdict of a rule that ends every packet and does nothing else."""
    return rule.verdict if not rule.steps and isinstance(rule.verdict, TERMINAL) else None
