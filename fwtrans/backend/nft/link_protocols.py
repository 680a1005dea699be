"""Which network protocol a frame carries, as the link layer's families say it.

    meta nfproto ipv4   ->   meta protocol ip

nft takes `meta nfproto` in the inet family only (1.0.6 and 1.1.3: "only useful in the inet family"). In a table of
the link layer the frame's own protocol says the same: a frame carries IPv4 exactly when its protocol is 0x0800, and IPv6 when it is 0x86dd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import ETHER_PROTOCOL, NFPROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.expand import FlatRule
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step

_PROTOCOLS = {2: 0x0800, 10: 0x86DD}
_NEITHER = 0


def on_link(rules: Iterable[FlatRule]) -> tuple[FlatRule, ...]:
    """Return flat rules with every question for the network protocol put to the frame, those that no frame passes left out."""
    return tuple((tuple(map(_step, steps)), verdict) for steps, verdict in rules if not _contradict(steps))


def _contradict(steps: tuple[Step, ...]) -> bool:
    """Tell whether a rule asks for one protocol and for a field of the other."""
    asked = [step.values for step in steps if isinstance(step, FieldTest) and step.field is NFPROTO]
    needed = {
        value for step in steps for field in _fields(step) for name, value in field.requires if name == NFPROTO.name
    }
    return any(value not in values for values in asked if isinstance(values, IntervalSet) for value in needed)


def _fields(step: Step) -> tuple[Field, ...]:
    if isinstance(step, FieldTest):
        return (step.field,)
    return tuple(part.field for part in step.key) if isinstance(step, MemberTest) else ()


def _step(step: Step) -> Step:
    if not isinstance(step, FieldTest) or step.field is not NFPROTO or not isinstance(step.values, IntervalSet):
        return step
    asked = [ether_type for number, ether_type in _PROTOCOLS.items() if number in step.values]
    if _NEITHER not in step.values:
        return FieldTest(ETHER_PROTOCOL, IntervalSet.values(ETHER_PROTOCOL.width, asked))
    others = [ether_type for ether_type in _PROTOCOLS.values() if ether_type not in asked]
    return FieldTest(ETHER_PROTOCOL, IntervalSet.values(ETHER_PROTOCOL.width, others).complement())
