"""`-m rateest`: compares measured rates. nftables has nothing that measures a rate over time and can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_COMPARISONS = ("--rateest-lt", "--rateest-gt", "--rateest-eq")


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.exclusive(*_COMPARISONS)
    if not any(use.has(name) for name in _COMPARISONS):
        raise Refused("FWT116", "`rateest` needs `--rateest-lt`, `--rateest-gt` or `--rateest-eq`", option="rateest")
    if not use.has("--rateest1"):
        raise Refused("FWT116", "`rateest` needs `--rateest` or `--rateest1`", option="rateest")
    raise no_exact_form("rateest", "its limits are token buckets, and no rate that it measures can be compared")


EXTENSION = Match(
    name="rateest",
    families=BOTH,
    options=(
        Option(name="--rateest1", aliases=("--rateest",)),
        Option(name="--rateest2"),
        Option(name="--rateest-delta", arity=0),
        Option(name="--rateest-bps1", aliases=("--rateest-bps",), arity=0, optional=True),
        Option(name="--rateest-pps1", aliases=("--rateest-pps",), arity=0, optional=True),
        Option(name="--rateest-bps2", arity=0, optional=True),
        Option(name="--rateest-pps2", arity=0, optional=True),
        Option(name="--rateest-lt", arity=0, negatable=True),
        Option(name="--rateest-gt", arity=0, negatable=True),
        Option(name="--rateest-eq", arity=0, negatable=True),
    ),
    lower=_lower,
)
