"""Where a frame's type is known, a look-up that many rules share does not ask for it, and may be a set's.

    before   (IPv4 only)   ether type . ether daddr vmap @reject-in      ip . 02:...:01 : jump a, ip6 . 02:...:01 : jump b
    after    (IPv4 only)   ether daddr @reject-in-ip jump a              02:...:01

Where such frames have several verdicts, they are in a map of their own.

Why it is safe: of such frames the map holds the same keys with the same verdicts. It is one look-up still, of a shorter key.

What it is for: the kernel follows all elements of a verdict map for each rule that asks it, whenever an element or a rule of
the table changes; many chains end with the question what would be rejected. A set's elements lead nowhere.

It declines where few rules would ask, and for maps that passes did not make.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, cast

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import MemberTest
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.verdict import Dispatch
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.first_rules import TYPES
from fwtrans.optimizer.known_kinds import known_kinds, type_of_frames
from fwtrans.optimizer.names import BY, Names, is_made
from fwtrans.optimizer.reached import with_what_is_named

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.verdict import Verdict

# Fewer rules than these do not pay for keys that stand in the set and in the map.
FEWEST_RULES = 4
# Of fewer keys there is little to follow.
_FEWEST_KEYS = 3
_WORD = "ether.type-"
_WORDS = {number: word for word, number in TYPES.items()}


def with_typed_keys(table: Table) -> Table:
    """Return the table with types of frames left out of look-ups where they are known."""
    if table.family is not Family.BRIDGE:
        return table
    maps = {item.name: item for item in table.maps if _may_be_asked(item)}
    return _Typing(table, maps).changed() if maps else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with types of frames left out of look-ups where they are known."""
    return each_table(ruleset, lambda table, _declined: with_typed_keys(table))


PASS = Pass("typed-keys", "where a frame's type is known, look-ups that many rules share do not ask for it", run)


def _may_be_asked(item: NamedMap) -> bool:
    return (
        item.value == "verdict"
        and is_made(item.name)
        and len(item.fields) > 1
        and item.fields.count(known.ETHER_TYPE) == 1
    )


class _OfType(NamedTuple):
    """What a map holds for frames of one type, and the verdict where all have one."""

    elements: tuple[MapElement, ...]
    verdict: Verdict | None


@dataclass(slots=True)
class _Typing:
    """One table: what its maps hold for frames of one type, and what is made of that."""

    table: Table
    maps: dict[str, NamedMap]
    made: dict[tuple[str, int], NamedSet | NamedMap] = field(default_factory=dict)
    found: dict[tuple[str, int], _OfType | None] = field(default_factory=dict)

    def changed(self) -> Table:
        """Return the table in its new form."""
        types = self._types()
        asking = Counter(
            (rule.verdict.map_name, types[chain.name])
            for chain in self.table.chains
            if chain.name in types
            for rule in chain.rules
            if isinstance(rule.verdict, Dispatch) and self._of_type(rule.verdict, types[chain.name]) is not None
        )
        names = Names(self.table)
        for (name, ether_type), rules in asking.items():
            found = self.found[name, ether_type]
            if rules >= FEWEST_RULES and found is not None:
                self.made[name, ether_type] = _made(self.maps[name], ether_type, found, names)
        if not self.made:
            return self.table
        chains = tuple(
            self._chain(chain, types[chain.name]) if chain.name in types else chain for chain in self.table.chains
        )
        sets = (item for item in self.made.values() if isinstance(item, NamedSet))
        maps = (item for item in self.made.values() if isinstance(item, NamedMap))
        table = replace(self.table, chains=chains, sets=(*self.table.sets, *sets), maps=(*self.table.maps, *maps))
        return with_what_is_named(table)

    def _types(self) -> dict[str, int]:
        """Return the type of frames of each chain that asks a map, where there is one."""
        types = ((chain.name, self._type(chain)) for chain in self.table.chains if self._asks(chain))
        return {name: ether_type for name, ether_type in types if ether_type is not None}

    def _asks(self, chain: Chain) -> bool:
        return any(isinstance(rule.verdict, Dispatch) and rule.verdict.map_name in self.maps for rule in chain.rules)

    def _type(self, chain: Chain) -> int | None:
        """Return the one type that frames have that reach a chain, where that is known."""
        found = type_of_frames(self.table, known_kinds(self.table, whole=False).of(chain.name))
        return found if found in _WORDS else None

    def _of_type(self, asked: Dispatch, ether_type: int) -> _OfType | None:
        """Return what a map holds for frames of a type, if that is many keys."""
        content = asked.map_name, ether_type
        if content not in self.found:
            item = self.maps.get(asked.map_name)
            self.found[content] = None if item is None else _parted(item, ether_type)
        # the map tells the type of what is asked, which may be the protocol behind a VLAN tag too
        asks = sum(part.field is known.ETHER_TYPE for part in asked.key)
        return self.found[content] if asks == 1 and all(part.mask is None for part in asked.key) else None

    def _chain(self, chain: Chain, ether_type: int) -> Chain:
        rules = tuple(self._rule(rule, ether_type) for rule in chain.rules)
        return chain if rules == chain.rules else replace(chain, rules=rules)

    def _rule(self, rule: Rule, ether_type: int) -> Rule:
        asked = rule.verdict
        if not isinstance(asked, Dispatch) or (asked.map_name, ether_type) not in self.made:
            return rule
        found = self._of_type(asked, ether_type)
        if found is None:
            return rule
        key = tuple(part for part in asked.key if part.field is not known.ETHER_TYPE)
        name = self.made[asked.map_name, ether_type].name
        if found.verdict is None:
            return replace(rule, verdict=Dispatch(key, name))
        return replace(rule, steps=(*rule.steps, MemberTest(key, name)), verdict=found.verdict)


def _made(item: NamedMap, ether_type: int, found: _OfType, names: Names) -> NamedSet | NamedMap:
    """Return the set or map of one type of frames."""
    place = item.fields.index(known.ETHER_TYPE)
    stem, by, key = item.name.partition(BY)
    fields = (*item.fields[:place], *item.fields[place + 1 :])
    if found.verdict is None:
        name = names.new(f"{stem}-{_WORDS[ether_type]}{by}{key.replace(_WORD, '')}")
        return NamedMap(name, fields, item.value, found.elements)
    name = names.new(stem, _WORDS[ether_type])
    return NamedSet(name, fields, tuple(Element(element.key) for element in found.elements))


def _parted(item: NamedMap, ether_type: int) -> _OfType | None:
    place = item.fields.index(known.ETHER_TYPE)
    found: list[MapElement] = []
    for element in item.elements:
        first, last = element.key[place]
        if first != last:
            return None
        if first == ether_type:
            found.append(element)
    if len(found) < _FEWEST_KEYS:
        return None
    elements = tuple(MapElement((*element.key[:place], *element.key[place + 1 :]), element.value) for element in found)
    verdicts = {element.value for element in found}
    return _OfType(elements, cast("Verdict", verdicts.pop()) if len(verdicts) == 1 else None)
