"""A long list as a search: cut by one key, what is wide in that key behind it, and again, until few rules are left.

    cut on ip daddr            each element leads to the rules that ask for this part of the field,
      10.0.0.0/24  -> ...      and to those of the rest that stand in front of one of them and decide otherwise
      10.0.1.7     -> ...
    rest                       the rules that are wide in the field, for packets that found nothing before

The first rule that holds decides, as before: in a branch stand, in the old order, all rules that could come before one of
its own; whoever finds nothing in the branch comes back and tries the rest. Only rules that decide for good are given here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import FieldKind
from fwtrans.optimizer.boxes import Overlaps, met_range, numbers_of
from fwtrans.optimizer.leaves import Leaves, merged_neighbours
from fwtrans.optimizer.search_nodes import NOTHING_LEFT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.optimizer.boxes import Box, Range
    from fwtrans.optimizer.leaves import Region
    from fwtrans.optimizer.search_nodes import Cut, Node

# How many of the likeliest cuts are looked at closely.
TRIED = 6
# What a rule of a branch needs of the budget at least, so that the branch is not left as it is for want of room.
LEAST_ROOM = 1.3


class Effort(NamedTuple):
    """How far to go.

    `leaf` is the longest leaf that stays, `copies` how often a rule may stand in branches of one cut, `conflicts` how many
    rules may be taken in front of one because they come before it and decide otherwise, and `growth` the size that whole
    cuts aim at, as a multiple of the list's. A list that needs no more than `tables` is not cut any more.
    """

    leaf: int
    copies: float
    conflicts: int
    growth: float
    tables: int = 1


class _Candidate(NamedTuple):
    score: float
    most: int
    axes: tuple[int, ...]
    inside: frozenset[int]


class _Chosen(NamedTuple):
    """A cut that is settled: its boxes, for each those that have to stand in front of it, and the rest."""

    score: float
    axes: tuple[int, ...]
    inside: tuple[Box, ...]
    before: Mapping[Box, tuple[Box, ...]]
    wide: tuple[Box, ...]
    cells: tuple[Range, ...] = ()


@dataclass(slots=True)
class Search(Leaves):
    """Builds the search for one list of boxes."""

    effort: Effort

    def build(self) -> Node:
        """Return the search for the whole list."""
        return self._solve(self.boxes.boxes, self.boxes.full, 0, self.effort.growth * len(self.boxes.clauses))

    def _solve(self, boxes: Sequence[Box], region: Region, known: int, budget: float) -> Node:
        boxes = self._reduced(boxes, region, known)
        leaf = self._leaf(boxes, region, known)
        if leaf.steps <= self.effort.leaf:
            return leaf
        tables = self._tables(boxes, region, known)
        other = tables if tables is not None and tables.steps < leaf.steps else leaf
        if other is tables and other.steps <= self.effort.tables:
            return other
        best = self._best(boxes, region, budget)
        if best is None:
            return other
        found = self._whole_cut(best, region, known, budget) if best.cells else self._cut(best, region, known, budget)
        return found if (found.steps, found.size) < (other.steps, other.size) else other

    # --- which cut ---

    def _best(self, boxes: Sequence[Box], region: Region, budget: float) -> _Chosen | None:
        least = max(2, len(boxes) // 20)
        candidates = [*self._interval_cuts(boxes, region), *self._exact_cuts(boxes, region)]
        candidates.sort(key=lambda item: item.score)
        overlaps: Overlaps | None = None
        best = min(self._whole_cuts(boxes, region, budget), key=lambda item: item.score, default=None)
        for candidate in candidates[:TRIED]:
            if best is not None and candidate.score >= best.score:
                break
            overlaps = overlaps or Overlaps(boxes, self.boxes.full, self.boxes.classes)
            settled = self._settled(candidate, boxes, overlaps)
            if len(settled.inside) >= least and (best is None or settled.score < best.score):
                best = settled
        return best

    def _settled(self, candidate: _Candidate, boxes: Sequence[Box], overlaps: Overlaps) -> _Chosen:
        """Say what has to stand in front of each box of the cut; leave out those that would need too much."""
        outside = ((1 << len(boxes)) - 1) & ~sum(1 << place for place in candidate.inside)
        before: dict[Box, tuple[Box, ...]] = {}
        inside: list[Box] = []
        wide: list[Box] = []
        for place, box in enumerate(boxes):
            if place not in candidate.inside:
                wide.append(box)
                continue
            earlier = outside & ((1 << place) - 1)
            if earlier & overlaps.deciding_otherwise(self.boxes.classes[box.rule]):
                found = self._in_front(box, earlier & overlaps.overlapping(box.ranges), boxes)
                if found is None:
                    outside |= 1 << place
                    wide.append(box)
                    continue
                if found:
                    before[box] = found
            inside.append(box)
        cost = sum(map(len, before.values())) / max(len(inside), 1)
        return _Chosen(_score(candidate.most + cost, len(wide)), candidate.axes, tuple(inside), before, tuple(wide))

    def _in_front(self, box: Box, earlier: int, boxes: Sequence[Box]) -> tuple[Box, ...] | None:
        """Return what of the earlier boxes has to stand in front of a box, within it; None where that is too much.

        It is what decides otherwise than the box or than a later one that has to stand there.
        """
        needed: list[Box] = []
        classes = self.boxes.classes
        while earlier:
            place = earlier.bit_length() - 1
            earlier ^= 1 << place
            part = boxes[place].within(box)
            if part is None:
                continue
            of = classes[part.rule]
            if of != classes[box.rule] or any(
                classes[other.rule] != of and other.within(part) is not None for other in needed
            ):
                needed.append(part)
                if len(needed) > self.effort.conflicts:
                    return None
        return tuple(needed)

    def _interval_cuts(self, boxes: Sequence[Box], region: Region) -> Iterator[_Candidate]:
        for at, wanted in enumerate(self.boxes.fields):
            if wanted in self.boxes.names:
                continue
            ranges = [
                (met_range(box.ranges[at], region[at]), place) for place, box in enumerate(boxes) if box.asked >> at & 1
            ]
            ranges = [(range_, place) for range_, place in ranges if range_ != region[at]]
            if len(ranges) < 2:
                continue
            for widest in _widths(wanted, [high - low for (low, high), _ in ranges]):
                chosen = [(range_, place) for range_, place in ranges if range_[1] - range_[0] <= widest]
                most, copies = _profile([range_ for range_, _ in chosen])
                if copies <= self.effort.copies * len(chosen) + 8:
                    inside = frozenset(place for _, place in chosen)
                    yield _Candidate(_score(most, len(boxes) - len(chosen)), most, (at,), inside)

    def _exact_cuts(self, boxes: Sequence[Box], region: Region) -> Iterator[_Candidate]:
        exact: list[int] = []
        for box in boxes:
            bits = 0
            for at, (low, high) in enumerate(box.ranges):
                if low == high and box.asked >> at & 1 and region[at] != (low, high):
                    bits |= 1 << at
            exact.append(bits)
        for axes in _keys(exact):
            chosen = [place for place, bits in enumerate(exact) if bits & axes == axes]
            if len(chosen) < 2:
                continue
            ats = tuple(numbers_of(axes))
            times = Counter(tuple(boxes[place].ranges[at] for at in ats) for place in chosen)
            most = max(times.values())
            if most < len(chosen) or len(chosen) < len(boxes):
                yield _Candidate(_score(most, len(boxes) - len(chosen)), most, ats, frozenset(chosen))

    def _whole_cuts(self, boxes: Sequence[Box], region: Region, budget: float) -> Iterator[_Chosen]:
        """Yield cuts into a few cells, each with all rules that overlap it."""
        for at, wanted in enumerate(self.boxes.fields):
            asking = [met_range(box.ranges[at], region[at]) for box in boxes if box.asked >> at & 1]
            if len(asking) * 4 < len(boxes) or wanted in self.boxes.names:
                continue
            points = sorted({region[at][0], *(low for low, _ in asking), *(high + 1 for _, high in asking)})
            points = [point for point in points if point <= region[at][1]]
            if len(points) < 2:
                continue
            common = len(boxes) - len(asking)
            for count in (2, 4, 8, 16, 32, 64, 128):
                if count > 2 * len(points):
                    break
                cells = _cells(points, count, region[at][1])
                most, total = _populations(asking, cells)
                if (total + common * (len(cells) + 1)) * LEAST_ROOM + len(cells) > budget:
                    break
                score = 1 + _expected(most + common)
                yield _Chosen(score, (at,), tuple(boxes), {}, tuple(b for b in boxes if not b.asked >> at & 1), cells)

    # --- cutting ---

    def _whole_cut(self, best: _Chosen, region: Region, known: int, budget: float) -> Cut:
        (at,) = best.axes
        contents = [
            tuple(box for box in best.inside if box.ranges[at][0] <= high and low <= box.ranges[at][1])
            for low, high in best.cells
        ]
        room = budget / max(sum(map(len, contents)) + len(best.wide), 1)
        branches: list[tuple[tuple[Range, ...], Node]] = []
        for cell, content in zip(best.cells, contents, strict=True):
            if content == best.wide:
                continue
            part = (*region[:at], cell, *region[at + 1 :])
            branches.append(((cell,), self._solve(content, part, known | 1 << at, room * len(content))))
        rest = self._solve(best.wide, region, known, room * len(best.wide)) if best.wide else NOTHING_LEFT
        return self._made(best.axes, tuple(merged_neighbours(branches)), rest, whole=True)

    def _cut(self, best: _Chosen, region: Region, known: int, budget: float) -> Cut:
        there = known
        for at in best.axes:
            there |= 1 << at
        filled: list[tuple[tuple[Range, ...], Region, tuple[Box, ...]]] = []
        for key, own in self._parts(best, region):
            ranges = list(region)
            for at, range_ in zip(best.axes, key, strict=True):
                ranges[at] = range_
            part = tuple(ranges)
            more = (other for box in own for other in self._here(best.before.get(box, ()), part))
            filled.append((key, part, tuple(sorted({*own, *more}))))
        room = budget / max(
            len({full for _, _, full in filled}) + sum(len(f) for _, _, f in filled) + len(best.wide), 1
        )
        seen: dict[tuple[Box, ...], Node] = {}
        branches: list[tuple[tuple[Range, ...], Node]] = []
        for key, part, full in filled:
            shared = all(_spans(box, part, best.axes) for box in full)
            node = seen.get(full) if shared else None
            if node is None:
                node = self._solve(full, part, there, room * len(full))
                if shared:
                    seen[full] = node
            branches.append((key, node))
        # single values stay single, for a hash of them is cheaper than a tree of ranges
        exact = all(low == high for key, _ in branches for low, high in key)
        merged = tuple(branches) if exact else tuple(merged_neighbours(branches))
        rest = self._solve(best.wide, region, known, room * len(best.wide)) if best.wide else NOTHING_LEFT
        return self._made(best.axes, merged, rest, whole=False)

    def _parts(self, best: _Chosen, region: Region) -> Iterator[tuple[tuple[Range, ...], list[Box]]]:
        """Yield each key with the boxes of the cut that it meets."""
        if len(best.axes) > 1 or all(box.ranges[best.axes[0]][0] == box.ranges[best.axes[0]][1] for box in best.inside):
            groups: dict[tuple[Range, ...], list[Box]] = {}
            for box in best.inside:
                groups.setdefault(tuple(box.ranges[at] for at in best.axes), []).append(box)
            yield from sorted(groups.items())
            return
        at = best.axes[0]
        events: dict[int, list[Box]] = {}
        for box in best.inside:
            low, high = met_range(box.ranges[at], region[at])
            events.setdefault(low, []).append(box)
            events.setdefault(high + 1, []).append(box)
        current: set[Box] = set()
        for low, following in pairwise(sorted(events)):
            current.symmetric_difference_update(events[low])
            if current:
                yield ((low, following - 1),), list(current)


def _spans(box: Box, region: Region, axes: tuple[int, ...]) -> bool:
    return all(box.ranges[at][0] <= region[at][0] and region[at][1] <= box.ranges[at][1] for at in axes)


def _widths(wanted: Field, widths: Sequence[int]) -> list[int]:
    """Return the widths to try as the widest of a cut."""
    most = max(widths)
    steps = (
        (0, 8, 12, 16, 20, 24)
        if wanted.kind is FieldKind.IPV4
        else (0, 64, 80, 96)
        if wanted.width == 128
        else (0, 10, 12)
    )
    return [*((1 << step) - 1 for step in steps if (1 << step) - 1 < most), most]


def _profile(ranges: Sequence[Range]) -> tuple[int, int]:
    """Return how many ranges meet at most, and how often one stands in an elementary interval, all together."""
    events: dict[int, int] = {}
    for low, high in ranges:
        events[low] = events.get(low, 0) + 1
        events[high + 1] = events.get(high + 1, 0) - 1
    most = current = copies = 0
    for at in sorted(events):
        current += events[at]
        most = max(most, current)
        copies += current
    return most, copies


def _keys(exact: Iterable[int]) -> list[int]:
    """Return combinations of axes that many boxes ask for exactly."""
    signatures = Counter(bits for bits in exact if bits)
    found: dict[int, None] = {}
    for bits, _ in signatures.most_common(6):
        found[bits] = None
        for other, _ in signatures.most_common(6):
            if bits & other:
                found[bits & other] = None
    for bits in list(found):
        for at in numbers_of(bits):
            found[1 << at] = None
    return list(found)


def _expected(count: float) -> float:
    """Return how many steps a list of so many rules will take, once it is cut: a rule of thumb, fitted on lists."""
    return min(count, 2.2 * sqrt(count))


def _score(most: float, wide: int) -> float:
    return 1 + _expected(most) + _expected(wide)


def _cells(points: Sequence[int], count: int, last: int) -> tuple[Range, ...]:
    """Return so many neighbouring ranges, with about as many of the points in each."""
    starts = sorted({points[len(points) * number // count] for number in range(count)})
    return tuple(zip(starts, [*(start - 1 for start in starts[1:]), last], strict=True))


def _populations(ranges: Sequence[Range], cells: Sequence[Range]) -> tuple[int, int]:
    """Return how many ranges overlap one cell at most, and how many all together."""
    starts = [low for low, _ in cells]
    change = [0] * (len(cells) + 1)
    for low, high in ranges:
        change[max(bisect_right(starts, low) - 1, 0)] += 1
        change[bisect_right(starts, high)] -= 1
    found = list(accumulate(change[:-1]))
    return max(found), sum(found)
