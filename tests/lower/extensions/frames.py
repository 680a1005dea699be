"""Ethernet frames made by hand, for tests that ask the kernel: every field that a match looks at can be set."""

from __future__ import annotations

import socket
import struct

IPV4, IPV6 = 0x0800, 0x86DD


def checksum(data: bytes) -> int:
    """Return the internet checksum."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    payload: bytes,
    *,
    source: str = "10.9.0.2",
    destination: str = "10.9.0.1",
    protocol: int = 17,
    tos: int = 0,
    ttl: int = 64,
    fragment: int = 0,
    identification: int = 1,
) -> bytes:
    """Return an IPv4 packet; `fragment` is the whole word of flags and offset."""
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        tos,
        20 + len(payload),
        identification,
        fragment,
        ttl,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(destination),
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(
    payload: bytes,
    *,
    source: str = "fd00:9::2",
    destination: str = "fd00:9::1",
    next_header: int = 17,
    traffic_class: int = 0,
    hop_limit: int = 64,
) -> bytes:
    """Return an IPv6 packet."""
    head = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, len(payload), next_header, hop_limit)
    return head + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload


def _pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    if ":" in source:
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
        return addresses + struct.pack("!II", length, protocol)
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", protocol, length)


def tcp(source: str, destination: str, sport: int, dport: int, *, flags: int = 2, sequence: int = 1) -> bytes:
    """Return a TCP header with a right checksum."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, sequence, 0, 0x50, flags, 1024, 0, 0)
    total = checksum(_pseudo_header(source, destination, 6, len(segment)) + segment)
    return segment[:16] + struct.pack("!H", total) + segment[18:]


def udp(source: str, destination: str, sport: int, dport: int, data: bytes = b"data") -> bytes:
    """Return a UDP datagram with a right checksum."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    total = checksum(_pseudo_header(source, destination, 17, len(datagram)) + datagram) or 0xFFFF
    return datagram[:6] + struct.pack("!H", total) + datagram[8:]


def icmp(kind: int, code: int, rest: bytes = b"\0\1\0\1data") -> bytes:
    """Return an ICMP message."""
    message = struct.pack("!BBH", kind, code, 0) + rest
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmp6(source: str, destination: str, kind: int, code: int, rest: bytes = b"\0\1\0\1data") -> bytes:
    """Return an ICMPv6 message."""
    message = struct.pack("!BBH", kind, code, 0) + rest
    total = checksum(_pseudo_header(source, destination, 58, len(message)) + message)
    return message[:2] + struct.pack("!H", total) + message[4:]


def options_header(next_header: int, units: int = 0) -> bytes:
    """Return a hop-by-hop or destination options header full of padding, of 8 * (units + 1) bytes."""
    padding = 8 * (units + 1) - 4
    return struct.pack("!BBBB", next_header, units, 1, padding) + b"\0" * padding


def routing_header(next_header: int) -> bytes:
    """Return a routing header without segments left."""
    return struct.pack("!BBBBI", next_header, 0, 253, 0, 0)


def fragment_header(next_header: int, offset: int, *, more: bool, identification: int = 7, reserved: int = 0) -> bytes:
    """Return a fragment header; `offset` counts units of eight bytes."""
    return struct.pack("!BBHI", next_header, reserved, offset << 3 | more, identification)


def authentication_header(next_header: int, *, spi: int = 7, words: int = 4, reserved: int = 0) -> bytes:
    """Return an authentication header of 4 * (words + 2) bytes."""
    return struct.pack("!BBHII", next_header, words, reserved, spi, 1) + b"\0" * (4 * (words + 2) - 12)
