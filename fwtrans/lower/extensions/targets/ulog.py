"""`-j ULOG`: logging by the old netlink family NETLINK_NFLOG (5); IPv4. It has no nftables form.

Linux 3.17 took it out of the kernel, so that no kernel of today can load such a rule.
"""

from __future__ import annotations

from fwtrans.lower.extensions.base import IP_ONLY, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.extensions.targets.log_text import read_prefix
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

_PREFIX_BYTES = 31
_MOST = 2**64 - 1


def _lower(use: Use, _place: Place) -> Outcome:
    if use.has("--ulog-prefix"):
        read_prefix(use.value("--ulog-prefix"), "--ulog-prefix", _PREFIX_BYTES)
    read_number(use.value("--ulog-nlgroup", "1"), "--ulog-nlgroup", low=1, high=32)
    read_number(use.value("--ulog-cprange", "0"), "--ulog-cprange", high=_MOST)
    read_number(use.value("--ulog-qthreshold", "1"), "--ulog-qthreshold", low=1, high=50)
    raise no_exact_form(
        "ULOG",
        "its netlink protocol left the kernel with Linux 3.17, and what listens to it does not hear nftables",
        hint="use NFLOG and the group of ulogd's NFLOG input",
    )


EXTENSION = Target(
    name="ULOG",
    families=IP_ONLY,
    options=(
        Option(name="--ulog-nlgroup"),
        Option(name="--ulog-prefix"),
        Option(name="--ulog-cprange"),
        Option(name="--ulog-qthreshold"),
    ),
    lower=_lower,
)
