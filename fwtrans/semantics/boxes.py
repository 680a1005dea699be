"""A set of packets as disjoint boxes: for each field the values that it may have, all combinations of which are in the set.

The boxes are exact and do not overlap; together they are the set. What a field that is not named in a box is does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NameSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.semantics.bdd import Bdd, Node
    from fwtrans.semantics.packet import Unknown
    from fwtrans.semantics.variables import Slot, Variables


class Box(NamedTuple):
    """Values by field, and the answers to what cannot be known."""

    values: Mapping[Field, ValueSet]
    answers: Mapping[Unknown, bool]


class Boxes(NamedTuple):
    """The boxes of a set; `complete` unless there were more than wanted."""

    boxes: tuple[Box, ...]
    complete: bool


def boxes(variables: Variables, packets: Node, most: int) -> Boxes:
    """Return the boxes of a set of packets, at most so many."""
    found: list[Box] = []
    for box in _Cutter(variables).boxes(packets, Box({}, {})):
        if len(found) == most:
            return Boxes(tuple(found), complete=False)
        found.append(box)
    return Boxes(tuple(found), complete=True)


class _Cutter:
    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._bdd: Bdd = variables.bdd
        self._spans = {number: (field, span) for field, span in variables.spans.items() for number in span}
        self._slots = {number: slot for slot, number in variables.slots.items()}
        self._unknowns = {number: unknown for unknown, number in variables.unknowns.items()}

    def boxes(self, node: Node, known: Box) -> Iterator[Box]:
        """Yield the boxes of a function, field by field from the top of the order."""
        if node == self._bdd.false:
            return
        first = node.node_var()
        if first is None:
            yield known
        elif first in self._spans:
            field, span = self._spans[first]
            for child, runs in self._parts(node, span).items():
                values = self._values(field, runs)
                yield from self.boxes(child, Box({**known.values, field: values}, known.answers))
        else:
            for value in (False, True):
                child = self._bdd.knowing(node, [(first, value)])
                yield from self.boxes(child, self._with_bit(known, first, value=value))

    def _parts(self, node: Node, span: range) -> Mapping[Node, list[tuple[int, int]]]:
        found: dict[Node, list[tuple[int, int]]] = {}

        def descend(here: Node, level: int, base: int) -> None:
            if here == self._bdd.false:
                return
            size = 1 << (len(span) - level)
            first = here.node_var()
            if level == len(span) or first is None or first > span[-1]:
                found.setdefault(here, []).append((base, base + size - 1))
                return
            if first != span[level]:
                descend(here, level + 1, base)
                descend(here, level + 1, base + size // 2)
                return
            descend(self._bdd.knowing(here, [(first, False)]), level + 1, base)
            descend(self._bdd.knowing(here, [(first, True)]), level + 1, base + size // 2)

        descend(node, 0, 0)
        return found

    def _values(self, field: Field, runs: list[tuple[int, int]]) -> ValueSet:
        names = self._variables.names.get(field)
        if names is not None:
            inside = set(_numbers(runs, names.count))
            answers = {pattern: number in inside for number in range(names.count) for pattern in names.members(number)}
            return NameSet.decided(answers)
        numbers = self._variables.numbers[field]
        ranges = [interval for number in _numbers(runs, numbers.count) for interval in numbers.members(number)]
        return IntervalSet.of(field.width, ranges)

    def _with_bit(self, known: Box, number: int, *, value: bool) -> Box:
        slot = self._slots.get(number)
        if slot is None:
            return Box(known.values, {**known.answers, self._unknowns[number]: value})
        return Box(
            {**known.values, slot.field: self._narrowed(slot, known.values.get(slot.field), value)}, known.answers
        )

    def _narrowed(self, slot: Slot, known: ValueSet | None, value: bool) -> ValueSet:
        bit = 1 << slot.bit
        mask, wanted = known.cubes[0] if isinstance(known, BitSet) else (0, 0)
        return BitSet.cube(slot.field.width, mask | bit, wanted | (bit if value else 0))


def _numbers(runs: list[tuple[int, int]], count: int) -> list[int]:
    """Return the classes that runs of numbers name: those above the last mean the last."""
    return sorted({min(number, count - 1) for low, high in runs for number in range(low, min(high, count) + 1)})
