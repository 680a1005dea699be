"""`-m eui64`: the lower half of the IPv6 source address is made from the sender's MAC address. Refused.

It compares one field of the packet with another; an nftables rule compares fields with constants and sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use, no_exact_form

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(_use: Use, _place: Place) -> tuple[Step, ...]:
    raise no_exact_form(
        "eui64",
        "it compares the source address with the source MAC address, and nftables compares no field of a packet with another",
        option="eui64",
    )


EXTENSION = Match(name="eui64", families=IP6_ONLY, options=(), lower=_lower)
