"""`-j TCPMSS`: lowers the largest segment size that a SYN announces. It is never raised.

The kernel wants `-p tcp` and, with iptables-legacy, `--syn` or the like; nft's `tcp option maxseg size set` does not raise
either (net/netfilter/nft_exthdr.c, Linux 6.1). `rt mtu` is the segment size for the smaller of the two routes' MTUs, to
where the packet goes and to where it comes from, as is the one that `--clamp-mss-to-pmtu` takes.

What differs, and is assumed away: iptables adds an option of at most 536 (1220 in IPv6) to a SYN without one, and drops
packets whose TCP header is cut short. nft does neither. `rt mtu` takes 536 for routes of more than 65535 bytes, such as
the loopback device's; iptables takes their true size there, and drops the packet on routes too small for any segment.
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, BitsOf
from fwtrans.ir.fields import RT_MTU, Family, header_field
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import WITH_ROUTE, require_hooks
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

_TCP = 6
_IP_HEADER = {Family.IP: 20, Family.IP6: 40}
_CLAMP = "--clamp-mss-to-pmtu"
_SIXTEEN_BITS = 0xFFFF


def _lower(use: Use, place: Place) -> Outcome:
    size = use.find("--set-mss")
    clamp = use.find(_CLAMP)
    if size is None and clamp is None:
        raise Refused("FWT116", f"`TCPMSS` needs `--set-mss` or `{_CLAMP}`", option="TCPMSS")
    place.require_protocol("TCPMSS", _TCP)
    place.assume("every SYN that TCPMSS sees announces a segment size: iptables would add 536 (1220 in IPv6) at most")
    place.assume("no TCP header that TCPMSS sees is cut short or lies about its length: iptables drops such packets")
    segment_size = header_field("tcp option", "maxseg", "size", 16)
    # iptables takes both: the later one wins
    if size is not None and (clamp is None or size.word > clamp.word):
        high = _SIXTEEN_BITS - _IP_HEADER[place.family]
        return Outcome((Assign(segment_size, 0, read_number(size.values[0], "--set-mss", high=high)),))
    if size is not None:
        read_number(size.values[0], "--set-mss", high=_SIXTEEN_BITS - _IP_HEADER[place.family])
    require_hooks(use, place, WITH_ROUTE, option=_CLAMP)
    place.assume("no clamped TCP connection has a route of more than 65535 bytes (lo has), or of too few for a segment")
    return Outcome((Assign(segment_size, 0, 0, BitsOf(RT_MTU, _SIXTEEN_BITS)),))


EXTENSION = Target(
    name="TCPMSS",
    families=BOTH,
    options=(Option(name="--set-mss"), Option(name=_CLAMP, arity=0)),
    lower=_lower,
    in_context=True,
)
