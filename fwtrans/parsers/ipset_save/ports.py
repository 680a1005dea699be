"""The port of an element: `80`, `udp:53`, `tcp:80-90`, `icmp:echo-request`, `icmpv6:1/4`, `vrrp:0`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.syntax import IPV4, IPV6, NO_FAMILY, PortPart
from fwtrans.parsers.ipset_save.values import Names, bad_value, to_number

if TYPE_CHECKING:
    from collections.abc import Callable

ICMP = 1
ICMPV6 = 58
_TCP = 6
_UDP = 17
_OWN_NAMES = {
    "tcp": _TCP,
    "udp": _UDP,
    "sctp": 132,
    "udplite": 136,
    "icmp": ICMP,
    "icmpv6": ICMPV6,
    "ipv6-icmp": ICMPV6,
}
_PLAIN = {"tcp:": _TCP, "udp:": _UDP}
_WITH_PORTS = frozenset({_TCP, _UDP, 132, 136})
_ICMP_FAMILY = {ICMP: (IPV4, "ICMP"), ICMPV6: (IPV6, "ICMPv6")}

# ipset takes any beginning of a name, in any case, and then the first of the list that has it; so the order is a fact.
_ICMP_NAMES = (
    ("echo-reply", 0, 0),
    ("pong", 0, 0),
    ("network-unreachable", 3, 0),
    ("host-unreachable", 3, 1),
    ("protocol-unreachable", 3, 2),
    ("port-unreachable", 3, 3),
    ("fragmentation-needed", 3, 4),
    ("source-route-failed", 3, 5),
    ("network-unknown", 3, 6),
    ("host-unknown", 3, 7),
    ("network-prohibited", 3, 9),
    ("host-prohibited", 3, 10),
    ("tos-network-unreachable", 3, 11),
    ("tos-host-unreachable", 3, 12),
    ("communication-prohibited", 3, 13),
    ("host-precedence-violation", 3, 14),
    ("precedence-cutoff", 3, 15),
    ("source-quench", 4, 0),
    ("network-redirect", 5, 0),
    ("host-redirect", 5, 1),
    ("tos-network-redirect", 5, 2),
    ("tos-host-redirect", 5, 3),
    ("echo-request", 8, 0),
    ("ping", 8, 0),
    ("router-advertisement", 9, 0),
    ("router-solicitation", 10, 0),
    ("ttl-zero-during-transit", 11, 0),
    ("ttl-zero-during-reassembly", 11, 1),
    ("ip-header-bad", 12, 0),
    ("required-option-missing", 12, 1),
    ("timestamp-request", 13, 0),
    ("timestamp-reply", 14, 0),
    ("address-mask-request", 17, 0),
    ("address-mask-reply", 18, 0),
)
_ICMPV6_NAMES = (
    ("no-route", 1, 0),
    ("communication-prohibited", 1, 1),
    ("address-unreachable", 1, 3),
    ("port-unreachable", 1, 4),
    ("packet-too-big", 2, 0),
    ("ttl-zero-during-transit", 3, 0),
    ("ttl-zero-during-reassembly", 3, 1),
    ("bad-header", 4, 0),
    ("unknown-header-type", 4, 1),
    ("unknown-option", 4, 2),
    ("echo-request", 128, 0),
    ("ping", 128, 0),
    ("echo-reply", 129, 0),
    ("pong", 129, 0),
    ("router-solicitation", 133, 0),
    ("router-advertisement", 134, 0),
    ("neighbour-solicitation", 135, 0),
    ("neigbour-solicitation", 135, 0),  # ipset's own slip, kept for scripts that have it
    ("neighbour-advertisement", 136, 0),
    ("neigbour-advertisement", 136, 0),
    ("redirect", 137, 0),
)


def port_reader(family: str, names: Names) -> Callable[[str], PortPart]:
    """Return the reader of a port dimension; a text is read once, since dumps repeat few ports many times.

    `family` is that of the set, NO_FAMILY for a bitmap:port.
    """
    known: dict[str, PortPart] = {}

    def read(text: str) -> PortPart:
        part = known.get(text)
        if part is None:
            part = (_plain_port(text) if family != NO_FAMILY else None) or _read_port(text, family, names)
            known[text] = part
        return part

    return read


def _plain_port(text: str) -> PortPart | None:
    """Return `tcp:80` and `udp:53`, which make up nearly all of a dump; None for anything else."""
    protocol = _PLAIN.get(text[:4])
    port = to_number(text[4:]) if protocol is not None else None
    return None if port is None or port > 65535 else PortPart(protocol, port, port, text)


def _read_port(text: str, family: str, names: Names) -> PortPart:
    head, colon, rest = text.partition(":")
    protocol = _protocol(head, names) if colon and rest else _TCP
    ports = rest if colon and rest else text
    if family == NO_FAMILY:
        if protocol not in {_TCP, _UDP}:
            raise Refused("FWT123", f"`{text}`: a bitmap:port holds ports of tcp and udp only", option=text)
        first, last = _port_range(ports, names)
        return PortPart(None, first, last, text)
    if protocol in _WITH_PORTS:
        first, last = _port_range(ports, names)
        return PortPart(protocol, first, last, text)
    if protocol in _ICMP_FAMILY:
        wanted, title = _ICMP_FAMILY[protocol]
        if family != wanted:
            raise Refused("FWT123", f"`{text}`: {title} can stand in a set of family {wanted} only", option=text)
        number = _icmp(ports, protocol)
        return PortPart(protocol, number, number, text)
    if to_number(ports) != 0:
        raise Refused(
            "FWT123",
            f"`{text}`: protocol {head} has no ports for ipset",
            option=text,
            hint=f"write {head}:0 for all packets of the protocol",
        )
    return PortPart(protocol, 0, 0, text)


def _protocol(text: str, names: Names) -> int:
    name = text.lower()
    number = to_number(text)
    if number is None:
        number = _OWN_NAMES.get(name, names.protocols.get(name))
    if number is None or number > 255:
        raise bad_value(text, "a protocol: a name of /etc/protocols or a number from 1 to 255")
    if number == 0:
        raise Refused("FWT122", f"`{text}`: protocol 0 cannot be stored in a set", option=text)
    return number


def _port_range(text: str, names: Names) -> tuple[int, int]:
    """Return the port or ports, put into order as the kernel does; a name with a dash stands in brackets."""
    start, dash, end = _split_range(text)
    first = _port(start, names)
    last = _port(end, names) if dash else first
    return min(first, last), max(first, last)


def _split_range(text: str) -> tuple[str, str, str]:
    if text.startswith("["):
        inside, closed, rest = text.partition("]")
        if closed and (not rest or rest.startswith("-")):
            return inside + "]", rest[:1], rest[1:]
    return text.partition("-")


def _port(text: str, names: Names) -> int:
    number = to_number(text)
    if number is None:
        bracketed = text.startswith("[") and text.endswith("]")
        number = names.services.get(text[1:-1] if bracketed else text)
    if number is None or number > 65535:
        raise bad_value(text, "a port: a number from 0 to 65535 or a name of /etc/services")
    return number


def _icmp(text: str, protocol: int) -> int:
    """Return type * 256 + code."""
    kind, slash, code = text.partition("/")
    if slash:
        pair = to_number(kind), to_number(code)
        if pair[0] is not None and pair[1] is not None and pair[0] <= 255 and pair[1] <= 255:
            return pair[0] * 256 + pair[1]
        raise bad_value(text, "type/code, two numbers from 0 to 255")
    beginning = text.lower()
    for name, number, subtype in _ICMP_NAMES if protocol == ICMP else _ICMPV6_NAMES:
        if beginning and name.startswith(beginning):
            return number * 256 + subtype
    title = _ICMP_FAMILY[protocol][1]
    raise Refused(
        "FWT122",
        f"`{text}` is no {title} name that ipset knows",
        option=text,
        hint=f"write type/code, for example {text}/0" if to_number(text) is not None else "",
    )
