"""`-j SNAT`: a new source for the connection; legal in nat POSTROUTING and INPUT.

The kernel's code behind it is the one that nft's `snat` runs as well (net/netfilter/nf_nat_core.c), so ranges, flags and
the choice of an address are the same. Several `--to-source` in one rule were legal before Linux 2.6.11.
"""

from __future__ import annotations

from fwtrans.ir.effect import Nat, NatKind
from fwtrans.ir.verdict import Accept
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.nat_range import read_destination, read_flags
from fwtrans.lower.extensions.targets.placement import NAT, TO_SOURCE, require_hooks
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, TO_SOURCE)
    text = use.need("--to-source").values[0]
    addresses, ports = read_destination(text, use, place, "--to-source")
    return Outcome((Nat(NatKind.SNAT, addresses, ports, read_flags(use)),), Accept())


EXTENSION = Target(
    name="SNAT",
    families=BOTH,
    options=(
        Option(name="--to-source"),
        Option(name="--random", arity=0),
        Option(name="--random-fully", arity=0),
        Option(name="--persistent", arity=0),
    ),
    lower=_lower,
    in_context=True,
    tables=NAT,
)
