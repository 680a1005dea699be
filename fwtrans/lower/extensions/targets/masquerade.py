"""`-j MASQUERADE`: the source becomes the address of the interface that the packet leaves by; nat POSTROUTING only.

nft's `masquerade` runs the same kernel code (net/netfilter/nf_nat_masquerade.c), forgetting connections when the address
or the interface goes included.
"""

from __future__ import annotations

from fwtrans.ir.effect import Nat, NatKind
from fwtrans.ir.verdict import Accept
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.nat_range import read_flags, read_ports
from fwtrans.lower.extensions.targets.placement import NAT, require_hooks
from fwtrans.parsers.iptables_save.options import Option

_POSTROUTING = frozenset({"POSTROUTING"})


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, _POSTROUTING)
    text = use.find("--to-ports")
    ports = read_ports(text.values[0], use, place, "--to-ports") if text is not None else None
    return Outcome((Nat(NatKind.MASQUERADE, ports=ports, flags=read_flags(use)),), Accept())


EXTENSION = Target(
    name="MASQUERADE",
    families=BOTH,
    options=(
        Option(name="--to-ports"),
        Option(name="--random", arity=0),
        Option(name="--random-fully", arity=0),
    ),
    lower=_lower,
    in_context=True,
    tables=NAT,
)
