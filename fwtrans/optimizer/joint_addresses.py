"""Neighbours that do the same for different ranges of one address are one rule, where a look-up among ranges is quicker.

    before   ip daddr 255.255.255.255 drop; ip daddr 224.0.0.0/4 drop      after   ip daddr { 224.0.0.0/4, 255.255.255.255 } drop

The general pass (`sets.py`) takes rules from all over a list and what a hash of single values costs; here ranges count what
they were measured at: 15 ns for an address that is another, 20 for a prefix, 27 for a range, and 30 to 40 for a look-up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import is_pure, joined_origins
from fwtrans.ir.verdict import Accept, Drop, Goto, Reject
from fwtrans.optimizer import calibration, cost

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule

_ADDRESSES = frozenset({FieldKind.IPV4, FieldKind.IPV6})
_ENDS = (Accept, Drop, Reject, Goto)
_ONE, _PREFIX, _RANGE = 15, 20, 27


class _Group(NamedTuple):
    """Neighbours that ask the same but for one address, which stands at the same place in all, and what each asks of it."""

    rules: tuple[Rule, ...]
    place: int
    field: Field
    values: tuple[IntervalSet, ...]


def with_joint_addresses(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return rules with neighbours joined that differ in one address."""
    found: list[Rule] = []
    at = 0
    while at < len(rules):
        group = _group(rules, at)
        joint = _joined(group) if group is not None else None
        if group is None or joint is None:
            found.append(rules[at])
            at += 1
        else:
            found.append(joint)
            at += len(group.rules)
    return tuple(found) if len(found) < len(rules) else rules


def _group(rules: tuple[Rule, ...], start: int) -> _Group | None:
    first = rules[start]
    if start + 1 == len(rules) or not isinstance(first.verdict, _ENDS) or not all(map(is_pure, first.steps)):
        return None
    place = _place(first, rules[start + 1])
    mine = _address(first, place)
    if mine is None or place is None:
        return None
    values = [mine[1]]
    for other in islice(rules, start + 1, None):
        theirs = _address(other, place) if _place(first, other) == place else None
        if theirs is None or theirs[0] is not mine[0]:
            break
        values.append(theirs[1])
    return _Group(rules[start : start + len(values)], place, mine[0], tuple(values)) if len(values) > 1 else None


def _place(first: Rule, other: Rule) -> int | None:
    """Return the only place at which two rules differ."""
    if other.verdict != first.verdict or len(other.steps) != len(first.steps):
        return None
    differing = [at for at, step in enumerate(other.steps) if step != first.steps[at]]
    return differing[0] if len(differing) == 1 else None


def _address(rule: Rule, place: int | None) -> tuple[Field, IntervalSet] | None:
    """Return which address is asked for at a place, and for what."""
    step = rule.steps[place] if place is not None else None
    if isinstance(step, FieldTest) and step.field.kind in _ADDRESSES and isinstance(step.values, IntervalSet):
        return step.field, step.values
    return None


def _joined(group: _Group) -> Rule | None:
    """Return the rule for all of a group, if it is quicker."""
    values = reduce(IntervalSet.union, group.values)
    if not _pays(group.values, values):
        return None
    first = group.rules[0]
    steps = (*first.steps[: group.place], FieldTest(group.field, values), *first.steps[group.place + 1 :])
    origins = joined_origins(group.rules)
    return replace(first, steps=steps, origins=origins)


def _pays(each: tuple[IntervalSet, ...], values: IntervalSet) -> bool:
    ranges = values.ranges
    if min(len(ranges), len(values.complement().ranges)) == 1:
        return True
    exact = all(low == high for low, high in ranges)
    return sum(map(_cost, each)) > (calibration.ONE_KEY_HASH if exact else cost.interval_cost(len(ranges)))


def _cost(values: IntervalSet) -> float:
    """Return what one of the rules' own tests costs."""
    ranges = min(values.ranges, values.complement().ranges, key=len)
    if len(ranges) > 1:
        return cost.interval_cost(len(ranges))
    ((low, high),) = ranges
    size = high - low + 1
    if size == 1:
        return _ONE
    return _PREFIX if not size & (size - 1) and not low & (size - 1) else _RANGE
