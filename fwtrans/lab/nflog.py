"""Messages of NFLOG rules, read from the kernel: the prefix and the packet (linux/netfilter/nfnetlink_log.h)."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETFILTER = 12
_REQUEST, _ACKNOWLEDGE = 1, 4
_ULOG = 4 << 8
_PACKET, _CONFIG = 0, 1
_BIND, _FAMILY_BIND = 1, 3
_COPY_WHOLE = struct.pack("!IBx", 0xFFFF, 2)
_COMMAND, _MODE, _AT_ONCE = 1, 2, 5
_MARK, _PAYLOAD, _PREFIX = 2, 9, 10
_HEADER = 20


class Message(NamedTuple):
    """What a rule logged; the packet starts at its network header."""

    group: int
    prefix: str
    packet: bytes
    mark: int = 0


def _attribute(kind: int, data: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(data), kind) + data).ljust((4 + len(data) + 3) & ~3, b"\0")


class LogReader:
    """Takes part in log groups of the namespace that it was made in."""

    def __init__(self, groups: tuple[int, ...]) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for group in groups:
            self._configure(group, _attribute(_COMMAND, bytes([_BIND])))
            self._configure(group, _attribute(_MODE, _COPY_WHOLE))
            self._configure(group, _attribute(_AT_ONCE, struct.pack("!I", 1)))
        self.socket.setblocking(False)

    def _configure(self, group: int, attribute: bytes) -> None:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, group) + attribute
        head = struct.pack("=IHHII", 16 + len(body), _ULOG | _CONFIG, _REQUEST | _ACKNOWLEDGE, 0, 0)
        self.socket.send(head + body)
        answer = self.socket.recv(4096)
        error = struct.unpack("=i", answer[16:20])[0]
        if error:
            raise OSError(-error, f"NFLOG group {group}")

    def read(self) -> Iterator[Message]:
        """Yield what has been logged since."""
        with suppress(BlockingIOError):
            while True:
                yield from self._messages(self.socket.recv(1 << 18))

    def _messages(self, data: bytes) -> Iterator[Message]:
        while len(data) >= _HEADER:
            length, kind = struct.unpack("=IH", data[:6])
            if kind == _ULOG | _PACKET:
                group = int.from_bytes(data[18:20], "big")
                found = dict(_attributes(data[_HEADER:length]))
                prefix = found.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace")
                mark = int.from_bytes(found.get(_MARK, b""), "big")
                yield Message(group, prefix, found.get(_PAYLOAD, b""), mark)
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack("=HH", data[:4])
        if length < 4:
            return
        yield kind & 0x7FFF, data[4:length]
        data = data[(length + 3) & ~3 :]
