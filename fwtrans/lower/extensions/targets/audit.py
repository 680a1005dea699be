"""`-j AUDIT`: a record for auditd; the next rule goes on.

Since Linux 4.12 the record does not tell the type any more, so that `log level audit`, which runs the same code
(net/netfilter/nft_log.c), says all of it.
"""

from __future__ import annotations

from fwtrans.ir.effect import Log
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

_TYPES = frozenset({"accept", "drop", "reject"})


def _lower(use: Use, _place: Place) -> Outcome:
    text = use.need("--type").values[0]
    if text.lower() not in _TYPES:
        raise bad_value(text, "accept, drop or reject", "--type")
    return Outcome((Log(level="audit"),))


EXTENSION = Target(name="AUDIT", families=BOTH, options=(Option(name="--type"),), lower=_lower)
