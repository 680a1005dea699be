"""`-j NETMAP`: the network part of an address is replaced, the host part kept.

new = (old & ~mask) | (address & mask): of the destination in PREROUTING and OUTPUT, of the source in POSTROUTING and
INPUT. nft says it with `snat prefix to` and `dnat prefix to`, which the kernel computes in the same way from the first
and last address (net/netfilter/nft_nat.c).
"""

from __future__ import annotations

from fwtrans.ir.effect import Nat, NatKind
from fwtrans.ir.verdict import Accept
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.extensions.targets.placement import NAT, TO_DESTINATION, TO_SOURCE
from fwtrans.lower.values import address_width, read_network
from fwtrans.parsers.iptables_save.options import Option


def _lower(use: Use, place: Place) -> Outcome:
    address, mask = read_network(use.need("--to").values[0], "--to", place.family)
    if place.hooks & TO_SOURCE and place.hooks & TO_DESTINATION:
        raise no_exact_form(
            "NETMAP",
            "it changes the source or the destination depending on the built-in chain, and this chain is reached "
            "from both kinds; an nft statement does one of the two",
            hint="give each of them a chain of its own",
        )
    kind = NatKind.SNAT if place.hooks & TO_SOURCE else NatKind.DNAT
    hosts = ((1 << address_width(place.family)) - 1) & ~mask
    if hosts & (hosts + 1):
        raise no_exact_form(
            "NETMAP --to",
            "versions of iptables differ about a mask with holes: 1.8.9 loads it as the mask of a single address",
            option="--to",
        )
    return Outcome((Nat(kind, (address, address | hosts), prefix=True),), Accept())


EXTENSION = Target(
    name="NETMAP",
    families=BOTH,
    options=(Option(name="--to"),),
    lower=_lower,
    in_context=True,
    tables=NAT,
)
