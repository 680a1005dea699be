"""Searches by service that differ only in what they find become one, its maps keyed by the guest's port as well.

    before   new . ip . tap1 : goto class-a, new . ip . tap2 : goto class-b
             class-a: set mark; meta l4proto . th dport vmap @a; drop        class-b: set mark; ... vmap @b; accept
    after    new . ip . tap1 : goto class-a, new . ip . tap2 : goto class-a
             class-a: set mark; oifname . meta l4proto . th dport vmap @class-a-by-...; oifname vmap @...

Classes of guests then share all but their leaves, and a guest with rules of its own adds elements, and leaves where it has
what no one has.

Why it is safe: a chain is only taken where every way to it is an element of a map that asks for one value of the field, so
behind it the look-up under this value finds what the chain's own look-up found. Chains that one value leads to, as for both
versions of IP, are never one.

It declines where a chain has another caller, where rules in front of the look-ups differ, and for classes of so many guests
that they would fill the maps: what such a class shares is one chain, and each of its services would stand there once for
each guest. Loading takes as long as there are elements, and for each new one that leads to a chain the kernel comes by all
of them. Whatever the number of guests, the maps stay below `MOST_OF_ALL`: classes of many services keep their chains first,
by powers of two, so that a guest more hardly ever changes which do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import DPORT, L4PROTO
from fwtrans.ir.match import KeyPart
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table, until_it_stays
from fwtrans.optimizer.clauses import clauses_of, touches
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.keys import guard
from fwtrans.optimizer.names import Names, digest
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import if_tracked
from fwtrans.optimizer.twins import weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapValue, Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.source import Origin

_PORTS = (known.OIFNAME, known.IIFNAME, known.ETHER_DADDR)
_BY_PORT = (L4PROTO, DPORT)
_BY_PROTOCOL = (L4PROTO,)

MOST_OF_A_CLASS = 2_000
"""What a class may add to the maps, in elements: its guests times its services."""
MOST_OF_ALL = 30_000
"""What all classes may. Kernels take 150 to 260 ns for each element that they come by (6.12, User Mode Linux)."""

Rules = tuple[Rule, ...]


class _Search(NamedTuple):
    """A chain taken apart, with the field that leads to it and the values that do."""

    chain: Chain
    field: Field
    parts: tuple[Part, ...]
    front: Rules
    by_port: tuple[MapElement, ...]
    by_protocol: tuple[MapElement, ...]
    rest: Rules

    @property
    def services(self) -> int:
        """Return how many elements each port would add to the maps that are keyed by it."""
        return len(self.by_port) + len(self.by_protocol)


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with guests' searches made one."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: _table(table)))


PASS = Pass("service-ports", "searches by service that differ in what they find become one, keyed by the port", run)


def _table(table: Table) -> Table:
    if not any(chain.base is not None for chain in table.chains):
        return table
    # what one search led to may then be led to by ports alone
    return until_it_stays(_once, table)


def _once(table: Table) -> Table:
    groups: dict[tuple[Field, Rules], list[list[_Search]]] = {}
    for search in _small_enough(table, list(_searches(table))):
        of_front = groups.setdefault((search.field, search.front), [])
        group = next((item for item in of_front if _apart(item, search)), None)
        if group is None:
            of_front.append([search])
        else:
            group.append(search)
    joining = _Joining(Names(table), {}, [], [])
    joined = {
        group[0].chain.name: (joining.joined(group), group)
        for of_front in groups.values()
        for group in of_front
        if len(group) > 1
    }
    if not joined:
        return table
    chains: list[Chain] = []
    for chain in table.chains:
        found = joined.get(chain.name)
        chains.append(found[0] if found is not None else chain)
    changed = replace(table, chains=(*joining.chains, *chains), maps=(*table.maps, *joining.maps))
    names = {member.chain.name: first for first, (_, group) in joined.items() for member in group[1:]}
    # only maps lead to them: what is left of the old chains nothing leads to
    maps = tuple(
        replace(item, elements=tuple(e._replace(value=_renamed(e.value, names)) for e in item.elements))
        for item in changed.maps
    )
    bases = [chain.name for chain in table.chains if chain.base is not None]
    return reached(replace(changed, maps=maps), bases)


def _renamed(value: MapValue, names: Mapping[str, str]) -> MapValue:
    if isinstance(value, (Jump, Goto)) and value.chain in names:
        return replace(value, chain=names[value.chain])
    return value


def _apart(group: Sequence[_Search], search: _Search) -> bool:
    parts = set(search.parts)
    return not any(parts & set(member.parts) for member in group)


# --- what may be joined ---


def _searches(table: Table) -> Iterator[_Search]:
    maps = {item.name: item for item in table.maps}
    room = room_below(table)
    clauses = clauses_of(table)
    called = {
        rule.verdict.chain for chain in table.chains for rule in chain.rules if isinstance(rule.verdict, (Jump, Goto))
    }
    ways = _ways(table)
    for chain in table.chains:
        way = ways.get(chain.name)
        if chain.base is not None or chain.name in called or way is None or room.get(chain.name, 0) < 1:
            continue
        asked, parts = way
        found = _apart_from_front(chain, maps)
        if found is not None and not touches(asked, clauses.chain_writes(chain.name)):
            yield _Search(chain, asked, parts, *found)


def _small_enough(table: Table, searches: Sequence[_Search]) -> list[_Search]:
    """Return the searches whose elements there is room for in maps, also where guests of the same kinds come to be many."""
    by_guest = weights(table)

    def counted(parts: Iterable[Part]) -> float:
        return sum(by_guest.get(part, 1.0) for part in parts)

    asking = ((item, next((port for port in _PORTS if port in item.fields), None)) for item in table.maps)
    room = MOST_OF_ALL - sum(
        counted(element.key[item.fields.index(port)] for element in item.elements)
        for item, port in asking
        if port is not None and L4PROTO in item.fields
    )
    sizes = [(search, counted(search.parts) * search.services) for search in searches]
    small = [(search, size) for search, size in sizes if size <= MOST_OF_A_CLASS]
    most = 1 << max((search.services for search, _ in small), default=1).bit_length()
    while sum(size for _, size in small) > max(room, 0):
        most //= 2
        small = [(search, size) for search, size in small if search.services <= most]
    return [search for search, _ in small]


def _ways(table: Table) -> dict[str, tuple[Field, tuple[Part, ...]] | None]:
    """Return the field that all elements that lead to a chain ask for, and its values; None where there is none."""
    keys = _keys(table)
    found: dict[str, tuple[Field, dict[Part, None]] | None] = {}
    for item in table.maps:
        fields = keys.get(item.name) or ()
        asked = next((port for port in _PORTS if port in fields), None)
        place = fields.index(asked) if asked is not None else 0
        for element in item.elements:
            if not isinstance(element.value, (Jump, Goto)):
                continue
            name, part = element.value.chain, element.key[place]
            before = found.setdefault(name, (asked, {})) if asked is not None and _is_exact(part) else None
            if before is None or before[0] is not asked:
                found[name] = None
            else:
                before[1][part] = None
    return {name: way and (way[0], tuple(way[1])) for name, way in found.items()}


def _keys(table: Table) -> dict[str, tuple[Field, ...] | None]:
    """Return what rules ask maps with; None where they do so with several keys. A map itself knows the types only."""
    found: dict[str, tuple[Field, ...] | None] = {}
    for chain in table.chains:
        for rule in chain.rules:
            if isinstance(rule.verdict, Dispatch):
                name, key = rule.verdict.map_name, tuple(part.field for part in rule.verdict.key)
                found[name] = key if found.get(name, key) == key else None
    return found


def _is_exact(part: Part) -> bool:
    return not part[1] if isinstance(part[1], bool) else part[0] == part[1]


def _apart_from_front(
    chain: Chain, maps: Mapping[str, NamedMap]
) -> tuple[Rules, tuple[MapElement, ...], tuple[MapElement, ...], Rules] | None:
    for place, rule in enumerate(chain.rules):
        # what comes back from all that it may find is not at the search's end: a connection's helper is set
        if _is_look_up(rule, _BY_PORT) and not all(isinstance(e.value, Jump) for e in _elements(rule, maps)):
            by_port = _elements(rule, maps)
            behind = chain.rules[place + 1 :]
            if behind and _is_look_up(behind[0], _BY_PROTOCOL):
                return chain.rules[:place], by_port, _elements(behind[0], maps), behind[1:]
            return chain.rules[:place], by_port, (), behind
    return None


def _is_look_up(rule: Rule, fields: tuple[Field, ...]) -> bool:
    if not isinstance(rule.verdict, Dispatch) or rule.steps != guard(fields):
        return False
    return rule.verdict.key == tuple(map(KeyPart, fields))


def _elements(rule: Rule, maps: Mapping[str, NamedMap]) -> tuple[MapElement, ...]:
    assert isinstance(rule.verdict, Dispatch)  # noqa: S101 -- _is_look_up said so
    return maps[rule.verdict.map_name].elements


# --- one for all ---


@dataclass(slots=True)
class _Joining:
    """The chains and maps that joined searches need."""

    names: Names
    leaves: dict[Rules, str]
    chains: list[Chain]
    maps: list[NamedMap]

    def joined(self, group: Sequence[_Search]) -> Chain:
        """Return one chain in the place of all."""
        first = group[0]
        origins = tuple(dict.fromkeys(o for member in group for rule in member.chain.rules for o in rule.origins))
        rules = [*first.front]
        for fields, look_ups in (
            (_BY_PORT, [m.by_port for m in group]),
            (_BY_PROTOCOL, [m.by_protocol for m in group]),
        ):
            elements = tuple(
                MapElement((part, *element.key), element.value)
                for member, found in zip(group, look_ups, strict=True)
                for part in member.parts
                for element in found
            )
            if elements:
                rules.append(self._look_up(first, (first.field, *fields), elements, origins))
        if all(member.rest == first.rest for member in group):
            rules.extend(first.rest)
        else:
            elements = tuple(MapElement((part,), self._led_to(member)) for member in group for part in member.parts)
            rules.append(self._look_up(first, (first.field,), elements, origins))
        return replace(first.chain, rules=tuple(rules))

    def _look_up(
        self, first: _Search, fields: tuple[Field, ...], elements: tuple[MapElement, ...], origins: tuple[Origin, ...]
    ) -> Rule:
        name = self.names.new(first.chain.name, "by", *(item.name for item in fields))
        self.maps.append(NamedMap(name, fields, "verdict", elements, first.chain.origin))
        return Rule(guard(fields), Dispatch(tuple(map(KeyPart, fields)), name), origins)

    def _led_to(self, member: _Search) -> Verdict:
        """Return what the map holds for what is left of a chain."""
        rest = member.rest
        if not rest:
            return Return()
        if len(rest) == 1 and not rest[0].steps and isinstance(rest[0].verdict, (Accept, Drop, Goto, Return)):
            return rest[0].verdict
        if rest not in self.leaves:
            name = self.names.new("others", digest(map(repr, ((r.steps, r.verdict) for r in rest))))
            self.leaves[rest] = name
            self.chains.append(Chain(name, rest, origin=member.chain.origin))
        return Goto(self.leaves[rest])
