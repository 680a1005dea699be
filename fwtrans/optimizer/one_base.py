"""A base chain with few rules behind another one at the same hook is asked where packets leave the first, and is no base chain.

Before:  chain out { type filter hook prerouting priority -190; ct state established accept; ... vmap @entry; ... }
         entry: new . ip . "tap101i0" : goto class-v4, new . ip6 . "tap101i0" : goto class-v6
         chain answers { type filter hook prerouting priority -100; ether type ip6 ct state new ... jump reject; }
After:   chain out { ... as before; ether type ip6 ct state new ... jump reject; }
         class-v6: what accepted, or left the base chain, goes to a chain with these rules

A base chain costs each packet as much as two rules, even one with nothing for it. Why it is safe: accepting, and the end of
the first chain, is what led to the second one; there its rules stand now. Of packets only the connection's state and the
frame's type is followed: where neither the second chain nor one that it leads to may do something to them, they are accepted as before. Chains that other
base chains use as well are copied.

It declines where a packet may be handed to a program (which gives it back to the next base chain), where a chain is both
jumped and gone to, for base chains that do not accept what comes to their end, and where the kernel would follow all that is
asked of the one guest behind all that is asked of the other for too long, if each guest that has a twin had many (`twins.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from fwtrans.ir import fields as known
from fwtrans.ir.ending import always_goes_on, ending_chains
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain, Hook
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Reject, Return
from fwtrans.ir.walk import map_names
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.followed import MOST_FOLLOWED, Ways
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.twins import counted_with_twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapElement, NamedMap
    from fwtrans.ir.verdict import Verdict

_MOST_RULES = 24
# So many stand at the base chain's end themselves, more in the chain that the others go to as well.
_MOST_COPIED = 3
# Where not nearly all guests have twins, so many are taken to be of each kind that has two, as in a thousand of twelve kinds; and
# how much longer than the limit the kernel may follow them then: later passes leave a hundredth of what is followed here.
_TWINS, _TWINS_LONGER = 84, 100
_OTHER = -1
_TYPES = (0x0800, 0x86DD, _OTHER)
# A state of a connection and the type of a frame, as far as they are told apart.
_Kind = tuple[int, int]
_ALL = frozenset((state, kind) for state in range(5) for kind in _TYPES)
_Kinds = frozenset[_Kind]
# What lets a packet go on, or leads to rules that say what is done to it.
_FOLLOWED = (Accept, Return, Jump, Goto, Dispatch)
_ENDS = (Accept, Drop, Reject, Goto, Return)


class _DeclinedError(Exception):
    """The second chain has to stay."""


def joined(table: Table) -> Table:
    """Return the table with base chains of few rules asked where the base chain in front of them is left."""
    if table.family is not Family.BRIDGE:
        return table
    for first, second in _pairs(table):
        try:
            found = _Joining(table, first, second).run()
        except _DeclinedError:
            continue
        if Ways(found, counted=counted_with_twins(found, _TWINS)).all <= _TWINS_LONGER * MOST_FOLLOWED:
            return found
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with fewer base chains at a bridge's hooks."""
    return each_table(ruleset, lambda table, _declined: joined(table))


PASS = Pass("one-base-chain", "few rules of a second base chain are asked where the first is left", run)


def _pairs(table: Table) -> Iterator[tuple[Chain, Chain]]:
    """Yield base chains that follow each other at a hook."""
    for hook in Hook:
        found = [chain for chain in table.chains if chain.base is not None and chain.base.hook is hook]
        found.sort(key=lambda chain: chain.base.priority if chain.base is not None else 0)
        for first, second in pairwise(found):
            one, other = first.base, second.base
            if one is None or other is None or one.priority == other.priority or one.device != other.device:
                continue
            # conntrack, and what puts fragments together, stands between
            beside = (one.priority < -200) == (other.priority < -200) and (one.priority < 0) == (other.priority < 0)
            alike = one.accepts and other.accepts and one.kind == other.kind
            if beside and alike and len(second.rules) <= _MOST_RULES:
                yield first, second


@dataclass(slots=True)
class _Way:
    """What comes to a chain, and how: by a jump, so that it gives packets back, or leaving the base chain at its end."""

    kinds: _Kinds = frozenset()
    gives_back: bool = False
    leaves: bool = False
    at: dict[int, _Kinds] = field(default_factory=dict)
    end: _Kinds = frozenset()


class _Joining:
    def __init__(self, table: Table, first: Chain, second: Chain) -> None:
        self._table = table
        self._first, self._second = first, second
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: item for item in table.maps}
        self._names = Names(table)
        self._uses = Counter(name for chain in table.chains for rule in chain.rules for name in map_names(rule))
        self._ways: dict[str, _Way] = {}
        self._done: dict[tuple[str, _Kinds], _Kinds] = {}
        self._wanted = self._asked()
        self._elsewhere = self._reached_elsewhere()
        self._new_chains: dict[str, Chain] = {}
        self._new_maps: dict[str, NamedMap] = {}
        self._copied: dict[str, str] = {}
        self._rest = ""
        self._under_jump = False

    def run(self) -> Table:
        self._follow()
        self._copy(self._first.name)
        base = self._new_chains.get(self._first.name, self._first)
        if self._ways[self._first.name].end & self._wanted:
            more = self._second.rules
            if len(more) > _MOST_COPIED:
                more = (Rule((), Jump(self._last()), more[0].origins),)
            base = replace(base, rules=(*base.rules, *more))
        self._new_chains[self._first.name] = base
        if self._rest:
            self._new_chains.update((chain.name, chain) for chain in self._rest_chains())
        kept = [self._new_chains.pop(chain.name, chain) for chain in self._table.chains if chain is not self._second]
        maps = [self._new_maps.pop(item.name, item) for item in self._table.maps]
        return replace(self._table, chains=(*kept, *self._new_chains.values()), maps=(*maps, *self._new_maps.values()))

    def _rest_chains(self) -> tuple[Chain, ...]:
        """Return the chain that others go to: the second one's rules, and what its end was, which accepts.

        From a chain that its rules go to a packet comes back to whoever jumped last: that has to be this one.
        """
        last = Rule((), Accept(), self._second.rules[-1].origins if self._second.rules else ())
        whole = Chain(self._rest, (*self._second.rules, last), None, self._second.origin)
        if not self._under_jump or whole.name in ending_chains(
            replace(self._table, chains=(*self._table.chains, whole))
        ):
            return (whole,)
        inner = replace(whole, name=self._names.new(self._rest, "asked"), rules=self._second.rules)
        return (replace(whole, rules=(Rule((), Jump(inner.name), last.origins), last)), inner)

    def _asked(self) -> _Kinds:
        """Return the packets to which the second chain may do something."""
        return self._done_by(self._second.name, _ALL)

    def _done_by(self, name: str, coming: _Kinds) -> _Kinds:
        """Return the packets of those that come to a chain to which it, or one that it leads to, does more than let them go on."""
        if (name, coming) not in self._done:
            self._done[name, coming] = coming  # what a loop of jumps would find
            found: set[_Kind] = set()
            for rule in self._chains[name].rules:
                kinds, _ = _passing(rule, coming)
                found |= self._done_to(rule, kinds)
            self._done[name, coming] = frozenset(found)
        return self._done[name, coming]

    def _done_to(self, rule: Rule, kinds: _Kinds) -> _Kinds:
        if not all(map(is_pure, rule.steps)) or not isinstance(rule.verdict, _FOLLOWED):
            return kinds
        said = self._said_by_map(rule.verdict, kinds) if isinstance(rule.verdict, Dispatch) else frozenset()
        return said.union(*(self._done_by(target, there) for target, there, _ in self._targets(rule, kinds)))

    def _said_by_map(self, verdict: Dispatch, kinds: _Kinds) -> _Kinds:
        """Return the packets for which a map has a verdict that does not let them go on."""
        elements = self._maps[verdict.map_name].elements
        others = (element for element in elements if not isinstance(element.value, _FOLLOWED))
        return frozenset().union(*(_with_key(verdict, element, kinds) for element in others))

    def _reached_elsewhere(self) -> set[str]:
        """Return the chains, and the maps, that other chains than those behind the first one use."""
        mine = {chain.name for chain in reached(self._table, [self._first.name]).chains}
        outside = [chain.name for chain in self._table.chains if chain.name not in mine]
        found = reached(self._table, outside).chains
        return {chain.name for chain in found}.union(*map(_maps_of, found))

    # --- which packets come where ---

    def _follow(self) -> None:
        waiting = [self._first.name]
        self._ways[self._first.name] = _Way(_ALL, leaves=True)
        while waiting:
            name = waiting.pop()
            way = self._ways[name]
            kinds = way.kinds
            for at, rule in enumerate(self._chains[name].rules):
                passing, sure = _passing(rule, kinds)
                way.at[at] = passing
                for target, coming, is_jump in self._targets(rule, passing):
                    leaves = way.leaves and not is_jump
                    if self._come(target, coming, gives_back=is_jump or way.gives_back, leaves=leaves):
                        waiting.append(target)
                if sure and isinstance(rule.verdict, _ENDS):
                    kinds -= passing
            way.end = kinds

    def _targets(self, rule: Rule, kinds: _Kinds) -> Iterator[tuple[str, _Kinds, bool]]:
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)):
            yield verdict.chain, kinds, isinstance(verdict, Jump)
        elif isinstance(verdict, Dispatch):
            found: dict[tuple[str, bool], _Kinds] = {}
            for element in self._maps[verdict.map_name].elements:
                if isinstance(element.value, (Jump, Goto)):
                    asked = (element.value.chain, isinstance(element.value, Jump))
                    found[asked] = found.get(asked, frozenset()) | _with_key(verdict, element, kinds)
            yield from ((name, coming, is_jump) for (name, is_jump), coming in found.items())

    def _come(self, name: str, kinds: _Kinds, *, gives_back: bool, leaves: bool) -> bool:
        """Note who comes to a chain; tell whether that is news."""
        way = self._ways.setdefault(name, _Way())
        before = (way.kinds, way.gives_back, way.leaves)
        way.kinds |= kinds
        way.gives_back |= gives_back
        way.leaves |= leaves
        return (way.kinds, way.gives_back, way.leaves) != before or (not way.at and bool(self._chains[name].rules))

    # --- the new form ---

    def _copy(self, name: str) -> str:
        """Return the name of the chain in its new form."""
        if name not in self._copied:
            self._copied[name] = name
            chain, way = self._chains[name], self._ways[name]
            rules = [self._rule(rule, way.at[at], way) for at, rule in enumerate(chain.rules)]
            if chain.base is None and way.end & self._wanted and self._leaves(way):
                rules.append(Rule((), Goto(self._last()), chain.rules[-1].origins if chain.rules else ()))
            if tuple(rules) != chain.rules:
                given = self._names.new(name, "first") if name in self._elsewhere else name
                self._new_chains[given] = replace(chain, name=given, rules=tuple(rules))
                self._copied[name] = given
        return self._copied[name]

    def _leaves(self, way: _Way) -> bool:
        if way.leaves and way.gives_back:
            raise _DeclinedError
        return way.leaves

    def _rule(self, rule: Rule, kinds: _Kinds, way: _Way) -> Rule:
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            return replace(rule, verdict=replace(verdict, map_name=self._map(verdict, kinds, way)))
        if verdict is None:
            return rule
        new = self._verdict(verdict, kinds, way)
        return rule if new is verdict else replace(rule, verdict=new)

    def _verdict(self, verdict: Verdict, kinds: _Kinds, way: _Way) -> Verdict:
        if isinstance(verdict, (Jump, Goto)):
            name = self._copy(verdict.chain)
            return verdict if name == verdict.chain else replace(verdict, chain=name)
        if isinstance(verdict, (Drop, Reject)) or not kinds & self._wanted:
            return verdict
        if isinstance(verdict, Accept):
            self._under_jump = self._under_jump or way.gives_back
            return Goto(self._last())
        if isinstance(verdict, Return):
            return Goto(self._last()) if self._leaves(way) else verdict
        raise _DeclinedError

    def _map(self, verdict: Dispatch, kinds: _Kinds, way: _Way) -> str:
        item = self._maps[verdict.map_name]
        elements = tuple(
            element._replace(
                value=self._verdict(cast("Verdict", element.value), _with_key(verdict, element, kinds), way)
            )
            for element in item.elements
        )
        if elements == item.elements:
            return item.name
        alike = (name for name, other in self._new_maps.items() if other == replace(item, name=name, elements=elements))
        name = next(alike, "")
        if not name:
            is_shared = item.name in self._elsewhere or self._uses[item.name] > 1
            name = self._names.new(item.name, "first") if is_shared else item.name
            self._new_maps[name] = replace(item, name=name, elements=elements)
        return name

    def _last(self) -> str:
        if not self._rest:
            self._rest = self._names.new(self._second.name, "rules")
        return self._rest


def _maps_of(chain: Chain) -> set[str]:
    return {rule.verdict.map_name for rule in chain.rules if isinstance(rule.verdict, Dispatch)}


def _passing(rule: Rule, kinds: _Kinds) -> tuple[_Kinds, bool]:
    """Return the kinds of packets that may pass a rule's tests, and whether all of these kinds do."""
    sure = True
    for step in rule.steps:
        if not isinstance(step, FieldTest) or not isinstance(step.values, IntervalSet):
            sure = sure and always_goes_on(step)
        elif step.field is known.CT_STATE:
            kinds = frozenset(kind for kind in kinds if kind[0] in step.values)
        elif step.field is known.ETHER_TYPE:
            decided = all(_decided(step.values, kind) for kind in _TYPES)
            kinds = frozenset(kind for kind in kinds if _may_be(step.values, kind[1]))
            sure = sure and decided
        else:
            sure = False
    return kinds, sure


def _may_be(values: IntervalSet, kind: int) -> bool:
    if kind != _OTHER:
        return kind in values
    return not values.difference(IntervalSet.values(values.width, _TYPES[:2])).is_empty


def _decided(values: IntervalSet, kind: int) -> bool:
    """Tell whether all frames of the kind are in the values, or none."""
    if kind != _OTHER:
        return True
    others = IntervalSet.values(values.width, _TYPES[:2]).complement()
    return others.difference(values).is_empty or others.intersection(values).is_empty


def _with_key(verdict: Dispatch, element: MapElement, kinds: _Kinds) -> _Kinds:
    """Return the kinds of packets that may find an element."""
    for part, values in zip(verdict.key, element.key, strict=True):
        if part.mask is not None or not isinstance(values, tuple) or not isinstance(values[0], int):
            continue
        if part.field is known.CT_STATE:
            kinds = frozenset(kind for kind in kinds if values[0] <= kind[0] <= values[1])
        elif part.field is known.ETHER_TYPE:
            asked = IntervalSet(part.field.width, (values,))
            kinds = frozenset(kind for kind in kinds if _may_be(asked, kind[1]))
    return kinds
