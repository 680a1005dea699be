# ruff: noqa: S311 -- seeds make failures repeatable
"""What is known of a packet: meeting, joining, learning and writing never lose a value that a packet may have."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, bits, number
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Table
from fwtrans.optimizer.facts import MOST_PARTS, Decider, assigned, joined, keeps_all, meet
from tests.semantics.builders import TCP, UDP, dport, source
from tests.semantics.rulesets import VALUES

if TYPE_CHECKING:
    from fwtrans.ir.match import ValueSet
    from fwtrans.optimizer.facts import Facts

IP, BRIDGE, INET = (Decider(Table(family, "t", ())) for family in (Family.IP, Family.BRIDGE, Family.INET))


def random_names(source_of: Random) -> NameSet:
    names = [
        NamePattern(source_of.choice(["", "a", "b", "ab", "abc", "c"]), is_prefix=source_of.random() < 0.3)
        for _ in range(source_of.randint(0, 4))
    ]
    found = NameSet.of(names)
    return found.complement() if source_of.random() < 0.4 else found


@given(st.integers(0, 1 << 32))
def test_names_meet_as_they_intersect(seed: int) -> None:
    randomly = Random(seed)
    one, other = random_names(randomly), random_names(randomly)
    assert meet(one, other) == one.intersection(other)


def random_values(randomly: Random, field: Field) -> ValueSet:
    chosen = randomly.sample(VALUES[field], randomly.randint(1, min(3, len(VALUES[field]))))
    if field.kind is FieldKind.NAME:
        found: ValueSet = NameSet.exact(*map(str, chosen))
    elif field.kind is FieldKind.BITS:
        mask = randomly.choice((1, 3, 0x12, (1 << field.width) - 1))
        found = BitSet.of(field.width, ((mask, int(value) & mask) for value in chosen))
    else:
        found = IntervalSet.values(field.width, map(int, chosen))
    return found.complement() if randomly.random() < 0.3 else found


@given(st.integers(0, 1 << 32))
def test_what_is_left_of_a_test_asks_the_same_of_packets_that_fit_the_facts(seed: int) -> None:
    randomly = Random(seed)
    field = randomly.choice(list(VALUES))
    test, fact = FieldTest(field, random_values(randomly, field)), random_values(randomly, field)
    facts: Facts = {field: fact}
    facts |= {need.field: need.values for need in INET.needs(field) or ()}
    left = INET.decide(test, facts)
    for value in VALUES[field]:
        if value in fact and (field not in facts or value in facts[field]):  # type: ignore[operator]
            wanted = value in test.values  # type: ignore[operator]
            found = left is not None and all(value in part.values for part in left)  # type: ignore[operator, union-attr]
            assert found == wanted


@given(st.integers(0, (1 << 4) - 1), st.integers(0, 15), st.integers(0, 15), st.integers(0, 15), st.integers(0, 15))
def test_a_write_is_followed_bit_by_bit(mask: int, value: int, keep: int, constant: int, free: int) -> None:
    before = BitSet.cube(4, mask, value & mask)
    after = assigned(before, 4, keep, constant)
    number_before = (value & mask) | (free & ~mask & 15)
    number_after = ((number_before & keep) ^ constant) & 15
    assert after is None or (isinstance(after, BitSet) and number_after in after)
    if keeps_all(before, 4, keep, constant):
        assert number_after == number_before


def test_presence_is_known_by_other_fields() -> None:
    assert IP.there(known.IP_SADDR, {}) is None
    assert IP.there(known.IP_SADDR, {known.NFPROTO: IntervalSet.single(8, 2)})
    assert IP.there(known.IP_SADDR, {known.NFPROTO: IntervalSet.single(8, 10)}) is False
    assert IP.there(known.TCP_FLAGS, {known.L4PROTO: IntervalSet.single(8, 17)}) is False
    assert IP.there(known.ARP_OPERATION, {}) is False
    assert BRIDGE.there(known.L4PROTO, {}) is None
    assert BRIDGE.there(known.L4PROTO, {known.NFPROTO: IntervalSet.values(8, (2, 10))})
    assert INET.there(known.L4PROTO, {}) is True


def test_a_test_that_holds_tells_that_its_field_is_there() -> None:
    facts = IP.learn((bits(known.TCP_FLAGS, 2, 2),), {})
    assert facts[known.L4PROTO] == TCP.values
    assert facts[known.HAS_TRANSPORT] == IntervalSet.single(1, 1)
    either = AnyOf(((TCP, dport(1)), (UDP, dport(2)), (TCP, dport(5), source(1))))
    learned = IP.learn((either,), {})
    assert learned[known.L4PROTO] == IntervalSet.values(8, (6, 17))
    assert learned[known.DPORT] == IntervalSet.values(16, (1, 2, 5))
    assert known.IP_SADDR not in learned


def test_a_test_that_fails_tells_what_the_value_is_not() -> None:
    assert IP.unlearn(TCP, {}) == {known.L4PROTO: TCP.values.complement()}
    assert IP.unlearn(TCP, {known.L4PROTO: TCP.values}) == {known.L4PROTO: TCP.values}
    either = AnyOf(((TCP,), (UDP, dport(1))))
    assert IP.unlearn(either, {}) == {known.L4PROTO: TCP.values.complement()}
    many = number(known.DPORT, *range(0, 4 * MOST_PARTS, 2))
    assert IP.unlearn(many, {}) == {}


def test_where_ways_meet_only_what_holds_on_all_is_known() -> None:
    one: Facts = {known.L4PROTO: TCP.values, known.MARK: BitSet.exact(32, 1)}
    other: Facts = {known.L4PROTO: UDP.values}
    assert joined([one, other]) == {known.L4PROTO: IntervalSet.values(8, (6, 17))}
