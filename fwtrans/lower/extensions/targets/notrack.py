"""`-j NOTRACK`: keeps the packet out of connection tracking; the old spelling of `-j CT --notrack`, raw only."""

from __future__ import annotations

from fwtrans.ir.effect import NoTrack
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import RAW


def _lower(_use: Use, _place: Place) -> Outcome:
    return Outcome((NoTrack(),))


EXTENSION = Target(name="NOTRACK", families=BOTH, options=(), lower=_lower, tables=RAW)
