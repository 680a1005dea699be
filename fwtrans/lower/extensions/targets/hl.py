"""`-j HL`: sets, raises or lowers the hop limit; IPv6, mangle only."""

from __future__ import annotations

from fwtrans.ir.fields import IP6_HOPLIMIT
from fwtrans.lower.extensions.base import IP6_ONLY, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.hop_count import lower_hop_count
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, _place: Place) -> Outcome:
    return lower_hop_count(use, IP6_HOPLIMIT, "hl")


EXTENSION = Target(
    name="HL",
    families=IP6_ONLY,
    options=(Option(name="--hl-set"), Option(name="--hl-dec"), Option(name="--hl-inc")),
    lower=_lower,
    tables=MANGLE,
)
