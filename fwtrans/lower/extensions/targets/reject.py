"""`-j REJECT`: drops the packet and tells the sender.

iptables takes any beginning of a kind's name or of its short name, whatever its case; the first kind in the kernel's
order that fits wins. A TCP reset needs `-p tcp`: the kernel refuses the rule without it (net/ipv4/netfilter/ipt_REJECT.c).
"""

from __future__ import annotations

from typing import NamedTuple

from fwtrans.ir.fields import Family
from fwtrans.ir.verdict import Reject
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option


class _Kind(NamedTuple):
    name: str
    short: str
    protocol: str
    code: str


# In the order of the kernel's enumerations, which is the order in which iptables looks for a name.
_KINDS = {
    Family.IP: (
        _Kind("icmp-net-unreachable", "net-unreach", "icmp", "net-unreachable"),
        _Kind("icmp-host-unreachable", "host-unreach", "icmp", "host-unreachable"),
        _Kind("icmp-proto-unreachable", "proto-unreach", "icmp", "prot-unreachable"),
        _Kind("icmp-port-unreachable", "port-unreach", "icmp", "port-unreachable"),
        _Kind("icmp-net-prohibited", "net-prohib", "icmp", "net-prohibited"),
        _Kind("icmp-host-prohibited", "host-prohib", "icmp", "host-prohibited"),
        _Kind("tcp-reset", "tcp-rst", "tcp reset", ""),
        _Kind("icmp-admin-prohibited", "admin-prohib", "icmp", "admin-prohibited"),
    ),
    Family.IP6: (
        _Kind("icmp6-no-route", "no-route", "icmpv6", "no-route"),
        _Kind("icmp6-adm-prohibited", "adm-prohibited", "icmpv6", "admin-prohibited"),
        _Kind("icmp6-addr-unreachable", "addr-unreach", "icmpv6", "addr-unreachable"),
        _Kind("icmp6-port-unreachable", "port-unreach", "icmpv6", "port-unreachable"),
        _Kind("tcp-reset", "tcp-reset", "tcp reset", ""),
        _Kind("icmp6-policy-fail", "policy-fail", "icmpv6", "policy-fail"),
        _Kind("icmp6-reject-route", "reject-route", "icmpv6", "reject-route"),
    ),
}
_DEFAULT = "port-unreach"


def _kind(text: str, family: Family) -> _Kind:
    wanted = text.lower()
    for kind in _KINDS[family]:
        if kind.name.startswith(wanted) or kind.short.startswith(wanted):
            return kind
    raise bad_value(text, "a kind of reject: " + ", ".join(kind.name for kind in _KINDS[family]), "--reject-with")


def _lower(use: Use, place: Place) -> Outcome:
    kind = _kind(use.value("--reject-with", _DEFAULT), place.family)
    if kind.protocol == "tcp reset":
        place.require_protocol("REJECT --reject-with tcp-reset", 6)
    return Outcome((), Reject(kind.protocol, kind.code))


EXTENSION = Target(
    name="REJECT",
    families=BOTH,
    options=(Option(name="--reject-with"),),
    lower=_lower,
    tables=frozenset({"filter"}),
)
