"""How many elements of a table's maps would lead each way if every guest that has a twin had many.

What is made of a table must not hang on how many guests have the same rules, only on how many sets of rules there are.
Guests are twins where all verdict maps, and all sets of nothing but ports, treat them alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.verdict import Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedMap, NamedSet, Part

_PORTS = frozenset({known.IIFNAME, known.OIFNAME})
_GUESTS = _PORTS | {known.ETHER_SADDR, known.ETHER_DADDR}
_Key = tuple["Part", ...]


def counted_with_twins(table: Table, times: int) -> dict[str, dict[Jump | Goto, int]]:
    """Return for each map that asks for guests what it leads to, and how often, where twins are taken to be so many."""
    maps = [item for item in table.maps if item.value == "verdict" and not _GUESTS.isdisjoint(item.fields)]
    sets = [item for item in table.sets if not _GUESTS.isdisjoint(item.fields) and _tells_guests_only(item)]
    treated: defaultdict[Part, set[Hashable]] = defaultdict(set)
    for mapping in maps:
        for element in mapping.elements:
            guest, rest = _split(mapping, element.key)
            treated[guest].add((mapping.name, rest, element.value))
    for item in sets:
        for one in item.elements:
            guest, rest = _split(item, one.key)
            treated[guest].add((item.name, rest))
    kinds = {guest: frozenset(found) for guest, found in treated.items()}
    return {item.name: _counted(item, kinds, times) for item in maps}


def _tells_guests_only(item: NamedSet) -> bool:
    """Tell whether a set has no addresses in it: those are a guest's own, whatever its rules are."""
    return _GUESTS.union({known.ETHER_TYPE, known.CT_STATE}).issuperset(item.fields)


def _split(item: NamedMap | NamedSet, key: _Key) -> tuple[Part, _Key]:
    """Return which guest an element is for, its port where that is asked, and what else it asks."""
    asked = list(zip(item.fields, key, strict=True))
    guest = next((part for field, part in asked if field in _PORTS), None)
    if guest is None:
        guest = next(part for field, part in asked if field in _GUESTS)
    return guest, tuple(part for field, part in asked if field not in _GUESTS)


def _counted(item: NamedMap, kinds: Mapping[Part, Hashable], times: int) -> dict[Jump | Goto, int]:
    alike: Counter[tuple[Jump | Goto, _Key, Hashable]] = Counter()
    for element in item.elements:
        if isinstance(element.value, (Jump, Goto)):
            guest, rest = _split(item, element.key)
            alike[element.value, rest, kinds[guest]] += 1
    found: Counter[Jump | Goto] = Counter()
    for (verdict, _, _), count in alike.items():
        found[verdict] += times if count > 1 else 1
    return dict(found)
