"""Which bits of the packet's mark a rule reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import MARK
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.remembering import once
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import Dispatch
from fwtrans.ir.walk import flat_steps

if TYPE_CHECKING:
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule, Step

ALL = (1 << MARK.width) - 1


@once
def bits_read(rule: Rule) -> int:
    """Return the bits of the mark that a rule's tests, keys and copies look at."""
    found = 0
    for step in flat_steps(rule.steps):
        found |= bits_read_by(step)
    if isinstance(rule.verdict, Dispatch):
        found |= _of_key(rule.verdict.key)
    return found


def bits_read_by(step: Step) -> int:
    """Return the same for one step that is no any-of."""
    if isinstance(step, FieldTest):
        if step.field is not MARK or not isinstance(step.values, BitSet):
            return 0
        found = 0
        for mask, _ in step.values.cubes:
            found |= mask
        return found
    if isinstance(step, (MemberTest, StatefulTest, StatefulFromMap, does.SetUpdate, does.AssignFromMap, does.Nat)):
        return _of_key(step.key)
    if isinstance(step, does.Assign) and step.source is not None and step.source.field is MARK:
        return step.source.mask
    if isinstance(step, does.AssignFromTable) and step.field is MARK:
        return ALL
    return 0


def _of_key(key: tuple[KeyPart, ...]) -> int:
    found = 0
    for part in key:
        if part.field is MARK:
            found |= ALL if part.mask is None else part.mask
    return found
