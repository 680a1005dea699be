"""What is known of a packet: by field, a set in which its value is, wherever the packet has the field at all.

    facts {bridge.port_in: tap1 or tap2, bridge.forwarded: 1}
    bridge.port_in in {fwln*}       no packet passes it
    bridge.forwarded in {1}         every packet passes it
    bridge.port_in in {tap1, eth0}  the same as {tap1}

A fact says nothing of presence: `th.dport in {22}` as a fact does not mean that there is a port. Presence is a matter of
other fields (`Field.requires`), and what is known of those decides it. A test that every value passes is therefore left
out only where the field is known to be there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, Family, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.remembering import once
from fwtrans.semantics.domain import presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart, PureTest, ValueSet
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedSet, Part

Facts = dict["Field", "ValueSet"]

# A fact in more parts than this is not made finer: each later test would be held against all of them.
MOST_PARTS = 16
# A named set with more elements than this is not held against a fact.
_MOST_ELEMENTS = 4096

_ANY_NAME = NamePattern("", is_prefix=True)
_NO_NAME = NameSet.empty()


def meet(left: ValueSet, right: ValueSet) -> ValueSet:
    """Return the values in both; both are of one kind."""
    if isinstance(left, NameSet) and isinstance(right, NameSet):
        # one port against another, in every rule of a list of guests
        mine, theirs = left.only, right.only
        if mine is None or theirs is None:
            return _names_in_both(left, right)
        return left if mine == theirs else _NO_NAME
    return left.intersection(right)  # type: ignore[arg-type] # one kind


def join(left: ValueSet, right: ValueSet) -> ValueSet:
    """Return the values in either; both are of one kind."""
    return left if left == right else left.union(right)  # type: ignore[arg-type] # one kind


def parts(values: ValueSet) -> int:
    """Return how many pieces a set is made of."""
    if isinstance(values, IntervalSet):
        return len(values.ranges)
    return len(values.cubes if isinstance(values, BitSet) else values.entries)


def single(field: Field, value: int) -> ValueSet:
    """Return the set of one number, of the kind that the field wants."""
    return BitSet.exact(field.width, value) if field.kind is FieldKind.BITS else IntervalSet.single(field.width, value)


@lru_cache(maxsize=4096)
def _names_in_both(left: NameSet, right: NameSet) -> NameSet:
    """Return the same as `intersection`, which takes time with the square of the names where none is a pattern."""
    mine, theirs = _exact(left), _exact(right)
    if mine is None and theirs is None:
        return left.intersection(right)
    if mine is None or (theirs is not None and len(theirs) < len(mine)):
        left, right, mine, theirs = right, left, theirs, mine
    assert mine is not None  # noqa: S101 -- one of them is
    if not left.by_default:
        return NameSet(
            tuple(item for item in left.entries if item[0] == _ANY_NAME or (item[1] and item[0].text in right))
        )
    if theirs is None:
        return left.intersection(right)
    default = right.by_default
    both = {**dict.fromkeys(mine, default), **theirs}
    both |= {pattern: inside and both[pattern] for pattern, inside in mine.items()}
    kept = [(pattern, inside) for pattern, inside in both.items() if inside != default]
    return NameSet(tuple(sorted([(_ANY_NAME, default), *kept])))


def _exact(names: NameSet) -> dict[NamePattern, bool] | None:
    """Return the exact names of a set that has no other patterns but the one of all names."""
    found = dict(names.entries)
    found.pop(_ANY_NAME)
    return None if any(pattern.is_prefix for pattern in found) else found


@once
def decider_of(table: Table) -> Decider:
    """Return what holds the tests of a table's rules against facts."""
    return Decider(table)


class Decider:
    """Holds the tests of one table's rules against facts."""

    def __init__(self, table: Table) -> None:
        self._family = Family.IP if table.family is Family.INET else table.family
        self._sets = {named.name: named for named in table.sets}
        self._needs: dict[Field, tuple[FieldTest, ...] | None] = {}
        self._values: dict[tuple[str, int], ValueSet | None] = {}

    def needs(self, field: Field) -> tuple[FieldTest, ...] | None:
        """Return the tests that hold exactly where the field is there, each behind those it needs itself; None for never."""
        if field not in self._needs:
            self._needs[field] = self._find_needs(field)
        return self._needs[field]

    def _find_needs(self, field: Field) -> tuple[FieldTest, ...] | None:
        wanted = [FieldTest(FIELDS[name], single(FIELDS[name], value)) for name, value in field.requires]
        extra = presence(field, self._family)
        if extra is False:
            return None
        if isinstance(extra, FieldTest):
            wanted.append(extra)
        found: dict[FieldTest, None] = {}
        for test in wanted:
            more = self.needs(test.field)
            if more is None:
                return None
            found |= dict.fromkeys((*more, test))
        return tuple(found)

    # --- deciding ---

    def decide(self, test: PureTest, facts: Facts) -> tuple[PureTest, ...] | None:
        """Return what is left of a test: nothing where every packet passes, None where none does."""
        if isinstance(test, FieldTest):
            return self._field_test(test, facts)
        if isinstance(test, AnyOf):
            return self._any_of(test, facts)
        if isinstance(test, MemberTest):
            return self._member(test, facts)
        return (test,)

    def decide_all(self, tests: Iterable[PureTest], facts: Facts) -> tuple[PureTest, ...] | None:
        """Return what is left of tests that must all hold."""
        found: list[PureTest] = []
        for test in tests:
            left = self.decide(test, facts)
            if left is None:
                return None
            found.extend(left)
        return tuple(found)

    def there(self, field: Field, facts: Facts) -> bool | None:
        """Tell whether the field is there; None where that is not known."""
        needs = self.needs(field)
        if needs is None:
            return False
        known = True
        for need in needs:
            fact = facts.get(need.field)
            if fact is need.values:
                continue
            if fact is None:
                known = False
                continue
            both = meet(fact, need.values)
            if both.is_empty:
                return False
            known = known and (both is fact or both == fact)
        return known or None

    def _field_test(self, test: FieldTest, facts: Facts) -> tuple[PureTest, ...] | None:
        if test.values.is_empty:
            return None
        there = self.there(test.field, facts)
        if there is False:
            return None
        fact = facts.get(test.field)
        if fact is None:
            return () if there and test.values.is_full else (test,)
        both = fact if fact is test.values else meet(fact, test.values)
        if both.is_empty:
            return None
        if both is fact or both == fact:
            return () if there else (test,)
        simpler = _simpler(test.values, both, fact)
        return (test,) if simpler is test.values else (FieldTest(test.field, simpler),)

    def _any_of(self, test: AnyOf, facts: Facts) -> tuple[PureTest, ...] | None:
        branches: dict[tuple[PureTest, ...], None] = {}
        for branch in test.branches:
            left = self.decide_all(branch, facts)
            if left == ():
                return ()
            if left is not None:
                branches[left] = None
        if not branches:
            return None
        if len(branches) == 1:
            return next(iter(branches))
        found = tuple(branches)
        return (test,) if found == test.branches else (AnyOf(found),)

    def _member(self, test: MemberTest, facts: Facts) -> tuple[PureTest, ...] | None:
        there = [self.there(part.field, facts) for part in test.key]
        if False in there:
            return None
        named = self._sets.get(test.set_name)
        if test.dynamic or named is None or named.dynamic:
            return (test,)
        inside = self._inside(named, test.key, facts)
        if inside is None:
            return (test,)
        if inside is not test.inside:
            return None
        return () if all(there) else (test,)

    def _inside(self, named: NamedSet, key: tuple[KeyPart, ...], facts: Facts) -> bool | None:
        """Tell whether every key is in the set (True), or none is (False), as far as that is known."""
        if not named.elements:
            return False
        if len(named.elements) > _MOST_ELEMENTS:
            return None
        sure = len(key) == 1
        for at, part in enumerate(key):
            fact = facts.get(part.field)
            if fact is None or part.mask is not None:
                sure = False
                continue
            values = self._dimension(named, at, part.field)
            if values is None:
                return None
            both = meet(values, fact)
            if both.is_empty:
                return False
            sure = sure and both == fact
        return sure or None

    def _dimension(self, named: NamedSet, at: int, field: Field) -> ValueSet | None:
        """Return what the elements of a set hold in one dimension."""
        if (named.name, at) not in self._values:
            found = [element.key[at] for element in named.elements]
            self._values[named.name, at] = values_of(found, field)
        return self._values[named.name, at]

    # --- learning ---

    def learn(self, tests: Iterable[PureTest], facts: Facts) -> Facts:
        """Return the facts about packets that have passed the tests."""
        found = facts
        for test in tests:
            for held in self._implied(test):
                fact = found.get(held.field)
                if fact is held.values:
                    continue
                values = held.values if fact is None else meet(fact, held.values)
                if values is not fact and parts(values) <= MOST_PARTS:
                    if found is facts:
                        found = dict(facts)
                    found[held.field] = values
        return found

    def _implied(self, test: PureTest) -> tuple[FieldTest, ...]:
        """Return field tests that hold wherever the test does."""
        if isinstance(test, FieldTest):
            return (*(self.needs(test.field) or ()), test)
        if isinstance(test, MemberTest):
            return tuple(need for part in test.key for need in self.needs(part.field) or ())
        if isinstance(test, AnyOf) and test.branches:
            alternatives = [self.learn(branch, {}) for branch in test.branches]
            return tuple(FieldTest(field, values) for field, values in joined(alternatives).items())
        return ()

    def unlearn(self, test: PureTest, facts: Facts) -> Facts:
        """Return the facts about packets that have not passed the test."""
        if isinstance(test, AnyOf):
            for branch in test.branches:
                if len(branch) == 1:
                    facts = self.unlearn(branch[0], facts)
            return facts
        if not isinstance(test, FieldTest):
            return facts
        rest = test.values.complement()
        fact = facts.get(test.field)
        if fact is not None:
            rest = meet(rest, fact)
        # where no value is left the packet has no such field, which is not for a fact to say
        return facts if rest.is_empty or parts(rest) > MOST_PARTS else {**facts, test.field: rest}


def joined(alternatives: list[Facts]) -> Facts:
    """Return what is known where one of the alternatives holds, and nobody knows which."""
    first, *others = alternatives
    found: Facts = {}
    for field, values in first.items():
        known: ValueSet | None = values
        for other in others:
            more = other.get(field)
            known = None if known is None or more is None else join(known, more)
        if known is not None and not known.is_full and parts(known) <= MOST_PARTS:
            found[field] = known
    return found


def values_of(elements: Iterable[Part], field: Field) -> ValueSet | None:
    """Return elements of one dimension as a set; None where it would be too large to be of use."""
    patterns: list[NamePattern] = []
    ranges: list[tuple[int, int]] = []
    for part in elements:
        if isinstance(part, NamePattern):
            patterns.append(part)
        else:
            ranges.append(part)
    if field.kind is FieldKind.NAME:
        return NameSet.of(patterns) if len(patterns) <= MOST_PARTS else None
    if field.kind is FieldKind.BITS:
        if len(ranges) > MOST_PARTS:
            return None
        found = BitSet.empty(field.width)
        for low, high in ranges:
            found = found.union(BitSet.from_range(field.width, low, high))
        return found
    return IntervalSet.of(field.width, ranges)


# --- narrowing ---


def _simpler(values: ValueSet, both: ValueSet, fact: ValueSet) -> ValueSet:
    """Return the simplest set that asks the same of packets for which the fact holds."""
    if isinstance(values, BitSet) and isinstance(fact, BitSet) and fact.only_cube is not None:
        mask, value = fact.only_cube
        fitting = [cube for cube in values.cubes if not (cube[1] ^ value) & cube[0] & mask]
        if any(cube[0] & mask for cube in values.cubes):
            return BitSet.of(values.width, ((cube[0] & ~mask, cube[1] & ~mask) for cube in fitting))
    return both if _weight(both) < _weight(values) else values


def _weight(values: ValueSet) -> int:
    if isinstance(values, IntervalSet):
        return min(len(values.ranges), len(values.complement().ranges))
    if isinstance(values, BitSet):
        return sum(1 + mask.bit_count() for mask, _ in values.cubes)
    return len(values.entries)


# --- writing ---


def assigned(fact: ValueSet | None, width: int, keep: int, constant: int) -> ValueSet | None:
    """Return what is known of a field of bits behind ((field & keep) ^ constant)."""
    ones = (1 << width) - 1
    cubes = fact.cubes if isinstance(fact, BitSet) else ((0, 0),)
    after = [
        (mask & keep | ones & ~keep, ((value & keep) ^ constant) & (mask & keep | ones & ~keep))
        for mask, value in cubes
    ]
    found = BitSet.of(width, after)
    return None if found.is_full else found


def keeps_all(fact: ValueSet | None, width: int, keep: int, constant: int) -> bool:
    """Tell whether ((field & keep) ^ constant) is the field, as far as is known of it."""
    ones = (1 << width) - 1
    if keep & ones == ones and not constant & ones:
        return True
    if not isinstance(fact, BitSet):
        return False
    changed = (ones & ~keep) | constant & ones
    return all(
        not changed & ~mask and not ((value & keep ^ constant) ^ value) & changed & ones for mask, value in fact.cubes
    )


def without(facts: Facts, fields: Iterable[Field]) -> Facts:
    """Return the facts about other fields."""
    gone = set(fields)
    return {field: values for field, values in facts.items() if field not in gone} if gone & facts.keys() else facts


def as_facts(facts: Mapping[Field, ValueSet]) -> Facts:
    """Return facts without those that say nothing."""
    return {field: values for field, values in facts.items() if not values.is_full}
