"""What is known of packets at one point of a chain, and how steps change that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.optimizer.facts import assigned, joined, single

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.optimizer.facts import Facts

_UNTRACKED = 4


@dataclass(slots=True)
class State:
    """Facts about the packets at a point. Nobody changes one; it is not frozen because that would triple what it costs.

    `given` are those that hold whoever calls: what was said at the start, and what rules have written. `facts` are these
    and what tests have shown on the way, which is not handed on to a chain with several callers.
    """

    facts: Facts
    given: Facts

    def writing(self, field: Field, values: ValueSet | None) -> State:
        """Return the state behind a write of the field; None where nothing is known of the new value."""
        if values is None and field not in self.facts and field not in self.given:
            return self
        facts = {other: found for other, found in self.facts.items() if other is not field}
        given = {other: found for other, found in self.given.items() if other is not field}
        if values is not None:
            facts[field] = given[field] = values
        return State(facts, given)

    def restricted(self, fields: frozenset[Field]) -> State:
        """Return what is known of some fields."""
        if fields.issuperset(self.facts) and fields.issuperset(self.given):
            return self
        facts = {field: values for field, values in self.facts.items() if field in fields}
        if self.given is self.facts:
            return State(facts, facts)
        return State(facts, {field: values for field, values in self.given.items() if field in fields})

    def returning(self, written: frozenset[Field], callee: State) -> State:
        """Return the state behind a call, from the one in front of it and the one at the callee's end."""
        if not written:
            return self

        def behind(mine: Facts, theirs: Facts) -> Facts:
            kept = {field: values for field, values in mine.items() if field not in written}
            return kept | {field: values for field, values in theirs.items() if field in written}

        return State(behind(self.facts, callee.facts), behind(self.given, callee.given))


def joined_states(first: State | None, second: State | None) -> State | None:
    """Return what is known where two ways meet; None is a way that no packet takes."""
    if first is None or second is None or first is second:
        return first or second
    facts = joined([first.facts, second.facts])
    if first.facts is first.given and second.facts is second.given:
        return State(facts, facts)
    return State(facts, joined([first.given, second.given]))


def key_of(state: State) -> tuple[frozenset[tuple[Field, ValueSet]], frozenset[tuple[Field, ValueSet]]]:
    """Return a state as something that can be looked up."""
    facts = frozenset(state.facts.items())
    return facts, facts if state.given is state.facts else frozenset(state.given.items())


def written_fields(step: object) -> Iterator[Field]:
    """Yield the fields that a step may write."""
    if isinstance(step, (does.Assign, does.AssignFromMap, does.AssignFromTable)):
        yield step.field
    elif isinstance(step, does.NoTrack):
        yield known.CT_STATE
        yield known.HAS_CONNTRACK
    elif isinstance(step, does.SetHelper):
        yield known.CT_HELPER
    elif isinstance(step, does.SetSecmark):
        yield known.SECMARK


def behind(step: Step, state: State) -> State:
    """Return the state behind an effect."""
    if isinstance(step, does.Assign):
        return _behind_assign(step, state)
    if isinstance(step, does.NoTrack):
        untracked = state.writing(known.CT_STATE, IntervalSet.single(3, _UNTRACKED))
        return untracked.writing(known.HAS_CONNTRACK, IntervalSet.single(1, 0))
    for field in written_fields(step):
        state = state.writing(field, None)
    return state


def _behind_assign(step: does.Assign, state: State) -> State:
    field = step.field
    keep, constant = step.keep, step.constant
    if field.kind is FieldKind.BITS:
        if step.source is None:
            return state.writing(field, assigned(state.facts.get(field), field.width, keep, constant))
        # bits that the source does not reach are as they would be without it
        shift, mask = step.source.shift, step.source.mask
        reached = (mask << shift if shift >= 0 else mask >> -shift) & ((1 << field.width) - 1)
        found = assigned(state.facts.get(field), field.width, keep, constant)
        return state.writing(field, _forgetting(found, reached))
    if step.source is None and not keep:
        return state.writing(field, single(field, constant))
    return state.writing(field, None)


def _forgetting(values: ValueSet | None, mask: int) -> ValueSet | None:
    if not isinstance(values, BitSet):
        return None
    found = BitSet.of(values.width, ((cube & ~mask, value & ~mask) for cube, value in values.cubes))
    return None if found.is_full else found
