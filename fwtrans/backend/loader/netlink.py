"""What libnftables does not tell: the generation of the ruleset, and the handles of what a table holds.

The kernel counts commits in a generation id, for the whole network namespace. While it stands still nothing has changed,
and that is known without listing anything. Handles grow and are not used again within a table, so the handles of chains
and rules say whether it is still the rules that we loaded. The format is linux/netfilter/nf_tables.h. The one thing that is
sent to change something is a batch of elements (`elements.py` makes its messages).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple, Self
from zlib import crc32

from fwtrans.backend.loader.image import Kind, TableName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from fwtrans.backend.loader.elements import Message

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS, _GET_GENERATION, _GET_OBJECT = 1, 4, 7, 10, 13, 16, 19
_NEW_SET = 9
_OBJECT_KINDS = {
    1: Kind.COUNTER,
    2: Kind.QUOTA,
    3: Kind.CT_HELPER,
    4: Kind.LIMIT,
    7: Kind.CT_TIMEOUT,
    8: Kind.SECMARK,
    9: Kind.CT_EXPECTATION,
    10: Kind.SYNPROXY,
}
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_TYPE_MASK = 0x3FFF
_FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
_FAMILY_NAMES = {number: name for name, number in _FAMILIES.items()}
_TRIES = 8
_SMALL = 1 << 16  # bytes that fit into a socket's buffer as it is
# A dump comes in parts of at most 32 KiB (netlink_dump). Room for a million bytes was mapped and given back for each answer,
# which took four times as long as the answer (0.18 of 0.23 ms, User Mode Linux 6.12).
_MOST_RECEIVED = 1 << 16
_BEGIN, _END = 16, 17  # NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END
_ACKNOWLEDGE = 4  # NLM_F_ACK
_SEND_BUFFER_FORCE, _NETLINK, _SHORT_ERRORS = 32, 270, 10  # SO_SNDBUFFORCE, SOL_NETLINK, NETLINK_CAP_ACK
_HEADER = struct.Struct("=HH")
_FILLING = (b"", b"\0\0\0", b"\0\0", b"\0")
_LASTING = frozenset({1, 2, 3, 10})  # NFTA_SET_ELEM_KEY, _DATA, _FLAGS, _KEY_END


class TableHandles(NamedTuple):
    """The handles of a table: its own, those of chains and sets by name, those of each chain's rules in order."""

    table: int
    chains: dict[str, int]
    sets: dict[str, int]
    rules: dict[str, tuple[int, ...]]


class Refusal(NamedTuple):
    """What the kernel said no to: a message of a batch by its place, -1 for the batch itself, and the number of the error."""

    message: int
    number: int


class Netlink:
    """A socket in the current network namespace."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setsockopt(_NETLINK, _SHORT_ERRORS, 1)
        self.sequence = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket."""
        self.socket.close()

    def generation(self) -> int:
        """Return the number of the last commit."""
        for body in self._ask(_GET_GENERATION, 0, _REQUEST, b""):
            return _big(_attributes(body)[1])
        return 0

    def tables(self) -> dict[TableName, int]:
        """Return the handles of all tables."""
        found = {}
        for body in self._dump(_GET_TABLE, 0, b""):
            attributes = _attributes(body)
            found[TableName(_FAMILY_NAMES.get(body[0], "?"), _text(attributes[1]))] = _big(attributes[4])
        return found

    def dormant_tables(self) -> frozenset[TableName]:
        """Return the tables that are switched off; libnftables 1.0.6 crashes on their JSON listing."""
        return frozenset(
            TableName(_FAMILY_NAMES.get(body[0], "?"), _text(attributes[1]))
            for body in self._dump(_GET_TABLE, 0, b"")
            if _big((attributes := _attributes(body)).get(2, b"")) & 1
        )

    def handles(self, table: TableName) -> TableHandles | None:
        """Return all handles of a table, None where there is no such table."""
        own = self.tables().get(table)
        if own is None:
            return None
        chains = self._named(_GET_CHAIN, table, name=3, handle=2)
        return TableHandles(own, chains, self.sets(table), self.rules(table, tuple(chains)))

    def chains(self, table: TableName) -> dict[str, int]:
        """Return the handles of a table's chains."""
        return self._named(_GET_CHAIN, table, name=3, handle=2)

    def sets(self, table: TableName) -> dict[str, int]:
        """Return the handles of a table's sets and maps, without those inside of rules."""
        found = self._named(_GET_SET, table, name=2, handle=16)
        return {name: handle for name, handle in found.items() if not name.startswith(("__set", "__map"))}

    def rules(self, table: TableName, chains: tuple[str, ...], *, only: str = "") -> dict[str, tuple[int, ...]]:
        """Return the handles of the rules of each chain, or of one."""
        found: dict[str, list[int]] = {chain: [] for chain in chains}
        wanted = text_attribute(1, table.name) + (text_attribute(2, only) if only else b"")
        for body in self._dump(_GET_RULE, _FAMILIES[table.family], wanted):
            attributes = _attributes(body, 3)
            if _text(attributes[1]) == table.name and (chain := _text(attributes[2])) in found:
                found[chain].append(_big(attributes[3]))
        return {chain: tuple(handles) for chain, handles in found.items()}

    def objects(self, table: TableName) -> tuple[tuple[Kind, str], ...]:
        """Return the named objects of a table, of the kinds that we make."""
        found = []
        for body in self._dump(_GET_OBJECT, _FAMILIES[table.family], text_attribute(1, table.name)):
            attributes = _attributes(body)
            kind = _OBJECT_KINDS.get(_big(attributes[3]))
            if _text(attributes[1]) == table.name and kind is not None:
                found.append((kind, _text(attributes[2])))
        return tuple(found)

    def set_attributes(self, places: Sequence[tuple[TableName, str]]) -> list[dict[int, bytes] | None]:
        """Return what the kernel says of sets and maps, all asked in one go; None for each that is not there."""
        first = self.sequence + 1
        asked = [
            _message(
                _SUBSYSTEM | _GET_SET,
                _REQUEST,
                at,
                struct.pack("=BBH", _FAMILIES[table.family], 0, 0)
                + text_attribute(1, table.name)
                + text_attribute(2, name),
            )
            for at, (table, name) in enumerate(places, first)
        ]
        self.sequence += len(asked)
        if asked:  # nothing at all is an error to the socket
            self.socket.send(b"".join(asked))
        found: list[dict[int, bytes] | None] = [None] * len(asked)
        for kind, sequence, body in self._waiting(first):
            if kind == _SUBSYSTEM | _NEW_SET:
                found[sequence - first] = _attributes(body)
        return found

    def transact(self, messages: Sequence[Message], generation: int, *, dry: bool) -> tuple[Refusal, ...] | None:
        """Have the kernel take all messages or none, and none where `generation` is not its own any more.

        None where the messages are too much for the socket, and nothing was sent. Without an end the kernel looks at everything
        and takes nothing. When the call that sends returns, it has answered: each message that it refuses, and the last one.
        """
        first = self.sequence + 1
        last = first + len(messages)
        self.sequence = last + 1
        subsystem = struct.pack("=BBH", 0, 0, socket.htons(_SUBSYSTEM >> 8))
        genid = struct.pack("=HH", 8, 1) + struct.pack(">I", generation)
        batch = [_message(_BEGIN, _REQUEST, first, subsystem + genid)]
        for at, (_, kind, flags, table, body) in enumerate(messages, first + 1):
            asks = _REQUEST | (_ACKNOWLEDGE if at == last else 0)
            head = struct.pack("=BBH", _FAMILIES[table.family], 0, 0)
            batch.append(_message(_SUBSYSTEM | kind, asks | flags, at, head + body))
        if not dry:
            batch.append(_message(_END, _REQUEST, self.sequence, subsystem))
        data = b"".join(batch)
        try:
            if len(data) > _SMALL:
                self.socket.setsockopt(socket.SOL_SOCKET, _SEND_BUFFER_FORCE, 2 * len(data))
            self.socket.send(data)
        except OSError:
            return None
        answers: dict[int, int] = {}
        for kind, at, body in self._waiting(first):
            if kind == _ERROR:
                answers[at] = answers.get(at) or -struct.unpack_from("=i", body)[0]
        if last not in answers and not answers.get(first):  # a batch that is refused as such is not read to its end
            raise OSError(errno.ENOBUFS, "the kernel's answer to a transaction was lost")
        return tuple(Refusal(at - first - 1, number) for at, number in sorted(answers.items()) if number)

    def _waiting(self, first: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield what the kernel has answered to messages from this number on: the kind, the number, and what is in it."""
        while True:
            try:
                data = self.socket.recv(_MOST_RECEIVED, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            at = 0
            while at + 16 <= len(data):
                length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                if first <= sequence <= self.sequence:
                    yield kind, sequence, data[at + 16 : at + length]
                at += (length + 3) & ~3

    def elements(self, table: TableName, name: str) -> tuple[int, int]:
        """Return how many elements a set has in the kernel, and a sum over their keys and values in any order."""
        count = total = 0
        wanted = text_attribute(1, table.name) + text_attribute(2, name)
        for body in self._dump(_GET_ELEMENTS, _FAMILIES[table.family], wanted):
            for element in _each(_attributes(body).get(3, b"")):
                total += _sum_of(element)
                count += 1
        return count, total

    def _named(self, message: int, table: TableName, *, name: int, handle: int) -> dict[str, int]:
        found = {}
        for body in self._dump(message, _FAMILIES[table.family], text_attribute(1, table.name)):
            attributes = _attributes(body)
            if _text(attributes[1]) == table.name:  # kernels before 5.10 do not filter chains
                found[_text(attributes[name])] = _big(attributes[handle])
        return found

    def _dump(self, message: int, family: int, attributes: bytes) -> list[bytes]:
        """Return a whole dump: one that a commit has cut in two begins anew."""
        for _ in range(_TRIES):
            try:
                return list(self._ask(message, family, _REQUEST | _DUMP, attributes))
            except InterruptedError:
                continue
        raise OSError("the ruleset changes faster than it can be read")

    def _ask(self, message: int, family: int, flags: int, attributes: bytes) -> Iterator[bytes]:
        self.sequence += 1
        body = struct.pack("=BBH", family, 0, 0) + attributes
        self.socket.send(_message(_SUBSYSTEM | message, flags, self.sequence, body))
        interrupted = False
        while True:
            data = self.socket.recv(_MOST_RECEIVED)
            at = 0
            while at + 16 <= len(data):
                length, kind, found, sequence, _ = struct.unpack_from("=IHHII", data, at)
                end = at + length
                if sequence == self.sequence:
                    interrupted = interrupted or bool(found & _INTERRUPTED)
                    if kind in (_DONE, _ERROR):
                        _raise_fault(data, at, kind)
                        if interrupted:
                            raise InterruptedError
                        return
                    yield data[at + 16 : end]
                    if not flags & _DUMP:
                        return
                at += (length + 3) & ~3


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def _raise_fault(data: bytes, at: int, kind: int) -> None:
    (fault,) = struct.unpack_from("=i", data, at + 16)
    if fault and (kind == _ERROR or fault < 0):
        raise OSError(-fault, os.strerror(-fault))


def attribute(number: int, value: bytes) -> bytes:
    """Return an attribute, filled up to four bytes."""
    length = len(value)
    return _HEADER.pack(4 + length, number) + value + _FILLING[length & 3]


def text_attribute(number: int, text: str) -> bytes:
    """Return an attribute that is a text, as names are."""
    return attribute(number, text.encode() + b"\0")


def _attributes(body: bytes, up_to: int = 0) -> dict[int, bytes]:
    """Return the attributes behind the header of four bytes, by number; with `up_to` the walk ends there."""
    found = {}
    at, end = 4, len(body)
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", body, at)
        number = kind & _TYPE_MASK
        found[number] = body[at + 4 : at + length]
        if number == up_to:
            break
        at += (length + 3) & ~3
    return found


def _sum_of(element: bytes) -> int:
    """Return a checksum of an element's keys, value and flags, without its times and counters. There may be thousands."""
    found, at, end = 0, 0, len(element)
    while at + 4 <= end:
        length, kind = _HEADER.unpack_from(element, at)
        if kind & _TYPE_MASK in _LASTING:
            found = crc32(element[at : at + length], found)
        at += (length + 3) & ~3
    return found


def _each(body: bytes) -> Iterator[bytes]:
    """Yield the contents of a list's entries, which all have the same number."""
    at, end = 0, len(body)
    while at + 4 <= end:
        (length,) = struct.unpack_from("=H", body, at)
        yield body[at + 4 : at + length]
        at += (length + 3) & ~3


def _big(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
