"""How nft's data types lie in the kernel's memory, for those of which that is sure.

A type has a number, by which nft writes down in the kernel what a set was declared as, a length and a byte order. Numbers
and symbols are nft's own (include/datatype.h and the tables of symbols of 1.0.6 and 1.1); they are part of what is stored
in kernels, so they do not change. What is not here, or is written in a way that is not here, raises `Unsure`.
"""

from __future__ import annotations

import re
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}|0x[0-9a-f]{1,8}")
_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_V6 = re.compile(r"[0-9a-f:]{2,39}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_IFNAME = re.compile(r'"([A-Za-z0-9][A-Za-z0-9._@-]{0,14})"')  # no wildcard, no escape
_TYPE_BITS = 6


class Unsure(Exception):  # noqa: N818 -- it is an answer, not a fault
    """It is not known for certain how this is encoded: libnftables shall do it."""


class Datatype(NamedTuple):
    """A type: its number and name, its length in bytes, how a value is read, and whether its first byte is the biggest."""

    number: int
    name: str
    length: int
    encode: Callable[[str], bytes]
    is_big: bool = True


def _integer(length: int, *, symbols: Mapping[str, int] | None = None, order: str = "big") -> Callable[[str], bytes]:
    known = symbols or {}

    def encode(text: str) -> bytes:
        number = known.get(text)
        if number is None:
            if _NUMBER.fullmatch(text) is None:
                raise Unsure(text)
            number = int(text, 0)
        if number >> (8 * length):
            raise Unsure(text)
        return number.to_bytes(length, "big" if order == "big" else sys.byteorder)

    return encode


def _address(family: int, shape: re.Pattern[str]) -> Callable[[str], bytes]:
    def encode(text: str) -> bytes:
        if shape.fullmatch(text) is None:
            raise Unsure(text)
        try:
            return socket.inet_pton(family, text)
        except OSError:
            raise Unsure(text) from None

    return encode


def _mac(text: str) -> bytes:
    if _MAC.fullmatch(text) is None:
        raise Unsure(text)
    return bytes.fromhex(text.replace(":", ""))


def _ifname(text: str) -> bytes:
    found = _IFNAME.fullmatch(text)
    if found is None:
        raise Unsure(text)
    return found[1].encode().ljust(16, b"\0")


_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "sctp": 132, "udplite": 136,
}  # fmt: skip
_ETHER_TYPES = {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD}
_ICMP_TYPES = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "router-advertisement": 9,
    "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14,
    "info-request": 15, "info-reply": 16, "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMPV6_TYPES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "nd-router-solicit": 133,
    "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "mld2-listener-report": 143,
}  # fmt: skip
_PACKET_TYPES = {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3}
_NF_PROTOCOLS = {"ipv4": 2, "ipv6": 10}
_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}

DATATYPES: Mapping[int, Datatype] = {
    datatype.number: datatype
    for datatype in (
        Datatype(2, "nf_proto", 1, _integer(1, symbols=_NF_PROTOCOLS)),
        Datatype(7, "ipv4_addr", 4, _address(socket.AF_INET, _V4)),
        Datatype(8, "ipv6_addr", 16, _address(socket.AF_INET6, _V6)),
        Datatype(9, "ether_addr", 6, _mac),
        Datatype(10, "ether_type", 2, _integer(2, symbols=_ETHER_TYPES)),
        Datatype(12, "inet_proto", 1, _integer(1, symbols=_PROTOCOLS)),
        Datatype(13, "inet_service", 2, _integer(2)),
        Datatype(14, "icmp_type", 1, _integer(1, symbols=_ICMP_TYPES)),
        Datatype(19, "mark", 4, _integer(4, order="host"), is_big=False),
        Datatype(26, "ct_state", 4, _integer(4, symbols=_STATES, order="host"), is_big=False),
        Datatype(29, "icmpv6_type", 1, _integer(1, symbols=_ICMPV6_TYPES)),
        Datatype(31, "pkt_type", 1, _integer(1, symbols=_PACKET_TYPES)),
        Datatype(41, "ifname", 16, _ifname, is_big=False),
    )
}
_BY_NAME = {datatype.name: datatype for datatype in DATATYPES.values()}


def types_of_number(number: int) -> tuple[Datatype, ...]:
    """Return the fields of a key by the number that the set has in the kernel: six bits for each."""
    found: list[Datatype] = []
    while number:
        datatype = DATATYPES.get(number & ((1 << _TYPE_BITS) - 1))
        if datatype is None:
            raise Unsure(f"type {number}")
        found.insert(0, datatype)
        number >>= _TYPE_BITS
    return tuple(found)


def types_of_words(text: str) -> tuple[Datatype, ...]:
    """Return the fields of a key by the words of its declaration, `ipv4_addr . inet_service`."""
    try:
        return tuple(_BY_NAME[word] for word in text.split(" . "))
    except KeyError as fault:
        raise Unsure(fault.args[0]) from None


def padded(value: bytes) -> bytes:
    """Return a field of a concatenation: it fills whole registers of four bytes."""
    return value + b"\0" * (-len(value) % 4)


def length_of(fields: tuple[Datatype, ...]) -> int:
    """Return how many bytes a key of these fields has."""
    return fields[0].length if len(fields) == 1 else sum((field.length + 3) & ~3 for field in fields)
