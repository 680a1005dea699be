"""The catalogue of fields, which parsers, semantics and backend all read. A new field is one entry.

A test of a field is false where the field is not there, whatever values it asks for. `requires` says what must be there:
a later fragment has no ports, a packet of another protocol no TCP flags. That is how nftables reads a rule, and, because
iptables' tcp match is false for such packets even when negated, it is also what most iptables options mean.

`spelling` is how nftables calls the field: ("payload", "ip", "saddr"), ("meta", "mark"), ("ct", "state"). The symbols
of an enumeration are nftables' own words for the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache


class Family(Enum):
    """nftables' families."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and families are parts of many keys

    IP = "ip"
    IP6 = "ip6"
    INET = "inet"
    ARP = "arp"
    BRIDGE = "bridge"
    NETDEV = "netdev"


SEVERAL_PROTOCOLS = frozenset({Family.INET, Family.BRIDGE, Family.NETDEV})
"""Families whose tables see packets of several network protocols."""


class FieldKind(Enum):
    """Which sets of values belong to a field: IntervalSet for the first four, BitSet, NameSet."""

    __hash__ = object.__hash__  # see Family

    NUMBER = "number"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    MAC = "mac"
    BITS = "bits"
    NAME = "name"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field. Two fields are the same only if they are the same object: get them from here, never build them."""

    name: str
    kind: FieldKind
    width: int
    spelling: tuple[str, ...]
    requires: tuple[tuple[str, int], ...] = ()
    symbols: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return self.name

    def symbol(self, value: int) -> str | None:
        """Return nftables' word for the value, if it has one."""
        for word, number in self.symbols:
            if number == value:
                return word
        return None


FIELDS: dict[str, Field] = {}


def _field(
    name: str,
    kind: FieldKind,
    width: int,
    *spelling: str,
    requires: tuple[tuple[str, int], ...] = (),
    symbols: tuple[tuple[str, int], ...] = (),
) -> Field:
    found = Field(name, kind, width, spelling, requires, symbols)
    FIELDS[name] = found
    return found


_NUMBER, _BITS, _NAME, _MAC = FieldKind.NUMBER, FieldKind.BITS, FieldKind.NAME, FieldKind.MAC
_IPV4, _IPV6 = FieldKind.IPV4, FieldKind.IPV6

# --- what is there at all --------------------------------------------------------------------------------------------
# A whole transport header: the first fragment or no fragment, not cut short. With conntrack, packets arrive here whole.
HAS_TRANSPORT = _field("has.transport", _NUMBER, 1, "presence", "transport")
HAS_CONNTRACK = _field("has.conntrack", _NUMBER, 1, "presence", "conntrack")
# A local socket that a process holds open (what `meta skuid` needs), one that a look-up by the packet's ends finds, and
# one found so that is whole, neither the leftover of a closed connection nor half open.
HAS_SOCKET = _field("has.socket", _NUMBER, 1, "presence", "socket")
HAS_LOOKED_UP_SOCKET = _field("has.looked-up-socket", _NUMBER, 1, "presence", "looked-up socket")
HAS_WHOLE_SOCKET = _field("has.whole-socket", _NUMBER, 1, "presence", "whole socket")
HAS_VLAN = _field("has.vlan", _NUMBER, 1, "presence", "vlan")
HAS_ETHERNET = _field("has.ethernet", _NUMBER, 1, "presence", "ethernet")
_TRANSPORT = (("has.transport", 1),)
_CONNTRACK = (("has.conntrack", 1),)
_ETHERNET = (("has.ethernet", 1),)
_LOOKED_UP = (("has.looked-up-socket", 1),)
_WHOLE = (*_LOOKED_UP, ("has.whole-socket", 1))

# --- what the kernel knows of the packet -----------------------------------------------------------------------------
NFPROTO = _field("nfproto", _NUMBER, 8, "meta", "nfproto", symbols=(("ipv4", 2), ("ipv6", 10)))
L4PROTO = _field("l4proto", _NUMBER, 8, "meta", "l4proto")
IIFNAME = _field("iifname", _NAME, 128, "meta", "iifname")
OIFNAME = _field("oifname", _NAME, 128, "meta", "oifname")
IBRNAME = _field("ibrname", _NAME, 128, "meta", "ibrname")
OBRNAME = _field("obrname", _NAME, 128, "meta", "obrname")
# The bridge port a packet came in by, or leaves by, as br_netfilter remembers it; the empty name where there is none.
PORT_IN = _field("bridge.port_in", _NAME, 128, "physdev", "in")
PORT_OUT = _field("bridge.port_out", _NAME, 128, "physdev", "out")
# iptables' --physdev-is-bridged: the packet is being forwarded by a bridge, port to port.
BRIDGED = _field("bridge.forwarded", _NUMBER, 1, "physdev", "is-bridged")
MARK = _field("mark", _BITS, 32, "meta", "mark")
PRIORITY = _field("priority", _BITS, 32, "meta", "priority")
PACKET_TYPE = _field(
    "pkttype", _NUMBER, 3, "meta", "pkttype",
    symbols=(("host", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)),
)  # fmt: skip
PACKET_LENGTH = _field("length", _NUMBER, 32, "meta", "length")
ETHER_PROTOCOL = _field("protocol", _NUMBER, 16, "meta", "protocol")
SOCKET_UID = _field("skuid", _NUMBER, 32, "meta", "skuid", requires=(("has.socket", 1),))
SOCKET_GID = _field("skgid", _NUMBER, 32, "meta", "skgid", requires=(("has.socket", 1),))
CPU = _field("cpu", _NUMBER, 32, "meta", "cpu")
REALM = _field("rtclassid", _BITS, 32, "meta", "rtclassid")
CGROUP = _field("cgroup", _BITS, 32, "meta", "cgroup")
IIFGROUP = _field("iifgroup", _BITS, 32, "meta", "iifgroup")
OIFGROUP = _field("oifgroup", _BITS, 32, "meta", "oifgroup")
# Whole seconds since 1970; seconds of the day, in UTC; the day of the week, 0 is Sunday.
TIME = _field("time", _NUMBER, 64, "meta", "time")
HOUR = _field("hour", _NUMBER, 17, "meta", "hour")
DAY = _field("day", _NUMBER, 3, "meta", "day")
NFTRACE = _field("nftrace", _NUMBER, 1, "meta", "nftrace")
SECMARK = _field("secmark", _BITS, 32, "meta", "secmark")

# --- connection tracking ---------------------------------------------------------------------------------------------
# Exactly one of these holds for every packet; "invalid" also where there is no entry.
CT_STATE = _field(
    "ct.state", _NUMBER, 3, "ct", "state",
    symbols=(("invalid", 0), ("established", 1), ("related", 2), ("new", 3), ("untracked", 4)),
)  # fmt: skip
CT_STATUS = _field(
    "ct.status", _BITS, 32, "ct", "status", requires=_CONNTRACK,
    symbols=(("expected", 1), ("seen-reply", 2), ("assured", 4), ("confirmed", 8), ("snat", 16), ("dnat", 32), ("dying", 512)),
)  # fmt: skip
CT_MARK = _field("ct.mark", _BITS, 32, "ct", "mark", requires=_CONNTRACK)
CT_LABEL = _field("ct.label", _BITS, 128, "ct", "label", requires=_CONNTRACK)
CT_DIRECTION = _field(
    "ct.direction", _NUMBER, 1, "ct", "direction", requires=_CONNTRACK, symbols=(("original", 0), ("reply", 1)),
)  # fmt: skip
# Milliseconds until the entry goes.
CT_EXPIRATION = _field("ct.expiration", _NUMBER, 32, "ct", "expiration", requires=_CONNTRACK)
CT_HELPER = _field("ct.helper", _NAME, 128, "ct", "helper", requires=_CONNTRACK)
CT_L3PROTO = _field("ct.l3proto", _NUMBER, 8, "ct", "original", "l3proto", requires=_CONNTRACK)
CT_PROTOCOL = _field("ct.protocol", _NUMBER, 8, "ct", "original", "protocol", requires=_CONNTRACK)
CT_ZONE = _field("ct.zone", _BITS, 16, "ct", "zone")
# Zones of one direction only: a packet of the other direction is looked up in zone 0.
CT_ZONE_ORIGINAL = _field("ct.original.zone", _BITS, 16, "ct", "original", "zone")
CT_ZONE_REPLY = _field("ct.reply.zone", _BITS, 16, "ct", "reply", "zone")
CT_EVENT = _field("ct.event", _BITS, 32, "ct", "event", requires=_CONNTRACK)
CT_SECMARK = _field("ct.secmark", _BITS, 32, "ct", "secmark", requires=_CONNTRACK)


@cache
def conntrack_address(family: Family, direction: str, end: str) -> Field:
    """Return `ct original|reply ip|ip6 saddr|daddr`."""
    kind, width = (_IPV4, 32) if family is Family.IP else (_IPV6, 128)
    return _field(
        f"ct.{direction}.{family.value}.{end}", kind, width, "ct", direction, family.value, end, requires=_CONNTRACK
    )


@cache
def conntrack_port(direction: str, end: str) -> Field:
    """Return `ct original|reply proto-src|proto-dst`."""
    return _field(f"ct.{direction}.{end}", _NUMBER, 16, "ct", direction, end, requires=_CONNTRACK)


@cache
def conntrack_count(direction: str, what: str) -> Field:
    """Return `ct [original|reply] bytes|packets|avgpkt`; direction "" is both together."""
    return _field(
        f"ct.{direction or 'both'}.{what}", _NUMBER, 64, "ct", *([direction] if direction else []), what,
        requires=_CONNTRACK,
    )  # fmt: skip


# --- link layer ------------------------------------------------------------------------------------------------------
ETHER_SADDR = _field("ether.saddr", _MAC, 48, "payload", "ether", "saddr", requires=_ETHERNET)
ETHER_DADDR = _field("ether.daddr", _MAC, 48, "payload", "ether", "daddr", requires=_ETHERNET)
ETHER_TYPE = _field(
    "ether.type", _NUMBER, 16, "payload", "ether", "type",
    symbols=(("ip", 0x0800), ("arp", 0x0806), ("8021q", 0x8100), ("8021ad", 0x88A8), ("ip6", 0x86DD)),
)  # fmt: skip
VLAN_ID = _field("vlan.id", _NUMBER, 12, "payload", "vlan", "id", requires=(("has.vlan", 1),))
VLAN_PRIORITY = _field("vlan.pcp", _NUMBER, 3, "payload", "vlan", "pcp", requires=(("has.vlan", 1),))
VLAN_TYPE = _field("vlan.type", _NUMBER, 16, "payload", "vlan", "type", requires=(("has.vlan", 1),))

# --- ARP -------------------------------------------------------------------------------------------------------------
_ARP_IP = (("arp.htype", 1), ("arp.ptype", 0x0800), ("arp.hlen", 6), ("arp.plen", 4))
ARP_HTYPE = _field("arp.htype", _NUMBER, 16, "payload", "arp", "htype")
ARP_PTYPE = _field("arp.ptype", _NUMBER, 16, "payload", "arp", "ptype")
ARP_HLEN = _field("arp.hlen", _NUMBER, 8, "payload", "arp", "hlen")
ARP_PLEN = _field("arp.plen", _NUMBER, 8, "payload", "arp", "plen")
ARP_OPERATION = _field(
    "arp.operation", _NUMBER, 16, "payload", "arp", "operation",
    symbols=(("request", 1), ("reply", 2), ("rrequest", 3), ("rreply", 4), ("inrequest", 8), ("inreply", 9), ("nak", 10)),
)  # fmt: skip
ARP_SADDR_ETHER = _field("arp.saddr.ether", _MAC, 48, "payload", "arp", "saddr ether", requires=_ARP_IP)
ARP_DADDR_ETHER = _field("arp.daddr.ether", _MAC, 48, "payload", "arp", "daddr ether", requires=_ARP_IP)
ARP_SADDR_IP = _field("arp.saddr.ip", _IPV4, 32, "payload", "arp", "saddr ip", requires=_ARP_IP)
ARP_DADDR_IP = _field("arp.daddr.ip", _IPV4, 32, "payload", "arp", "daddr ip", requires=_ARP_IP)

# --- IPv4 and IPv6 ---------------------------------------------------------------------------------------------------
_IS_IP, _IS_IP6 = (("nfproto", 2),), (("nfproto", 10),)
IP_SADDR = _field("ip.saddr", _IPV4, 32, "payload", "ip", "saddr", requires=_IS_IP)
IP_DADDR = _field("ip.daddr", _IPV4, 32, "payload", "ip", "daddr", requires=_IS_IP)
IP_TOS = _field("ip.tos", _BITS, 8, "payload", "ip", "tos", requires=_IS_IP)
IP_TTL = _field("ip.ttl", _NUMBER, 8, "payload", "ip", "ttl", requires=_IS_IP)
IP_LENGTH = _field("ip.length", _NUMBER, 16, "payload", "ip", "length", requires=_IS_IP)
IP_ID = _field("ip.id", _NUMBER, 16, "payload", "ip", "id", requires=_IS_IP)
IP_FRAGMENT = _field("ip.frag-off", _BITS, 16, "payload", "ip", "frag-off", requires=_IS_IP)
IP_HEADER_LENGTH = _field("ip.hdrlength", _NUMBER, 4, "payload", "ip", "hdrlength", requires=_IS_IP)
IP6_SADDR = _field("ip6.saddr", _IPV6, 128, "payload", "ip6", "saddr", requires=_IS_IP6)
IP6_DADDR = _field("ip6.daddr", _IPV6, 128, "payload", "ip6", "daddr", requires=_IS_IP6)
IP6_CLASS = _field("ip6.tclass", _BITS, 8, "payload", "ip6", "tclass", requires=_IS_IP6)
IP6_HOPLIMIT = _field("ip6.hoplimit", _NUMBER, 8, "payload", "ip6", "hoplimit", requires=_IS_IP6)
IP6_LENGTH = _field("ip6.length", _NUMBER, 16, "payload", "ip6", "length", requires=_IS_IP6)
IP6_NEXT_HEADER = _field("ip6.nexthdr", _NUMBER, 8, "payload", "ip6", "nexthdr", requires=_IS_IP6)

# --- transport -------------------------------------------------------------------------------------------------------
# Ports of whatever protocol l4proto says; which protocols may be meant is a test of l4proto in front.
SPORT = _field("th.sport", _NUMBER, 16, "payload", "th", "sport", requires=_TRANSPORT)
DPORT = _field("th.dport", _NUMBER, 16, "payload", "th", "dport", requires=_TRANSPORT)


def _of_protocol(number: int) -> tuple[tuple[str, int], ...]:
    return (*_TRANSPORT, ("l4proto", number))


TCP_FLAGS = _field(
    "tcp.flags", _BITS, 8, "payload", "tcp", "flags", requires=_of_protocol(6),
    symbols=(("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128)),
)  # fmt: skip
UDP_LENGTH = _field("udp.length", _NUMBER, 16, "payload", "udp", "length", requires=_of_protocol(17))
ICMP_TYPE = _field(
    "icmp.type", _NUMBER, 8, "payload", "icmp", "type", requires=_of_protocol(1),
    symbols=(
        ("echo-reply", 0), ("destination-unreachable", 3), ("source-quench", 4), ("redirect", 5), ("echo-request", 8),
        ("router-advertisement", 9), ("router-solicitation", 10), ("time-exceeded", 11), ("parameter-problem", 12),
        ("timestamp-request", 13), ("timestamp-reply", 14), ("info-request", 15), ("info-reply", 16),
        ("address-mask-request", 17), ("address-mask-reply", 18),
    ),
)  # fmt: skip
ICMP_CODE = _field("icmp.code", _NUMBER, 8, "payload", "icmp", "code", requires=_of_protocol(1))
ICMP6_TYPE = _field(
    "icmp6.type", _NUMBER, 8, "payload", "icmpv6", "type", requires=_of_protocol(58),
    symbols=(
        ("destination-unreachable", 1), ("packet-too-big", 2), ("time-exceeded", 3), ("parameter-problem", 4),
        ("echo-request", 128), ("echo-reply", 129), ("mld-listener-query", 130), ("mld-listener-report", 131),
        ("mld-listener-done", 132), ("nd-router-solicit", 133), ("nd-router-advert", 134),
        ("nd-neighbor-solicit", 135), ("nd-neighbor-advert", 136), ("nd-redirect", 137), ("router-renumbering", 138),
        ("ind-neighbor-solicit", 141), ("ind-neighbor-advert", 142), ("mld2-listener-report", 143),
    ),
)  # fmt: skip
ICMP6_CODE = _field("icmp6.code", _NUMBER, 8, "payload", "icmpv6", "code", requires=_of_protocol(58))
AH_SPI = _field("ah.spi", _NUMBER, 32, "payload", "ah", "spi", requires=_of_protocol(51))
AH_NEXT_HEADER = _field("ah.nexthdr", _NUMBER, 8, "payload", "ah", "nexthdr", requires=_of_protocol(51))
AH_HEADER_LENGTH = _field("ah.hdrlength", _NUMBER, 8, "payload", "ah", "hdrlength", requires=_of_protocol(51))
AH_RESERVED = _field("ah.reserved", _NUMBER, 16, "payload", "ah", "reserved", requires=_of_protocol(51))
ESP_SPI = _field("esp.spi", _NUMBER, 32, "payload", "esp", "spi", requires=_of_protocol(50))
COMP_CPI = _field("comp.cpi", _NUMBER, 16, "payload", "comp", "cpi", requires=_of_protocol(108))
DCCP_TYPE = _field("dccp.type", _NUMBER, 4, "payload", "dccp", "type", requires=_of_protocol(33))

# --- routing, sockets, IPsec -----------------------------------------------------------------------------------------
SOCKET_TRANSPARENT = _field("socket.transparent", _NUMBER, 1, "socket", "transparent", requires=_LOOKED_UP)
SOCKET_WILDCARD = _field("socket.wildcard", _NUMBER, 1, "socket", "wildcard", requires=_WHOLE)
SOCKET_MARK = _field("socket.mark", _BITS, 32, "socket", "mark", requires=_WHOLE)
IPSEC_PRESENT = _field("ipsec", _NUMBER, 1, "meta", "secpath")
RT_IPSEC = _field("rt.ipsec", _NUMBER, 1, "rt", "ipsec")
# The TCP segment size that fits the routes to the packet's source and destination; nftables calls it mtu.
RT_MTU = _field("rt.mtu", _NUMBER, 16, "rt", "mtu")
OS_NAME = _field("osf.name", _NAME, 128, "osf", "name", requires=_of_protocol(6))

ADDRESS_TYPES: tuple[tuple[str, int], ...] = (
    ("unspec", 0), ("unicast", 1), ("local", 2), ("broadcast", 3), ("anycast", 4), ("multicast", 5),
    ("blackhole", 6), ("unreachable", 7), ("prohibit", 8),
)  # fmt: skip


@cache
def fib(key: tuple[str, ...], result: str) -> Field:
    """Return `fib daddr . iif type` and the like: a look-up in the routing tables. Result is type, oif or oifname.

    The interface is 0 where there is no route.
    """
    width = 4 if result == "type" else 32
    symbols = ADDRESS_TYPES if result == "type" else ()
    return _field(f"fib({'.'.join(key)}).{result}", _NUMBER, width, "fib", " . ".join(key), result, symbols=symbols)


@cache
def os_name(ttl: str) -> Field:
    """Return `osf [ttl loose|skip] name`: the system that a SYN's fingerprint gives away; "" compares the TTL exactly."""
    return _field(f"osf.name.{ttl or 'exact'}", _NAME, 128, "osf", "name", ttl, requires=_of_protocol(6))


@cache
def raw_payload(base: str, offset: int, length: int) -> Field:
    """Return `@base,offset,length` (in bits) as a number of that many bits. Bases: ll, nh, th, ih (behind TCP's header)."""
    requires = _TRANSPORT if base in {"th", "ih"} else ()
    return _field(f"@{base},{offset},{length}", _BITS, length, "raw", base, str(offset), str(length), requires=requires)


def raw_address(field: Field) -> Field | None:
    """Return the bits of the network header that an address is, None for what is no address there."""
    offset = _ADDRESS_OFFSETS.get(field.name)
    return None if offset is None else raw_payload("nh", offset, field.width)


_ADDRESS_OFFSETS = {"ip.saddr": 96, "ip.daddr": 128, "ip6.saddr": 64, "ip6.daddr": 192}


# Kinds of routing headers have fields of their own, but it is one header that is there or not.
_SAME_HEADER = {"rt0": "rt", "rt2": "rt", "srh": "rt"}


@cache
def header_present(kind: str, name: str) -> Field:
    """Return whether an IPv6 extension header ("exthdr"), TCP option ("tcp option"), IP option or SCTP chunk is there."""
    requires = {"exthdr": _IS_IP6, "tcp option": _of_protocol(6), "ip option": _IS_IP, "sctp chunk": _of_protocol(132)}
    return _field(f"has.{kind}.{name}", _NUMBER, 1, kind, name, "exists", requires=requires[kind])


@cache
def header_field(kind: str, name: str, part: str, width: int, number_kind: FieldKind = FieldKind.NUMBER) -> Field:
    """Return a field of such a header: `exthdr frag id`, `tcp option maxseg size`, `rt type`."""
    present = header_present(kind, _SAME_HEADER.get(name, name))
    requires = (*present.requires, (present.name, 1))
    return _field(f"{kind}.{name}.{part}", number_kind, width, kind, name, part, requires=requires)


@cache
def _ipsec_present(direction: str, spnum: int, outer: str) -> Field:
    name = f"has.ipsec.{direction}.{spnum}{outer and '.'}{outer}"
    return _field(name, _NUMBER, 1, "presence", f"{outer and outer + ' tunnel as '}IPsec transformation {spnum}")


@cache
def ipsec(direction: str, spnum: int, key: str) -> Field:
    """Return `ipsec in|out spnum N reqid|spi|ip saddr...`: of the transformation of that number, an address of a tunnel's."""
    kind, width = {"saddr": (_IPV4, 32), "daddr": (_IPV4, 32)}.get(key.rsplit(maxsplit=1)[-1], (_NUMBER, 32))
    outer = key.rpartition(" ")[0]
    if outer == "ip6":
        kind, width = _IPV6, 128
    needed = [_ipsec_present(direction, spnum, "")]
    if outer:
        needed.append(_ipsec_present(direction, spnum, outer))
    requires = tuple((field.name, 1) for field in needed)
    return _field(
        f"ipsec.{direction}.{spnum}.{key}", kind, width, "ipsec", direction, str(spnum), key, requires=requires
    )


def source_address(family: Family) -> Field:
    """Return the source address field of an IP family."""
    return IP_SADDR if family is Family.IP else IP6_SADDR


def destination_address(family: Family) -> Field:
    """Return the destination address field of an IP family."""
    return IP_DADDR if family is Family.IP else IP6_DADDR
