"""Rates and amounts of bytes as text, as rules, named objects and elements of sets say them."""

from __future__ import annotations

from fwtrans.backend.nft import literals
from fwtrans.backend.nft import statements as st
from fwtrans.backend.nft.restrictions import check_rate


def rate_text(rate: st.Rate) -> str:
    """Return `over 10/second burst 5 packets`. A burst of packets is always told, the default being easy to forget."""
    check_rate(rate)
    over = "over " if rate.over else ""
    if not rate.in_bytes:
        burst = st.DEFAULT_PACKET_BURST if rate.burst is None else rate.burst
        return f"{over}{rate.amount}/{rate.period.value} burst {burst} packets"
    amount, unit = literals.byte_amount(rate.amount)
    text = f"{over}{amount} {unit}/{rate.period.value}"
    if not rate.burst:
        return text
    burst, unit = literals.byte_amount(rate.burst)
    return f"{text} burst {burst} {unit}"


def quota_text(amount: int, *, over: bool, used: int) -> str:
    """Return `over 25 mbytes used 1 mbytes`."""
    value, unit = literals.byte_amount(amount)
    text = f"{'over ' if over else ''}{value} {unit}"
    if not used:
        return text
    value, unit = literals.byte_amount(used)
    return f"{text} used {value} {unit}"
