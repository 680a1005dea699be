"""What some matches from mac to udp mean, held against a plain reading of the kernel's code."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import SetOperation, SetUpdate
from fwtrans.ir.fields import (
    BRIDGED,
    FIELDS,
    HAS_TRANSPORT,
    IP_HEADER_LENGTH,
    L4PROTO,
    NFPROTO,
    PACKET_LENGTH,
    PORT_IN,
    PORT_OUT,
    Family,
    Field,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.lower.extensions.base import Place, Use
from fwtrans.lower.extensions.matches import physdev, recent, u32
from fwtrans.lower.subroutines import Call
from fwtrans.parsers.iptables_save.syntax import (
    ChainSyntax,
    ExtensionUse,
    IptablesDump,
    OptionUse,
    RuleSyntax,
    TableSyntax,
)
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fwtrans.ir.rule import Step
    from fwtrans.lower.extensions.base import Match

Option = tuple[str, tuple[str, ...], bool]


def steps_of(match: Match, use: ExtensionUse, place: Place) -> tuple[Step, ...]:
    """Return what a use means that calls no subroutine."""
    steps = match.lower(Use(use), place)
    assert not any(isinstance(step, Call) for step in steps)
    return tuple(step for step in steps if not isinstance(step, Call))


def use_of(name: str, *options: Option) -> ExtensionUse:
    return ExtensionUse(name, tuple(OptionUse(option, values, negated, 0) for option, values, negated in options), 0)


def holds(steps: Iterable[Step], value_of: Callable[[Field], int | str | None]) -> bool:
    """Evaluate pure tests; None is a field that is not there."""
    for step in steps:
        if isinstance(step, AnyOf):
            if not any(holds(branch, value_of) for branch in step.branches):
                return False
            continue
        assert isinstance(step, FieldTest)
        if any(value_of(FIELDS[name]) != value for name, value in step.field.requires if name != "nfproto"):
            return False
        value = value_of(step.field)
        if value is None or value not in step.values:  # type: ignore[operator] # numbers or names, as the field has them
            return False
    return True


# --- physdev ---

BRIDGE_PACKETS: dict[str, dict[Field, int | str]] = {
    "bridged": {PORT_IN: "pa", PORT_OUT: "pb", BRIDGED: 1},
    "routed": {PORT_IN: "pa", PORT_OUT: "", BRIDGED: 0},
    "no port": {PORT_IN: "", PORT_OUT: "", BRIDGED: 0},
}
# Seen with br_netfilter of Linux 6.18; for which of the three packets above the match is true.
PHYSDEV = [
    ("--physdev-in", "pa", False, "bridged routed"),
    ("--physdev-in", "pa", True, "no port"),
    ("--physdev-in", "p+", False, "bridged routed"),
    ("--physdev-in", "x+", True, "bridged routed no port"),
    ("--physdev-in", "+", False, "bridged routed"),
    ("--physdev-in", "+", True, "no port"),
    ("--physdev-out", "pb", False, "bridged"),
    ("--physdev-out", "pb", True, "no port"),
    # a packet that came in by a port and leaves by none is never let through by a port out, not even by another
    ("--physdev-out", "x", True, "bridged no port"),
    ("--physdev-out", "+", True, "no port"),
    ("--physdev-is-in", "", False, "bridged routed"),
    ("--physdev-is-in", "", True, "no port"),
    ("--physdev-is-out", "", False, "bridged"),
    ("--physdev-is-out", "", True, "routed no port"),
    ("--physdev-is-bridged", "", False, "bridged"),
    ("--physdev-is-bridged", "", True, "routed no port"),
]


@pytest.mark.parametrize(("option", "name", "negated", "expected"), PHYSDEV)
def test_physdev_without_ports(option: str, name: str, negated: bool, expected: str) -> None:
    values = (name,) if name else ()
    place = Place(Family.IP, "filter", "FORWARD", IntervalSet.full(8), hooks=frozenset({"FORWARD"}))
    steps = steps_of(physdev.EXTENSION, use_of("physdev", (option, values, negated)), place)
    found = [kind for kind, fields in BRIDGE_PACKETS.items() if holds(steps, fields.get)]
    assert " ".join(found) == expected


# --- u32 ---


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "&": lambda value, operand: value & operand,
    "<<": lambda value, operand: value << operand & 0xFFFFFFFF,
    ">>": lambda value, operand: value >> operand,
}


def xt_u32(packet: bytes, text: str) -> bool:
    """Carry the tests out on the packet, as u32_match_it does."""
    for test in text.replace(" ", "").split("&&"):
        place, _, wanted = test.partition("=")
        numbers = place.replace("<<", " << ").replace(">>", " >> ").replace("&", " & ").replace("@", " @ ").split()
        at, operand = 0, int(numbers[0], 0)
        if operand + 4 > len(packet):
            return False
        value = int.from_bytes(packet[operand : operand + 4], "big")
        for operator, word in zip(numbers[1::2], numbers[2::2], strict=True):
            operand = int(word, 0)
            if operator == "@":
                at += value
                if at + operand + 4 > len(packet):
                    return False
                value = int.from_bytes(packet[at + operand : at + operand + 4], "big")
            else:
                value = _OPERATIONS[operator](value, operand)
        ranges = [part.partition(":") for part in wanted.split(",")]
        if not any(int(low, 0) <= value <= int(high or low, 0) for low, _, high in ranges):
            return False
    return True


def field_of_packet(packet: bytes) -> Callable[[Field], int | None]:
    """Return how nftables reads the packet: by header, and nothing behind its end."""
    header = packet[0] % 16 * 4
    transport = bool(not int.from_bytes(packet[6:8], "big") & 0x1FFF and len(packet) >= header + 4)
    starts = {
        "nh": 0,
        "th": header,
        "ih": header + packet[header + 12] // 16 * 4 if len(packet) > header + 12 else 9999,
    }
    places = {field.name: place for place, field in u32._NAMED.items()}

    def value_of(field: Field) -> int | None:
        known = {
            NFPROTO: 2, HAS_TRANSPORT: int(transport), PACKET_LENGTH: len(packet), IP_HEADER_LENGTH: header // 4, L4PROTO: packet[9],
        }  # fmt: skip
        if field in known:
            return known[field]
        if field.spelling[0] == "raw":
            base, offset, width = field.spelling[1], int(field.spelling[2]), int(field.spelling[3])
        else:
            base, (offset, width) = "nh", places[field.name]
        start = starts[base] + offset // 8
        if start + width // 8 > len(packet):
            return None
        return int.from_bytes(packet[start : start + width // 8], "big")

    return value_of


def random_packet(source: random.Random) -> bytes:
    words = source.choice((5, 5, 5, 6, 8, 15))
    fragment = source.choice((0, 0, 0, 0x2000, 0x0005, 0x2007))
    size = source.choice((20, 24, 28, 40, 60))
    head = bytes([0x40 + words, source.choice((0, 0x10, 255))]) + bytes(2) + bytes(2) + fragment.to_bytes(2, "big")
    head += bytes(
        [source.choice((1, 9, 64)), source.choice((1, 6, 17)), 0, 0, 10, 9, 0, source.randrange(8), 10, 9, 0, 1]
    )
    ports = source.choice((22, 53, 80, 200)).to_bytes(2, "big") + source.choice((22, 53, 90)).to_bytes(2, "big")
    offset = bytes([source.choice((0x50, 0x60, 0x80))])
    rest = ports + bytes(source.choices(range(4), k=8)) + offset + bytes(source.choices(range(4), k=size))
    packet = head + bytes(4 * (words - 5)) + rest
    packet = packet[:2] + len(packet).to_bytes(2, "big") + packet[4:]
    return packet[: source.choice((len(packet), len(packet), 4 * words + 3, 4 * words + 18))]


U32_TESTS = (
    "0=0x45000000:0x45ffffff", "0&0xffff=30:70", "6&0xff=6,17", "8>>24=0:8,64", "12=0x0a090000:0x0a090003",
    "4&0x1fff=0", "4&0x1fff=1:0x1fff", "4&0x2000=0", "0<<8>>24=0x10", "13&0xffff00=0:0x300", "20=0x00160016,0x00350035",
    "24=1:0xffffff", "40>>16=1:0x100", "56&0xff00ff=0x10001,0x20002", "0=9:3", "3&0xf0=0",
    "0>>22&0x3c@0>>16=22,80:100", "0>>22&0x3c@0&0xffff=53", "4&0x1fff=0&&0>>22&0x3c@0>>16=22", "0>>22&0x3c@20=0:0x1000000",
    "6&0xff=6&&4&0x3fff=0&&0>>22&0x3c@12>>26&0x3c@0=0:0x2000000", "0&0@9>>24=6",
)  # fmt: skip


@pytest.mark.parametrize("text", U32_TESTS)
@pytest.mark.parametrize("negated", [False, True])
def test_u32_reads_what_the_kernel_reads(text: str, negated: bool) -> None:
    place = Place(Family.IP, "filter", "FORWARD", IntervalSet.full(8))
    use = Use(use_of("u32", ("--u32", (text,), negated)))
    if negated and "0>>22&0x3c@" in text:
        with pytest.raises(Refused, match="no exact nftables form"):
            u32.EXTENSION.lower(use, place)
        return
    steps = steps_of(u32.EXTENSION, use.syntax, place)
    source = random.Random(text)  # noqa: S311 -- packets, not secrets
    seen = set()
    for _ in range(400):
        packet = random_packet(source)
        expected = xt_u32(packet, text) != negated
        # Behind TCP's header later fragments are assumed away; a header cut short has no transport header in the IR.
        is_assumed_away = "12>>26" in text and len(packet) < packet[0] % 16 * 4 + 20
        if not is_assumed_away:
            assert holds(steps, field_of_packet(packet)) == expected, packet.hex()
            seen.add(expected)
    assert seen == ({negated} if text == "0=9:3" else {True, False})


# --- recent ---


def dump_with(uses: list[ExtensionUse]) -> IptablesDump:
    rules = tuple(RuleSyntax((), (use,), None, False, number) for number, use in enumerate(uses, 1))
    chain = ChainSyntax("FORWARD", "ACCEPT", None, rules, 1)
    return IptablesDump(SourceFile("dump", ""), "ip", (TableSyntax("filter", (chain,), 1),))


def recent_of(*options: Option) -> ExtensionUse:
    return use_of("recent", *options)


SET, REMOVE = ("--set", (), False), ("--remove", (), False)
CHECK, UPDATE = ("--rcheck", (), False), ("--update", (), False)


def seconds(number: int) -> Option:
    return ("--seconds", (str(number),), False)


def lowered(uses: list[ExtensionUse], number: int) -> tuple[tuple[Step, ...], Mapping[str, object]]:
    shared: dict[str, object] = {}
    place = Place(
        Family.IP, "filter", "FORWARD", IntervalSet.full(8), "id", shared=shared, dump=dump_with(uses), assumed=[]
    )
    return steps_of(recent.EXTENSION, uses[number], place), shared


def test_an_address_enters_every_view_of_its_list() -> None:
    uses = [recent_of(SET), recent_of(CHECK, seconds(60)), recent_of(UPDATE, seconds(5)), recent_of(REMOVE)]
    steps, shared = lowered(uses, 0)
    names = [(step.set_name, step.operation) for step in steps if isinstance(step, SetUpdate)]
    assert names == [
        ("recent-DEFAULT-5s", SetOperation.UPDATE),
        ("recent-DEFAULT-60s", SetOperation.UPDATE),
        ("recent-DEFAULT", SetOperation.ADD),
    ]
    assert {"recent-DEFAULT-5s", "recent-DEFAULT-60s", "recent-DEFAULT"} <= set(shared)


def test_update_asks_its_own_view_and_renews_all() -> None:
    uses = [recent_of(SET), recent_of(CHECK, seconds(60)), recent_of(UPDATE, seconds(5))]
    (member, *touches), _ = lowered(uses, 2)
    assert isinstance(member, MemberTest)
    assert (member.set_name, member.dynamic, member.inside) == ("recent-DEFAULT-5s", True, True)
    assert [step.set_name for step in touches if isinstance(step, SetUpdate)] == [
        "recent-DEFAULT-5s",
        "recent-DEFAULT-60s",
    ]


def test_lists_do_not_meet() -> None:
    uses = [recent_of(SET, ("--name", ("a",), False)), recent_of(CHECK, seconds(9), ("--name", ("b",), False))]
    steps, _ = lowered(uses, 0)
    assert [step.set_name for step in steps if isinstance(step, SetUpdate)] == ["recent-a"]


@pytest.mark.parametrize(
    ("uses", "number", "reason"),
    [
        ([recent_of(SET), recent_of(CHECK, seconds(9), ("--hitcount", ("33",), False))], 1, "expressions of a rule"),
        ([recent_of(("--update", (), True), ("--hitcount", ("2",), False))], 0, "does not match"),
        ([recent_of(SET, ("--mask", ("255.255.255.0",), False)), recent_of(CHECK)], 0, "different masks"),
        ([recent_of(CHECK, seconds(9), ("--reap", (), False)), recent_of(CHECK, seconds(10))], 0, "--reap"),
        ([recent_of(CHECK, seconds(9), ("--reap", (), False)), recent_of(REMOVE)], 1, "--reap"),
        ([recent_of(("--update", (), True), seconds(9))], 0, "does not match"),
        ([recent_of(CHECK, ("--rttl", (), False))], 0, "TTL"),
    ],
)
def test_what_sets_cannot_hold_is_refused(uses: list[ExtensionUse], number: int, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as found:
        lowered(uses, number)
    assert found.value.code == "FWT200"


def test_reaping_what_nobody_looks_at_changes_nothing() -> None:
    uses = [recent_of(SET), recent_of(CHECK, seconds(9), ("--reap", (), False)), recent_of(CHECK, seconds(5))]
    (member,), _ = lowered(uses, 1)
    assert isinstance(member, MemberTest)
