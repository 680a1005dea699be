"""`-j IDLETIMER`: starts a timer again that tells user space through sysfs when it runs out. It has no nftables form."""

from __future__ import annotations

from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

# The kernel counts in milliseconds and refuses what would not fit.
_MOST_SECONDS = 0x7FFFFFFF // 1000 - 1


def _lower(use: Use, _place: Place) -> Outcome:
    read_number(use.need("--timeout").values[0], "--timeout", low=1, high=_MOST_SECONDS)
    if not use.need("--label").values[0]:
        raise bad_value("", "a label: it must have at least one letter", "--label")
    raise no_exact_form(
        "IDLETIMER",
        "nftables has no timer of the kernel that packets start again and sysfs shows",
        hint="a set with a timeout that rules renew tells the same to whoever lists it or runs `nft monitor`",
    )


EXTENSION = Target(
    name="IDLETIMER",
    families=BOTH,
    options=(Option(name="--timeout"), Option(name="--label"), Option(name="--alarm", arity=0)),
    lower=_lower,
)
