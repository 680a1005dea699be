"""Tests: what a rule asks of a packet. All here are pure: they change nothing, so they may be moved across each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NameSet
from fwtrans.ir.remembering import Hashed, remembers_hash

ValueSet = IntervalSet | BitSet | NameSet


@remembers_hash
@dataclass(frozen=True, slots=True)
class FieldTest(Hashed):
    """The field is there and its value is in the set."""

    field: Field
    values: ValueSet


class KeyPart(NamedTuple):
    """One field of a key, masked if `mask` is given: `ip saddr & 255.255.255.0`."""

    field: Field
    mask: int | None = None


@remembers_hash
@dataclass(frozen=True, slots=True)
class MemberTest(Hashed):
    """The key (all its fields there) is in the named set, or is not (`inside` False).

    With a set that rules change while packets pass, the test is a stateful one: see `fwtrans.ir.rule.is_pure`.
    """

    key: tuple[KeyPart, ...]
    set_name: str
    inside: bool = True
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class OpaqueTest:
    """A question that we cannot model: a free unknown in proofs, the same one wherever `identity` is the same.

    `expression` is the positive question as libnftables' JSON puts it, empty where there is no form that could be printed.
    """

    identity: str
    expression: str = ""
    holds: bool = True


@remembers_hash
@dataclass(frozen=True, slots=True)
class AnyOf(Hashed):
    """At least one branch holds, each a conjunction of tests. Branches may overlap."""

    branches: tuple[tuple[PureTest, ...], ...]


PureTest = FieldTest | MemberTest | OpaqueTest | AnyOf


def full_values(field: Field) -> ValueSet:
    """Return all values of a field: with it a test asks for nothing but presence."""
    if field.kind is FieldKind.NAME:
        return NameSet.full()
    if field.kind is FieldKind.BITS:
        return BitSet.full(field.width)
    return IntervalSet.full(field.width)


def number(field: Field, *values: int) -> FieldTest:
    """Return the test that a number field has one of the values."""
    return FieldTest(field, IntervalSet.values(field.width, values))


def number_range(field: Field, low: int, high: int) -> FieldTest:
    """Return the test that a number field lies in low..high, both included."""
    return FieldTest(field, IntervalSet(field.width, ((low, high),)))


def bits(field: Field, mask: int, value: int) -> FieldTest:
    """Return the test that the masked field equals value; never true where value has a bit outside the mask."""
    return FieldTest(field, BitSet.cube(field.width, mask, value))


def present(field: Field) -> FieldTest:
    """Return the test that a presence field says yes."""
    return FieldTest(field, IntervalSet.single(1, 1))


def absent(field: Field) -> FieldTest:
    """Return the test that a presence field says no."""
    return FieldTest(field, IntervalSet.single(1, 0))


def negated(test: FieldTest) -> FieldTest:
    """Return the test for all other values; still false where the field is not there."""
    return FieldTest(test.field, test.values.complement())


def negated_if(test: FieldTest, invert: bool) -> FieldTest:
    """Return the test, or the one for all other values."""
    return negated(test) if invert else test


def opposite(test: PureTest) -> tuple[tuple[PureTest, ...], ...]:
    """Return branches that together hold exactly where the test does not, absent fields included.

    The branches are disjoint, so that a rule copied once for each is carried out at most once for a packet.
    """
    if isinstance(test, FieldTest):
        return (*_missing(test.field), *_other_values(test))
    if isinstance(test, OpaqueTest):
        return ((replace(test, holds=not test.holds),),)
    if isinstance(test, MemberTest):
        fields_there: tuple[PureTest, ...] = tuple(FieldTest(part.field, full_values(part.field)) for part in test.key)
        return (*opposite_of_all(fields_there), (replace(test, inside=not test.inside),))
    branches: tuple[tuple[PureTest, ...], ...] = ((),)
    for branch in test.branches:
        branches = tuple((*done, *more) for done in branches for more in opposite_of_all(branch))
    return branches


def opposite_of_all(tests: tuple[PureTest, ...]) -> tuple[tuple[PureTest, ...], ...]:
    """Return disjoint branches that together hold exactly where not all the tests do."""
    branches: list[tuple[PureTest, ...]] = []
    for index, test in enumerate(tests):
        branches.extend((*tests[:index], *other) for other in opposite(test))
    return tuple(branches)


def _other_values(test: FieldTest) -> tuple[tuple[PureTest, ...], ...]:
    rest = test.values.complement()
    return () if rest.is_empty else ((FieldTest(test.field, rest),),)


def _missing(field: Field) -> tuple[tuple[PureTest, ...], ...]:

    found: list[tuple[PureTest, ...]] = []
    before: tuple[PureTest, ...] = ()
    for name, value in field.requires:
        need = FIELDS[name]
        wanted = (
            FieldTest(need, BitSet.exact(need.width, value))
            if need.kind is FieldKind.BITS
            else FieldTest(need, IntervalSet.single(need.width, value))
        )
        found.extend((*before, *branch) for branch in _missing(need))
        found.append((*before, negated(wanted)))
        before = (*before, wanted)
    return tuple(found)
