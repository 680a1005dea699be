"""`-m sctp`: ports and chunks of SCTP.

The kernel's match (net/netfilter/xt_sctp.c) is false for later fragments. It walks over all chunks of the packet;
nftables can ask whether a chunk of a type is there, and reads the flags of the first one of its type. ABORT and
SHUTDOWN COMPLETE come once in a packet, so their flags can be asked; DATA chunks come in numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, HAS_TRANSPORT, SPORT, FieldKind, header_field, header_present
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, bits, negated_if, opposite, opposite_of_all, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, range_set, read_loose_port_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse


class ChunkType(NamedTuple):
    """nftables' word (empty where it has none), the letters of the flags from the highest bit of the byte."""

    word: str
    flags: str = "--------"


_CHUNKS = {
    "DATA": ChunkType("data", "----IUBE"),
    "INIT": ChunkType("init"),
    "INIT_ACK": ChunkType("init-ack"),
    "SACK": ChunkType("sack"),
    "HEARTBEAT": ChunkType("heartbeat"),
    "HEARTBEAT_ACK": ChunkType("heartbeat-ack"),
    "ABORT": ChunkType("abort", "-------T"),
    "SHUTDOWN": ChunkType("shutdown"),
    "SHUTDOWN_ACK": ChunkType("shutdown-ack"),
    "ERROR": ChunkType("error"),
    "COOKIE_ECHO": ChunkType("cookie-echo"),
    "COOKIE_ACK": ChunkType("cookie-ack"),
    "ECN_ECNE": ChunkType("ecne"),
    "ECN_CWR": ChunkType("cwr"),
    "SHUTDOWN_COMPLETE": ChunkType("shutdown-complete", "-------T"),
    "I_DATA": ChunkType("", "----IUBE"),
    "RE_CONFIG": ChunkType(""),
    "PAD": ChunkType(""),
    "ASCONF": ChunkType("asconf"),
    "ASCONF_ACK": ChunkType("asconf-ack"),
    "FORWARD_TSN": ChunkType("forward-tsn"),
    "I_FORWARD_TSN": ChunkType(""),
}
_ONCE_A_PACKET = {"ABORT", "SHUTDOWN_COMPLETE"}


class Chunk(NamedTuple):
    """A chunk that is asked for: the flags under `mask` must be `value`."""

    name: str
    mask: int = 0
    value: int = 0


def _read_chunks(text: str, option: str) -> tuple[Chunk, ...]:
    """Return the chunks of a list; where one is named twice the last word about its flags holds."""
    found: dict[str, Chunk] = {}
    for item in text.split(","):
        name, colon, letters = item.partition(":")
        if not name:
            continue
        kind = _CHUNKS.get(name.upper())
        if kind is None:
            raise Refused(
                "FWT112", f"`{name}` is not a type of SCTP chunk", option=option, hint="one of: " + ", ".join(_CHUNKS)
            )
        chunk = found.get(name.upper(), Chunk(name.upper()))
        for letter in letters if colon else "":
            place = kind.flags.find(letter.upper())
            if place < 0 or letter == "-":
                raise bad_value(item, f"a chunk with its flags: `{letter}` is none of {name.upper()}", option)
            bit = 0x80 >> place
            if letter.isupper():
                chunk = Chunk(chunk.name, chunk.mask | bit, chunk.value | bit)
            elif not chunk.value & bit:
                chunk = Chunk(chunk.name, chunk.mask | bit, chunk.value)
        found[chunk.name] = chunk
    return tuple(found.values())


def _tests(chunk: Chunk, place: Place, option: str) -> tuple[PureTest, ...]:
    word = _CHUNKS[chunk.name].word
    if not word:
        raise no_exact_form("sctp", f"it does not know chunks of type {chunk.name}", option=option)
    there = present(header_present("sctp chunk", word))
    if not chunk.mask:
        return (there,)
    if chunk.name not in _ONCE_A_PACKET:
        raise no_exact_form(
            "sctp", f"it sees the flags of the first {chunk.name} chunk of a packet only", option=option
        )
    place.assume(f"no packet holds two SCTP chunks of type {chunk.name}")
    flags = header_field("sctp chunk", word, "flags", 8, FieldKind.BITS)
    return there, bits(flags, chunk.mask, chunk.value)


def _chunk_test(option: OptionUse, place: Place) -> tuple[Step, ...]:
    how, text = option.values[0].lower(), option.values[1]
    if how not in {"all", "any", "only"}:
        raise bad_value(option.values[0], "`all`, `any` or `only`", option.name)
    if text.upper() == "ALL":
        # A packet has at least one chunk, and never one of each of the 256 types.
        return _known(holds=(how != "all") != option.negated)
    chunks = () if text.upper() == "NONE" else _read_chunks(text, option.name)
    if not chunks:
        return _known(holds=(how == "all") != option.negated)
    if how == "only":
        raise no_exact_form("sctp", "it cannot ask that no chunk of another type is there", option=option.name)
    tests = [_tests(chunk, place, option.name) for chunk in chunks]
    if how == "any":
        choice = AnyOf(tuple(tests))
        return (AnyOf(opposite(choice)),) if option.negated else (choice,)
    together = tuple(test for group in tests for test in group)
    return (AnyOf(opposite_of_all(together)),) if option.negated else together


def _known(*, holds: bool) -> tuple[Step, ...]:
    return () if holds else (FieldTest(SPORT, IntervalSet.empty(16)),)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("sctp", 132)
    steps: list[Step] = [present(HAS_TRANSPORT)]
    for option in use.options:
        if option.name == "--chunk-types":
            steps.extend(_chunk_test(option, place))
            continue
        field = SPORT if option.name == "--sport" else DPORT
        low, high = read_loose_port_range(option.values[0], option.name)
        if low > high:
            raise bad_value(option.values[0], "a range: its first port is larger than its last", option.name)
        steps.append(negated_if(FieldTest(field, range_set(16, low, high)), option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="sctp",
    families=BOTH,
    options=(
        Option(name="--sport", aliases=("--source-port",), negatable=True),
        Option(name="--dport", aliases=("--destination-port",), negatable=True),
        Option(name="--chunk-types", arity=2, negatable=True),
    ),
    lower=_lower,
    in_context=True,
)
