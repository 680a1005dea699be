"""Maps that others fill while the ruleset is loaded: nothing may rest on what is in them today.

    map ports { type inet_service : verdict; }     tcp dport vmap @ports     nft add element inet filter ports { 80 : accept }

Empty, the map decides nothing, and its look-up would go; with elements, those would go that no packet can find today, and
chains behind it would be made for the keys that lead there now. So passes see such a map under a key of which nothing is
known, with an accept and a drop more than it has: any packet may find any element, or none. What is printed holds the
elements that were read, and only the proof knows them. Maps that passes make, and those without a name, are nobody else's;
nor are those of our own tables, whose change is a new translation.

Where a map is asked by what rules write, as the mark, what is asked stays to be seen: passes keep in order what writes and
what reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable, Nat, NoTrack
from fwtrans.ir.fields import CT_STATE, Field, FieldKind
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import MapElement, place_among
from fwtrans.ir.stateful import StatefulFromMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop
from fwtrans.ir.walk import flat_steps, targets_of
from fwtrans.optimizer.names import is_made
from fwtrans.optimizer.port_dispatch import MADE
from fwtrans.optimizer.port_key import is_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap, Part

_Key = tuple[KeyPart, ...]
_Asking = (AssignFromMap, StatefulFromMap, Nat)
# How the tables are called that a translation makes.
_OURS = "fwtrans"
_FOR_PORTS = re.compile(rf"{MADE}(-[0-9]+)?$|-log(-|$)")
_WIDTH = 32
# Keys with gaps between them never become one range.
_GAP = 2
# What others may put into a verdict map, whatever is in it today.
_ANYTHING = (Accept(), Drop())


@dataclass(frozen=True, slots=True)
class HeldMaps:
    """A ruleset whose maps are held, and what stands for what in it."""

    ruleset: Ruleset
    maps: Mapping[Field, NamedMap]
    keys: Mapping[Field, _Key]

    def released(self, ruleset: Ruleset) -> Ruleset:
        """Return what passes made of the ruleset, with maps as they were read; their values lead where these lead by now."""
        if not self.maps:
            return ruleset
        return _each_table(ruleset, self._released)

    def _released(self, table: Table) -> Table:
        maps = tuple(map(self._as_read, table.maps))

        def asked(_: str, key: _Key) -> _Key:
            return self.keys.get(key[0].field, key) if key else key

        return _with_keys(replace(table, maps=maps), asked)

    def _as_read(self, item: NamedMap) -> NamedMap:
        before = self.maps.get(item.fields[0])
        if before is None:
            return item
        values = {element.key[0]: element.value for element in item.elements}
        kept = ((element, values.get(_place(number))) for number, element in enumerate(before.elements))
        elements = tuple(element._replace(value=value) for element, value in kept if value is not None)
        return replace(before, name=item.name, elements=elements)


def live_maps(table: Table) -> frozenset[str]:
    """Return the maps that others may fill, by name. What passes make is never empty."""
    if table.name.startswith(_OURS):
        return frozenset()
    return frozenset(item.name for item in table.maps if not item.elements or not _is_ours(item))


def _is_ours(item: NamedMap) -> bool:
    """Tell whether a map is called as passes call those that they make, for ports or for anything else."""
    of_ports = any(field.kind is FieldKind.NAME for field in item.fields)
    return is_made(item.name) or (of_ports and (is_entry(item.name) or _FOR_PORTS.search(item.name) is not None))


def held_maps(ruleset: Ruleset) -> HeldMaps:
    """Return the ruleset in which nothing is known of what is in the maps that others may fill."""
    maps: dict[Field, NamedMap] = {}
    keys: dict[Field, _Key] = {}
    return HeldMaps(_each_table(ruleset, lambda table: _held(table, maps, keys)), maps, keys)


def with_all_maps(ruleset: Ruleset, original: Ruleset) -> Ruleset:
    """Return the ruleset with the maps that no rule asks: a program that fills one, or asks it later, must find it.

    Those that lead to chains that have gone cannot be there any more.
    """
    before = {(table.family, table.name): table for table in original.tables}

    def table_of(table: Table) -> Table:
        chains = {chain.name for chain in table.chains}
        written = before.get((table.family, table.name), table)
        missing = live_maps(written) - {item.name for item in table.maps}
        gone = tuple(item for item in written.maps if item.name in missing and chains.issuperset(targets_of(item)))
        return (
            replace(table, maps=tuple(sorted((*gone, *table.maps), key=place_among(written.maps)))) if gone else table
        )

    return _each_table(ruleset, table_of)


def _held(table: Table, maps: dict[Field, NamedMap], keys: dict[Field, _Key]) -> Table:
    """Return a table with its maps held; what stands for what is noted."""
    look_ups = tuple(_look_ups(table))
    live = live_maps(table) & {name for name, _ in look_ups}
    if not live:
        return table
    written = frozenset(_written(table))
    seen = {name for name, key in look_ups if any(part.field in written for part in key)}
    fields: dict[tuple[str, _Key], Field] = {}

    def hidden_key(name: str, key: _Key) -> _Key:
        if name not in live:
            return key
        if (name, key) not in fields:
            fields[name, key] = made = _unknown(f"what {name} is asked by ({len(fields) + 1})")
            keys[made] = key
        return (KeyPart(fields[name, key]), *(key if name in seen else ()))

    def hidden(item: NamedMap) -> NamedMap:
        example = _unknown(f"what {item.name} holds")
        maps[example] = item
        values = [element.value for element in item.elements]
        values.extend(_ANYTHING if item.value == "verdict" else ())
        rest = item.fields if item.name in seen else ()
        anything = tuple(map(_any_part, rest))
        elements = tuple(MapElement((_place(number), *anything), value) for number, value in enumerate(values))
        return replace(item, fields=(example, *rest), elements=elements)

    found = tuple(hidden(item) if item.name in live else item for item in table.maps)
    return _with_keys(replace(table, maps=found), hidden_key)


def _place(number: int) -> tuple[int, int]:
    return _GAP * number, _GAP * number


def _any_part(field: Field) -> Part:
    return NamePattern("", is_prefix=True) if field.kind is FieldKind.NAME else (0, (1 << field.width) - 1)


def _unknown(name: str) -> Field:
    return Field(name, FieldKind.NUMBER, _WIDTH, ("map", name))


def _written(table: Table) -> Iterator[Field]:
    for chain in table.chains:
        for rule in chain.rules:
            for step in flat_steps(rule.steps):
                if isinstance(step, (Assign, AssignFromMap, AssignFromTable)):
                    yield step.field
                elif isinstance(step, NoTrack):
                    yield CT_STATE


def _look_ups(table: Table) -> Iterator[tuple[str, _Key]]:
    for chain in table.chains:
        for rule in chain.rules:
            for step in rule.steps:
                if isinstance(step, _Asking) and step.map_name:
                    yield step.map_name, step.key
            if isinstance(rule.verdict, Dispatch):
                yield rule.verdict.map_name, rule.verdict.key


def _with_keys(table: Table, key_of: Callable[[str, _Key], _Key]) -> Table:
    """Return the table whose rules ask maps by other keys."""

    def changed(rule: Rule) -> Rule:
        steps = tuple(map(step_of, rule.steps))
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            verdict = replace(verdict, key=key_of(verdict.map_name, verdict.key))
        return rule if steps == rule.steps and verdict == rule.verdict else replace(rule, steps=steps, verdict=verdict)

    def step_of(step: Step) -> Step:
        if isinstance(step, _Asking) and step.map_name:
            return replace(step, key=key_of(step.map_name, step.key))
        return step

    chains = tuple(replace(chain, rules=tuple(map(changed, chain.rules))) for chain in table.chains)
    return table if chains == table.chains else replace(table, chains=chains)


def _each_table(ruleset: Ruleset, of: Callable[[Table], Table]) -> Ruleset:
    return replace(ruleset, tables=tuple(map(of, ruleset.tables)))
