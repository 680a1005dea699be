"""A list of rules as boxes: for each field that rules ask, the range that a rule asks for. Which overlap is asked often.

A rule that asks for several ranges is several boxes; one that would be too many is one box around them, which is on the safe
side: whoever overlaps it may overlap the rule. Rules are numbered in their order, boxes too, and sets of boxes are bits of
one number, so that "all that overlap this" is a few operations whatever the length of the list.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NameSet
from fwtrans.optimizer.keys import RANK, exact_values, in_order

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.names import NamePattern
    from fwtrans.optimizer.clauses import Clause

Range = tuple[int, int]

# More boxes for one rule than this, and it becomes one box around them.
MOST_BOXES = 8
_CHECKPOINT = 64


class Box(NamedTuple):
    """One box: the rule's number, a range for each axis, and which axes it asks for exactly these ranges (a bit each).

    `added` are axes in which it is narrower than its rule. Boxes sort in the order of their rules.
    """

    rule: int
    ranges: tuple[Range, ...]
    asked: int
    added: int = 0

    def within(self, other: Box) -> Box | None:
        """Return the part of this box in another one; None where that is nothing."""
        ranges = tuple(map(met_range, self.ranges, other.ranges))
        if any(low > high for low, high in ranges):
            return None
        narrower = sum(1 << at for at, both in enumerate(zip(ranges, self.ranges, strict=True)) if both[0] != both[1])
        present = other.asked & ~self.asked
        return Box(self.rule, ranges, self.asked | other.asked, self.added | narrower | present)


class Axis:
    """The ranges of all boxes in one field."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._starts, self._started = _cumulative([(low, number) for number, (low, _) in enumerate(ranges)])
        self._ends, self._ended = _cumulative([(high, number) for number, (_, high) in enumerate(ranges)])
        self._known: dict[Range, int] = {}

    def overlapping(self, wanted: Range) -> int:
        """Return the boxes whose range has something in common with the given one."""
        found = self._known.get(wanted)
        if found is None:
            started = self._started.up_to(bisect_right(self._starts, wanted[1]))
            found = started & ~self._ended.up_to(bisect_left(self._ends, wanted[0]))
            self._known[wanted] = found
        return found

    def covering(self, wanted: Range) -> int:
        """Return the boxes whose range has all of the given one."""
        started = self._started.up_to(bisect_right(self._starts, wanted[0]))
        return started & ~self._ended.up_to(bisect_left(self._ends, wanted[1]))


class _Cumulative(NamedTuple):
    numbers: tuple[int, ...]
    sums: tuple[int, ...]

    def up_to(self, count: int) -> int:
        """Return the first so many boxes, as bits."""
        found = self.sums[count // _CHECKPOINT]
        for number in self.numbers[count - count % _CHECKPOINT : count]:
            found |= 1 << number
        return found


def _cumulative(pairs: list[tuple[int, int]]) -> tuple[list[int], _Cumulative]:
    pairs.sort()
    sums, bits = [0], 0
    for place, (_, number) in enumerate(pairs, 1):
        bits |= 1 << number
        if place % _CHECKPOINT == 0:
            sums.append(bits)
    return [at for at, _ in pairs], _Cumulative(tuple(number for _, number in pairs), tuple(sums))


@dataclass(slots=True)
class Boxes:
    """The boxes of a list of clauses. `names` are the interface names behind the numbers of an axis of names.

    Rules of one class in `classes` decide alike, so that their order is all the same; `split` are the rules that a box
    does not say whole. `always` is what all packets of the table have in common.
    """

    clauses: Sequence[Clause]
    fields: tuple[Field, ...]
    boxes: tuple[Box, ...]
    full: tuple[Range, ...]
    names: Mapping[Field, tuple[NamePattern, ...]]
    classes: tuple[int, ...]
    split: frozenset[int]
    always: Mapping[Field, ValueSet]

    @classmethod
    def of(cls, clauses: Sequence[Clause], always: Mapping[Field, ValueSet] | None = None) -> Boxes:
        """Return the boxes of clauses whose order may matter wherever they are not plain and of one verdict."""
        fields = in_order({field for clause in clauses for field in clause.tests if _is_axis(field)})
        names = {field: _names(field, clauses) for field in fields if field.kind is FieldKind.NAME}
        full = tuple((0, len(names[field])) if field in names else (0, (1 << field.width) - 1) for field in fields)
        boxes = tuple(
            box for number, clause in enumerate(clauses) for box in _boxes(number, clause, fields, full, names)
        )
        return cls(clauses, fields, boxes, full, names, _classes(clauses), _split(clauses, boxes, fields), always or {})


class Overlaps:
    """Says which boxes of a list overlap a given one, as bits by their place in the list."""

    def __init__(self, boxes: Sequence[Box], full: Sequence[Range], classes: Sequence[int]) -> None:
        self._full = full
        self._all = (1 << len(boxes)) - 1
        self._axes = tuple(Axis([box.ranges[at] for box in boxes]) for at in range(len(full)))
        self._alike: dict[int, int] = {}
        for place, box in enumerate(boxes):
            of = classes[box.rule]
            self._alike[of] = self._alike.get(of, 0) | 1 << place

    def overlapping(self, ranges: Sequence[Range]) -> int:
        """Return the boxes that have something in common with the given one."""
        found = self._all
        for axis, wanted, full in zip(self._axes, ranges, self._full, strict=True):
            if wanted != full:
                found &= axis.overlapping(wanted)
        return found

    def deciding_otherwise(self, of: int) -> int:
        """Return the boxes of other classes."""
        return self._all & ~self._alike.get(of, 0)


class Covering:
    """Says which boxes of a list have all of a given one, as far as they are in a region."""

    def __init__(self, boxes: Sequence[Box], region: Sequence[Range]) -> None:
        self._boxes = boxes
        within = [tuple(map(met_range, box.ranges, region)) for box in boxes]
        columns = [[ranges[at] for ranges in within] for at in range(len(region))]
        self._axes = tuple(
            (at, Axis(ranges)) for at, ranges in enumerate(columns) if any(r != region[at] for r in ranges)
        )
        self._known: dict[tuple[int, Range], int] = {}

    def before(self, place: int, ranges: Sequence[Range]) -> Iterator[Box]:
        """Yield the boxes that stand in front of a place and cover these ranges, the first one first."""
        found = (1 << place) - 1
        for at, axis in self._axes:
            if not found:
                return
            wanted = (at, ranges[at])
            covering = self._known.get(wanted)
            if covering is None:
                covering = self._known[wanted] = axis.covering(ranges[at])
            found &= covering
        yield from (self._boxes[number] for number in numbers_of(found))


def numbers_of(bits: int) -> Iterator[int]:
    """Yield the numbers of the set bits, lowest first."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def met_range(left: Range, right: Range) -> Range:
    """Return what two ranges have in common; low above high where that is nothing."""
    return max(left[0], right[0]), min(left[1], right[1])


def _is_axis(field: Field) -> bool:
    return field in RANK and field.kind is not FieldKind.BITS


def _names(field: Field, clauses: Sequence[Clause]) -> tuple[NamePattern, ...]:
    found: dict[NamePattern, None] = {}
    for clause in clauses:
        values = clause.tests.get(field)
        if values is not None:
            found.update(dict.fromkeys(exact_values(field, values) or ()))  # type: ignore[arg-type] # names only
    return tuple(sorted(found))


def _boxes(
    number: int,
    clause: Clause,
    fields: tuple[Field, ...],
    full: tuple[Range, ...],
    names: Mapping[Field, tuple[NamePattern, ...]],
) -> Iterator[Box]:
    choices: list[tuple[Range, ...]] = []
    asked = several = 0
    many = 1
    for at, field in enumerate(fields):
        ranges = _ranges(clause, field, full[at], names)
        if len(ranges) * many > MOST_BOXES:
            ranges = ((ranges[0][0], ranges[-1][1]),)
        elif ranges != (full[at],):
            asked |= 1 << at
        if len(ranges) > 1:
            several |= 1 << at
        many *= len(ranges)
        choices.append(ranges)
    for ranges in product(*choices):
        yield Box(number, ranges, asked, several)


def _ranges(
    clause: Clause, field: Field, full: Range, names: Mapping[Field, tuple[NamePattern, ...]]
) -> tuple[Range, ...]:
    values = clause.tests.get(field)
    if isinstance(values, IntervalSet) and values.ranges:
        return values.ranges
    if isinstance(values, NameSet):
        parts = exact_values(field, values)
        if parts:
            places = sorted(names[field].index(part) for part in parts)
            return tuple((place, place) for place in places)
    return (full,)


def _classes(clauses: Sequence[Clause]) -> tuple[int, ...]:
    """Return a number for each rule, the same where rules decide alike, so that their order is all the same."""
    known: dict[Hashable, int] = {}
    return tuple(
        known.setdefault((clause.verdict,) if clause.is_plain else number, len(known))
        for number, clause in enumerate(clauses)
    )


def _split(clauses: Sequence[Clause], boxes: Sequence[Box], fields: tuple[Field, ...]) -> frozenset[int]:
    """Return the rules of which a box, and what is known of its fields, says too little or too much."""
    found: set[int] = set()
    for box in boxes:
        tests = clauses[box.rule].tests
        if any(wanted in tests and not box.asked >> at & 1 for at, wanted in enumerate(fields)):
            found.add(box.rule)
    return frozenset(found)
