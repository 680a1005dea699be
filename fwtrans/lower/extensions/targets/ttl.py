"""`-j TTL`: sets, raises or lowers the time to live; IPv4, mangle only."""

from __future__ import annotations

from fwtrans.ir.fields import IP_TTL
from fwtrans.lower.extensions.base import IP_ONLY, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.hop_count import lower_hop_count
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, _place: Place) -> Outcome:
    return lower_hop_count(use, IP_TTL, "ttl")


EXTENSION = Target(
    name="TTL",
    families=IP_ONLY,
    options=(Option(name="--ttl-set"), Option(name="--ttl-dec"), Option(name="--ttl-inc")),
    lower=_lower,
    tables=MANGLE,
)
