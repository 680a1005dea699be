"""Neighbours that do the same for different ranges of one address are one rule, where a look-up among ranges is quicker.

    before   ip daddr 255.255.255.255 drop; ip daddr 224.0.0.0/4 drop      after   ip daddr { 224.0.0.0/4, 255.255.255.255 } drop

The general pass (`sets.py`) takes rules from all over a list and what a hash of single values costs; here ranges count what
they were measured at: 15 ns for an address that is another, 20 for a prefix, 27 for a range, and 30 to 40 for a look-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Accept, Drop, Goto, Reject
from fwtrans.optimizer import calibration, cost

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule

_ADDRESSES = frozenset({FieldKind.IPV4, FieldKind.IPV6})
_ENDS = (Accept, Drop, Reject, Goto)
_ONE, _PREFIX, _RANGE = 15, 20, 27


def with_joint_addresses(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return rules with neighbours joined that differ in one address."""
    found: list[Rule] = []
    at = 0
    while at < len(rules):
        first = joint = rules[at]
        end = at + 1
        while end < len(rules) and (both := _both(first, joint, rules[end])) is not None:
            joint, end = both, end + 1
        group = rules[at:end]
        if len(group) > 1 and _pays(group, joint):
            found.append(joint)
        else:
            found.extend(group)
        at = end
    return tuple(found) if len(found) < len(rules) else rules


def _both(first: Rule, joint: Rule, other: Rule) -> Rule | None:
    """Return the rule for what two ask; they must ask what the first of all asks, but for one address."""
    if other.verdict != first.verdict or not isinstance(first.verdict, _ENDS) or len(other.steps) != len(first.steps):
        return None
    differing = [at for at, step in enumerate(other.steps) if step != joint.steps[at]]
    if len(differing) != 1 or not all(is_pure(step) for step in (*joint.steps, *other.steps)):
        return None
    (at,) = differing
    mine, theirs = joint.steps[at], other.steps[at]
    if not isinstance(mine, FieldTest) or not isinstance(theirs, FieldTest) or mine.field is not theirs.field:
        return None
    if joint is not first and first.steps[at] == mine:
        return None
    if mine.field.kind not in _ADDRESSES:
        return None
    if not isinstance(mine.values, IntervalSet) or not isinstance(theirs.values, IntervalSet):
        return None
    values = mine.values.union(theirs.values)
    steps = (*joint.steps[:at], FieldTest(mine.field, values), *joint.steps[at + 1 :])
    origins = tuple(dict.fromkeys((*joint.origins, *other.origins)))
    return replace(joint, steps=steps, origins=origins)


def _pays(group: tuple[Rule, ...], joint: Rule) -> bool:
    (test,) = (step for step, old in zip(joint.steps, group[0].steps, strict=True) if step != old)
    assert isinstance(test, FieldTest)  # noqa: S101 -- `_both` joins field tests
    assert isinstance(test.values, IntervalSet)  # noqa: S101 -- of addresses
    at = joint.steps.index(test)
    before = sum(_cost(rule.steps[at]) for rule in group)
    ranges = test.values.ranges
    if min(len(ranges), len(test.values.complement().ranges)) == 1:
        return True
    exact = all(low == high for low, high in ranges)
    return before > (calibration.ONE_KEY_HASH if exact else cost.interval_cost(len(ranges)))


def _cost(step: object) -> float:
    """Return what one of the rules' own tests costs."""
    assert isinstance(step, FieldTest)  # noqa: S101 -- `_both` joins field tests
    assert isinstance(step.values, IntervalSet)  # noqa: S101 -- of addresses
    ranges = min(step.values.ranges, step.values.complement().ranges, key=len)
    if len(ranges) > 1:
        return cost.interval_cost(len(ranges))
    ((low, high),) = ranges
    size = high - low + 1
    if size == 1:
        return _ONE
    return _PREFIX if not size & (size - 1) and not low & (size - 1) else _RANGE
