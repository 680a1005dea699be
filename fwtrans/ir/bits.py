"""Sets of bit patterns: flags and marks. A cube (mask, value) holds every number x with x & mask == value.

A set is a union of cubes, closed under complement, union and intersection. Flags are asked bit by bit and never become
sets of exact values: `tcp flags & syn == syn` holds for SYN+ACK as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Cube = tuple[int, int]


def _absorbed(cubes: Iterable[Cube]) -> tuple[Cube, ...]:
    """Drop cubes that lie inside another, join pairs that differ in one bit, and sort."""
    found = set(cubes)
    while True:
        joined = _joined_once(found)
        if joined is None:
            break
        found = joined
    kept = [
        (mask, value)
        for mask, value in found
        if not any(
            (other, target) != (mask, value) and mask & other == other and value & other == target
            for other, target in found
        )
    ]
    return tuple(sorted(kept))


def _joined_once(cubes: set[Cube]) -> set[Cube] | None:
    for mask, value in cubes:
        rest = mask
        while rest:
            bit = rest & -rest
            rest ^= bit
            partner = (mask, value ^ bit)
            if partner in cubes:
                return (cubes - {(mask, value), partner}) | {(mask ^ bit, value & ~bit)}
    return None


@dataclass(frozen=True, slots=True)
class BitSet:
    """A union of cubes over numbers of `width` bits. Build with `of`, `cube`, `exact`, `empty` or `full`."""

    width: int
    cubes: tuple[Cube, ...]

    @classmethod
    def of(cls, width: int, cubes: Iterable[Cube]) -> BitSet:
        """Return the union; a cube whose value has a bit outside its mask holds nothing (as in iptables) and is dropped."""
        return cls(width, _absorbed((mask, value) for mask, value in cubes if not value & ~mask))

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

    def __contains__(self, number: int) -> bool:
        return any(number & mask == value for mask, value in self.cubes)

    def complement(self) -> BitSet:
        """Return all that is not in the set: one cube for each way to miss every cube, kept disjoint."""
        result: tuple[Cube, ...] = ((0, 0),)
        for mask, value in self.cubes:
            missed: list[Cube] = []
            fixed, target = 0, 0
            for position in range(self.width):
                bit = 1 << position
                if mask & bit:
                    missed.append((fixed | bit, target | (~value & bit)))
                    fixed, target = fixed | bit, target | (value & bit)
            result = _product(result, missed)
        return BitSet(self.width, _absorbed(result))

    def union(self, other: BitSet) -> BitSet:
        """Return what is in either."""
        return BitSet(self.width, _absorbed((*self.cubes, *other.cubes)))

    def intersection(self, other: BitSet) -> BitSet:
        """Return what is in both."""
        return BitSet(self.width, _absorbed(_product(self.cubes, other.cubes)))

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
