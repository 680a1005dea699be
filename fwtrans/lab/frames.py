"""Ethernet frames, byte by byte: made from fields, and taken apart as far as a probe has to be known again.

Every probe carries a number of its own: as the TCP sequence number, or in the payload behind a magic word, repeated so that
a fragment or what an ICMP error quotes of it holds it whole. The answer to a probe is known by the same number.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

IPV4, ARP, VLAN, IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
ICMP, IGMP, TCP, UDP, ICMP6, SCTP_PROTOCOL = 1, 2, 6, 17, 58, 132
MAGIC = b"FwTr"
_FIRST_NUMBER = 0x46000000
"""Sequence numbers of probes start here, so that a kernel's own are hardly taken for one."""
STEPS = 8
"""More steps than a probe has: the number of a packet is that of its probe times this, and that of the step."""
_LAST_NUMBER = _FIRST_NUMBER + 0x00FFFFFF
SEGMENT_SIZE = 8960
"""More than fits an Ethernet frame, so that it is seen where a rule makes it smaller."""
_SYN, _RST = 0x02, 0x04
_EXTENSION_HEADERS = {0, 43, 44, 60}
_ICMP_ERRORS = {3, 4, 5, 11, 12}


def checksum(data: bytes) -> int:
    """Return the internet checksum."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(text: str) -> bytes:
    """Return the six bytes of a hardware address."""
    return bytes(int(part, 16) for part in text.split(":"))


def mac_text(data: bytes) -> str:
    """Return a hardware address as it is written."""
    return ":".join(f"{byte:02x}" for byte in data)


def address_bytes(text: str) -> bytes:
    """Return the bytes of an address of either family."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def address_text(data: bytes) -> str:
    """Return an address as it is written."""
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


def token(number: int, size: int = 24) -> bytes:
    """Return payload that holds the number, in every piece of 15 bytes."""
    one = MAGIC + struct.pack("!I", number)
    return (one * (size // 8 + 1))[: max(size, 8)]


def sequence(number: int) -> int:
    """Return the TCP sequence number of a probe."""
    return _FIRST_NUMBER + number


def ethernet(destination: str, source: str, kind: int, payload: bytes, vlan: int | None = None) -> bytes:
    """Return a frame, padded to the shortest that Ethernet knows."""
    head = mac_bytes(destination) + mac_bytes(source)
    if vlan is not None:
        head += struct.pack("!HH", VLAN, vlan)
    return (head + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def ipv4(  # noqa: PLR0913 -- as many as the header has
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    tos: int = 0,
    hops: int = 64,
    fragment: int = 0,
    identification: int = 0,
) -> bytes:
    """Return an IPv4 packet; `fragment` is the whole word of flags and offset."""
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, tos, length, identification, fragment, hops, protocol, 0)
    head += address_bytes(source) + address_bytes(destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, destination: str, protocol: int, payload: bytes, *, tos: int = 0, hops: int = 64) -> bytes:
    """Return an IPv6 packet."""
    head = struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), protocol, hops)
    return head + address_bytes(source) + address_bytes(destination) + payload


def packet(source: str, destination: str, protocol: int, payload: bytes, *, tos: int = 0, hops: int = 64) -> bytes:
    """Return a packet of the addresses' family."""
    make = ipv6 if ":" in source else ipv4
    return make(source, destination, protocol, payload, tos=tos, hops=hops)


def fragments(whole: bytes, size: int, identification: int) -> list[bytes]:
    """Return an IPv4 or IPv6 packet without options cut into fragments of `size` bytes of payload, a multiple of eight."""
    is_v4 = whole[0] >> 4 == 4
    head, body = (whole[:20], whole[20:]) if is_v4 else (whole[:40], whole[40:])
    found = []
    for offset in range(0, len(body), size):
        piece, more = body[offset : offset + size], offset + size < len(body)
        if is_v4:
            source, destination = address_text(head[12:16]), address_text(head[16:20])
            word = (0x2000 if more else 0) | offset // 8
            found.append(
                ipv4(
                    source,
                    destination,
                    head[9],
                    piece,
                    tos=head[1],
                    hops=head[8],
                    fragment=word,
                    identification=identification & 0xFFFF,
                )
            )
        else:
            extra = struct.pack("!BBHI", head[6], 0, offset | more, identification)
            length = struct.pack("!H", len(extra) + len(piece))
            found.append(head[:4] + length + bytes([44]) + head[7:] + extra + piece)
    return found


def _pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    ends = address_bytes(source) + address_bytes(destination)
    return ends + (struct.pack("!II", length, protocol) if ":" in source else struct.pack("!HH", protocol, length))


def tcp(  # noqa: PLR0913, PLR0917 -- as many as the header has
    source: str,
    destination: str,
    sport: int,
    dport: int,
    flags: int,
    sequence: int,
    acknowledged: int = 0,
    data: bytes = b"",
) -> bytes:
    """Return a TCP segment; one with SYN says its largest segment size, as every system does."""
    options = struct.pack("!BBH", 2, 4, SEGMENT_SIZE) if flags & _SYN else b""
    offset = (5 + len(options) // 4) << 4
    segment = (
        struct.pack("!HHIIBBHHH", sport, dport, sequence, acknowledged, offset, flags, 8192, 0, 0) + options + data
    )
    total = checksum(_pseudo_header(source, destination, TCP, len(segment)) + segment)
    return segment[:16] + struct.pack("!H", total) + segment[18:]


def udp(source: str, destination: str, sport: int, dport: int, data: bytes) -> bytes:
    """Return a UDP datagram."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    total = checksum(_pseudo_header(source, destination, UDP, len(datagram)) + datagram) or 0xFFFF
    return datagram[:6] + struct.pack("!H", total) + datagram[8:]


def sctp(sport: int, dport: int, data: bytes) -> bytes:
    """Return an SCTP INIT chunk; its checksum is left out, which netfilter asks for only in conntrack's own check."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1)
    body = struct.pack("!HHII", sport, dport, 0, 0) + chunk + data
    return body[:8] + struct.pack("<I", _crc32c(body)) + body[12:]


def _crc32c(data: bytes) -> int:
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def icmp(source: str, destination: str, kind: int, code: int, rest: bytes) -> bytes:
    """Return an ICMP or ICMPv6 message; `rest` is all behind the checksum."""
    message = struct.pack("!BBH", kind, code, 0) + rest
    pseudo = _pseudo_header(source, destination, ICMP6, len(message)) if ":" in source else b""
    return message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str], number: int) -> bytes:
    """Return an ARP body (hardware address and address of both); the probe's number stands in the frame's padding."""
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    ends = b"".join(mac_bytes(mac) + address_bytes(address) for mac, address in (sender, target))
    return head + ends + token(number, 16)


class Frame(NamedTuple):
    """An Ethernet frame taken apart: the outermost VLAN tag is taken off."""

    destination: str
    source: str
    kind: int
    vlan: int | None
    payload: bytes


def take_apart(data: bytes, vlan: int | None = None) -> Frame:
    """Return a frame's parts; `vlan` is a tag that the kernel has already taken off."""
    kind, rest = int.from_bytes(data[12:14], "big"), data[14:]
    if kind == VLAN and vlan is None:
        vlan, kind, rest = int.from_bytes(rest[:2], "big") & 0xFFF, int.from_bytes(rest[2:4], "big"), rest[4:]
    return Frame(mac_text(data[:6]), mac_text(data[6:12]), kind, vlan, rest)


def identify(frame: Frame) -> tuple[int | None, str]:
    """Tell which probe a frame belongs to, and what it is: `packet` for the probe itself, otherwise the kind of answer."""
    if frame.kind in {IPV4, IPV6}:
        return identify_packet(frame.payload)
    number = _marked(frame.payload)
    if number is None and frame.kind == ARP and frame.payload[6:8] == b"\0\2":
        return None, "arp-reply"
    return number, "packet"


def identify_packet(data: bytes) -> tuple[int | None, str]:
    """Do the same for an IP packet: a reset, or an ICMP error that quotes the probe, is an answer."""
    if len(data) < 20 or data[0] >> 4 not in {4, 6}:
        return _marked(data), "packet"
    protocol, body, is_first = _transport(data)
    if not is_first:
        return _marked(body), "packet"
    return identify_transport(protocol, body)


def identify_transport(protocol: int, body: bytes) -> tuple[int | None, str]:
    """Do the same for a transport header and what follows."""
    if protocol == TCP and len(body) >= 14:
        return _tcp_number(body)
    if protocol == TCP and len(body) >= 8:
        # an error quotes eight bytes at least (RFC 792)
        ours = int.from_bytes(body[4:8], "big")
        return (ours - _FIRST_NUMBER if _is_number(ours) else None), "packet"
    if len(body) > 8 and protocol == ICMP and body[0] in _ICMP_ERRORS:
        return identify_packet(body[8:])[0], f"icmp {body[0]}/{body[1]}"
    if len(body) > 8 and protocol == ICMP6 and body[0] < 128:
        return identify_packet(body[8:])[0], f"icmp6 {body[0]}/{body[1]}"
    number = _marked(body)
    if number is None and protocol == ICMP6 and body[:1] == b"\x88":
        return None, "nd-advertisement"
    is_reply = (protocol, body[:1]) in {(ICMP, b"\x00"), (ICMP6, b"\x81")}
    return number, "echo-reply" if is_reply else "packet"


def _tcp_number(body: bytes) -> tuple[int | None, str]:
    """A segment with data says whose it is; the rest is told from the numbers of both directions."""
    marked = _marked(body[(body[12] >> 4) * 4 :])
    if marked is not None:
        return marked, "packet"
    ours, theirs = struct.unpack("!II", body[4:12])
    if body[13] & _RST:
        # A reset in answer to an ACK continues what that acknowledged, one in answer to a SYN acknowledges the SYN.
        found = ours if _is_number(ours) else theirs - 1
        return (found - _FIRST_NUMBER if _is_number(found) else None), "tcp-reset"
    if body[13] & _SYN and _is_number(theirs - 1) and not (_is_number(ours) and _same_probe(ours, theirs - 1)):
        # the number with which a kernel starts is any, also one of ours
        return theirs - 1 - _FIRST_NUMBER, "tcp-syn-ack"
    return (ours - _FIRST_NUMBER if body[13] & _SYN and _is_number(ours) else None), "packet"


def _same_probe(one: int, other: int) -> bool:
    return (one - _FIRST_NUMBER) // STEPS == (other - _FIRST_NUMBER) // STEPS


def _is_number(value: int) -> bool:
    return _FIRST_NUMBER <= value <= _LAST_NUMBER


def _marked(data: bytes) -> int | None:
    place = data.find(MAGIC)
    if place < 0 or len(data) < place + 8:
        return None
    return int.from_bytes(data[place + 4 : place + 8], "big")


def _transport(data: bytes) -> tuple[int, bytes, bool]:
    """Return the protocol, the transport header and what follows, and whether it is no later fragment."""
    if data[0] >> 4 == 4:
        return data[9], data[(data[0] & 15) * 4 :], not int.from_bytes(data[6:8], "big") & 0x1FFF
    protocol, body, is_first = data[6], data[40:], True
    while protocol in _EXTENSION_HEADERS and len(body) >= 8:
        if protocol == 44:
            is_first = not int.from_bytes(body[2:4], "big") & 0xFFF8
            length = 8
        else:
            length = 8 * (body[1] + 1)
        protocol, body = body[0], body[length:]
    return protocol, body, is_first
