"""`-j REDIRECT`: the destination becomes this machine; legal in nat PREROUTING and OUTPUT.

nft's `redirect` runs the same kernel code (net/netfilter/nf_nat_redirect.c): the first address of the interface that the
packet came in by, the loopback address for local packets.
"""

from __future__ import annotations

from fwtrans.ir.effect import Nat, NatKind
from fwtrans.ir.verdict import Accept
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.nat_range import read_flags, read_ports
from fwtrans.lower.extensions.targets.placement import NAT, TO_DESTINATION, require_hooks
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, TO_DESTINATION)
    text = use.find("--to-ports")
    ports = read_ports(text.values[0], use, place, "--to-ports") if text is not None else None
    return Outcome((Nat(NatKind.REDIRECT, ports=ports, flags=read_flags(use)),), Accept())


EXTENSION = Target(
    name="REDIRECT",
    families=BOTH,
    options=(Option(name="--to-ports"), Option(name="--random", arity=0)),
    lower=_lower,
    in_context=True,
    tables=NAT,
)
