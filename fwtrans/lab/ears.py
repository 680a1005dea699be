"""Sockets of one side of the lab: on every wire of the world, and on the host behind its firewall."""

from __future__ import annotations

import selectors
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lab.frames import (
    ARP,
    ICMP,
    ICMP6,
    SCTP_PROTOCOL,
    TCP,
    UDP,
    Frame,
    address_text,
    identify,
    identify_packet,
    identify_transport,
    take_apart,
)
from fwtrans.lab.netns import inside
from fwtrans.lab.topology import HOST
from fwtrans.lab.wiring import OWN_PAIR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwtrans.lab.wiring import Wiring

_ALL_PROTOCOLS = 3
_IGNORE_OUTGOING, _AUXDATA, _PACKET_LEVEL = 23, 8, 263
_TAG_VALID = 1 << 4
_BIG_BUFFER, _RECEIVE_BUFFER_FORCE = 1 << 22, 33
_OWN_PROTOCOL, _LONGEST_WAY, _LONGEST_WAIT, _MOST_SENT = 0x88B5, 16, 20.0, 3
"""An Ethernet type for experiments (IEEE 802), and seconds within which a frame gets through on the busiest machine."""
_OWN_FRAME = b"\2\0\0\0\0\1\2\0\0\0\0\2" + _OWN_PROTOCOL.to_bytes(2, "big") + b"\0" * 44
_RAW_PROTOCOLS = {TCP, UDP, ICMP, SCTP_PROTOCOL}
_IP_PKTINFO = 8
_TELL_INTERFACE: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_PKTINFO),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
_INTERFACE_AT = {(socket.IPPROTO_IP, _IP_PKTINFO): 0, (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO): 16}
"""Where the number of the interface stands in what comes with a packet (struct in_pktinfo, struct in6_pktinfo)."""


class Heard(NamedTuple):
    """A frame or packet, where it was heard, and the number of the probe that it belongs to, if it says so."""

    endpoint: str
    number: int | None
    kind: str
    source_mac: str
    vlan: int | None
    packet: bytes
    has_header: bool = True
    """Whether the packet starts with its network header; the host's IPv6 sockets take it off."""
    interface: str = ""
    """Where the host got it by, if the host did."""


class Ears:
    """Hears on all endpoints. A frame that this side sent itself is not heard on the wire where it was put."""

    def __init__(self, wiring: Wiring, protocols: Iterable[int]) -> None:
        self.selector = selectors.DefaultSelector()
        self.wires: dict[str, socket.socket] = {}
        with inside(wiring.world):
            self._near, self._far = (self._own(name) for name in OWN_PAIR)
            for endpoint in wiring.endpoints:
                self.wires[endpoint.name] = self._listen(endpoint.interface, endpoint.name)
        self.bridges = {name: self._listen(name, HOST, host=True) for name in host_interfaces(wiring)}
        for protocol in sorted({*protocols, *_RAW_PROTOCOLS}):
            self._raw(socket.AF_INET, protocol)
        for protocol in sorted({*protocols, *_RAW_PROTOCOLS, ICMP6} - {ICMP}):
            self._raw(socket.AF_INET6, protocol)

    def _listen(self, interface: str, endpoint: str, *, host: bool = False) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.bind((interface, ARP if host else _ALL_PROTOCOLS))
        made.setsockopt(_PACKET_LEVEL, _IGNORE_OUTGOING, 1)
        made.setsockopt(_PACKET_LEVEL, _AUXDATA, 1)
        made.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BIG_BUFFER)
        made.setblocking(False)
        self.selector.register(made, selectors.EVENT_READ, (self._read_frame, endpoint))
        return made

    def _own(self, name: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.bind((name, _OWN_PROTOCOL))
        made.settimeout(_LONGEST_WAIT)
        return made

    def settle(self) -> None:
        """Return when every frame that was sent has gone as far as it goes.

        All is done by one processor, which takes frames from one queue in their order: what is sent now comes out behind
        all that waited. A frame that passes a pair of interfaces queues again, and so does the answer to it, so this is
        done as often as a way there and back is long.
        """
        for number in range(_LONGEST_WAY):
            frame = _OWN_FRAME + number.to_bytes(2, "big")
            for chance in range(_MOST_SENT):
                self._near.send(frame)
                try:
                    while self._far.recv(2048) != frame:
                        pass
                    break
                except TimeoutError:  # lost in a full queue
                    if chance == _MOST_SENT - 1:
                        raise

    def _raw(self, family: int, protocol: int) -> None:
        made = socket.socket(family, socket.SOCK_RAW, protocol)
        made.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BIG_BUFFER)
        made.setsockopt(*_TELL_INTERFACE[family], 1)
        made.setblocking(False)
        reader = self._read_ipv4 if family == socket.AF_INET else self._read_ipv6(protocol)
        self.selector.register(made, selectors.EVENT_READ, (reader, HOST))

    def _read_frame(self, wire: socket.socket, endpoint: str) -> Heard:
        data, extra, _, _ = wire.recvmsg(65536, 256)
        vlan = None
        for level, kind, value in extra:
            if level == _PACKET_LEVEL and kind == _AUXDATA:
                status, tag = struct.unpack_from("=I12xH", value)
                vlan = tag & 0xFFF if status & _TAG_VALID else None
        frame: Frame = take_apart(data, vlan)
        number, what = identify(frame)
        return Heard(endpoint, number, what, frame.source, frame.vlan, frame.payload)

    def _read_ipv4(self, wire: socket.socket, endpoint: str) -> Heard:
        data, extra, _, _ = wire.recvmsg(65536, 64)
        number, kind = identify_packet(data)
        return Heard(endpoint, number, kind, "", None, data, interface=_interface_of(extra))

    def _read_ipv6(self, protocol: int) -> Callable[[socket.socket, str], Heard]:
        def read(wire: socket.socket, endpoint: str) -> Heard:
            data, extra, _, _ = wire.recvmsg(65536, 64)
            number, kind = identify_transport(protocol, data)
            return Heard(endpoint, number, kind, "", None, data, has_header=False, interface=_interface_of(extra))

        return read

    def close(self) -> None:
        """Close all sockets."""
        self._near.close()
        self._far.close()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # they are sockets
        self.selector.close()

    def heard(self) -> Iterator[Heard]:
        """Yield what has come since."""
        while ready := self.selector.select(0):
            for key, _ in ready:
                reader, endpoint = key.data
                with suppress(BlockingIOError):
                    while True:
                        yield reader(key.fileobj, endpoint)


def _interface_of(extra: Iterable[tuple[int, int, bytes]]) -> str:
    """Return the name of the interface that a packet came by, as its socket tells."""
    for level, kind, value in extra:
        at = _INTERFACE_AT.get((level, kind))
        if at is not None:
            return _name_of(*struct.unpack_from("=i", value, at))
    return ""


def _name_of(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        return ""


def host_interfaces(wiring: Wiring) -> list[str]:
    """Return the interfaces on which the host itself is heard: those that endpoints reach it through."""
    return sorted(
        {endpoint.attached for endpoint in wiring.endpoints} | {interface for interface, _ in wiring.host_addresses}
    )


def ends_of(packet: bytes) -> tuple[str, str]:
    """Return source and destination of an IP packet."""
    if packet[0] >> 4 == 4:
        return address_text(packet[12:16]), address_text(packet[16:20])
    return address_text(packet[8:24]), address_text(packet[24:40])
