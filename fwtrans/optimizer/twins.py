"""How many elements of a table's maps would lead each way if every guest that has a twin had many.

What is made of a table must not hang on how many guests have the same rules, only on how many sets of rules there are.
Guests are twins where all verdict maps, and all sets of nothing but ports, treat them alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import once
from fwtrans.ir.sets import MapElement
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.optimizer.followed import verdicts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import Element, MapValue, NamedMap, NamedSet, Part

_PORTS = frozenset({known.IIFNAME, known.OIFNAME})
_GUESTS = _PORTS | {known.ETHER_SADDR, known.ETHER_DADDR}


_NEARLY_ALL = 0.8
# So many guests are what a node is thought to have one day.
_GUESTS_OF_A_NODE = 1000


def nearly_all_have_twins(table: Table) -> bool:
    """Tell whether a table is for guests of some kinds, where one guest more is hardly ever of another kind."""
    kinds = Counter(_kinds(table).values())
    return sum(count for count in kinds.values() if count > 1) > _NEARLY_ALL * kinds.total()


def times_as_many(table: Table) -> float:
    """Return how many times as many guests a node is thought to have one day, where it is known that they are of the same kinds."""
    ports = sum(isinstance(guest, NamePattern) for guest in _kinds(table))
    return max(1.0, _GUESTS_OF_A_NODE / max(ports, 1)) if nearly_all_have_twins(table) else 1.0


def counted_with_twins(table: Table, least: int) -> dict[str, dict[Jump | Goto, int]]:
    """Return for each map that asks for guests what it leads to, and how often, where guests with twins are taken to be many.

    There are `least` of a kind, or a thousand guests together where nearly all have twins.
    """
    if nearly_all_have_twins(table):
        more = times_as_many(table)
        return {
            item.name: {way: round(more * count) for way, count in verdicts_of(item)} for item in _maps_of_guests(table)
        }
    kinds = _kinds(table)
    return {item.name: _counted(_of_map(item), kinds, least) for item in _maps_of_guests(table)}


@once
def _kinds(table: Table) -> dict[Part, int]:
    """Return a number for each guest, the same for twins."""
    sets = [item for item in table.sets if not _GUESTS.isdisjoint(item.fields) and _tells_guests_only(item)]
    treated: defaultdict[Part, set[tuple[int, int]]] = defaultdict(set)
    for number, told in enumerate((*map(_of_map, _maps_of_guests(table)), *map(_of_set, sets))):
        for guest, treatment in told.by_guest:
            treated[guest].add((number, treatment))
    numbers: dict[frozenset[tuple[int, int]], int] = {}
    return {guest: numbers.setdefault(frozenset(found), len(numbers)) for guest, found in treated.items()}


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


def _counted(item: _Treatments, kinds: Mapping[Part, int], times: int) -> dict[Jump | Goto, int]:
    alike = Counter((treatment, kinds[guest]) for guest, treatment in item.by_guest)
    found: Counter[Jump | Goto] = Counter()
    for (treatment, _), count in alike.items():
        verdict = item.leads_to[treatment]
        if verdict is not None:
            found[verdict] += times if count > 1 else 1
    return dict(found)
