"""`-m icmp6`, also called icmpv6 and ipv6-icmp: ICMPv6 type and code.

As `-m icmp` but for its names; there is no `any`, and type 255 is a type like the others
(net/ipv6/netfilter/ip6_tables.c).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import HAS_TRANSPORT, ICMP6_CODE, ICMP6_TYPE
from fwtrans.ir.match import present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use
from fwtrans.lower.extensions.matches.icmp import Kind, kind_tests, read_kind
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

NAMES: dict[str, Kind] = {
    "destination-unreachable": Kind(1),
    "no-route": Kind(1, 0, 0),
    "communication-prohibited": Kind(1, 1, 1),
    "beyond-scope": Kind(1, 2, 2),
    "address-unreachable": Kind(1, 3, 3),
    "port-unreachable": Kind(1, 4, 4),
    "failed-policy": Kind(1, 5, 5),
    "reject-route": Kind(1, 6, 6),
    "packet-too-big": Kind(2),
    "time-exceeded": Kind(3),
    "ttl-exceeded": Kind(3),
    "ttl-zero-during-transit": Kind(3, 0, 0),
    "ttl-zero-during-reassembly": Kind(3, 1, 1),
    "parameter-problem": Kind(4),
    "bad-header": Kind(4, 0, 0),
    "unknown-header-type": Kind(4, 1, 1),
    "unknown-option": Kind(4, 2, 2),
    "echo-request": Kind(128),
    "ping": Kind(128),
    "echo-reply": Kind(129),
    "pong": Kind(129),
    "router-solicitation": Kind(133),
    "router-advertisement": Kind(134),
    "neighbour-solicitation": Kind(135),
    "neighbor-solicitation": Kind(135),
    "neighbour-advertisement": Kind(136),
    "neighbor-advertisement": Kind(136),
    "redirect": Kind(137),
}


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol(use.name, 58)
    option = use.need("--icmpv6-type")
    kind = read_kind(option.values[0], option.name, NAMES)
    return (present(HAS_TRANSPORT), *kind_tests(ICMP6_TYPE, ICMP6_CODE, kind, inverted=option.negated))


EXTENSION = Match(
    name="icmp6",
    families=IP6_ONLY,
    options=(Option(name="--icmpv6-type", negatable=True),),
    lower=_lower,
)
ALSO = (replace(EXTENSION, name="icmpv6"), replace(EXTENSION, name="ipv6-icmp"))
