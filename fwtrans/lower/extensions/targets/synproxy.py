"""`-j SYNPROXY`: answers SYNs itself until the client has shown that it is there; INPUT and FORWARD, `-p tcp` only.

The target takes pure SYNs and pure ACKs and lets all else go on to the next rule. nft's statement takes every packet with
SYN or ACK (net/netfilter/nft_synproxy.c), so the flags are tested in front of it.
"""

from __future__ import annotations

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import TCP_FLAGS
from fwtrans.ir.match import FieldTest
from fwtrans.ir.verdict import SynProxy
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.extensions.targets.placement import require_hooks
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

_TCP = 6
_HOOKS = frozenset({"INPUT", "FORWARD"})

_FIN_SYN_RST_ACK = 0x17
_SYN, _ACK = 0x02, 0x10
_TAKEN = FieldTest(TCP_FLAGS, BitSet.of(8, ((_FIN_SYN_RST_ACK, _SYN), (_FIN_SYN_RST_ACK, _ACK))))


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, _HOOKS)
    place.require_protocol("SYNPROXY", _TCP)
    if use.has("--ecn"):
        raise no_exact_form(
            "SYNPROXY --ecn", "nft's synproxy statement has no option to answer with ECN", option="--ecn"
        )
    # the kernel keeps 16 bits of the size and 8 of the scale, whatever iptables was told
    size = read_number(use.value("--mss", "0"), "--mss") & 0xFFFF
    if use.has("--mss") and size == 0:
        raise no_exact_form("SYNPROXY --mss 0", "no client can send segments of size 0", option="--mss")
    scale = read_number(use.value("--wscale"), "--wscale") & 0xFF if use.has("--wscale") else None
    place.assume(
        "no TCP packet that SYNPROXY sees is damaged: iptables drops those, nftables only those with SYN or ACK"
    )
    return Outcome((_TAKEN,), SynProxy(size, scale, use.has("--timestamp"), use.has("--sack-perm")))


EXTENSION = Target(
    name="SYNPROXY",
    families=BOTH,
    options=(
        Option(name="--sack-perm", arity=0),
        Option(name="--timestamp", arity=0),
        Option(name="--wscale"),
        Option(name="--mss"),
        Option(name="--ecn", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
