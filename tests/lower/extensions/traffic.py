"""Packets for the tests that count what each rule matches: some of everything that a match looks at.

Headers cut short are left out: there iptables drops the packet itself, and no later rule counts it. So are answers to
link-local addresses, which come back to the other end of the pair, in the same namespace, where nothing leads to them.
"""

from __future__ import annotations

import struct
from itertools import permutations

from tests.lower.extensions import frames

NEAR, FAR = "10.9.0.1", "10.9.0.2"
NEAR6, FAR6 = "fd00:9::1", "fd00:9::2"
OPEN_PORT = 5000
TCP_FLAGS = (0x02, 0x12, 0x10, 0x04, 0x01, 0xC2, 0x52, 0x92, 0x00)
PORTS = ((1000, 22), (1001, 80), (53, 443), (5, 60), (6, 3), (22, 80), (80, 22))
SPIS = (0, 4, 5, 7, 10, 11, 0xFFFFFFFF)
_ETHERNET = bytes.fromhex("020000000001020000000002")


def _ethernet(packets: list[bytes]) -> list[str]:
    return [
        (_ETHERNET + struct.pack("!H", frames.IPV4 if packet[0] >> 4 == 4 else frames.IPV6) + packet).hex()
        for packet in packets
    ]


def _datagram(source: str = FAR, destination: str = NEAR, size: int = 4) -> bytes:
    return frames.udp(source, destination, 100, OPEN_PORT, b"x" * size)


def ipv4(*, fragments: bool) -> list[str]:
    """Return IPv4 frames."""
    packets = [
        frames.ipv4(frames.tcp(FAR, NEAR, sport, dport, flags=flags), protocol=6)
        for flags in TCP_FLAGS
        for sport, dport in PORTS
    ]
    sources = (FAR, "10.9.0.7", "10.0.0.1", "192.0.2.9", "224.0.0.1", NEAR, "127.0.0.1", "0.0.0.0")  # noqa: S104
    targets = (NEAR, "10.9.0.3", "198.51.100.7", "224.0.0.5", "10.9.0.255", "255.255.255.255", "203.0.113.5")
    for source in sources:
        for destination in targets:
            for port in (5353, 5353, OPEN_PORT):
                datagram = frames.udp(source, destination, 1234, port)
                packets.append(frames.ipv4(datagram, source=source, destination=destination))
    packets += [frames.ipv4(_datagram(), tos=tos) for tos in range(256)]
    packets += [frames.ipv4(_datagram(size=size)) for size in (0, 1, 40, 41, 43, 44, 45, 71, 72, 73, 500)]
    packets += [
        frames.ipv4(frames.icmp(kind, code), protocol=1)
        for kind in (*range(20), 254, 255)
        for code in (0, 1, 4, 5, 255)
    ]
    about = frames.ipv4(_datagram(NEAR, FAR), source=NEAR, destination=FAR)[:28]
    packets.append(frames.ipv4(frames.icmp(3, 3, b"\0\0\0\0" + about), protocol=1))
    for spi in SPIS:
        packets.append(frames.ipv4(struct.pack("!II", spi, 1) + b"\0" * 16, protocol=50))
        packets.append(frames.ipv4(frames.authentication_header(6, spi=spi), protocol=51))
        packets.append(frames.ipv4(struct.pack("!BBH", 6, 0, spi & 0xFFFF) + b"\0" * 16, protocol=108))
        packets.append(frames.ipv4(struct.pack("!HHI", 0, 0x800, spi) + b"\0" * 16, protocol=47))
        packets.append(frames.ipv4(b"\0" * 16, protocol=89))
    packets += [
        frames.ipv4(struct.pack("!HHBBHBBH", 5, 6, 4, 0, 0, kind << 1 | 1, 0, 0) + b"\0" * 8, protocol=33)
        for kind in range(16)
    ]
    if fragments:
        packets += _fragments()
    return _ethernet(packets)


def connections(family: str) -> list[str]:
    """Return datagrams of connections that stay: three senders, with six connections each, two packets long."""
    packets = []
    for sender in (2, 3, 4):
        for port in range(6):
            source, destination = (f"10.9.0.{sender}", NEAR) if family == "ip" else (f"fd00:9::{sender}", NEAR6)
            datagram = frames.udp(source, destination, 3000 + port, OPEN_PORT)
            make = frames.ipv4 if family == "ip" else frames.ipv6
            packets += [make(datagram, source=source, destination=destination)] * 2
    return _ethernet(packets)


def _fragments() -> list[bytes]:
    """Return packets in two pieces; the second holds in its payload what would match if it were a header."""
    whole = {
        17: (_datagram(size=20), b"\0\x64\x13\x88" * 4),
        6: (frames.tcp(FAR, NEAR, 1, 22) + b"\0" * 4, b"\0\x16\0\x16" * 6),
        1: (frames.icmp(8, 0, b"\0" * 20), b"\x08\0" * 8),
        50: (struct.pack("!II", 7, 1) + b"\0" * 16, struct.pack("!II", 7, 1)),
        51: (frames.authentication_header(6), frames.authentication_header(6)),
    }
    pieces = []
    for protocol, (all_of_first, second) in whole.items():
        first = all_of_first[: len(all_of_first) // 8 * 8]
        pieces.append(frames.ipv4(first, protocol=protocol, fragment=0x2000, identification=protocol))
        pieces.append(frames.ipv4(second, protocol=protocol, fragment=len(first) // 8, identification=protocol))
    return pieces


def ipv6(*, fragments: bool, authenticated: bool) -> list[str]:
    """Return IPv6 frames; without `authenticated`, none that hide their protocol behind AH."""
    packets = [
        frames.ipv6(frames.tcp(FAR6, NEAR6, sport, dport, flags=flags), next_header=6)
        for flags in TCP_FLAGS
        for sport, dport in PORTS
    ]
    sources = (FAR6, "fd00:9::7", "2001:db8::1", "::", "::1", NEAR6)
    targets = (
        NEAR6, "fd00:9::3", "2001:db8:dead::1", "2001:db8:beef::1", "ff02::1", "ff05::5", "fe80::1", "::ffff:10.0.0.1",
        "fd00:9::", "2001:db8:1::1",
    )  # fmt: skip
    for source in sources:
        for destination in targets:
            datagram = frames.udp(source, destination, 1234, 5353)
            packets.append(frames.ipv6(datagram, source=source, destination=destination))
    packets += [frames.ipv6(_datagram(FAR6, NEAR6), traffic_class=value) for value in range(256)]
    packets += [frames.ipv6(_datagram(FAR6, NEAR6), hop_limit=value) for value in (0, 1, 4, 5, 6, 64, 255)]
    packets += [frames.ipv6(_datagram(FAR6, NEAR6, size)) for size in (0, 1, 2, 3, 4, 52, 100)]
    packets += [
        frames.ipv6(frames.icmp6(FAR6, NEAR6, kind, code, b"\0" * 20), next_header=58)
        for kind in (1, 2, 3, 4, 127, 128, 129, 133, 134, 135, 136, 137, 255)
        for code in (0, 1, 2, 4, 7, 255)
    ]
    packets += _header_chains(fragments=fragments, authenticated=authenticated)
    if authenticated:
        packets += [
            frames.ipv6(
                frames.authentication_header(17, spi=spi, words=words, reserved=reserved) + _datagram(FAR6, NEAR6),
                next_header=51,
            )
            for spi in SPIS
            for words in (1, 4, 5)
            for reserved in (0, 1)
        ]
    if fragments:
        packets += _fragments6()
    return _ethernet(packets)


def _header_chains(*, fragments: bool, authenticated: bool) -> list[bytes]:
    """Return chains of up to three extension headers in every order that is legal, before every kind of end."""
    ends = {
        17: _datagram(FAR6, NEAR6),
        6: frames.tcp(FAR6, NEAR6, 1, 2),
        58: frames.icmp6(FAR6, NEAR6, 128, 0),
        59: b"",
        50: struct.pack("!II", 7, 1) + b"\0" * 16,
        135: b"\x3b\0\0\0\0\0\0\0",
    }
    kinds = [0, 60, 43, *([51] if authenticated else []), *([44] if fragments else [])]
    packets = []
    for count in range(4):
        for chain in permutations(kinds, count):
            if 0 in chain[1:]:
                continue
            behind_authentication = 51 in chain[:-1]
            for end, body in ends.items():
                if behind_authentication and end in {50, 59}:
                    continue
                packets.append(_chain(chain, end, body))
    return packets


def _chain(kinds: tuple[int, ...], end: int, body: bytes) -> bytes:
    following = end
    for kind in reversed(kinds):
        if kind == 0:
            head = frames.options_header(following)
        elif kind == 60:
            head = frames.options_header(following, 1)
        elif kind == 43:
            head = frames.routing_header(following)
        elif kind == 44:
            head = frames.fragment_header(following, 0, more=True)
        else:
            head = frames.authentication_header(following)
        body, following = head + body, kind
    return frames.ipv6(body, next_header=following)


def _fragments6() -> list[bytes]:
    packets = []
    for identification in (4, 5, 6, 7):
        for offset in (0, 3):
            for more in (True, False):
                for reserved in (0, 1):
                    head = frames.fragment_header(
                        17, offset, more=more, identification=identification, reserved=reserved
                    )
                    body = _datagram(FAR6, NEAR6, 16) if not offset else b"\0\x64\x13\x88" * 6
                    packets.append(frames.ipv6(head + body, next_header=44))
    return packets
