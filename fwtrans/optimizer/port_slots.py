"""Few big named sets and maps keyed by the port, where the constants of all classes of chains live together.

    map ct-mark  { "tap101i0" : 101, "tap102i0" : 102 }             ct mark set iifname map @ct-mark
    set iif-mac  { "tap101i0" . bc:24:11:a7:35:6c, ... }            iifname . ether saddr @iif-mac

A port belongs to one class, so the classes share the sets: the first address of each chain is in one set, whatever the class.
Two constants of one chain get two sets, unless they hold the same.

A set of networks is asked by the network where all have one length (`iifname . ip saddr & 255.255.255.0`): that is a
hash, and costs the same at any size. Up to three lengths are three hashes; small ranges are written out address by address.
Networks that all ports have, beside a few addresses that are a port's own, are a test of their own (`ip saddr 10.20.0.0/16`).
Only what is left becomes a set of concatenated intervals, which grow slower with every element (170 ns at 100 elements
with an interface's name in the key, 1,130 at 10,000, where a hash takes 75; kernel 6.18), and slower still to change. To take
an element out, the kernel looks through all that are before it, at each value of each byte of their first field: 9 us for an
interface's name, 2 for an address (6.12: 38 ms for four of 800 elements, and 2 with the address first). So the address is
first, and classes have sets of their own. Where lists are few there is none: see `policy_members.py`.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import ETHER_DADDR, ETHER_SADDR, IIFNAME, IP6_SADDR, IP_SADDR, OIFNAME, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.sets import MapValue, Part

_WORDS = {FieldKind.MAC: "mac", FieldKind.IPV4: "ipv4", FieldKind.IPV6: "ipv6"}
_SIDES = {IIFNAME: "iif", OIFNAME: "oif", ETHER_DADDR: "daddr"}
_EXAMPLES = {
    FieldKind.NAME: IIFNAME,
    FieldKind.MAC: ETHER_SADDR,
    FieldKind.IPV4: IP_SADDR,
    FieldKind.IPV6: IP6_SADDR,
}
_MOST_WRITTEN_OUT = 64  # addresses that a port's ranges may have before they stay ranges
_MOST_LENGTHS = 3

Elements = tuple[Element, ...]


class _Shape(NamedTuple):
    """What must be the same for all that stands in one set or map. `value` is "" for a set; in one that has ranges the port is last."""

    word: str
    fields: tuple[Field, ...]
    value: str
    has_ranges: bool = False


class _Slot(NamedTuple):
    name: str
    shape: _Shape
    content: dict[Part, tuple[object, ...]]


class PortSlots:
    """The sets and maps while they are filled. `taken` are names that the table has already."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._slots: dict[_Shape, list[_Slot]] = {}
        self._names: set[str] = set()

    def members(
        self, port: Field, key: tuple[KeyPart, ...], contents: Mapping[Part, Elements], *, inside: bool
    ) -> tuple[PureTest, ...]:
        """Return tests that hold where the key is (or is not) among the elements of the packet's port."""
        found: list[PureTest] = []
        look_ups = list(_hashes(key, contents))
        if not look_ups:
            common, contents = _parted(key, contents)
            if not common.is_empty:
                found.append(FieldTest(key[0].field, common if inside else common.complement()))
            look_ups = list(_hashes(key, contents))
        for part_key, elements, word in look_ups:
            shape = _Shape(f"{_SIDES[port]}-{word}", (_example(port), *(_example(part.field) for part in part_key)), "")
            found.append(MemberTest((KeyPart(port), *part_key), self._place(shape, elements), inside))
        if not look_ups:
            fields = (*(_example(part.field) for part in key), _example(port))
            shape = _Shape(f"{_SIDES[port]}-{_word(key)}-ranges", fields, "", has_ranges=True)
            found.append(MemberTest((*key, KeyPart(port)), self._place(shape, contents), inside))
        if len(found) == 1 or not inside:
            return tuple(found)
        return (AnyOf(tuple((test,) for test in found)),)

    def numbers(self, port: Field, target: Field, numbers: Mapping[Part, int]) -> str:
        """Return the name of a map from port to number. Both directions share it: a guest has one mark."""
        shape = _Shape(target.name.replace(".", "-"), (_example(port),), target.name)
        return self._place(shape, {port: (number,) for port, number in numbers.items()})

    def values(self, port: Field, kind: str, values: Mapping[Part, MapValue], word: str) -> str:
        """Return the name of a map from port to a value of that kind, "verdict", "limit", "quota"; `word` says for what."""
        shape = _Shape(word, (_example(port),), kind)
        return self._place(shape, {name: (value,) for name, value in values.items()})

    def sets(self) -> tuple[NamedSet, ...]:
        """Return the sets, ports in order."""
        return tuple(
            NamedSet(slot.name, slot.shape.fields, tuple(_elements(slot)))
            for slot in self._all()
            if not slot.shape.value
        )

    def maps(self) -> tuple[NamedMap, ...]:
        """Return the maps, ports in order."""
        return tuple(
            NamedMap(
                slot.name,
                slot.shape.fields,
                slot.shape.value,
                tuple(MapElement((port,), value) for port, (value,) in sorted(slot.content.items())),  # type: ignore[arg-type] # `numbers` and `values` put them there
            )
            for slot in self._all()
            if slot.shape.value
        )

    def _all(self) -> list[_Slot]:
        return [slot for slots in self._slots.values() for slot in slots]

    def _place(self, shape: _Shape, contents: Mapping[Part, tuple[object, ...]]) -> str:
        slots = self._slots.setdefault(shape, [])
        for slot in slots:
            if shape.has_ranges and slot.content.keys().isdisjoint(contents):
                continue
            if all(slot.content.get(port, content) == content for port, content in contents.items()):
                slot.content.update(contents)
                return slot.name
        slots.append(_Slot(self._free_name(shape.word, len(slots) + 1), shape, dict(contents)))
        return slots[-1].name

    def _free_name(self, word: str, number: int) -> str:
        while (name := word if number == 1 else f"{word}-{number}") in self._taken or name in self._names:
            number += 1
        self._names.add(name)
        return name


def is_hash(key: Sequence[KeyPart], elements: Elements) -> bool:
    """Tell whether the elements can be asked for in one hash, whatever other ports have there."""
    if all(low == high for element in elements for low, high in element.key):
        return True
    return len(key) == 1 and key[0].mask is None and _ranges(key[0].field, elements).size <= _MOST_WRITTEN_OUT


def need_ranges(key: tuple[KeyPart, ...], lists: Iterable[Elements]) -> bool:
    """Tell whether these lists, each of another port, would be a set of concatenated intervals."""
    contents: dict[Part, Elements] = {(number, number): elements for number, elements in enumerate(lists)}
    return not any(True for _ in _hashes(key, contents)) and _parted(key, contents)[0].is_empty


def side_of(port: Field) -> str:
    """Return a short word for the side at which a port is."""
    return _SIDES[port]


def _example(field: Field) -> Field:
    """Return the field that stands for the type: a set is for addresses, whichever of a packet's is looked up in it."""
    return _EXAMPLES[field.kind]


def _elements(slot: _Slot) -> Iterator[Element]:
    for port, elements in sorted(slot.content.items()):
        for element in elements:
            assert isinstance(element, Element)  # noqa: S101 -- `members` put them there
            key = (*element.key, port) if slot.shape.has_ranges else (port, *element.key)
            yield element._replace(key=key)


def _parted(key: tuple[KeyPart, ...], contents: Mapping[Part, Elements]) -> tuple[IntervalSet, Mapping[Part, Elements]]:
    """Return the addresses that all ports have and what each has beside them, where that spares a set of intervals.

    It does where the rest is few addresses each, which are a hash written out.
    """
    field = key[0].field
    nothing = IntervalSet.empty(field.width)
    if len(key) > 1 or key[0].mask is not None:
        return nothing, contents
    ranges = {port: _ranges(field, elements) for port, elements in contents.items()}
    shared = reduce(IntervalSet.intersection, ranges.values())
    # a few addresses are shared by chance: the next guest need not have them
    common = IntervalSet(field.width, tuple(one for one in shared.ranges if one[1] - one[0] >= _MOST_WRITTEN_OUT))
    rest = {port: values.difference(common) for port, values in ranges.items()}
    sizes = [values.size for values in rest.values()]
    if common.is_empty or not 0 < max(sizes) <= _MOST_WRITTEN_OUT:
        return nothing, contents
    return common, {port: _written_out(values, contents[port]) for port, values in rest.items()}


def _word(key: tuple[KeyPart, ...]) -> str:
    return "-".join(_WORDS[part.field.kind] for part in key)


def _hashes(
    key: tuple[KeyPart, ...], contents: Mapping[Part, Elements]
) -> Iterator[tuple[tuple[KeyPart, ...], Mapping[Part, Elements], str]]:
    """Yield the look-ups that together ask for the elements: keys, what is in the set, and a word for its name.

    None where only a set of intervals does.
    """
    word = _word(key)
    if all(low == high for elements in contents.values() for element in elements for low, high in element.key):
        yield key, contents, word
        return
    if len(key) == 1 and key[0].mask is None:
        field = key[0].field
        ranges = {port: _ranges(field, elements) for port, elements in contents.items()}
        if all(values.size <= _MOST_WRITTEN_OUT for values in ranges.values()):
            yield key, {port: _written_out(values, contents[port]) for port, values in ranges.items()}, word
            return
        networks = {port: values.prefixes() for port, values in ranges.items()}
        lengths = sorted({length for found in networks.values() for _, length in found})
        if len(lengths) <= _MOST_LENGTHS and 0 not in lengths:
            for length in lengths:
                yield _of_length(field, length, networks, word)


def _ranges(field: Field, elements: Elements) -> IntervalSet:
    return IntervalSet.of(field.width, (element.key[0] for element in elements))  # type: ignore[misc] # addresses


def _written_out(values: IntervalSet, elements: Elements) -> Elements:
    known = {element.key: element for element in elements}
    keys = (((number, number),) for low, high in values.ranges for number in range(low, high + 1))
    return tuple(known.get(key, Element(key)) for key in keys)


def _of_length(
    field: Field, length: int, networks: Mapping[Part, tuple[tuple[int, int], ...]], word: str
) -> tuple[tuple[KeyPart, ...], dict[Part, Elements], str]:
    whole = length == field.width
    mask = None if whole else ((1 << length) - 1) << (field.width - length)
    contents = {
        port: tuple(Element(((address, address),)) for address, own in found if own == length)
        for port, found in networks.items()
    }
    return (KeyPart(field, mask),), contents, word if whole else f"{word}-{length}"
