"""Addresses that became other addresses: in rules, in sets, and in what Proxmox VE makes of a hardware address."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.report.review.words import values_words

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.semantics.changes import Changes, RuleChange, SetChange

_ADDRESSES = frozenset({FieldKind.IPV4, FieldKind.IPV6, FieldKind.MAC})


class Move(NamedTuple):
    """Addresses that became others; `field` is one that holds such addresses."""

    field: Field
    before: IntervalSet
    after: IntervalSet

    @property
    def words(self) -> tuple[str, str]:
        """Return both in people's words."""
        return values_words(self.field, self.before), values_words(self.field, self.after)

    def is_behind(self, item: SetChange) -> bool:
        """Tell whether a set changed because of this: one end came or went whole, and the set may have held the other before."""
        change = _of_set(item)
        if change is None:
            return False
        field, lost, gained = change
        if field.kind is FieldKind.IPV6 and self.field.kind is FieldKind.MAC:
            return (lost, gained) == tuple(map(_link_local, (self.before, self.after)))
        within = lost.difference(self.before).is_empty and gained.difference(self.after).is_empty
        return field.kind is self.field.kind and within and (lost == self.before or gained == self.after)


def moves_of(found: Changes) -> tuple[Move, ...]:
    """Return what became other addresses in rules, and what did in sets where it is behind more than one of them."""
    of_rules = dict.fromkeys(move for change in found.rules if (move := _move(change)) is not None)
    of_sets = [
        Move(*change)
        for item in found.sets
        if (change := _of_set(item)) is not None and not change[1].is_empty and not change[2].is_empty
    ]
    shared = [move for move in of_sets if len({item.name for item in found.sets if move.is_behind(item)}) > 1]
    return tuple(dict.fromkeys((*of_rules, *shared)))


def moved_values(change: RuleChange) -> tuple[str, str] | None:
    """Return the addresses that became others, where that is all that has changed in a rule."""
    move = _move(change)
    return move.words if move is not None else None


def _move(change: RuleChange) -> Move | None:
    field = only_other(change)
    if field is None or field.kind not in _ADDRESSES:
        return None
    before, after = (
        _without_the_rest(tests_of(sited.rule if sited else None)[field]) for sited in (change.old, change.new)
    )
    # Of several addresses, those that stay are not what has become another.
    kept = set(before.ranges) & set(after.ranges)
    ends = [IntervalSet(field.width, tuple(one for one in end.ranges if one not in kept)) for end in (before, after)]
    return Move(field, before, after) if any(end.is_empty for end in ends) else Move(field, *ends)


def _without_the_rest(values: ValueSet) -> IntervalSet:
    """Return what values are told by: of `anything but these`, these."""
    assert isinstance(values, IntervalSet)  # noqa: S101 -- addresses are
    others = values.complement()
    return others if not others.is_empty and len(others.ranges) < len(values.ranges) else values


def _of_set(item: SetChange) -> tuple[Field, IntervalSet, IntervalSet] | None:
    """Return which addresses a set has lost and gained, None of sets of anything else."""
    named = item.new or item.old
    if item.old is None or item.new is None or named is None or len(named.fields) != 1:
        return None
    field = named.fields[0]
    if field.kind not in _ADDRESSES:
        return None
    lost, gained = (
        elements_without(field, one, other) or IntervalSet(field.width, ())
        for one, other in ((item.old, item.new), (item.new, item.old))
    )
    if not isinstance(lost, IntervalSet) or not isinstance(gained, IntervalSet):
        return None
    return field, lost, gained


def _link_local(addresses: IntervalSet) -> IntervalSet:
    """Return the IPv6 addresses that hosts make of hardware addresses for their own link (RFC 4291, appendix A)."""
    return IntervalSet.of(
        128, (_interface(address) for low, high in addresses.ranges if low == high for address in (low,))
    )


def _interface(address: int) -> tuple[int, int]:
    upper, lower = address >> 24 ^ 1 << 17, address & 0xFFFFFF
    found = 0xFE80 << 112 | upper << 40 | 0xFFFE << 24 | lower
    return found, found


def tests_of(rule: Rule | None) -> dict[Field, ValueSet]:
    """Return the values that a rule asks for, by field."""
    return {step.field: step.values for step in rule.steps if isinstance(step, FieldTest)} if rule is not None else {}


def only_other(change: RuleChange) -> Field | None:
    """Return the one field of which two rules ask for other values, where nothing else is different."""
    old, new = (sited.rule if sited is not None else None for sited in (change.old, change.new))
    if old is None or new is None or old.verdict != new.verdict:
        return None
    before, after = tests_of(old), tests_of(new)
    others = [field for field in before if field in after and before[field] != after[field]]
    rest = [[step for step in rule.steps if not isinstance(step, FieldTest)] for rule in (old, new)]
    return others[0] if before.keys() == after.keys() and len(others) == 1 and rest[0] == rest[1] else None


def elements_without(field: Field, one: object, other: object) -> ValueSet | None:
    """Return the values that one set has and another has not, None where there are none."""
    mine, theirs = _elements(field, one), _elements(field, other)
    if isinstance(mine, IntervalSet) and isinstance(theirs, IntervalSet):
        left = mine.difference(theirs)
        return None if left.is_empty else left
    if isinstance(mine, NameSet) and isinstance(theirs, NameSet):
        names = mine.difference(theirs)
        return None if names.is_empty else names
    return None


def _elements(field: Field, item: object) -> ValueSet | None:
    parts = [element.key[0] for element in getattr(item, "elements", ()) if len(element.key) == 1]
    if field.kind is FieldKind.NAME:
        return NameSet.of(part for part in parts if isinstance(part, NamePattern))
    if field.kind is FieldKind.BITS:
        return None
    return IntervalSet.of(field.width, (part for part in parts if not isinstance(part, NamePattern)))
