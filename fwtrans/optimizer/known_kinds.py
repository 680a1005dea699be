"""Which kinds of packets reach each chain of a table: their state, their protocols, and what must be there for these.

    ct state . ether type . oifname vmap { new . ip . "tap101i0" : goto in-v4 }     in-v4: state new, frames of type IPv4
    in-v4: oifname . meta l4proto vmap { "tap101i0" . tcp : goto tcp-rules }        tcp-rules: protocol TCP as well

What several ways to a chain know is joined. Only fields of few values are followed, which no rule of the table writes; where
connections are tracked, fragments are put together, so that a packet with a transport protocol has its header as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest, full_values, number, present
from fwtrans.ir.order import callees_last
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer.clauses import clauses_of
from fwtrans.optimizer.facts import decider_of, joined, values_of, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart, PureTest
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedMap, NamedSet, Part
    from fwtrans.optimizer.facts import Facts

_WIDEST = 16
_PORTS = frozenset({known.SPORT, known.DPORT})
_CARRIED = (
    (number(known.ETHER_TYPE, 0x0800), (number(known.ETHER_PROTOCOL, 0x0800), number(known.NFPROTO, 2))),
    (number(known.ETHER_TYPE, 0x86DD), (number(known.ETHER_PROTOCOL, 0x86DD), number(known.NFPROTO, 10))),
)


def known_kinds(table: Table, *, whole: bool) -> KnownKinds:
    """Return what is known of the packets that reach the chains of a table."""
    return _of_whole(table) if whole else _of_parts(table)


def type_of_frames(table: Table, facts: Facts) -> int | None:
    """Return the one type that frames have of which these facts are known; None where there may be several."""
    values = facts.get(known.ETHER_TYPE)
    if not isinstance(values, IntervalSet) or not decider_of(table).there(known.ETHER_TYPE, facts):
        return None
    first, last = values.ranges[0]
    return first if len(values.ranges) == 1 and first == last else None


@once
def _of_whole(table: Table) -> KnownKinds:
    return KnownKinds(table, whole=True)


@once
def _of_parts(table: Table) -> KnownKinds:
    return KnownKinds(table, whole=False)


class KnownKinds:
    """What is known of the packets that reach the chains of a table. `whole` says that fragments are put together first."""

    def __init__(self, table: Table, *, whole: bool) -> None:
        self._decider = decider_of(table)
        self._whole = whole
        self._maps = {item.name: item for item in table.maps}
        self._sets = {item.name: item for item in table.sets if item.elements and not item.dynamic}
        clauses = clauses_of(table)
        self._written = frozenset(field for chain in table.chains for field in clauses.chain_writes(chain.name))
        self._known: dict[str, Facts] = {chain.name: {} for chain in table.chains if chain.base is not None}
        for chain in callees_last(table, list(self._known)):
            facts = self._known[chain.name]
            for rule in chain.rules:
                for target, more in self._ways(rule, facts):
                    before = self._known.get(target)
                    if before is None:
                        self._known[target] = more
                    elif before is not more and before != more:
                        self._known[target] = joined([before, more])

    def of(self, chain: str) -> Facts:
        """Return what is known of the packets that reach a chain."""
        return self.completed(self._known.get(chain, {}))

    def completed(self, facts: Facts) -> Facts:
        """Return facts with what follows from them."""
        facts = self._decider.learn(_carried(facts), facts)
        return self._decider.learn((present(known.HAS_TRANSPORT),), facts) if self._is_whole(facts) else facts

    def _is_whole(self, facts: Facts) -> bool:
        return self._whole and known.L4PROTO in facts and self._decider.there(known.L4PROTO, facts) is True

    def _ways(self, rule: Rule, facts: Facts) -> Iterator[tuple[str, Facts]]:
        verdict = rule.verdict
        if not isinstance(verdict, (Jump, Goto, Dispatch)):
            return
        facts = self._learned(self._said(rule), facts)
        if isinstance(verdict, (Jump, Goto)):
            yield verdict.chain, facts
            return
        learned: dict[tuple[PureTest, ...], Facts] = {}
        for target, tests in _tests_by_target(self._maps[verdict.map_name], verdict.key):
            known_there = learned.get(tests)
            if known_there is None:
                known_there = learned[tests] = self._learned(tests, facts)
            yield target, known_there

    def _said(self, rule: Rule) -> Iterator[PureTest]:
        """Yield the tests of a rule, and what the keys of a set have that one of them asks."""
        for step in rule.steps:
            if not is_pure(step):
                continue
            yield step
            if isinstance(step, MemberTest) and step.inside and step.set_name in self._sets:
                dimensions = _parts_of_set(self._sets[step.set_name])
                yield from (_test(asked, parts) for asked, parts in zip(step.key, dimensions, strict=True) if parts)

    def _learned(self, tests: Iterable[PureTest], facts: Facts) -> Facts:
        """Return what is known of fields that are followed behind tests: the same dictionary where they tell nothing new."""
        found = self._decider.learn(tests, facts)
        if found is facts:
            return facts
        kept = {field: values for field, values in found.items() if _is_followed(field) and not values.is_full}
        kept = without(kept, self._written)
        return facts if kept == facts else kept


def _carried(facts: Facts) -> Iterator[PureTest]:
    """Yield what a frame's type says: without a VLAN tag, which is a type as well, it is the protocol that the frame carries."""
    for ether_type, follows in _CARRIED:
        if facts.get(known.ETHER_TYPE) == ether_type.values:
            yield from follows


def _is_followed(field: Field) -> bool:
    return field.kind is not FieldKind.NAME and field.width <= _WIDEST and field not in _PORTS


def _tests_by_target(item: NamedMap, key: tuple[KeyPart, ...]) -> tuple[tuple[str, tuple[PureTest, ...]], ...]:
    """Return for each chain that a map leads to what a look-up under a key asks of packets that come there."""
    asked = _look_ups(item)
    if key not in asked:
        asked[key] = tuple((target, tuple(map(_test, key, parts))) for target, parts in _parts_by_target(item).items())
    return asked[key]


@once
def _look_ups(_item: NamedMap) -> dict[tuple[KeyPart, ...], tuple[tuple[str, tuple[PureTest, ...]], ...]]:
    """Return where answers are kept with a map, by the key that it is asked under: a rule or two, as a rule."""
    return {}


def _test(asked: KeyPart, parts: Iterable[Part]) -> PureTest:
    """Return the test for one of the parts; for the field alone where it is not followed."""
    values = values_of(parts, asked.field) if asked.mask is None and _is_followed(asked.field) else None
    return FieldTest(asked.field, full_values(asked.field) if values is None else values)


@once
def _parts_of_set(item: NamedSet) -> tuple[set[Part], ...]:
    """Return what a set's elements have in each dimension that is followed, and nothing for others."""
    return tuple(
        {element.key[at] for element in item.elements} if _is_followed(field) else set()
        for at, field in enumerate(item.fields)
    )


@once
def _parts_by_target(item: NamedMap) -> dict[str, list[set[Part]]]:
    """Return for each chain that a map leads to what its elements ask in each dimension."""
    found: dict[str, list[set[Part]]] = {}
    for element in item.elements:
        if isinstance(element.value, (Jump, Goto)):
            parts = found.setdefault(element.value.chain, [set() for _ in item.fields])
            for place, part in enumerate(element.key):
                parts[place].add(part)
    return found
