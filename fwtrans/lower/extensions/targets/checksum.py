"""`-j CHECKSUM`: computes a checksum that was left to the network card; mangle only. It has no nftables form."""

from __future__ import annotations

from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, _place: Place) -> Outcome:
    use.need("--checksum-fill")
    raise no_exact_form(
        "CHECKSUM --checksum-fill",
        "no nftables statement computes the checksum that the kernel has left to the network card; what nftables "
        "writes into a header is a constant or another field",
        option="--checksum-fill",
        hint="it is there for old DHCP clients, which take a checksum left to the card for a wrong one; if no guest has "
        "such a client, take the rule out",
    )


EXTENSION = Target(
    name="CHECKSUM", families=BOTH, options=(Option(name="--checksum-fill", arity=0),), lower=_lower, tables=MANGLE
)
