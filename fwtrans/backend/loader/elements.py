"""Transactions of elements only as messages for the kernel, without libnftables.

    add element bridge fwtrans ways { "tap100i0" . tcp . 22 : goto guest }

    NEWSETELEM  bridge, table fwtrans, set ways
                key   "tap100i0" in 16 bytes . 06 00 00 00 . 00 16 00 00
                data  verdict goto, chain guest

libnftables reads all tables, chains and sets into its cache before it can do that, which takes longer the more there are.
What a key looks like is asked of the kernel, where nft has left the types that the set was declared with. Whatever is not
surely understood raises `Unsure`, and the whole transaction goes to libnftables: it is never halved.
"""

from __future__ import annotations

import re
import struct
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.datatypes import Datatype, Unsure, length_of, padded, types_of_number, types_of_words
from fwtrans.backend.loader.image import Kind
from fwtrans.backend.loader.netlink import attribute, text_attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.backend.loader.image import TableName
    from fwtrans.backend.loader.transaction import Transaction

ElementCommand: TypeAlias = tx.AddElements | tx.DeleteElements | tx.FlushElements

MOST = 2000
"""Elements of a transaction above which libnftables, which is no Python, is quicker."""

ADD, DELETE = 12, 14  # NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
_CREATE = 0x400  # NLM_F_CREATE
_ROOM = 32_000  # bytes of elements in a message: the length of an attribute has 16 bits
_INTERVAL, _MAP, _CONCATENATED = 0x04, 0x08, 0x80
_VERDICTS = {"accept": 1, "drop": 0, "continue": -1, "return": -5}
_JUMPS = {"jump": -3, "goto": -4}
_IS_VERDICT = 0xFFFFFF00
_CHAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NESTED = 0x8000
# NFTA_SET_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _DATA_TYPE, _DATA_LEN, _POLICY, _DESC, _USERDATA, _PAD, _HANDLE, and two
# that kernels since 6.15 tell: the kind of set, and how many elements there are. Timeouts, objects and statements are not here
_UNDERSTOOD = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 19, 20})
# what nft notes for itself about a set: byte orders of key and data, whether it merges intervals, expressions in place of
# types (`typeof`; that of a concatenation of types is empty), whether values are intervals, and a comment
_KEY_ORDER, _DATA_ORDER, _MERGES, _KEY_EXPRESSION, _DATA_EXPRESSION, _DATA_INTERVALS, _COMMENT = 0, 1, 2, 3, 4, 6, 7


class SetShape(NamedTuple):
    """What a set's elements are made of. `value` is empty where there is none, or where it is a verdict."""

    key: tuple[Datatype, ...]
    value: tuple[Datatype, ...]
    is_of_verdicts: bool
    has_intervals: bool

    @property
    def is_map(self) -> bool:
        """Tell whether elements have a value."""
        return self.is_of_verdicts or bool(self.value)


class Message(NamedTuple):
    """One message of a batch, and which command of the transaction it belongs to."""

    command: int
    kind: int
    flags: int
    table: TableName
    body: bytes


def commands_of(transaction: Transaction) -> tuple[ElementCommand, ...]:
    """Return the commands of a transaction of a few elements and nothing else; raise Unsure for others."""
    found = tuple(
        command
        for command in transaction.commands
        if isinstance(command, tx.AddElements | tx.DeleteElements | tx.FlushElements)
    )
    texts = [_texts(command) for command in found if not isinstance(command, tx.FlushElements)]
    if len(found) != len(transaction.commands) or not all(texts) or sum(map(len, texts)) > MOST:
        raise Unsure("not a few elements only")
    return found


def messages_of(
    commands: Iterable[ElementCommand], shapes: Mapping[tuple[TableName, str], SetShape]
) -> tuple[Message, ...]:
    """Return the messages for sets and maps that are of these shapes in the kernel; raise Unsure."""
    found: list[Message] = []
    for index, command in enumerate(commands):
        shape = shapes[command.table, command.name]
        _agree(shape, command)
        found.extend(_messages(index, command, shape))
    return tuple(found)


def _texts(command: ElementCommand) -> tuple[str, ...]:
    match command:
        case tx.AddElements(elements=texts) | tx.DeleteElements(keys=texts):
            return texts
        case tx.FlushElements():
            return ()


def _messages(index: int, command: ElementCommand, shape: SetShape) -> Iterator[Message]:
    is_added = isinstance(command, tx.AddElements)
    kind, flags = (ADD, _CREATE) if is_added else (DELETE, 0)
    place = text_attribute(1, command.table.name) + text_attribute(2, command.name)
    if isinstance(command, tx.FlushElements):
        yield Message(index, kind, flags, command.table, place)
        return
    for part in _parts(_entry(shape, text, with_value=is_added) for text in _texts(command)):
        yield Message(index, kind, flags, command.table, place + attribute(_NESTED | 3, part))


def _parts(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lists of entries that fit into one message each."""
    part: list[bytes] = []
    size = 0
    for entry in entries:
        if part and size + len(entry) > _ROOM:
            yield b"".join(part)
            part, size = [], 0
        part.append(entry)
        size += len(entry)
    yield b"".join(part)


# --- sets ---


def shape_of(attributes: Mapping[int, bytes] | None) -> SetShape:
    """Return what a set is, by what the kernel says of it; raise Unsure."""
    if attributes is None:
        raise Unsure("no such set")
    if attributes.keys() - _UNDERSTOOD:
        raise Unsure("a set with more than elements")
    numbers = {number: int.from_bytes(attributes.get(number, b""), "big") for number in (3, 4, 5, 6, 7)}
    flags, key_type, key_length, data_type, data_length = numbers.values()
    if flags & ~(_INTERVAL | _MAP | _CONCATENATED):
        raise Unsure(f"a set with flags {flags:#x}")
    key = types_of_number(key_type)
    is_of_verdicts = bool(flags & _MAP) and data_type == _IS_VERDICT
    value = types_of_number(data_type) if flags & _MAP and not is_of_verdicts else ()
    if not key or length_of(key) != key_length or (value and length_of(value) != data_length):
        raise Unsure("a key or value of another length")
    if flags & _MAP and not is_of_verdicts and not value:
        raise Unsure("a map of nothing")
    _check_notes(attributes.get(13, b""), key, value)
    has_intervals = bool(flags & _INTERVAL)
    if has_intervals and len(key) == 1:
        raise Unsure("plain intervals")
    if has_intervals and any(not field.is_big and field.name != "ifname" for field in key):
        raise Unsure("intervals of the host's byte order")
    return SetShape(key, value, is_of_verdicts, has_intervals)


def _check_notes(notes: bytes, key: tuple[Datatype, ...], value: tuple[Datatype, ...]) -> None:
    """Hold what nft has noted about byte orders against what we take for them; raise Unsure for notes that we do not know."""
    for kind, content in _notes(notes):
        if kind in {_KEY_ORDER, _DATA_ORDER}:
            is_known = _is_order_of(key if kind == _KEY_ORDER else value, content)
        elif kind in {_MERGES, _DATA_INTERVALS}:
            is_known = not any(content)
        elif kind in {_KEY_EXPRESSION, _DATA_EXPRESSION}:
            is_known = [inner for inner, about in _notes(content) if about] == [0]
        else:
            is_known = kind == _COMMENT
        if not is_known:
            raise Unsure(f"note {kind}")


def _is_order_of(fields: tuple[Datatype, ...], order: bytes) -> bool:
    """Tell whether it is the byte order of the fields, as far as it says anything of them: 1 the host's, 2 big endian."""
    if len(fields) != 1 or fields[0].length == 1:
        return True
    return int.from_bytes(order, sys.byteorder) == (2 if fields[0].is_big else 1)


def _notes(notes: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield nft's notes: a byte for the kind, one for the length, and what is noted."""
    at = 0
    while at + 2 <= len(notes):
        end = at + 2 + notes[at + 1]
        yield notes[at], notes[at + 2 : end]
        at = end


def _agree(shape: SetShape, command: ElementCommand) -> None:
    """Raise Unsure where a set was declared otherwise than it is in the kernel: nft has the word for that."""
    if not isinstance(command, tx.AddElements) or command.declared is None:
        return
    kind, body = command.declared
    declared = next((line.removeprefix("type ") for line in body if line.startswith("type ")), "")
    key, _, value = declared.partition(" : ")
    flags = {flag for line in body if line.startswith("flags ") for flag in line.removeprefix("flags ").split(",")}
    expected = SetShape(
        types_of_words(key), types_of_words(value) if value not in {"", "verdict"} else (), value == "verdict", "interval" in flags
    )  # fmt: skip
    if expected != shape or (kind is Kind.MAP) is not shape.is_map:
        raise Unsure("declared otherwise")


# --- elements ---


def _entry(shape: SetShape, text: str, *, with_value: bool) -> bytes:
    """Return one element as an entry of a list."""
    key, colon, value = text.partition(" : ")
    if bool(colon) is not (with_value and shape.is_map):
        raise Unsure(text)
    parts = key.split(" . ")
    if len(parts) != len(shape.key):
        raise Unsure(text)
    if shape.has_intervals:
        bounds = [interval_of(datatype, part) for datatype, part in zip(shape.key, parts, strict=True)]
        start, end = (b"".join(map(padded, side)) for side in zip(*bounds, strict=True))
        found = attribute(_NESTED | 1, attribute(1, start)) + attribute(_NESTED | 10, attribute(1, end))
    else:
        found = attribute(_NESTED | 1, attribute(1, _joined(shape.key, parts)))
    if colon:
        data = _verdict(value) if shape.is_of_verdicts else attribute(1, _joined(shape.value, value.split(" . ")))
        found += attribute(_NESTED | 2, data)
    return attribute(_NESTED | 1, found)


def _joined(fields: tuple[Datatype, ...], parts: Sequence[str]) -> bytes:
    """Return a key or value: the bytes of its one field, or whole registers for each field of a concatenation."""
    if len(fields) == 1 == len(parts):
        return fields[0].encode(parts[0])
    if len(fields) != len(parts):
        raise Unsure(" . ".join(parts))
    return b"".join([padded(datatype.encode(part)) for datatype, part in zip(fields, parts, strict=True)])


def interval_of(datatype: Datatype, text: str) -> tuple[bytes, bytes]:
    """Return the first and the last value of `10.0.0.0/8`, `1024-65535` or `22`."""
    if datatype.is_big and "/" in text:
        address, _, digits = text.partition("/")
        start = datatype.encode(address)
        bits = 8 * len(start)
        if not digits.isdecimal() or int(digits) > bits or str(int(digits)) != digits:
            raise Unsure(text)
        rest = (1 << (bits - int(digits))) - 1
        number = int.from_bytes(start, "big")
        if number & rest:
            raise Unsure(text)
        return start, (number | rest).to_bytes(len(start), "big")
    try:
        value = datatype.encode(text)
    except Unsure:
        low, dash, high = text.partition("-")
        if not dash or not datatype.is_big:
            raise
        start, end = datatype.encode(low), datatype.encode(high)
        if start > end:
            raise Unsure(text) from None
        return start, end
    return value, value


@lru_cache(maxsize=1024)
def _verdict(text: str) -> bytes:
    code = _VERDICTS.get(text)
    if code is not None:
        return attribute(_NESTED | 2, attribute(1, struct.pack(">i", code)))
    word, _, chain = text.partition(" ")
    if word not in _JUMPS or _CHAIN.fullmatch(chain) is None:
        raise Unsure(text)
    return attribute(_NESTED | 2, attribute(1, struct.pack(">i", _JUMPS[word])) + text_attribute(2, chain))
