"""The message type that nft asks for by itself where a rule asks for a field that only some ICMP messages have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import ICMP6_TYPE, ICMP_TYPE
from fwtrans.ir.match import FieldTest, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.rule import Step
    from fwtrans.lower.nft.json_types import Json

_ECHO, _ECHO6 = number(ICMP_TYPE, 0, 8), number(ICMP6_TYPE, 128, 129)
_TESTS = {
    ("icmp", "id"): _ECHO,
    ("icmp", "sequence"): _ECHO,
    ("icmp", "gateway"): number(ICMP_TYPE, 5),
    ("icmp", "mtu"): number(ICMP_TYPE, 3),
    ("icmpv6", "id"): _ECHO6,
    ("icmpv6", "sequence"): _ECHO6,
    ("icmpv6", "mtu"): number(ICMP6_TYPE, 2),
}


def implied_type(statement: Json, before: Iterable[Step]) -> tuple[FieldTest, ...]:
    """Return the test that stands in front of a statement, none where the rule has asked for the type already."""
    match = statement.get("match") if isinstance(statement, dict) else None
    left = match.get("left") if isinstance(match, dict) else None
    payload = left.get("payload") if isinstance(left, dict) else None
    if not isinstance(payload, dict):
        return ()
    test = _TESTS.get((str(payload.get("protocol")), str(payload.get("field"))))
    if test is None or any(isinstance(step, FieldTest) and step.field is test.field for step in before):
        return ()
    return (test,)
