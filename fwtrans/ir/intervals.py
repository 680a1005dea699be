"""Sets of numbers as sorted, disjoint, non-adjacent intervals: ports, protocols, addresses, enumerations.

Closed under complement, union and intersection, so that negation is a value and never a flag that a pass can forget.
Equal sets are equal values: the form is canonical.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.ir.remembering import Hashed, remembers_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

Interval = tuple[int, int]


def _normalised(ranges: Iterable[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


@remembers_hash
@dataclass(frozen=True, slots=True)
class IntervalSet(Hashed):
    """Numbers of `width` bits. Build with `of`, `single`, `empty` or `full`, which keep the canonical form."""

    width: int
    ranges: tuple[Interval, ...]

    @classmethod
    def of(cls, width: int, ranges: Iterable[Interval]) -> IntervalSet:
        """Return the union of inclusive ranges, each low <= high and inside the width."""
        return cls(width, _normalised(ranges))

    @classmethod
    def single(cls, width: int, value: int) -> IntervalSet:
        """Return the set of one value."""
        return cls(width, ((value, value),))

    @classmethod
    def values(cls, width: int, values: Iterable[int]) -> IntervalSet:
        """Return the set of the given values."""
        return cls(width, _normalised((value, value) for value in values))

    @classmethod
    def empty(cls, width: int) -> IntervalSet:
        """Return the set of nothing."""
        return cls(width, ())

    @classmethod
    def full(cls, width: int) -> IntervalSet:
        """Return the set of everything."""
        return cls(width, ((0, (1 << width) - 1),))

    @classmethod
    def prefix(cls, width: int, address: int, length: int) -> IntervalSet:
        """Return the addresses that share their first `length` bits with `address`."""
        host = (1 << (width - length)) - 1
        low = address & ~host
        return cls(width, ((low, low | host),))

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is in the set."""
        return not self.ranges

    @property
    def is_full(self) -> bool:
        """Tell whether everything is in the set."""
        return self.ranges == ((0, (1 << self.width) - 1),)

    @property
    def only(self) -> int | None:
        """Return the value where there is exactly one."""
        if len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]:
            return self.ranges[0][0]
        return None

    @property
    def size(self) -> int:
        """Return how many values are in the set."""
        return sum(high - low + 1 for low, high in self.ranges)

    def __contains__(self, value: int) -> bool:
        return any(low <= value <= high for low, high in self.ranges)

    def complement(self) -> IntervalSet:
        """Return all that is not in the set."""
        gaps: list[Interval] = []
        start = 0
        for low, high in self.ranges:
            if low > start:
                gaps.append((start, low - 1))
            start = high + 1
        if start < 1 << self.width:
            gaps.append((start, (1 << self.width) - 1))
        return IntervalSet(self.width, tuple(gaps))

    def union(self, other: IntervalSet) -> IntervalSet:
        """Return what is in either."""
        return IntervalSet(self.width, _normalised((*self.ranges, *other.ranges)))

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """Return what is in both."""
        mine, theirs = self.ranges, other.ranges
        if mine == theirs:
            return self
        found: list[Interval] = []
        at, there, ends, their_ends = 0, 0, len(mine), len(theirs)
        while at < ends and there < their_ends:
            low, high = mine[at]
            first, last = theirs[there]
            if high < last:
                at += 1
            else:
                there += 1
                high = last
            low = max(low, first)
            if low <= high:
                found.append((low, high))
        both = tuple(found)
        return self if both == mine else other if both == theirs else IntervalSet(self.width, both)

    def difference(self, other: IntervalSet) -> IntervalSet:
        """Return what is here and not in the other."""
        return self.intersection(other.complement())

    def prefixes(self) -> tuple[Interval, ...]:
        """Return the set as (address, prefix length) pairs, the fewest that cover it exactly."""
        found: list[Interval] = []
        for first, last in self.ranges:
            low = first
            while low <= last:
                size = low & -low or 1 << self.width
                while low + size - 1 > last:
                    size >>= 1
                found.append((low, self.width - size.bit_length() + 1))
                low += size
        return tuple(found)
