"""Rates as iptables keeps them, for `limit` and `hashlimit`.

iptables keeps no rate but the time between two packets, in whole ticks (1/10,000 s for `limit`, 1/1,000,000 s for
`hashlimit`), rounded down: `--limit 6000/second` is one tick, and so 10,000 a second in truth, which is what
iptables-save then prints. As long as that changes less than one part in a hundred the rate is taken as it is written.

The kernel turns the time into credits: a packet costs `cost`, the bucket holds `cost of burst packets`. Both are whole
words that may overflow; the kernel refuses the rule only where the bucket then holds less than one packet. What is
left of the burst otherwise is worked out here as the kernel does it (net/netfilter/xt_limit.c, xt_hashlimit.c), with the
clock of Debian's kernels (HZ 250; 1000 gives the same).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.stateful import LimitUnit
from fwtrans.lower.values import bad_value

if TYPE_CHECKING:
    from collections.abc import Callable

# iptables compares with the start of these words, in any case.
_UNITS = {
    "second": LimitUnit.SECOND,
    "minute": LimitUnit.MINUTE,
    "hour": LimitUnit.HOUR,
    "day": LimitUnit.DAY,
}
_TOLERANCE = 100


class Rate(NamedTuple):
    """A number of packets a unit, the ticks between two packets as iptables keeps them, and the unit as it was written."""

    number: int
    unit: LimitUnit
    ticks: int
    written_unit: LimitUnit


def leading_number(text: str) -> int:
    """Return the number that a text starts with, as C's atoi reads it; whatever follows is not looked at."""
    found = re.match(r"\s*\+?([0-9]+)", text)
    return int(found.group(1)) if found else 0


def read_rate(text: str, option: str, ticks_a_second: int) -> Rate:
    """Return `number[/unit]`."""
    _, slash, word = text.partition("/")
    unit = LimitUnit.SECOND
    if slash:
        found = next((unit for name, unit in _UNITS.items() if word and name.startswith(word.lower())), None)
        if found is None:
            raise bad_value(text, "a rate: number/second, /minute, /hour or /day", option)
        unit = found
    number = leading_number(text)
    if not number:
        raise bad_value(text, "a rate: number/second, /minute, /hour or /day", option)
    ticks = ticks_a_second * unit.value // number
    if not ticks:
        raise bad_value(text, f"a rate: {ticks_a_second} packets a second are the most", option)
    return _as_kept(number, unit, ticks, ticks_a_second)


def _as_kept(number: int, unit: LimitUnit, ticks: int, ticks_a_second: int) -> Rate:
    lost = ticks_a_second * unit.value - ticks * number
    if lost * _TOLERANCE <= ticks_a_second * unit.value:
        return Rate(number, unit, ticks, unit)
    for other in LimitUnit:
        whole, rest = divmod(ticks_a_second * other.value, ticks)
        if not rest or other is LimitUnit.WEEK:
            return Rate(whole, other, ticks, unit)
    raise AssertionError


def effective_burst(ticks: int, burst: int, credits_of: Callable[[int], int], word: int) -> int:
    """Return how many packets the bucket holds in the kernel; 0 where it refuses the rule.

    `credits_of` is the kernel's conversion, `word` the number of bits of its arithmetic.
    """
    ones = (1 << word) - 1
    exact = credits_of(ticks * burst)
    kept = credits_of(ticks * burst & ones) & ones
    cost = credits_of(ticks) & ones
    if not burst or kept < cost:
        return 0
    return burst if kept == exact else kept // cost
