"""`-j TPROXY`: hands the packet to a local socket without changing it; mangle PREROUTING, `-p tcp` or `-p udp` only.

Port 0, and the address 0.0.0.0 or :: (which iptables-save prints where none was given), stand for the packet's own port
and for the address of the interface it came in by. Where a transparent socket is found the mark is set and the packet
accepted, else it is dropped (net/netfilter/xt_TPROXY.c, Linux 6.1).
"""

from __future__ import annotations

from fwtrans.ir.verdict import TransparentProxy
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.mark import ALL_BITS
from fwtrans.lower.extensions.targets.placement import MANGLE, require_hooks
from fwtrans.lower.values import read_decimal_port, read_host, read_value_mask
from fwtrans.parsers.iptables_save.options import Option

_TCP, _UDP = 6, 17
_PREROUTING = frozenset({"PREROUTING"})


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, _PREROUTING)
    place.require_protocol("TPROXY", _TCP, _UDP)
    port = read_decimal_port(use.need("--on-port").values[0], "--on-port")
    address = read_host(use.value("--on-ip"), "--on-ip", place.family) if use.has("--on-ip") else 0
    # without --tproxy-mark the mask is 0: the mark stays
    mark, mask = read_value_mask(use.value("--tproxy-mark", "0/0"), "--tproxy-mark")
    return Outcome((), TransparentProxy(address or None, port, ALL_BITS & ~mask, mark))


EXTENSION = Target(
    name="TPROXY",
    families=BOTH,
    options=(Option(name="--on-port"), Option(name="--on-ip"), Option(name="--tproxy-mark")),
    lower=_lower,
    in_context=True,
    tables=MANGLE,
)
