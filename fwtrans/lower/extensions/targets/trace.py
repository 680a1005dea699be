"""`-j TRACE`: from here on every rule that the packet matches is reported.

iptables-legacy takes it in the raw table only and reports into the kernel's log; iptables-nft takes it in every table and
reports as nftables does, to `nft monitor trace`.
"""

from __future__ import annotations

from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import NFTRACE
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use


def _lower(_use: Use, place: Place) -> Outcome:
    place.assume("what TRACE reports is read with `nft monitor trace`; iptables-legacy wrote it into the kernel's log")
    return Outcome((Assign(NFTRACE, 0, 1),))


EXTENSION = Target(name="TRACE", families=BOTH, options=(), lower=_lower, in_context=True)
