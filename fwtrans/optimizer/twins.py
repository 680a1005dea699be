"""How many elements of a table's maps would lead each way if every guest that has a twin had many.

What is made of a table must not hang on how many guests have the same rules, only on how many sets of rules there are.
Guests are twins where all verdict maps, and all sets of nothing but ports, treat them alike. Where nearly all are, a node
is taken to have a thousand guests of these kinds; elsewhere each kind of two is taken to be of so many as its caller says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import once
from fwtrans.ir.sets import MapElement
from fwtrans.ir.verdict import Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import Element, MapValue, NamedMap, NamedSet, Part

_PORTS = frozenset({known.IIFNAME, known.OIFNAME})
_ADDRESSES = frozenset({known.ETHER_SADDR, known.ETHER_DADDR})
_GUESTS = _PORTS | _ADDRESSES
_NEARLY_ALL = 0.8
_MOST_KINDS = 50
# So many guests a node of few kinds is thought to have one day, as many of each kind as of twelve at most.
_GUESTS_OF_A_NODE, _LEAST_KINDS = 1000, 12


def counted_with_twins(table: Table, least: int) -> dict[str, dict[Jump | Goto, int]]:
    """Return for each map that asks for guests what it leads to, and how often, where guests with twins are taken to be many.

    There are `least` of a kind, and on a node of few kinds as many as `weights` says.
    """
    maps = _maps_of_guests(table)
    by_kind = weights(table)
    if by_kind:
        return {item.name: _weighed(_of_map(item), by_kind) for item in maps}
    kinds = _kinds(table)
    return {item.name: _counted(_of_map(item), kinds, least) for item in maps}


@once
def weights(table: Table) -> dict[Part, float]:
    """Return how many guests each one stands for, where nearly all have a twin and are of a few kinds; else nothing.

    One guest more of a kind, or a hundred, is the same then. The one port or hardware address of a guest is what stands here.
    """
    kinds = _kinds(table)
    ports = Counter(kind for guest, kind in kinds.items() if isinstance(guest, NamePattern))
    twins = sum(count for count in ports.values() if count > 1)
    if not ports or twins <= _NEARLY_ALL * ports.total() or len(ports) > _MOST_KINDS:
        return {}
    of_a_kind = _GUESTS_OF_A_NODE / max(len(ports), _LEAST_KINDS)
    alike = {**Counter(kinds.values()), **ports}
    return {guest: max(1.0, of_a_kind / alike[kind]) for guest, kind in kinds.items()}


@once
def _kinds(table: Table) -> dict[Part, int]:
    """Return a number for each guest, the same for twins."""
    sets = [item for item in table.sets if not _GUESTS.isdisjoint(item.fields) and _tells_guests_only(item)]
    treated: defaultdict[Part, set[tuple[int, int]]] = defaultdict(set)
    ports = _ports_of_addresses(table)
    for number, told in enumerate((*map(_of_map, _maps_of_guests(table)), *map(_of_set, sets))):
        for guest, treatment in told.by_guest:
            treated[ports.get(guest, guest)].add((number, treatment))
    numbers: dict[frozenset[tuple[int, int]], int] = {}
    kinds = {guest: numbers.setdefault(frozenset(found), len(numbers)) for guest, found in treated.items()}
    return kinds | {address: kinds[port] for address, port in ports.items() if port in kinds}


def _ports_of_addresses(table: Table) -> dict[Part, Part]:
    """Return the port of each hardware address that sets or maps name together with one port."""
    found: dict[Part, set[Part]] = defaultdict(set)
    holders: tuple[NamedMap | NamedSet, ...] = (*table.maps, *table.sets)
    for item in holders:
        port = next((at for at, field in enumerate(item.fields) if field in _PORTS), None)
        address = next((at for at, field in enumerate(item.fields) if field in _ADDRESSES), None)
        if port is not None and address is not None:
            for element in item.elements:
                found[element.key[address]].add(element.key[port])
    return {address: next(iter(ports)) for address, ports in found.items() if len(ports) == 1}


def _maps_of_guests(table: Table) -> list[NamedMap]:
    return [item for item in table.maps if item.value == "verdict" and not _GUESTS.isdisjoint(item.fields)]


class _Treatments(NamedTuple):
    """What each element says of a guest, by a number; and what an element of that number leads to."""

    by_guest: tuple[tuple[Part, int], ...]
    leads_to: tuple[Jump | Goto | None, ...]


@once
def _of_map(item: NamedMap) -> _Treatments:
    return _treatments(item.fields, item.elements)


@once
def _of_set(item: NamedSet) -> _Treatments:
    return _treatments(item.fields, item.elements)


def _treatments(fields: Sequence[Field], elements: Iterable[Element | MapElement]) -> _Treatments:
    own = [at for at, field in enumerate(fields) if field in _GUESTS]
    guest = next((at for at in own if fields[at] in _PORTS), own[0])
    rest = [at for at in range(len(fields)) if at not in own]
    numbers: dict[tuple[tuple[Part, ...], MapValue | None], int] = {}
    by_guest = []
    for element in elements:
        value = element.value if isinstance(element, MapElement) else None
        said = (tuple(element.key[at] for at in rest), value)
        by_guest.append((element.key[guest], numbers.setdefault(said, len(numbers))))
    ways = (value if isinstance(value, (Jump, Goto)) else None for _, value in numbers)
    return _Treatments(tuple(by_guest), tuple(ways))


def _tells_guests_only(item: NamedSet) -> bool:
    """Tell whether a set has no addresses in it: those are a guest's own, whatever its rules are."""
    return _GUESTS.union({known.ETHER_TYPE, known.CT_STATE}).issuperset(item.fields)


def _weighed(item: _Treatments, by_guest: Mapping[Part, float]) -> dict[Jump | Goto, int]:
    found: defaultdict[Jump | Goto, float] = defaultdict(float)
    for guest, treatment in item.by_guest:
        verdict = item.leads_to[treatment]
        if verdict is not None:
            found[verdict] += by_guest.get(guest, 1.0)
    return {verdict: round(count) for verdict, count in found.items()}


def _counted(item: _Treatments, kinds: Mapping[Part, int], times: int) -> dict[Jump | Goto, int]:
    alike = Counter((treatment, kinds[guest]) for guest, treatment in item.by_guest)
    found: Counter[Jump | Goto] = Counter()
    for (treatment, _), count in alike.items():
        verdict = item.leads_to[treatment]
        if verdict is not None:
            found[verdict] += times if count > 1 else 1
    return dict(found)
