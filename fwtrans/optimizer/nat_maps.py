"""Address translations that differ in their target only, by exact values, become one rule with a map.

    before   ip daddr 192.0.2.1 dnat to 10.0.0.1          after   dnat to ip daddr map @prerouting-dnat-by-ip.daddr
             ip daddr 192.0.2.2 dnat to 10.0.0.2

Why it is safe: the map has for each key the target of the first rule that takes it, and a packet whose key is not in it
goes on with the next rule, as it did. Rules are taken together across others under the same conditions as verdict maps.

It declines for ranges of targets and for ports that differ from rule to rule (nft 1.0.6 lists maps of address and port in
a form that does not load on all kernels), for prefixes, and for fewer rules than a look-up costs.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Nat
from fwtrans.ir.fields import IP6_SADDR, IP_SADDR, NFPROTO, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.clauses import clauses_of, may_swap
from fwtrans.optimizer.keys import exact_values, guard, in_order
from fwtrans.optimizer.names import Names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import Part
    from fwtrans.optimizer.clauses import Clause

MOST_SKIPPED = 24
MOST_KEYS = 64


class _Translating(NamedTuple):
    """A rule that translates to one address: the fields it asks exactly, all else that it asks, and the address."""

    number: int
    clause: Clause
    exact: dict[Field, tuple[Part, ...]]
    nat: Nat
    target: int


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with translations as maps."""
    return each_table(ruleset, _table)


PASS = Pass("nat-maps", "translations that differ in their target only become one rule with a map", run)


def _table(table: Table, declined: list[str]) -> Table:
    clauses, names = clauses_of(table), Names(table)
    additions: list[Addition] = []
    for chain in table.chains:
        found = [clauses.of(rule) for rule in chain.rules]
        translating = [item for number, clause in enumerate(found) for item in _translating(number, clause)]
        for group in _groups(translating, found):
            gain = len(group[1]) * max(map(cost.test_cost, group[0])) - cost.HASH
            if gain <= 0:
                declined.append(f"chain {chain.name}: {len(group[1])} translations are cheaper than a look-up")
                continue
            addition = _applied(table.family, chain, *group, names)
            if addition is not None:
                additions.append(addition)
                break
    if not additions:
        return table
    # a chain with several groups takes one at a time, for a group is told by the places of its rules
    return _table(with_additions(table, additions), declined)


def _translating(number: int, clause: Clause) -> Iterator[_Translating]:
    if len(clause.rest) != 1 or not isinstance(clause.rest[0], Nat):
        return
    nat = clause.rest[0]
    if nat.map_name or nat.prefix or nat.addresses is None or nat.addresses[0] != nat.addresses[1]:
        return
    exact = {}
    for field, values in clause.tests.items():
        parts = exact_values(field, values)
        if parts is not None:
            exact[field] = parts
    yield _Translating(number, clause, exact, nat, nat.addresses[0])


def _groups(
    translating: Sequence[_Translating], found: Sequence[Clause]
) -> Iterator[tuple[tuple[Field, ...], tuple[_Translating, ...]]]:
    """Yield keys with the rules that one map can hold, by every field that rules ask exactly, widest key last."""
    for key in _keys(translating):
        by_rest: dict[Hashable, list[_Translating]] = {}
        for item in translating:
            if all(field in item.exact for field in key) and _count(item, key) <= MOST_KEYS:
                others = frozenset((field, values) for field, values in item.clause.tests.items() if field not in key)
                by_rest.setdefault((others, replace(item.nat, addresses=None), item.clause.verdict), []).append(item)
        for items in by_rest.values():
            together = _together(items, found)
            if len(together) > 1:
                yield key, together


def _keys(translating: Sequence[_Translating]) -> list[tuple[Field, ...]]:
    wanted: dict[tuple[Field, ...], None] = {}
    for item in translating:
        for field in item.exact:
            if field is not NFPROTO:
                wanted[(field,)] = None
        wanted[in_order(field for field in item.exact if field is not NFPROTO)] = None
    return sorted((key for key in wanted if key), key=lambda key: (len(key), [field.name for field in key]))


def _count(item: _Translating, key: tuple[Field, ...]) -> int:
    count = 1
    for field in key:
        count *= len(item.exact[field])
    return count


def _together(items: Sequence[_Translating], found: Sequence[Clause]) -> tuple[_Translating, ...]:
    taken = [items[0]]
    for item in items[1:]:
        numbers = {other.number for other in taken}
        between = [number for number in range(items[0].number + 1, item.number) if number not in numbers]
        if len(between) > MOST_SKIPPED:
            break
        if all(may_swap(found[number], item.clause) for number in between):
            taken.append(item)
    return tuple(taken)


def _applied(
    family: Family, chain: Chain, key: tuple[Field, ...], items: Sequence[_Translating], names: Names
) -> Addition | None:
    kind = _address_field(family, items[0].clause)
    if kind is None:
        return None
    elements: dict[tuple[Part, ...], int] = {}
    for item in items:
        for parts in product(*(item.exact[field] for field in key)):
            elements.setdefault(parts, item.target)
    name = names.new(chain.name, items[0].nat.kind.value, "by", *(field.name for field in key))
    mapping = NamedMap(name, key, kind.name, tuple(MapElement(*each) for each in elements.items()), chain.origin)
    first = items[0].clause.rule
    kept = tuple(
        step
        for step in first.steps
        if not isinstance(step, Nat) and not (isinstance(step, FieldTest) and step.field in key)
    )
    nat = replace(items[0].nat, addresses=None, key=tuple(map(KeyPart, key)), map_name=name)
    origins = joined_origins(item.clause.rule for item in items)
    translation = Rule((*guard(key), *kept, nat), first.verdict, origins)
    gone = {item.number for item in items}
    rules = tuple(
        translation if number == items[0].number else rule
        for number, rule in enumerate(chain.rules)
        if number == items[0].number or number not in gone
    )
    return Addition(replace(chain, rules=rules), maps=(mapping,))


def _address_field(family: Family, clause: Clause) -> Field | None:
    """Return a field of the kind of address that is translated to."""
    if family is not Family.INET:
        return IP_SADDR if family is Family.IP else IP6_SADDR
    protocol = clause.tests.get(NFPROTO)
    if isinstance(protocol, IntervalSet) and protocol.only in {2, 10}:
        return IP_SADDR if protocol.only == 2 else IP6_SADDR
    return None
