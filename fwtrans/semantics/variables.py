"""Which fields two rulesets ask for, and the Boolean variables that stand for them.

The order of the variables decides between half a second and never. On top is what chooses the chain (bridge ports and
interfaces, so that guests fall apart at once), then marks and states with their few values, then protocol and addresses,
source beside the MAC address it is checked with, ports, flags, and at the end what stands alone: the unknowns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, OpaqueTest
from fwtrans.ir.names import NameSet
from fwtrans.semantics.classes import NameClasses, NumberClasses, run_node
from fwtrans.semantics.domain import POSSIBLE
from fwtrans.semantics.keys import CubeTest, Present
from fwtrans.semantics.packet import Unknown, UnknownKind
from fwtrans.semantics.program import DynamicTest, TupleTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.ir.bits import Cube
    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.semantics.bdd import Bdd, Node
    from fwtrans.semantics.program import CompiledStep, Program, Test

_FIRST: tuple[Field, ...] = (
    known.BRIDGED, known.PORT_OUT, known.PORT_IN, known.IIFNAME, known.OIFNAME, known.IBRNAME, known.OBRNAME,
    known.MARK, known.CT_MARK, known.HAS_CONNTRACK, known.CT_STATE, known.NFPROTO, known.HAS_VLAN, known.ETHER_PROTOCOL,
    known.ETHER_TYPE, known.HAS_TRANSPORT, known.L4PROTO, known.HAS_ETHERNET, known.ETHER_SADDR, known.IP_SADDR,
    known.IP6_SADDR, known.IP_DADDR, known.IP6_DADDR, known.ETHER_DADDR, known.DPORT, known.SPORT, known.TCP_FLAGS,
    known.ICMP_TYPE, known.ICMP_CODE, known.ICMP6_TYPE, known.ICMP6_CODE,
)  # fmt: skip
_MARKS = (known.MARK, known.CT_MARK)
_RANK = {field: rank for rank, field in enumerate(_FIRST)}


class Slot(NamedTuple):
    """One bit of a field, counted from the lowest."""

    field: Field
    bit: int


class Demand:
    """What is asked of each field. Fill it with `add_program`, then build `Variables` from it."""

    def __init__(self) -> None:
        self.intervals: dict[Field, dict[IntervalSet, None]] = {}
        self.names: dict[Field, dict[NameSet, None]] = {}
        self.bits: dict[Field, int] = {}
        self.exact: set[Field] = set()
        self.written: dict[Field, None] = {}
        self.marks_copied = False
        self.opaque: dict[str, None] = {}
        self.mentioned: dict[Field, None] = {}
        self._tests_done = 0
        self._rules_done = 0

    @property
    def fields(self) -> set[Field]:
        """Return every field that needs variables."""
        return {*self.intervals, *self.names, *self.bits, *self.exact}

    def add_program(self, program: Program) -> None:
        """Collect what the tests and rules ask for that were added since the last call."""
        for test in program.tests.items[self._tests_done :]:
            self._test(test)
        for rule in program.rules.items[self._rules_done :]:
            for step in rule.steps:
                if not isinstance(step, int):
                    self._step(step)
        self._tests_done, self._rules_done = len(program.tests.items), len(program.rules.items)

    def add_test(self, test: PureTest) -> None:
        """Collect what a test of fields asks for that is in no ruleset."""
        if isinstance(test, AnyOf):
            for branch in test.branches:
                for part in branch:
                    self.add_test(part)
        elif isinstance(test, FieldTest):
            self._values(test.field, test.values)

    def add_value(self, field: Field, value: int | str) -> None:
        """Collect a value that a field is known to have somewhere, if any test asks for the field at all."""
        if isinstance(value, str):
            if field in self.names:
                self.names[field][NameSet.exact(value)] = None
        elif field in self.intervals:
            self.intervals[field][IntervalSet.single(field.width, value)] = None

    def _test(self, test: Test) -> None:
        if isinstance(test, FieldTest):
            self._values(test.field, test.values)
        elif isinstance(test, CubeTest):
            if test.field.kind is not FieldKind.BITS:
                self.exact.add(test.field)
            self._named_bits(test.field, test.cubes)
        elif isinstance(test, (Present, TupleTest)):
            for field in test.fields:
                self._requires(field)
        elif isinstance(test, DynamicTest):
            for part in test.key:
                self._requires(part.field)
        elif isinstance(test, OpaqueTest):
            self.opaque[test.identity] = None

    def _values(self, field: Field, values: ValueSet) -> None:
        self._requires(field)
        if isinstance(values, NameSet):
            self.names.setdefault(field, {})[values] = None
        elif isinstance(values, BitSet):
            self._named_bits(field, values.cubes)
        elif not values.is_full:
            self.intervals.setdefault(field, {})[values] = None

    def _named_bits(self, field: Field, cubes: Iterable[Cube]) -> None:
        self._requires(field)
        bits = self.bits.get(field, 0)
        for mask, _ in cubes:
            bits |= mask
        self.bits[field] = bits

    def _requires(self, field: Field) -> None:
        self.mentioned[field] = None
        for name, value in field.requires:
            need = FIELDS[name]
            self._requires(need)
            if need.kind is FieldKind.BITS:
                self._named_bits(need, (((1 << need.width) - 1, value),))
            else:
                self.intervals.setdefault(need, {})[IntervalSet.single(need.width, value)] = None

    def _step(self, step: CompiledStep) -> None:
        if isinstance(step, does.Assign):
            self._write(step.field)
            flipped = step.constant
            if step.source is not None:
                self._read_bits(step.source.field, step.source.mask)
                self.marks_copied |= {step.field, step.source.field} == set(_MARKS)
                flipped |= _shifted(step.source.mask, step.source.shift)
            self._read_bits(step.field, step.keep & flipped & ((1 << step.field.width) - 1))
        elif isinstance(step, does.AssignFromTable):
            self._write(step.field)
            self._read_bits(step.field, (1 << step.field.width) - 1)

    def _write(self, field: Field) -> None:
        if field.kind is FieldKind.NAME:
            return  # the evaluator refuses it, where it can name the chain
        self._requires(field)
        self.written[field] = None
        if field.kind is not FieldKind.BITS:
            self.exact.add(field)

    def _read_bits(self, field: Field, mask: int) -> None:
        self._requires(field)
        if field.kind is FieldKind.BITS:
            self.bits[field] = self.bits.get(field, 0) | mask
        else:
            self.exact.add(field)


def _shifted(value: int, shift: int) -> int:
    return value << shift if shift >= 0 else value >> -shift


class Variables:
    """The variables of all fields, in the order of this module, and those of the unknowns behind them."""

    def __init__(self, bdd: Bdd, demand: Demand) -> None:
        self.bdd = bdd
        self.numbers: dict[Field, NumberClasses] = {}
        self.names: dict[Field, NameClasses] = {}
        self.spans: dict[Field, range] = {}
        self.slots: dict[Slot, int] = {}
        self.unknowns: dict[Unknown, int] = {}
        self._questions: dict[tuple[UnknownKind, str], list[tuple[Unknown, int]]] = {}
        self._bits: dict[tuple[Field, int | str], tuple[tuple[int, bool], ...]] = {}
        self.fields = sorted(demand.fields, key=lambda item: (_RANK.get(item, len(_RANK)), item.name))
        if demand.marks_copied:
            self._beside_each_other(_MARKS, demand)
        for field in self.fields:
            self._allocate(field, demand)
        # asked for only by their presence
        self.unvalued = tuple(field for field in demand.mentioned if field not in demand.fields)
        # what a rule may change before another reads it, with the variables that a change replaces
        self.writable: dict[Field, list[tuple[Slot, int]]] = {field: [] for field in demand.written}
        for slot, number in self.slots.items():
            if slot.field in self.writable:
                self.writable[slot.field].append((slot, number))
        # bits that are written and never read are compared only: the entering value against the written one
        for field in demand.written:
            self._by_bit(field, [bit for bit in range(field.width) if Slot(field, bit) not in self.slots])
        for identity in demand.opaque:
            self.unknown(Unknown(UnknownKind.OPAQUE, identity))

    def _allocate(self, field: Field, demand: Demand) -> None:
        if field.kind is FieldKind.BITS:
            asked = demand.bits.get(field, 0)
            wanted = (bit for bit in reversed(range(field.width)) if asked >> bit & 1)
            self._by_bit(field, [bit for bit in wanted if Slot(field, bit) not in self.slots])
        elif field in demand.exact:
            self._by_bit(field, list(reversed(range(field.width))))
        elif field.kind is FieldKind.NAME:
            names = self.names[field] = NameClasses(demand.names[field])
            self.spans[field] = self.bdd.add_variables((names.count - 1).bit_length())
        else:
            numbers = NumberClasses(field.width, demand.intervals[field], POSSIBLE.get(field))
            self.numbers[field] = numbers
            self.spans[field] = self.bdd.add_variables((numbers.count - 1).bit_length())

    def _beside_each_other(self, fields: Sequence[Field], demand: Demand) -> None:
        """Give the bits of fields that are copied into each other turns: apart, "equal" has a node for each value."""
        for bit in reversed(range(max(field.width for field in fields))):
            for field in fields:
                if demand.bits.get(field, 0) >> bit & 1 or field in demand.written:
                    self._by_bit(field, [bit])

    def _by_bit(self, field: Field, bits: list[int]) -> None:
        for bit, number in zip(bits, self.bdd.add_variables(len(bits)), strict=True):
            self.slots[Slot(field, bit)] = number

    def unknown(self, unknown: Unknown) -> int:
        """Return the variable of a question, a new one at the end of the order if it is new."""
        found = self.unknowns.get(unknown)
        if found is None:
            found = self.unknowns[unknown] = self.bdd.add_variables(1)[0]
            self._questions.setdefault((unknown.kind, unknown.identity), []).append((unknown, found))
        return found

    def questions(self, kind: UnknownKind, thing: int) -> list[tuple[Unknown, int]]:
        """Return the questions about an object that have a variable."""
        return list(self._questions.get((kind, str(thing)), ()))

    def is_exact(self, field: Field) -> bool:
        """Tell whether a number field has a variable for each bit, so that impossible values have to be excluded."""
        return field.kind is not FieldKind.BITS and Slot(field, 0) in self.slots

    def in_values(self, field: Field, values: ValueSet) -> Node:
        """Return the function that holds where the field, taken to be there, has one of the values."""
        if isinstance(values, BitSet):
            return self.in_cubes(field, values.cubes)
        if values.is_full:
            return self.bdd.true
        if isinstance(values, NameSet):
            names = self.names[field]
            return self._run_node(field, names.count, names.runs(values))
        if field in self.numbers:
            numbers = self.numbers[field]
            return self._run_node(field, numbers.count, numbers.runs(values))
        variables = [self.bdd.variables[self.slots[Slot(field, bit)]] for bit in reversed(range(field.width))]
        return run_node(self.bdd, variables, 1 << field.width, list(values.ranges))

    def at_value(self, field: Field, value: int | str) -> Node:
        """Return the function that holds where the field has one value, as far as any test tells it from others."""
        if field in self.spans:
            place = self.class_of(field, value)
            count = self.names[field].count if field in self.names else self.numbers[field].count
            return self._run_node(field, count, [(place, place)] if place >= 0 else [])
        found = self.bdd.true
        for bit in range(field.width):
            number = self.slots.get(Slot(field, bit))
            if number is not None and isinstance(value, int):
                variable = self.bdd.variables[number]
                found = found & (variable if value >> bit & 1 else ~variable)
        return found

    def bits_of(self, known: Iterable[tuple[Field, int | str]]) -> Iterator[tuple[int, bool]]:
        """Yield the variables of fields that are known, each with its value."""
        for pair in known:
            found = self._bits.get(pair)
            if found is None:
                found = self._bits[pair] = tuple(self._find_bits(*pair))
            yield from found

    def _find_bits(self, field: Field, value: int | str) -> Iterator[tuple[int, bool]]:
        span = self.spans.get(field, ())
        place = self.class_of(field, value) if span else 0
        for at, number in enumerate(reversed(span)):
            yield number, bool(place >> at & 1)
        for bit in range(field.width if isinstance(value, int) else 0):
            if Slot(field, bit) in self.slots:
                yield self.slots[Slot(field, bit)], bool(int(value) >> bit & 1)

    def class_of(self, field: Field, value: int | str) -> int:
        """Return the class of a value of a field that has classes."""
        return (
            self.names[field].class_of(str(value)) if field in self.names else self.numbers[field].class_of(int(value))
        )

    def _run_node(self, field: Field, count: int, runs: list[tuple[int, int]]) -> Node:
        span = self.spans[field]
        return run_node(self.bdd, self.bdd.variables[span.start : span.stop], count, runs)

    def in_cubes(self, field: Field, cubes: Iterable[Cube]) -> Node:
        """Return the function that holds where the field fits one of the cubes."""
        return self.bdd.any_of([self._cube(field, mask, value) for mask, value in sorted(cubes)])

    def _cube(self, field: Field, mask: int, value: int) -> Node:
        found = self.bdd.true
        for bit in range(mask.bit_length()):
            if mask >> bit & 1:
                variable = self.bdd.variables[self.slots[Slot(field, bit)]]
                found = found & (variable if value >> bit & 1 else ~variable)
        return found
