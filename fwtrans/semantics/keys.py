"""Elements of sets and maps as tests of fields: what a key part, masked or not, asks where an element stands for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import Field, FieldKind
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.bits import Cube
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.sets import Part


class CubeTest(NamedTuple):
    """The field is there and fits one of the cubes, or none of them (`inside` False).

    Sets of thousands of marks would be slow as a `BitSet`, which keeps its cubes reduced; and a mask that is no prefix
    makes cubes of a number field too.
    """

    field: Field
    cubes: frozenset[Cube]
    inside: bool


class Present(NamedTuple):
    """All fields of a key are there."""

    fields: tuple[Field, ...]


def part_test(part: KeyPart, elements: Iterable[Part], *, inside: bool = True) -> FieldTest | CubeTest:
    """Return the test that the part of the key is (or is not) one of the elements."""
    field = part.field
    if field.kind is FieldKind.NAME:
        names = NameSet.of(item for item in elements if isinstance(item, NamePattern))
        return FieldTest(field, names if inside else names.complement())
    ranges = [item for item in elements if not isinstance(item, NamePattern)]
    if field.kind is FieldKind.BITS or not _is_prefix(part.mask, field.width):
        return CubeTest(field, _cubes(part, ranges), inside)
    numbers = IntervalSet.of(field.width, ranges if part.mask is None else _widened(ranges, part.mask, field.width))
    return FieldTest(field, numbers if inside else numbers.complement())


def _is_prefix(mask: int | None, width: int) -> bool:
    if mask is None:
        return True
    host = ~mask & ((1 << width) - 1)
    return host & (host + 1) == 0


def _widened(ranges: Iterable[Interval], mask: int, width: int) -> Iterable[Interval]:
    """Yield the numbers that lie in a range when masked: masking leaves multiples of the prefix's size."""
    host = ~mask & ((1 << width) - 1)
    for low, high in ranges:
        first, last = (low + host) & mask, high & mask
        if low <= first <= last:
            yield first, last | host


def _cubes(part: KeyPart, ranges: Iterable[Interval]) -> frozenset[Cube]:
    ones = (1 << part.field.width) - 1
    mask = ones if part.mask is None else part.mask
    found: set[Cube] = set()
    for low, high in ranges:
        cubes = ((ones, low),) if low == high else BitSet.from_range(part.field.width, low, high).cubes
        # what the mask takes away is zero when it is compared
        found.update((fixed & mask, value) for fixed, value in cubes if not value & ~mask)
    return frozenset(found)
