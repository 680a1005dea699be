"""`-j RATEEST`: feeds a rate estimator that `-m rateest` compares. It has no nftables form."""

from __future__ import annotations

import re

from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

_TIME = re.compile(r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?(?:s|secs?|ms|msecs?|us|usecs?)?\Z", re.ASCII | re.IGNORECASE)


def _lower(use: Use, _place: Place) -> Outcome:
    if not use.need("--rateest-name").values[0]:
        raise bad_value("", "the name of an estimator", "--rateest-name")
    for name in ("--rateest-interval", "--rateest-ewmalog"):
        text = use.need(name).values[0]
        if not _TIME.match(text):
            raise bad_value(text, "a time: a number, with s, ms or us behind it if not seconds", name)
    raise no_exact_form(
        "RATEEST",
        "nftables has no estimator of an average rate; its limits are token buckets, which answer another question",
    )


EXTENSION = Target(
    name="RATEEST",
    families=BOTH,
    options=(
        Option(name="--rateest-name"),
        Option(name="--rateest-interval"),
        Option(name="--rateest-ewmalog"),
    ),
    lower=_lower,
)
