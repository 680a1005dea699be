"""A long list as a tree of look-ups that are quick in a kernel: one field's intervals, or a hash of exact keys.

    th.dport       22 -> ...   443 -> ...              all rules that can decide for a port, and behind the look-up the rest
      ip.daddr     10.0.0.0-10.3.255.255 -> ...        the rules there, parted by the field that parts them best
        ip.saddr   10.9.0.0-10.9.255.255 -> drop       until few are left, or one that decides alone

The list that takes a packet longest is parted, wherever it is, until the room is used up: so that the slowest ways become
alike. How it is parted is weighed by three things: what the look-up takes, how long the longest part still is, and how much
the parts together have grown. A part holds, in the old order, all rules that can decide there, and nothing is tried behind
it. Where a rule stands so early that it had fewer steps than lead to its part, it stands as a rule in front of a look-up.

Concatenated intervals would say the same in one look-up, as `fwtrans.optimizer.cells` does in fewer steps. In the kernel they
take longer than the whole tree once there are a few hundred of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import combinations
from math import inf, log
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.optimizer import calibration
from fwtrans.optimizer.boxes import numbers_of
from fwtrans.optimizer.cost import hash_cost, interval_cost
from fwtrans.optimizer.leaves import Leaves, merged_neighbours, of_rules
from fwtrans.optimizer.lengths import Lengths
from fwtrans.optimizer.search_nodes import NOTHING_LEFT, Leaf, Row, branch_steps
from fwtrans.optimizer.tuples import RANGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.optimizer.boxes import Box, Range
    from fwtrans.optimizer.leaves import Region
    from fwtrans.optimizer.search_nodes import Node

Key = tuple["Range", ...]

# Lists of no more rules than this are not parted any more: a look-up would take as long.
SHORT = 3
# What a list of so many rules becomes takes so long for each e-fold of its length: as measured on lists that were parted.
NANOSECONDS_AN_E_FOLD = 40
# What a step is worth, so that rules that test one field do not stand one behind the other for ever.
NANOSECONDS_A_STEP = 24
# A tree of this part of the room is not made bigger.
ENOUGH = 0.97
# Into lists of which part of the rules a field's intervals may be cut.
_PARTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
# So many rules must ask for a value at least to be an element of a hash, in one try or another.
_LEAST_ALIKE = (1, 2, 3, 5, 8)
# Combinations of exact fields that are tried, and elements of a hash that are weighed.
_SIGNATURES, _MOST_KEYS = 6, 400
# Thrift for lists that may grow by e for each e-fold that they become shorter, and how fast it rises where they may not.
_THRIFT, _LEAST_THRIFT, _MOST_THRIFT = 0.05, 0.2, 3.0
# Where there is no room for a look-up, one is tried that is more thrifty.
_MORE_THRIFT = (1, 3, 9)


class _Parting(NamedTuple):
    """A look-up: fields of its key, its elements, and what is left for packets that find none of them."""

    axes: tuple[int, ...]
    keys: tuple[Key, ...]
    rest: tuple[Box, ...]
    time: float


@dataclass(slots=True, eq=False)
class _Place:
    """A point of the tree: what is known of packets here, and the rules that can still decide for them.

    `passed` are the steps to here and `time` is what they take. `rows` are rules that stand in front of the look-up.
    """

    region: Region
    known: int
    boxes: tuple[Box, ...]
    passed: int
    time: float
    rows: tuple[Box, ...] = ()
    parting: _Parting | None = None
    branches: tuple[_Place, ...] = ()
    rest: _Place | None = None

    @property
    def slowest(self) -> float:
        """Return what a packet takes that passes all rules here, or what its steps are worth, if that is more."""
        time = self.time + calibration.RULE_OF_A_RUN * len(self.boxes)
        return max(time, NANOSECONDS_A_STEP * (self.passed + len(self.boxes)))

    @property
    def entries(self) -> int:
        """Return how many rules stand here at most; one alone is mostly the verdict of an element."""
        return len(self.boxes) if len(self.boxes) > 1 else 0


@dataclass(slots=True)
class Trees(Leaves):
    """Grows a tree for one list of boxes. No packet takes more steps than before, and `spare` ones that it saved before.

    `excess` says by how many more it would be, and is only known of what was built. `thrift` says how dear growth is to be,
    beside what the room says of it.
    """

    spare: int
    room: float
    thrift: float = 1
    excess: int = field(default=0, init=False)
    _root: _Place | None = field(default=None, init=False)
    _waiting: list[tuple[float, int, _Place]] = field(default_factory=list, init=False)
    _size: int = field(default=0, init=False)
    _number: int = field(default=0, init=False)
    _thrift: float = field(default=0, init=False)
    _made_before: dict[object, Node] = field(default_factory=dict, init=False)
    _leaves_before: dict[Leaf, Leaf] = field(default_factory=dict, init=False)

    def build(self) -> Node:
        """Return the tree of about so many rules and elements."""
        self._thrift = self.thrift * self._thrift_for(self.room)
        root = self._place(self.boxes.full, self._there(0), self.boxes.boxes, 0, 0.0)
        self._wait(root)
        self._size = len(root.boxes)
        room = self.room
        best: Node = self._node(root, 0)
        while self._grow(room):
            self.excess = -len(self.boxes.clauses)
            best = self._node(root, 0)
            # what is alike is said once, so that there is room left
            room += max(self.room - best.size, 0)
            if best.size > ENOUGH * self.room:
                break
        return best

    def _thrift_for(self, room: float) -> float:
        """Return how dear growth is: where a list may grow much for each e-fold that it becomes shorter, it is cheap."""
        count = max(len(self.boxes.boxes), 2)
        may_grow = log(max(room / count, 1.01)) / max(log(count / 8), 0.5)
        return NANOSECONDS_AN_E_FOLD * min(max(_THRIFT / may_grow**2, _LEAST_THRIFT), _MOST_THRIFT)

    # --- growing ---

    def _place(self, region: Region, known: int, boxes: Sequence[Box], passed: int, time: float) -> _Place:
        left = self._whole_rules(boxes, region, known, max(passed - self.spare, 0))
        return _Place(region, known, left, passed, time)

    def _wait(self, place: _Place) -> None:
        heappush(self._waiting, (-place.slowest, self._number, place))
        self._number += 1

    def _grow(self, room: float) -> bool:
        """Part the slowest list until the room is used up; tell whether one was parted."""
        grown = False
        while self._waiting and len(self._waiting[0][2].boxes) > SHORT:
            place = self._waiting[0][2]
            if not any(self._part(place, room, self._thrift * times) for times in _MORE_THRIFT):
                break
            heappop(self._waiting)
            for item in (*place.branches, *([place.rest] if place.rest is not None else [])):
                self._wait(item)
            grown = True
        return grown

    def _early(self, place: _Place) -> int:
        """Return how many boxes at the front have to be rules, for a look-up more would be one step too many."""
        passed, number, last = place.passed, 0, -1
        for box in place.boxes:
            if box.rule != last:
                if passed < box.rule + self.spare:
                    break
                passed, last = passed + 1, box.rule
            number += 1
        return number

    def _part(self, place: _Place, room: float, thrift: float) -> bool:
        """Part a list, if there is a look-up for it and room for what it leads to."""
        early = self._early(place)
        boxes = place.boxes[early:]
        parting = self._parting(place, boxes, thrift)
        if parting is None:
            return False
        passed = place.passed + len({box.rule for box in place.boxes[:early]}) + 1
        time = place.time + calibration.RULE_OF_A_RUN * early + parting.time
        known = self._there(place.known | sum(1 << at for at in parting.axes))
        branches: list[_Place] = []
        for key in parting.keys:
            region = _narrowed(place.region, parting.axes, key)
            inside = [box for box in boxes if _reaches(box, parting.axes, key)]
            branches.append(self._place(region, known, inside, passed, time + calibration.JUMP))
        rest = self._place(place.region, place.known, parting.rest, passed, time) if parting.rest else None
        more = 1 + len(parting.keys) + early - place.entries + sum(item.entries for item in branches)
        more += len(rest.boxes) if rest is not None else 0
        if self._size + more > room:
            return False
        self._size += more
        place.parting, place.rows, place.branches, place.rest = parting, place.boxes[:early], tuple(branches), rest
        return True

    # --- which look-up ---

    def _parting(self, place: _Place, boxes: Sequence[Box], thrift: float) -> _Parting | None:
        """Return the look-up after which the slowest way will be quickest, for what it makes the list grow."""
        count = len(boxes)
        best, least = None, inf
        for longest, all_, parting in self._partings(place, boxes):
            if longest >= count:
                continue
            behind = parting.time + calibration.JUMP + NANOSECONDS_AN_E_FOLD * log(max(longest, 1))
            score = behind + thrift * log(max((all_ + len(parting.keys)) / count, 1))
            if score < least:
                best, least = parting, score
        return best

    def _partings(self, place: _Place, boxes: Sequence[Box]) -> Iterator[tuple[int, int, _Parting]]:
        """Yield look-ups, each with the length of its longest part and of all together."""
        lengths = Lengths(boxes, place.region)
        for at, wanted in enumerate(self.boxes.fields):
            if wanted in RANGED and place.region[at][0] < place.region[at][1]:
                yield from self._interval_partings(at, place, lengths)
        yield from _exact_partings(lengths)

    def _interval_partings(self, at: int, place: _Place, lengths: Lengths) -> Iterator[tuple[int, int, _Parting]]:
        low, high = place.region[at]
        boxes = lengths.boxes
        starts = sorted(max(box.ranges[at][0], low) for box in boxes)
        ends = sorted(min(box.ranges[at][1], high) for box in boxes)
        rest: tuple[Box, ...] = ()
        if not place.known >> at & 1:
            kept = [box for box in boxes if not self._there(box.asked | place.known) >> at & 1]
            rest = of_rules(boxes, kept)
        tried: set[int] = set()
        for part in _PARTS:
            cells = _cells(starts, ends, (low, high), len(boxes) // part)
            if len(cells) < 2 or len(cells) in tried:
                continue
            tried.add(len(cells))
            found = [lengths.in_cell(at, cell) for cell in cells]
            parting = _Parting((at,), tuple((cell,) for cell in cells), rest, interval_cost(len(cells)))
            yield max(*found, len(rest)), sum(found) + len(rest), parting

    # --- what it becomes ---

    def _node(self, place: _Place, passed: int) -> Node:
        if place.parting is None:
            return self._last(place, passed)
        self._note(place.rows, passed, direct=False)
        rows = self._leaf(place.rows, place.region, place.known).rules
        passed += len(rows) + 1
        axes = place.parting.axes
        found = zip(place.parting.keys, place.branches, strict=True)
        nodes = [(key, self._node(branch, passed)) for key, branch in found]
        rest = self._node(place.rest, passed) if place.rest is not None else NOTHING_LEFT
        branches = tuple((key, node) for key, node in nodes if node.size)
        if any(low < high for key, _ in branches for low, high in key):
            branches = tuple(merged_neighbours(branches))
        there = all(place.known >> at & 1 for at in axes)
        cut = self._once(axes, branches, rest, there=there)
        return Row(rows, cut) if rows else cut

    def _once(self, axes: tuple[int, ...], branches: tuple[tuple[Key, Node], ...], rest: Node, *, there: bool) -> Node:
        """Return the cut, the same object for the same content."""
        if not branches:
            return rest
        content = (axes, tuple((key, id(node)) for key, node in branches), id(rest), there)
        if content not in self._made_before:
            self._made_before[content] = self._made(axes, branches, rest, whole=True)._replace(there=there)
        return self._made_before[content]

    def _last(self, place: _Place, passed: int) -> Leaf:
        leaf = self._leaf(place.boxes, place.region, place.known)
        self._note(place.boxes, passed, direct=bool(passed and leaf.rules) and not branch_steps(leaf))
        return self._leaves_before.setdefault(leaf, leaf)

    def _note(self, boxes: Sequence[Box], passed: int, *, direct: bool) -> None:
        """Take account of the steps to each rule of a list, against its number in the whole one."""
        if direct:
            self.excess = max(self.excess, passed - boxes[0].rule - 1 - self.spare)
            return
        for place, rule in enumerate(dict.fromkeys(box.rule for box in boxes), 1):
            self.excess = max(self.excess, passed + place - rule - 1 - self.spare)


def _narrowed(region: Region, axes: tuple[int, ...], key: Key) -> Region:
    found = list(region)
    for at, part in zip(axes, key, strict=True):
        found[at] = part
    return tuple(found)


def _reaches(box: Box, axes: tuple[int, ...], key: Key) -> bool:
    for at, (first, last) in zip(axes, key, strict=True):
        low, high = box.ranges[at]
        if low > last or first > high:
            return False
    return True


def _exact(box: Box, axes: tuple[int, ...]) -> Key | None:
    """Return the box's values in the axes, if it asks for one in each."""
    found: list[Range] = []
    for at in axes:
        part = box.ranges[at]
        if part[0] != part[1] or not box.asked >> at & 1:
            return None
        found.append(part)
    return tuple(found)


def _exact_partings(lengths: Lengths) -> Iterator[tuple[int, int, _Parting]]:
    boxes = lengths.boxes
    for axes in _signatures(lengths):
        exact = [_exact(box, axes) for box in boxes]
        times = Counter(key for key in exact if key is not None)
        lengths_at: dict[Key, int] = {}
        tried: set[int] = set()
        for least in (*_LEAST_ALIKE, max(times.values(), default=1)):
            keys = tuple(sorted(key for key, many in times.items() if many >= least))
            if not keys or len(keys) > _MOST_KEYS or len(keys) in tried:
                continue
            tried.add(len(keys))
            chosen = set(keys)
            rest = of_rules(boxes, [box for box, key in zip(boxes, exact, strict=True) if key not in chosen])
            lengths_at.update((key, lengths.at_key(axes, key)) for key in keys if key not in lengths_at)
            found = [lengths_at[key] for key in keys]
            single = len(axes) == len(keys) == 1
            time = calibration.RULE_OF_A_RUN if single else hash_cost(len(axes))
            yield max(*found, len(rest)), sum(found) + len(rest), _Parting(axes, keys, rest, time)


def _signatures(lengths: Lengths) -> list[tuple[int, ...]]:
    """Return combinations of axes for which rules often ask exact values."""
    times = Counter(
        tuple(at for at in numbers_of(axes & box.asked) if box.ranges[at][0] == box.ranges[at][1])
        for box, axes in zip(lengths.boxes, lengths.narrow, strict=True)
    )
    found: dict[tuple[int, ...], None] = {}
    for axes, _ in times.most_common(_SIGNATURES):
        for count in range(1, len(axes) + 1):
            found.update(dict.fromkeys(combinations(axes, count)))
    return list(found)


def _cells(starts: Sequence[int], ends: Sequence[int], whole: Range, most: int) -> list[Range]:
    """Return neighbouring ranges that are as long as they can be with no more boxes in each, where that can be."""
    found: list[Range] = []
    low, last = whole
    while most:
        place = bisect_left(ends, low) + most
        following = starts[place] if place < len(starts) else last + 1
        if following <= low:
            following = _next_point(starts, ends, low, last)
        if following > last:
            found.append((low, last))
            break
        found.append((low, following - 1))
        low = following
    return found


def _next_point(starts: Sequence[int], ends: Sequence[int], low: int, last: int) -> int:
    """Return where the next box begins or ends behind a point."""
    starting, ending = bisect_right(starts, low), bisect_left(ends, low)
    first = starts[starting] if starting < len(starts) else last + 1
    return min(first, ends[ending] + 1 if ending < len(ends) else last + 1)
