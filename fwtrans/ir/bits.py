"""Sets of bit patterns: flags and marks. A cube (mask, value) holds every number x with x & mask == value.

A set is a union of disjoint cubes, closed under complement, union and intersection. Flags are asked bit by bit and never
become sets of exact values: `tcp flags & syn == syn` holds for SYN+ACK as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fwtrans.ir.remembering import Hashed, remembers_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

Cube = tuple[int, int]

MOST_LISTED = 64


@lru_cache(maxsize=65536)
def _cover(cubes: frozenset[Cube], *, wanted: bool) -> tuple[Cube, ...]:
    """Return disjoint cubes that hold what the given ones hold, or all that they do not.

    Splits at the highest bit that any mask names, so the answer depends on the set alone and not on how it was put: equal
    sets are equal values. What both halves have in common needs no test of that bit.
    """
    if not cubes:
        return () if wanted else ((0, 0),)
    if any(not mask for mask, _ in cubes):
        return ((0, 0),) if wanted else ()
    bit = 1 << (max(mask for mask, _ in cubes).bit_length() - 1)
    zero = _cover(frozenset((m & ~bit, v) for m, v in cubes if not m & bit or not v & bit), wanted=wanted)
    one = _cover(frozenset((m & ~bit, v & ~bit) for m, v in cubes if not m & bit or v & bit), wanted=wanted)
    both = set(zero) & set(one)
    return (
        *both,
        *((mask | bit, value) for mask, value in zero if (mask, value) not in both),
        *((mask | bit, value | bit) for mask, value in one if (mask, value) not in both),
    )


def _canonical(cubes: Iterable[Cube], *, wanted: bool = True) -> tuple[Cube, ...]:
    return tuple(sorted(_cover(frozenset(cubes), wanted=wanted)))


@remembers_hash
@dataclass(frozen=True, slots=True)
class BitSet(Hashed):
    """A union of cubes over numbers of `width` bits. Build with `of`, `cube`, `exact`, `empty` or `full`."""

    width: int
    cubes: tuple[Cube, ...]

    @classmethod
    def of(cls, width: int, cubes: Iterable[Cube]) -> BitSet:
        """Return the union; a cube whose value has a bit outside its mask holds nothing (as in iptables) and is dropped."""
        return cls(width, _canonical((mask, value) for mask, value in cubes if not value & ~mask))

    @classmethod
    def cube(cls, width: int, mask: int, value: int) -> BitSet:
        """Return every x with x & mask == value."""
        return cls(width, () if value & ~mask else ((mask, value),))

    @classmethod
    def exact(cls, width: int, value: int) -> BitSet:
        """Return the set of one number."""
        return cls.cube(width, (1 << width) - 1, value)

    @classmethod
    def any_bit(cls, width: int, mask: int) -> BitSet:
        """Return every x that shares a set bit with `mask`."""
        return cls.cube(width, mask, 0).complement()

    @classmethod
    def empty(cls, width: int) -> BitSet:
        """Return the set of nothing."""
        return cls(width, ())

    @classmethod
    def full(cls, width: int) -> BitSet:
        """Return the set of everything."""
        return cls(width, ((0, 0),))

    @classmethod
    def from_range(cls, width: int, low: int, high: int) -> BitSet:
        """Return the numbers from low to high, as the prefixes that cover them."""
        ones = (1 << width) - 1
        cubes: list[Cube] = []
        while low <= high:
            size = low & -low or 1 << width
            while low + size - 1 > high:
                size >>= 1
            cubes.append((ones & ~(size - 1), low))
            low += size
        return cls.of(width, cubes)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is in the set."""
        return not self.cubes

    @property
    def is_full(self) -> bool:
        """Tell whether everything is in the set."""
        return self.cubes == ((0, 0),)

    @property
    def only_cube(self) -> Cube | None:
        """Return the cube where there is exactly one."""
        return self.cubes[0] if len(self.cubes) == 1 else None

    @property
    def intervals(self) -> tuple[tuple[int, int], ...] | None:
        """Return the set as sorted, disjoint intervals, where its cubes are such: each fixes the highest bits."""
        ones = (1 << self.width) - 1
        found: list[tuple[int, int]] = []
        for mask, value in sorted(self.cubes, key=lambda cube: cube[1]):
            free = ones & ~mask
            if free & (free + 1):
                return None
            if found and found[-1][1] + 1 >= value:
                found[-1] = (found[-1][0], max(found[-1][1], value | free))
            else:
                found.append((value, value | free))
        return tuple(found)

    @property
    def listed(self) -> tuple[int, tuple[int, ...]] | None:
        """Return one mask and all values under it, where these are not too many for a set in a rule."""
        mask = 0
        for each, _ in self.cubes:
            mask |= each
        if sum(1 << (mask & ~each).bit_count() for each, _ in self.cubes) > MOST_LISTED:
            return None
        found: list[int] = []
        for each, value in self.cubes:
            numbers = [value]
            for position in range(self.width):
                if (mask & ~each) >> position & 1:
                    numbers.extend([number | 1 << position for number in numbers])
            found.extend(numbers)
        return mask, tuple(sorted(found))

    def __contains__(self, number: int) -> bool:
        return any(number & mask == value for mask, value in self.cubes)

    def complement(self) -> BitSet:
        """Return all that is not in the set."""
        return BitSet(self.width, _canonical(self.cubes, wanted=False))

    def union(self, other: BitSet) -> BitSet:
        """Return what is in either."""
        return BitSet(self.width, _canonical((*self.cubes, *other.cubes)))

    def intersection(self, other: BitSet) -> BitSet:
        """Return what is in both."""
        return BitSet(self.width, _canonical(_product(self.cubes, other.cubes)))

    def difference(self, other: BitSet) -> BitSet:
        """Return what is here and not in the other."""
        return self.intersection(other.complement())


def _product(left: Iterable[Cube], right: Iterable[Cube]) -> tuple[Cube, ...]:
    right = tuple(right)
    return tuple(
        (mask | other, value | target)
        for mask, value in left
        for other, target in right
        if value & other & mask == target & mask & other
    )
