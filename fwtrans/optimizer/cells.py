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
from itertools import pairwise
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
# Steps to a cell, if as many rules as tables stand in front: a jump, a look-up that misses and one that does not.
MOST_LOOK_UPS = 3
# Cells of more rules than the first become tables, if none is longer than the second: those have more elements than rules.
LONG = 36
LONGEST_AS_TABLES = 128
MORE_AS_TABLES = 0.8
_NONE = -(1 << 30)


class _Cell(NamedTuple):
    """A part of the space, with what is left of the list there. The longest sort first, and then the oldest."""

    weight: int
    number: int
    look_up: int
    region: Region
    boxes: tuple[Box, ...]


class _Halving(NamedTuple):
    score: int
    at: int
    point: int


class _LookUp(NamedTuple):
    """One look-up: the rules that it leads to, and the fields of its key, of which `missing` are not in every packet."""

    boxes: tuple[Box, ...]
    axes: tuple[int, ...]
    missing: int

    @property
    def known(self) -> int:
        """Return the fields of the key as bits."""
        return sum(1 << at for at in self.axes)


class Point(NamedTuple):
    """What the cells take, and how many rules and elements they are, once so many were halved."""

    steps: int
    size: int
    with_tables: float


@dataclass(slots=True)
class Cells(Leaves):
    """Halves the space for one list of boxes until it is about `room` rules and elements.

    `excess` says by how many steps a packet may take more than when it passed the rules one after the other; it is
    negative where every packet takes less. `frontier` holds what could be had for less room, a point for each halving.
    """

    room: float
    every_field: bool = False
    tabled: bool = False
    excess: int = field(default=_NONE, init=False)
    frontier: list[Point] = field(default_factory=list, init=False)
    _look_ups: tuple[_LookUp, ...] = field(default=(), init=False)
    _first: list[_Cell] = field(default_factory=list, init=False)
    _halved: list[tuple[_Cell, _Cell, _Cell]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Halve the space, again without the fields in which nothing was halved."""
        Leaves.__post_init__(self)
        axes = tuple(at for at, wanted in enumerate(self.boxes.fields) if wanted in RANGED)
        always = self._there(0)
        while True:
            self._look_ups = tuple(self._parts(axes, always))
            self._halve()
            used = self._used(self._cells_after(len(self._halved)), 0)
            # what is left out in a cell is left out because the field is there, so that it must stand in the key
            unused = {at for at in axes if not always >> at & 1} - set(used)
            if not unused or self.every_field:
                break
            axes = tuple(at for at in axes if at not in unused)

    def build(self, room: float) -> Node:
        """Return the list as cells of about so many rules and elements, which are no more than those that were made."""
        sizes = [point.with_tables if self.tabled else point.size for point in self.frontier]
        within = (count for count, size in enumerate(sizes) if size <= room)
        cells = self._cells_after(max(within, default=0))
        self.excess = _NONE
        node: Node = NOTHING_LEFT
        for number in range(len(self._look_ups), 0, -1):
            node = self._node(cells, number - 1, node)
        return node

    def with_tables(self) -> bool:
        """Make long cells tables, if there is room for those and they are worth it: each takes as long as eight rules."""
        longest = self.frontier[-1].steps
        within = [point for point in self.frontier if point.with_tables <= self.room]
        self.tabled = longest > LONG and bool(within) and within[-1].steps <= LONGEST_AS_TABLES
        return self.tabled

    def _parts(self, axes: tuple[int, ...], always: int) -> Iterator[_LookUp]:
        """Yield the look-up by all the fields, and the one for packets that have not all."""
        missing = sum(1 << at for at in axes if not always >> at & 1)
        yield _LookUp(self.boxes.boxes, axes, missing)
        behind = tuple(box for box in self.boxes.boxes if missing and self._may_hold_without(box, missing))
        if behind:
            yield _LookUp(behind, tuple(at for at in axes if always >> at & 1), 0)

    def _node(self, cells: Sequence[_Cell], number: int, rest: Node) -> Node:
        look_up = self._look_ups[number]
        mine = [cell for cell in cells if cell.look_up == number]
        used = self._used(cells, number)
        axes = tuple(at for at in look_up.axes if at in used or look_up.missing >> at & 1)
        if not axes:
            leaf = self._whole_rules(look_up.boxes, self.boxes.full, 0, MOST_LOOK_UPS)
            self._note(leaf, number, direct=False)
            return self._leaf(leaf, self.boxes.full, 0)
        known = sum(1 << at for at in axes)
        branches = self._branches(mine, axes, known, number + 1)
        return self._made(axes, branches, rest, whole=True) if branches else rest

    def _used(self, cells: Sequence[_Cell], number: int) -> set[int]:
        """Return the fields in which a look-up tells packets apart."""
        look_up = self._look_ups[number]
        mine = [cell.region for cell in cells if cell.look_up == number]
        return {at for at in look_up.axes if any(region[at] != self.boxes.full[at] for region in mine)}

    def _cells_after(self, count: int) -> list[_Cell]:
        """Return the cells as they were after so many halvings."""
        found = {cell.number: cell for cell in self._first}
        for cell, low, high in self._halved[:count]:
            del found[cell.number]
            found[low.number], found[high.number] = low, high
        return sorted(found.values(), key=lambda cell: cell.region)

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
        by_content: dict[Node, Node] = {}
        found: list[tuple[tuple[Range, ...], Node]] = []
        for cell in cells:
            leaf = self._leaf(cell.boxes, cell.region, known)
            if leaf.rules:
                # tables say what the rules say in this cell, so that they are not those of another cell of the same rules
                node = self._content(cell, leaf, known)
                node = by_content.setdefault(node, node)
                self._note(cell.boxes, passed, direct=not branch_steps(leaf))
                found.append((tuple(cell.region[at] for at in used), node))
        return tuple(sorted(found, key=lambda item: item[0]))

    def _content(self, cell: _Cell, leaf: Leaf, known: int) -> Node:
        """Return the cell's rules, as tables where they would be too many."""
        if not self.tabled or len(cell.boxes) <= LONG:
            return leaf
        tables = self._tables(cell.boxes, cell.region, known, LONG)
        return tables if tables is not None and tables.steps < leaf.steps else leaf

    def _note(self, boxes: Sequence[Box], passed: int, *, direct: bool) -> None:
        """Take account of the steps to each rule of a cell, against its number in the list."""
        if direct:
            self.excess = max(self.excess, passed - boxes[0].rule - 1)
            return
        for place, rule in enumerate(dict.fromkeys(box.rule for box in boxes), 1):
            self.excess = max(self.excess, passed + place - rule - 1)

    # --- halving ---

    def _halve(self) -> None:
        """Halve the longest cell, whichever look-up it is behind, until the room is used up."""
        self._first = list(self._starts())
        self._halved.clear()
        waiting = list(self._first)
        heapify(waiting)
        size = sum(len(cell.boxes) + 1 for cell in waiting) + len(self._look_ups)
        more = sum(map(_more_as_tables, waiting))
        number = len(waiting)
        self.frontier = [Point(1 - min(cell.weight for cell in waiting), size, size + more)]
        while size < self.room and len(waiting[0].boxes) > SHORT:
            cell = heappop(waiting)
            halving = self._best_halving(cell)
            if halving is None:
                # this one stays the longest, so that shorter ones would be halved for nothing
                break
            halves = self._halves(cell, halving.at, halving.point, number)
            number += 2
            size += sum(len(half.boxes) + 1 for half in halves) - len(cell.boxes) - 1
            self._halved.append((cell, *halves))
            for half in halves:
                heappush(waiting, half)
            more += sum(map(_more_as_tables, halves)) - _more_as_tables(cell)
            self.frontier.append(Point(1 - waiting[0].weight, size, size + more))

    def _starts(self) -> Iterator[_Cell]:
        number = 0
        for at, look_up in enumerate(self._look_ups):
            whole = self._cell(number, at, self.boxes.full, look_up.boxes)
            for cell in self._around_first(whole):
                yield cell._replace(number=number)
                number += 1

    def _around_first(self, cell: _Cell) -> Iterator[_Cell]:
        """Yield cells of which one is the first rule's own and the others do not reach it, if it can be said so."""
        first = next(iter(cell.boxes), None)
        look_up = self._look_ups[cell.look_up]
        several = first is not None and len(cell.boxes) > 1 and cell.boxes[1].rule == first.rule
        if first is None or several or first.asked & ~look_up.known or not self._only_axes(first.rule, look_up.known):
            yield cell
            return
        for at in look_up.axes:
            low, high = first.ranges[at]
            for point, inner in ((low, 1), (high + 1, 0)):
                if cell.region[at][0] < point <= cell.region[at][1]:
                    halves = self._halves(cell, at, point, 0)
                    cell = halves[inner]
                    yield halves[1 - inner]
        yield cell

    def _halves(self, cell: _Cell, at: int, point: int, number: int) -> tuple[_Cell, _Cell]:
        low, high = cell.region[at]
        found: list[_Cell] = []
        for first, last in ((low, point - 1), (point, high)):
            region = (*cell.region[:at], (first, last), *cell.region[at + 1 :])
            inside = [box for box in cell.boxes if box.ranges[at][0] <= last and first <= box.ranges[at][1]]
            found.append(self._cell(number + len(found), cell.look_up, region, inside))
        return found[0], found[1]

    def _cell(self, number: int, look_up: int, region: Region, boxes: Sequence[Box]) -> _Cell:
        left = self._whole_rules(boxes, region, self._look_ups[look_up].known, MOST_LOOK_UPS)
        return _Cell(-len(left) - look_up, number, look_up, region, left)

    def _best_halving(self, cell: _Cell) -> _Halving | None:
        """Return where a cell's rules are parted best: few in the fuller half, and few in both."""
        best: _Halving | None = None
        count = len(cell.boxes)
        for at in self._look_ups[cell.look_up].axes:
            low, high = cell.region[at]
            starts = sorted(box.ranges[at][0] for box in cell.boxes)
            ends = sorted(box.ranges[at][1] for box in cell.boxes)
            inner = {value for value in (*starts, *ends) if low < value < high}
            for before, last in pairwise(sorted({low, high, *inner})):
                point = _roundest(before, last)
                left, right = bisect_left(starts, point), count - bisect_left(ends, point)
                if left == right == count:
                    continue
                score = max(left, right) + (left + right - count)
                if best is None or score < best.score:
                    best = _Halving(score, at, point)
        return best


def _more_as_tables(cell: _Cell) -> float:
    """Return how many more elements than rules the tables for a long cell will have: a rule of thumb, on the safe side."""
    return MORE_AS_TABLES * len(cell.boxes) if len(cell.boxes) > LONG else 0


def _roundest(before: int, last: int) -> int:
    """Return the number behind one and not behind another that has the most zeros at its end.

    The same boxes are on both sides wherever between them a part is halved, and the kernel keeps a bit for each prefix of a
    range: those that end at round numbers are few.
    """
    zeros = (before ^ last).bit_length() - 1
    return last >> zeros << zeros
