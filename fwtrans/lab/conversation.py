"""The packets of a probe, one step after the other: what is sent is decided here, where it arrives the kernel decides."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from fwtrans.lab import frames
from fwtrans.lab.frames import (
    ARP,
    ICMP,
    ICMP6,
    IGMP,
    IPV4,
    IPV6,
    SCTP_PROTOCOL,
    STEPS,
    TCP,
    UDP,
    address_bytes,
    mac_bytes,
    sequence,
    token,
)
from fwtrans.lab.probe import Follow, Kind, Probe

_SYN, _ACK, _PUSH = 0x02, 0x10, 0x08
BROADCAST = "ff:ff:ff:ff:ff:ff"
LINK_KINDS = {Kind.ARP_REQUEST, Kind.ARP_REPLY, Kind.ETHERTYPE, Kind.FRAME}
"""What the host can only send as frames."""
_WHOLE_FRAME = -1
_AH = 51
_AUTHENTICATION = struct.pack("!BBHII", 59, 4, 0, 256, 1) + b"\0" * 12
"""An authentication header in front of data of no protocol: IPv6 walks over it, so that it has to be whole."""


def no_address(*, is_v6: bool) -> str:
    """Return what a packet has for an address where its sender has none."""
    return str(IPv6Address(0) if is_v6 else IPv4Address(0))


class Outgoing(NamedTuple):
    """A packet to be sent: its Ethernet type and what follows; type -1 is a whole frame."""

    kind: int
    payload: bytes


@dataclass(slots=True)
class Ends:
    """The two parties of a probe, with everything that was left open filled in."""

    source_address: str
    target_address: str
    source_mac: str
    target_mac: str
    sport: int
    dport: int
    peer_sequence: int | None = None
    """The sequence number of the target's SYN."""
    sent: list[bytes] = field(default_factory=list)
    """Network packets of the steps so far."""


def numbers_of(index: int, step: int) -> int:
    """Return the number of a packet."""
    return index * STEPS + step


def step_of(number: int) -> tuple[int, int]:
    """Return the probe's place and the step of a packet."""
    return divmod(number, STEPS)


def first(probe: Probe, ends: Ends, number: int) -> list[Outgoing]:
    """Return what the probe starts with."""
    if probe.kind is Kind.FRAME:
        data = bytes.fromhex(probe.frame)
        return [Outgoing(_WHOLE_FRAME, data.replace(b"FwTr????", token(number, 8)))]
    if probe.kind is Kind.ETHERTYPE:
        return [Outgoing(probe.protocol, token(number, max(probe.size, 46)))]
    if probe.kind in {Kind.ARP_REQUEST, Kind.ARP_REPLY}:
        return [Outgoing(ARP, _arp(probe, ends, number))]
    whole = _packet(probe, ends, number)
    pieces = frames.fragments(whole, probe.fragment, number & 0xFFFF) if probe.fragment else [whole]
    return [Outgoing(_ethertype(piece), piece) for piece in pieces]


def following(probe: Probe, ends: Ends, follow: Follow, number: int) -> list[Outgoing]:
    """Return the next packet of the conversation."""
    back = follow is not Follow.REQUEST
    here, there = (ends.target_address, ends.source_address) if back else (ends.source_address, ends.target_address)
    ports = (ends.dport, ends.sport) if back else (ends.sport, ends.dport)
    protocol, body = _next_body(probe, ends, follow, number, (here, there, *ports))
    whole = frames.packet(here, there, protocol, body, tos=probe.tos, hops=64)
    return [Outgoing(_ethertype(whole), whole)]


def _next_body(
    probe: Probe, ends: Ends, follow: Follow, number: int, ways: tuple[str, str, int, int]
) -> tuple[int, bytes]:
    here, there, sport, dport = ways
    icmp = ICMP6 if ":" in here else ICMP
    if follow is Follow.RELATED:
        kind, code = (1, 4) if icmp == ICMP6 else (3, 3)
        if probe.settled:
            kind, code = probe.icmp_type, probe.icmp_code
        return icmp, frames.icmp(here, there, kind, code, b"\0" * 4 + ends.sent[0][:512])
    if probe.kind is Kind.TCP:
        return TCP, _next_segment(probe, ends, follow, number, ways)
    if probe.kind is Kind.ECHO:
        kinds = (8, 0) if icmp == ICMP else (128, 129)
        rest = struct.pack("!HH", ends.sport, 1) + token(number, probe.size)
        return icmp, frames.icmp(here, there, kinds[follow is Follow.REPLY], 0, rest)
    if probe.kind is Kind.PROTOCOL:
        return probe.protocol, token(number, probe.size)
    return UDP, frames.udp(here, there, sport, dport, token(number, probe.size))


def _next_segment(probe: Probe, ends: Ends, follow: Follow, number: int, ways: tuple[str, str, int, int]) -> bytes:
    ours = sequence(number - number % STEPS)
    if follow is Follow.RESET:
        return frames.tcp(*ways, 0x14, 0, ours + 1)
    if follow is Follow.REPLY and ends.peer_sequence is None:
        ends.peer_sequence = sequence(number)
        return frames.tcp(*ways, 0x12, ends.peer_sequence, ours + 1)
    theirs = ends.peer_sequence or sequence(number)
    flags = probe.flags if number % STEPS == probe.settled > 0 else _ACK | _PUSH
    numbers = (ours + 1, theirs + 1) if follow is Follow.REQUEST else (theirs + 1, ours + 1)
    return frames.tcp(*ways, flags, *numbers, token(number, probe.size))


def _ethertype(packet: bytes) -> int:
    return IPV4 if packet[0] >> 4 == 4 else IPV6


def _arp(probe: Probe, ends: Ends, number: int) -> bytes:
    asks = probe.kind is Kind.ARP_REQUEST
    target = "00:00:00:00:00:00" if asks else ends.target_mac
    return frames.arp(1 if asks else 2, (ends.source_mac, ends.source_address), (target, ends.target_address), number)


def _packet(probe: Probe, ends: Ends, number: int) -> bytes:
    protocol, body = _body(probe, ends, number)
    hops = 255 if probe.kind in _NEIGHBOUR else 1 if probe.kind in _GROUPS else probe.hops
    here, there = ends.source_address, network_destination(probe, ends)
    if ":" not in here:
        return frames.ipv4(here, there, protocol, body, tos=probe.tos, hops=hops, identification=number & 0xFFFF)
    if probe.kind is Kind.MLD_REPORT:
        # RFC 3810: a report stands behind a router alert in a hop-by-hop header
        return frames.ipv6(here, there, 0, bytes((protocol, 0, 5, 2, 0, 0, 1, 0)) + body, hops=1)
    return frames.ipv6(here, there, protocol, body, tos=probe.tos, hops=hops)


_NEIGHBOUR = {
    Kind.NEIGHBOUR_SOLICITATION,
    Kind.NEIGHBOUR_ADVERTISEMENT,
    Kind.ROUTER_SOLICITATION,
    Kind.ROUTER_ADVERTISEMENT,
}
_GROUPS = {Kind.MLD_REPORT, Kind.IGMP_REPORT}


def _body(probe: Probe, ends: Ends, number: int) -> tuple[int, bytes]:
    here, there, sport, dport = ends.source_address, ends.target_address, ends.sport, ends.dport
    data = token(number, probe.size)
    icmp = ICMP6 if ":" in here else ICMP
    if probe.kind is Kind.TCP:
        flags = _SYN if probe.settled else probe.flags
        more = b"" if flags & 0x17 == 0x02 else data
        acknowledged = sequence(number) if flags & _ACK else 0
        return TCP, frames.tcp(here, there, sport, dport, flags, sequence(number), acknowledged, more)
    if probe.kind is Kind.SCTP:
        return SCTP_PROTOCOL, frames.sctp(sport, dport, data)
    if probe.kind is Kind.ECHO:
        kind = 128 if icmp == ICMP6 else 8
        return icmp, frames.icmp(here, there, kind, 0, struct.pack("!HH", sport, 1) + data)
    if probe.kind is Kind.ICMP:
        return icmp, frames.icmp(here, there, probe.icmp_type, probe.icmp_code, _icmp_rest(probe, ends, number))
    if probe.kind is Kind.PROTOCOL:
        return probe.protocol, (_AUTHENTICATION if probe.protocol == _AH else b"") + data
    if probe.kind is Kind.IGMP_REPORT:
        message = struct.pack("!BBH4s", 0x16, 0, 0, address_bytes(there))
        return IGMP, message[:2] + struct.pack("!H", frames.checksum(message + data)) + message[4:] + data
    if probe.kind in {*_NEIGHBOUR, Kind.MLD_REPORT}:
        return ICMP6, _neighbour(probe, ends, number)
    return UDP, frames.udp(here, there, sport, dport, _datagram(probe, ends, number))


def _icmp_rest(probe: Probe, ends: Ends, number: int) -> bytes:
    is_v6 = ":" in ends.source_address
    is_error = probe.icmp_type < 128 if is_v6 else probe.icmp_type in {3, 4, 5, 11, 12}
    if not is_error:
        return struct.pack("!HH", ends.sport, 1) + token(number, probe.size)
    here, there = ends.target_address, ends.source_address
    quoted = frames.packet(here, there, UDP, frames.udp(here, there, ends.dport, ends.sport, token(number)))
    return b"\0" * 4 + quoted


def _neighbour(probe: Probe, ends: Ends, number: int) -> bytes:
    here, there = ends.source_address, ends.target_address
    nonce = struct.pack("!BB", 14, 4) + token(number, 30)
    """A nonce option (RFC 3971) of 32 bytes: it may be of any length, and says nothing to who does not ask for it."""
    link = struct.pack("!BB", 1, 1) + mac_bytes(ends.source_mac)
    if probe.kind is Kind.NEIGHBOUR_SOLICITATION:
        own = b"" if here == "::" else link
        return frames.icmp(here, _solicited(there), 135, 0, b"\0" * 4 + address_bytes(there) + own + nonce)
    if probe.kind is Kind.NEIGHBOUR_ADVERTISEMENT:
        own = b"\2" + link[1:]
        return frames.icmp(here, there, 136, 0, b"\x60\0\0\0" + address_bytes(here) + own + nonce)
    if probe.kind is Kind.ROUTER_SOLICITATION:
        return frames.icmp(here, there, 133, 0, b"\0" * 4 + link + nonce)
    if probe.kind is Kind.ROUTER_ADVERTISEMENT:
        return frames.icmp(here, there, 134, 0, struct.pack("!BBHII", 64, 0, 0, 0, 0) + link + nonce)
    record = struct.pack("!BBH", 4, 0, 0) + address_bytes("ff02::1:ff00:1")
    return frames.icmp(here, there, 143, 0, struct.pack("!HH", 0, 1) + record + token(number))


def _solicited(address: str) -> str:
    """Return the group that a neighbour solicitation goes to."""
    return str(ip_address(0xFF0200000000000000000001FF000000 | int(ip_address(address)) & 0xFFFFFF))


def _datagram(probe: Probe, ends: Ends, number: int) -> bytes:
    if probe.kind in {Kind.DHCP_DISCOVER, Kind.DHCP_OFFER}:
        asks = probe.kind is Kind.DHCP_DISCOVER
        mac = ends.source_mac if asks else ends.target_mac
        head = struct.pack("!BBBBI", 1 if asks else 2, 1, 6, 0, number) + b"\0" * 20
        options = b"\x63\x82\x53\x63\x35\x01" + (b"\1" if asks else b"\2") + b"\xff"
        return head + mac_bytes(mac).ljust(16, b"\0") + b"\0" * 192 + options + token(number)
    if probe.kind is Kind.DHCP6_SOLICIT:
        return b"\1" + struct.pack("!I", number)[1:] + struct.pack("!HH", 39, 24) + token(number)
    return token(number, probe.size)


def network_destination(probe: Probe, ends: Ends) -> str:
    """Return the address on the packet: for a solicitation the group, which is not the address that is asked for."""
    if probe.kind is Kind.NEIGHBOUR_SOLICITATION:
        return _solicited(ends.target_address)
    return ends.target_address


def group_mac(address: str) -> str:
    """Return the hardware address of a broadcast or multicast address, nothing for others."""
    if not address:
        return ""
    data = address_bytes(address)
    if len(data) == 16:
        return "33:33:" + ":".join(f"{byte:02x}" for byte in data[12:]) if data[0] == 0xFF else ""
    if 224 <= data[0] < 240:
        return f"01:00:5e:{data[1] & 127:02x}:{data[2]:02x}:{data[3]:02x}"
    return BROADCAST if data == b"\xff" * 4 else ""
