"""`-m limit`: one bucket for the rule, 3 packets an hour and a burst of 5 unless told otherwise.

It is charged by every packet that reaches it, which is why its place among the other matches counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.stateful import Limit, StatefulObject, StatefulTest
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.extensions.token_bucket import effective_burst, read_rate
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_TICKS_A_SECOND = 10_000
_CREDITS_A_SECOND = 32_000
_WORD = 0xFFFFFFFF


def _credits(ticks: int) -> int:
    """Convert as the kernel does: in another order where the product would not fit into 32 bits."""
    if ticks > _WORD // _CREDITS_A_SECOND:
        return ticks // _TICKS_A_SECOND * _CREDITS_A_SECOND
    return ticks * _CREDITS_A_SECOND // _TICKS_A_SECOND


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    rate = read_rate(use.value("--limit", "3/hour"), "--limit", _TICKS_A_SECOND)
    wanted = read_number(use.value("--limit-burst", "5"), "--limit-burst", high=10_000)
    burst = effective_burst(rate.ticks, wanted, _credits, 32)
    if not burst:
        option = "--limit-burst" if use.has("--limit-burst") else "--limit"
        raise bad_value(use.value(option), f"possible: the kernel refuses a burst of {wanted} at this rate", option)
    if burst != wanted:
        place.assume(
            f"`--limit-burst {wanted}` at this rate overflows in the kernel, where the bucket holds {burst} packets; so it does here"
        )
    bucket = StatefulObject(place.identity, Limit(rate.number, rate.unit, burst))
    return (StatefulTest(bucket),)


EXTENSION = Match(
    name="limit",
    families=BOTH,
    options=(Option(name="--limit"), Option(name="--limit-burst")),
    lower=_lower,
    in_context=True,
)
