"""A long list as cells: one look-up in a map of disjoint boxes leads to the few rules that can decide in one.

    10.0.0.0-10.0.3.255 . 10.1.0.0-10.1.0.255 . tcp . 0-1023    -> drop, or a chain of what is left of the list there
    10.0.0.0-10.0.3.255 . 10.1.0.0-10.1.0.255 . tcp . 1024-...  -> ...

The space of all packets is halved where that parts the rules best, then always the half with the most rules, until the room
is used up. So the longest cells are of one length, whatever the fields in which the rules differ. A cell holds, in the old
order, all rules that can decide there; nothing has to be tried behind it. Packets that have not all fields of the key find
no cell: behind the look-up stand, as cells again, the rules that do not ask for all of those.

The first rule is given a cell of its own, which no other cell reaches: so the look-up takes no packet more steps than the
first rule took. Where that is not enough, first rules have to stand in front (`fwtrans.optimizer.cuts`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import DPORT, SPORT
from fwtrans.optimizer.leaves import Leaves
from fwtrans.optimizer.search_nodes import NOTHING_LEFT, branch_steps
from fwtrans.optimizer.tuples import RANGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.optimizer.boxes import Box, Range
    from fwtrans.optimizer.leaves import Region
    from fwtrans.optimizer.search_nodes import Leaf, Node

_PORTS = frozenset({SPORT, DPORT})

# Cells of no more rules than this are not halved any more.
SHORT = 6
# In longer lists needless rules are not looked for; they are short before long.
MOST_NEEDLESS = 128
# Steps to a cell, if as many rules as tables stand in front: a jump, a look-up that misses and one that does not.
MOST_LOOK_UPS = 3


class _Cell(NamedTuple):
    """A part of the space, with what is left of the list there. The longest sort first, and then the oldest."""

    weight: int
    number: int
    region: Region
    boxes: tuple[Box, ...]


class _Halving(NamedTuple):
    score: int
    at: int
    point: int


@dataclass(slots=True)
class Cells(Leaves):
    """Builds the cells for one list of boxes.

    `excess` says by how many steps a packet may take more than when it passed the rules one after the other; it is
    negative where every packet takes less.
    """

    excess: int = field(default=-(1 << 30), init=False)

    def build(self, room: float) -> Node:
        """Return the list as cells of about so many rules and elements."""
        axes = [at for at, wanted in enumerate(self.boxes.fields) if wanted in RANGED]
        return self._part(self.boxes.boxes, axes, room, 0)

    def _part(self, boxes: Sequence[Box], axes: Sequence[int], room: float, passed: int) -> Node:
        always = self._there(0)
        while True:
            missing = sum(1 << at for at in axes if not always >> at & 1)
            behind = tuple(box for box in boxes if missing and self._may_hold_without(box, missing))
            share = room * len(boxes) / max(len(boxes) + len(behind), 1)
            known = sum(1 << at for at in axes)
            found = self._halved(boxes, axes, known, share)
            used = [at for at in axes if any(cell.region[at] != self.boxes.full[at] for cell in found)]
            unused = {at for at in axes if missing >> at & 1} - set(used)
            if not unused:
                break
            # what was left out in the cells was left out because the field is there
            axes = [at for at in axes if at not in unused]
        if not used:
            leaf = self._whole_rules(boxes, self.boxes.full, 0)
            self._note(leaf, passed, direct=False)
            return self._leaf(leaf, self.boxes.full, 0)
        known = sum(1 << at for at in used)
        branches = self._branches(found, used, known, passed + 1)
        rest: Node = NOTHING_LEFT
        if behind:
            there = [at for at in axes if always >> at & 1]
            rest = self._part(behind, there, max(room - share, 0), passed + 1)
        return self._made(tuple(used), branches, rest, whole=True)

    def _may_hold_without(self, box: Box, missing: int) -> bool:
        """Tell whether a packet may be in the box that has not all of the fields. It has both ports or none."""
        ports = sum(1 << at for at, wanted in enumerate(self.boxes.fields) if wanted in _PORTS) & missing
        if ports and not box.asked & ports:
            return True
        others = missing & ~ports
        return box.asked & others != others

    def _branches(
        self, cells: Sequence[_Cell], used: Sequence[int], known: int, passed: int
    ) -> tuple[tuple[tuple[Range, ...], Node], ...]:
        by_content: dict[Leaf, Leaf] = {}
        found: list[tuple[tuple[Range, ...], Node]] = []
        for cell in cells:
            leaf = self._leaf(cell.boxes, cell.region, known)
            leaf = by_content.setdefault(leaf, leaf)
            if leaf.rules:
                self._note(cell.boxes, passed, direct=not branch_steps(leaf))
                found.append((tuple(cell.region[at] for at in used), leaf))
        return tuple(sorted(found, key=lambda item: item[0]))

    def _note(self, boxes: Sequence[Box], passed: int, *, direct: bool) -> None:
        """Take account of the steps to each rule of a cell, against its number in the list."""
        if direct:
            self.excess = max(self.excess, passed - boxes[0].rule - 1)
            return
        for place, rule in enumerate(dict.fromkeys(box.rule for box in boxes), 1):
            self.excess = max(self.excess, passed + place - rule - 1)

    # --- halving ---

    def _halved(self, boxes: Sequence[Box], axes: Sequence[int], known: int, room: float) -> list[_Cell]:
        """Return disjoint cells that together are the whole space."""
        whole = self._cell(0, self.boxes.full, boxes, known)
        if not whole.boxes:
            return [whole]
        waiting = list(self._around_first(whole, axes, known))
        heapify(waiting)
        done: list[_Cell] = []
        size = sum(len(cell.boxes) + 1 for cell in waiting)
        number = len(waiting)
        while waiting and size < room and len(waiting[0].boxes) > SHORT:
            cell = heappop(waiting)
            halving = self._best_halving(cell, axes)
            if halving is None:
                # this one stays the longest, so that shorter ones would be halved for nothing
                done.append(cell)
                break
            halves = self._halves(cell, halving.at, halving.point, known, number)
            number += 2
            size += sum(len(half.boxes) + 1 for half in halves) - len(cell.boxes) - 1
            for half in halves:
                heappush(waiting, half)
        return sorted([*done, *waiting], key=lambda cell: cell.region)

    def _around_first(self, cell: _Cell, axes: Sequence[int], known: int) -> Iterator[_Cell]:
        """Yield cells of which one is the first rule's own and the others do not reach it, if it can be said so."""
        first = cell.boxes[0]
        several = len(cell.boxes) > 1 and cell.boxes[1].rule == first.rule
        if several or not self._only_axes(first.rule, known | first.asked) or first.asked & ~known:
            yield cell
            return
        number = 1
        for at in axes:
            low, high = first.ranges[at]
            for point, inner in ((low, 1), (high + 1, 0)):
                if cell.region[at][0] < point <= cell.region[at][1]:
                    halves = self._halves(cell, at, point, known, number)
                    number += 2
                    cell = halves[inner]
                    yield halves[1 - inner]
        yield cell

    def _halves(self, cell: _Cell, at: int, point: int, known: int, number: int) -> tuple[_Cell, _Cell]:
        low, high = cell.region[at]
        found: list[_Cell] = []
        for first, last in ((low, point - 1), (point, high)):
            region = (*cell.region[:at], (first, last), *cell.region[at + 1 :])
            inside = [box for box in cell.boxes if box.ranges[at][0] <= last and first <= box.ranges[at][1]]
            found.append(self._cell(number + len(found), region, inside, known))
        return found[0], found[1]

    def _cell(self, number: int, region: Region, boxes: Sequence[Box], known: int) -> _Cell:
        left = self._whole_rules(boxes, region, known)
        return _Cell(-len(left), number, region, left)

    def _whole_rules(self, boxes: Sequence[Box], region: Region, known: int) -> tuple[Box, ...]:
        """Return what can decide in a region; of a rule all boxes or none, so that it stays one rule."""
        # each on whole rules: what stays of a rule comes back whole, and must not come before one that was left out for it
        left = _of_rules(boxes, self._reduced(boxes, region, known))
        return _of_rules(left, self._without_needless(left, region, known))

    def _without_needless(self, boxes: Sequence[Box], region: Region, known: int) -> Sequence[Box]:
        """Leave out rules that decide as the last does, which takes every packet, if none between decides otherwise.

        Their packets then pass the whole cell: so it must be shorter than what they passed before, look-ups included.
        """
        if not boxes or len(boxes) > MOST_NEEDLESS or not self._covers(boxes[-1], 0, region, known):
            return boxes
        classes = self.boxes.classes
        of = classes[boxes[-1].rule]
        others: list[Box] = []
        kept = [boxes[-1]]
        for box in reversed(boxes[:-1]):
            alike = classes[box.rule] == of
            late = box.rule >= len(boxes) + MOST_LOOK_UPS
            if alike and late and not any(_meet(box, other, region) for other in others):
                continue
            if not alike:
                others.append(box)
            kept.append(box)
        return kept[::-1]

    def _best_halving(self, cell: _Cell, axes: Sequence[int]) -> _Halving | None:
        """Return where a cell's rules are parted best: few in the fuller half, and few in both."""
        best: _Halving | None = None
        count = len(cell.boxes)
        for at in axes:
            low, high = cell.region[at]
            starts = sorted(box.ranges[at][0] for box in cell.boxes)
            ends = sorted(box.ranges[at][1] for box in cell.boxes)
            points = {start for start in starts if start > low} | {end + 1 for end in ends if end < high}
            for point in sorted(points):
                left, right = bisect_left(starts, point), count - bisect_left(ends, point)
                if left == right == count:
                    continue
                score = max(left, right) + (left + right - count)
                if best is None or score < best.score:
                    best = _Halving(score, at, point)
        return best


def _of_rules(boxes: Sequence[Box], kept: Sequence[Box]) -> tuple[Box, ...]:
    rules = {box.rule for box in kept}
    return tuple(box for box in boxes if box.rule in rules)


def _meet(one: Box, other: Box, region: Region) -> bool:
    for (low, high), (first, last), (start, end) in zip(one.ranges, other.ranges, region, strict=True):
        if max(low, first, start) > min(high, last, end):
            return False
    return True
