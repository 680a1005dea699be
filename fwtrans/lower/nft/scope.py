"""What a rule being read can see: its table's family, sets and objects, and a place to put anonymous sets and maps.

nft writes `ip saddr . tcp dport { ... }` inside a rule; the IR has such keys in named sets only, so they get names here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.ir.sets import NamedMap, NamedSet, example_of
from fwtrans.lower.nft.json_types import NotModelled

if TYPE_CHECKING:
    from fwtrans.ir.fields import Family, Field
    from fwtrans.ir.stateful import StatefulObject
    from fwtrans.lower.nft.json_types import Json, JsonObject


@dataclass(slots=True)
class Scope:
    """One table while it is read."""

    family: Family
    table: str
    dynamic_sets: frozenset[str] = frozenset()
    objects: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    sets: dict[str, JsonObject] = field(default_factory=dict)
    keyed: dict[str, StatefulObject] = field(default_factory=dict)
    anonymous_sets: list[NamedSet] = field(default_factory=list)
    anonymous_maps: list[NamedMap] = field(default_factory=list)
    unmodelled: set[str] = field(default_factory=set)
    understood: set[tuple[str, str]] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    foreign: frozenset[tuple[str, str]] = frozenset()
    map_values: dict[str, str] = field(default_factory=dict)
    place: str = ""
    counter: int = 0

    def is_dynamic(self, name: str) -> bool:
        """Tell whether rules change the set while packets pass."""
        return name in self.dynamic_sets

    def object(self, kind: str, name: str) -> JsonObject | None:
        """Return a declared object that a rule asks in a way that we understand, None where there is none.

        One that some statement asks in a way that we do not is unknown to all, for it is one object.
        """
        found = self.objects.get((kind, name))
        if found is not None:
            if (kind, name) in self.foreign:
                raise NotModelled(f"the {kind} {name}")
            self.understood.add((kind, name))
        return found

    def identity(self, what: str) -> str:
        """Return the identity of a bucket that belongs to the rule being read, stable from run to run."""
        self.counter += 1
        return f"{self.table}/{self.place}/{what}/{self.counter}"

    def anonymous_set(self, left: Json, elements: list[Json]) -> str:
        """Give a set written inside a rule a name of its own."""
        from fwtrans.lower.nft.matches import lower_key  # noqa: PLC0415 -- keys and sets need each other
        from fwtrans.lower.nft.sets import set_element  # noqa: PLC0415 -- same

        key, _ = lower_key(left, self)
        fields = tuple(example_of(part.field) for part in key)
        name = f"__set{len(self.anonymous_sets)}"
        self.anonymous_sets.append(NamedSet(name, fields, tuple(set_element(fields, item) for item in elements)))
        return name

    def anonymous_map(self, fields: tuple[Field, ...], entries: list[Json], value: str) -> str:
        """Give a map written inside a rule a name of its own."""
        from fwtrans.lower.nft.sets import map_elements  # noqa: PLC0415 -- same

        name = f"__map{len(self.anonymous_maps)}"
        elements = map_elements(fields, value, entries)
        self.anonymous_maps.append(NamedMap(name, tuple(map(example_of, fields)), value, elements))
        return name
