"""Tests as sets of packets: from numbered tests to functions of the variables, for packets of which something is known.

A test holds only where its field is there, so each function has the field's presence in it: a negated port is no set
of packets that have no ports. What is known (the protocol, an interface that cannot be) is folded away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, OpaqueTest
from fwtrans.semantics.domain import presence
from fwtrans.semantics.keys import CubeTest, Present
from fwtrans.semantics.packet import Unknown, UnknownKind
from fwtrans.semantics.program import AnyTest, DynamicTest, Stream, TupleTest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.fields import Family, Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.program import Program, Test
    from fwtrans.semantics.variables import Variables

Reads = frozenset["Field | Stream"]
NOTHING: Reads = frozenset()
Known = frozenset[tuple["Field", "int | str | ValueSet"]]
"""Fields with the value that they have, or the values of which they have one."""
NOTHING_KNOWN: Known = frozenset()


class PacketSets:
    """The sets of packets of one family, each made once; `known` is true of all of them."""

    def __init__(self, program: Program, variables: Variables, family: Family, known: Known = NOTHING_KNOWN) -> None:
        self.bdd = variables.bdd
        self.variables = variables
        self.family = family
        self._program = program
        self._fixed = {field: value for field, value in known if isinstance(value, (int, str))}
        self._among = {field: values for field, values in known if not isinstance(values, (int, str))}
        self._of_any_hook: PacketSets | None = None
        self._nodes: dict[int, Node] = {}
        self._pure: dict[PureTest, Node] = {}
        self._present: dict[Field, Node] = {}
        self._reads: dict[int, Reads] = {}

    def of_any_hook(self) -> PacketSets:
        """Return the sets of packets of the family of which nothing is known."""
        if self._of_any_hook is None:
            self._of_any_hook = PacketSets(self._program, self.variables, self.family)
        return self._of_any_hook

    def node(self, number: int) -> Node:
        """Return the packets that pass a numbered test."""
        found = self._nodes.get(number)
        if found is None:
            found = self._nodes[number] = self._test(self._program.tests.items[number])
        return found

    def reads(self, number: int) -> Reads:
        """Return the fields and streams that a test reads and that a rule may have changed before."""
        found = self._reads.get(number)
        if found is None:
            found = self._reads[number] = self._test_reads(self._program.tests.items[number])
        return found

    def field_reads(self, fields: Iterable[Field]) -> Reads:
        """Return which of the fields, and of those that must be there for them, a rule may have changed."""
        if not self.variables.writable:
            return NOTHING
        found: set[Field | Stream] = set()
        waiting = list(fields)
        while waiting:
            field = waiting.pop()
            if field in self.variables.writable:
                found.add(field)
            waiting.extend(FIELDS[name] for name, _ in field.requires)
        return frozenset(found)

    def _test_reads(self, test: Test) -> Reads:
        if isinstance(test, (FieldTest, CubeTest)):
            return self.field_reads((test.field,))
        if isinstance(test, (TupleTest, Present)):
            return self.field_reads(test.fields)
        if isinstance(test, AnyTest):
            return NOTHING.union(*(self.reads(number) for branch in test.branches for number in branch))
        if isinstance(test, DynamicTest):
            return self.field_reads(part.field for part in test.key) | {Stream("set", test.object)}
        return NOTHING

    def present(self, field: Field) -> Node:
        """Return the packets that have the field."""
        found = self._present.get(field)
        if found is None:
            found = self._present[field] = self._presence(field)
        return found

    def _presence(self, field: Field) -> Node:
        extra = presence(field, self.family)
        found = self.bdd.true if extra is True else self.bdd.false if extra is False else self.pure(extra)
        for name, value in field.requires:
            need = FIELDS[name]
            wanted: ValueSet = (
                BitSet.exact(need.width, value)
                if need.kind is FieldKind.BITS
                else IntervalSet.single(need.width, value)
            )
            found = self._field_test(FieldTest(need, wanted)) & found
        return found

    def pure(self, test: PureTest) -> Node:
        """Return the packets that pass an IR test of fields; its constants must have been collected."""
        found = self._pure.get(test)
        if found is None:
            found = self._pure[test] = self._pure_test(test)
        return found

    def _pure_test(self, test: PureTest) -> Node:
        if isinstance(test, FieldTest):
            return self._field_test(test)
        if isinstance(test, AnyOf):
            return self.bdd.any_of([self._all(self.pure(part) for part in branch) for branch in test.branches])
        raise TypeError(test)

    def _all(self, nodes: Iterable[Node]) -> Node:
        found = self.bdd.true
        for node in nodes:
            found = found & node
        return found

    def _test(self, test: Test) -> Node:
        if isinstance(test, FieldTest):
            return self._field_test(test)
        if isinstance(test, CubeTest):
            inside = self.variables.in_cubes(test.field, test.cubes)
            return self.present(test.field) & (inside if test.inside else ~inside)
        if isinstance(test, TupleTest):
            inside = self._elements(test)
            return inside if test.inside else self._all(map(self.present, test.fields)) & ~inside
        if isinstance(test, AnyTest):
            return self.bdd.any_of([self._all(map(self.node, branch)) for branch in test.branches])
        if isinstance(test, Present):
            return self._all(map(self.present, test.fields))
        if isinstance(test, OpaqueTest):
            known = self.unknown(Unknown(UnknownKind.OPAQUE, test.identity))
            return known if test.holds else ~known
        known = self.unknown(Unknown(UnknownKind.MEMBER, str(test.object), test.key))
        return self._all(self.present(part.field) for part in test.key) & (known if test.inside else ~known)

    def unknown(self, unknown: Unknown) -> Node:
        """Return the variable of a question."""
        return self.bdd.variables[self.variables.unknown(unknown)]

    def _field_test(self, test: FieldTest) -> Node:
        field = test.field
        if field in self._fixed:
            return self.present(field) if self._fixed[field] in test.values else self.bdd.false  # type: ignore[operator]
        if field in self._among and test.values.intersection(self._among[field]).is_empty:  # type: ignore[arg-type] # both are of the field's kind
            return self.bdd.false
        return self.variables.in_values(field, test.values) & self.present(field)

    def _elements(self, test: TupleTest) -> Node:
        return self.bdd.any_of([self._all(map(self.node, parts)) for parts in sorted(test.elements)])
