"""How many of a list's boxes can decide in a part of a region: what partings of the list are weighed by.

Asked for thousands of parts of lists of thousands of boxes; sets of boxes are bits of one number, as in
`fwtrans.optimizer.boxes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.optimizer.boxes import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.optimizer.boxes import Box, Range


@dataclass(slots=True)
class Lengths:
    """One list of boxes in a region. `narrow` says for each box the axes in which it does not take all, a bit each."""

    boxes: Sequence[Box]
    region: Sequence[Range]
    narrow: tuple[int, ...] = field(init=False)
    _axes: dict[int, Axis] = field(default_factory=dict, init=False)
    _by_narrow: dict[int, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Look at each box once."""
        self.narrow = tuple(map(self._narrow, self.boxes))
        for number, axes in enumerate(self.narrow):
            self._by_narrow[axes] = self._by_narrow.get(axes, 0) | 1 << number

    def at_key(self, axes: Sequence[int], key: Sequence[Range]) -> int:
        """Return how many boxes can decide for a key: up to the first that takes all packets of it."""
        found = (1 << len(self.boxes)) - 1
        for at, part in zip(axes, key, strict=True):
            found &= self._axis(at).overlapping(part)
        whole = found & self._narrow_only_in(sum(1 << at for at in axes))
        return _up_to_first(found, whole)

    def in_cell(self, at: int, cell: Range) -> int:
        """Return how many boxes can decide in a cell of one axis: up to the first that takes all of it."""
        axis = self._axis(at)
        ending = self._narrow_only_in(1 << at)
        return _up_to_first(axis.overlapping(cell), axis.covering(cell) & ending if ending else 0)

    def _narrow(self, box: Box) -> int:
        return sum(
            1 << at
            for at, ((low, high), (first, last)) in enumerate(zip(box.ranges, self.region, strict=True))
            if low > first or last > high
        )

    def _narrow_only_in(self, axes: int) -> int:
        found = 0
        for narrow, boxes in self._by_narrow.items():
            if not narrow & ~axes:
                found |= boxes
        return found

    def _axis(self, at: int) -> Axis:
        found = self._axes.get(at)
        if found is None:
            found = self._axes[at] = Axis([box.ranges[at] for box in self.boxes])
        return found


def _up_to_first(boxes: int, whole: int) -> int:
    """Return how many boxes there are up to the first whole one."""
    if not whole:
        return boxes.bit_count()
    first = whole & -whole
    return (boxes & (first - 1)).bit_count() + 1
