"""`-m u32`: numbers found at computed places in the packet.

net/netfilter/xt_u32.c reads four bytes at a place counted from the network header, ands and shifts them, and with `@`
goes on from where the result points to. A read beyond the packet's end makes the match false, and negated true.
nftables reads at fixed places behind the network header, the transport header and TCP's header, so `@` is understood
where it is known to lead there:

    0>>22&0x3C@N              behind the IPv4 header, as long as it says itself        -> @th
    ...@12>>26&0x3C@N         behind the TCP header, likewise, where `-p tcp` or a test before says that it is TCP -> @ih

`@th` is not there in later fragments, where u32 reads on regardless: those are asked for each length of the IPv4
header there is, unless a test before has excluded them. Other computed places have no nftables form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet, Cube
from fwtrans.ir.fields import (
    HAS_TRANSPORT,
    IP_DADDR,
    IP_FRAGMENT,
    IP_HEADER_LENGTH,
    IP_ID,
    IP_LENGTH,
    IP_SADDR,
    IP_TOS,
    IP_TTL,
    L4PROTO,
    PACKET_LENGTH,
    Family,
    FieldKind,
    raw_payload,
)
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, absent, number, number_range, opposite_of_all, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Step

_OPTION = "--u32"
_ONES = 0xFFFFFFFF
_MOST = 10
_TOKEN = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|&&|<<|>>|[&@=,:])", re.ASCII)
_OPERATORS = {"&", "<<", ">>", "@"}
# net/netfilter/nft_payload.c of kernel 6.1 reads no farther than this behind a header.
_FARTHEST = 255
_TCP = 6

# IPv4 fields by place and size in bits, so that a rule that reads raw bytes is seen to ask what another asks by name.
_NAMED = {
    (8, 8): IP_TOS, (16, 16): IP_LENGTH, (32, 16): IP_ID, (48, 16): IP_FRAGMENT, (64, 8): IP_TTL, (72, 8): L4PROTO,
    (96, 32): IP_SADDR, (128, 32): IP_DADDR,
}  # fmt: skip


# --- reading ---


class Reach(NamedTuple):
    """A read of four bytes at `offset`, of which `mask` is kept after a shift to the right (left if negative)."""

    offset: int
    shift: int = 0
    mask: int = _ONES

    def apply(self, operator: str, operand: int) -> Reach:
        """Return the read with one more operator behind it."""
        if operator == "&":
            return self._replace(mask=self.mask & operand)
        if operand > 31:
            raise bad_value(str(operand), "a shift of at most 31 bits", _OPTION)
        if operator == "<<":
            return self._replace(shift=self.shift - operand, mask=self.mask << operand & _ONES)
        return self._replace(shift=self.shift + operand, mask=self.mask >> operand)

    def source(self, mask: int) -> int:
        """Return where bits of the result lie in the four bytes."""
        return mask << self.shift if self.shift >= 0 else mask >> -self.shift


class Test(NamedTuple):
    """Reads, each from where the one before points to, and the values that the last may have."""

    reaches: tuple[Reach, ...]
    values: IntervalSet


def read_tests(text: str) -> tuple[Test, ...]:
    """Return the tests of the little language."""
    words = _words(text)
    tests = [_read_test(words)]
    while words and words[0] == "&&":
        words.pop(0)
        tests.append(_read_test(words))
    if words:
        raise bad_value(words[0], "`&&` or the end of the tests", _OPTION)
    if len(tests) > _MOST:
        raise bad_value(text, f"a list of at most {_MOST} tests", _OPTION)
    return tuple(tests)


def _words(text: str) -> list[str]:
    words: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise bad_value(text[position:].strip(), "a number or an operator of u32", _OPTION)
        words.append(found[1])
        position = found.end()
    return words


def _read_number(words: list[str]) -> int:
    if not words:
        raise bad_value("", "a number: the test ends too early", _OPTION)
    return read_number(words.pop(0), _OPTION)


def _read_test(words: list[str]) -> Test:
    reaches = [Reach(_read_number(words))]
    numbers = 1
    while words and words[0] in _OPERATORS:
        operator = words.pop(0)
        operand = _read_number(words)
        numbers += 1
        if operator == "@":
            reaches.append(Reach(operand))
        else:
            reaches[-1] = reaches[-1].apply(operator, operand)
    if numbers > _MOST:
        raise bad_value(str(numbers), f"a place of at most {_MOST} numbers", _OPTION)
    if not words or words.pop(0) != "=":
        raise bad_value(words[0] if words else "", "an operator or `=`", _OPTION)
    return Test(tuple(reaches), _read_values(words))


def _read_values(words: list[str]) -> IntervalSet:
    ranges: list[Interval] = []
    count = 0
    while True:
        low = high = _read_number(words)
        if words and words[0] == ":":
            words.pop(0)
            high = _read_number(words)
        count += 1
        # A reversed range is legal and holds nothing.
        if low <= high:
            ranges.append((low, high))
        if not words or words[0] != ",":
            break
        words.pop(0)
    if count > _MOST:
        raise bad_value(str(count), f"a list of at most {_MOST} ranges", _OPTION)
    return IntervalSet.of(32, ranges)


# --- where a place lies ---


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the packet from `-p` and from the tests before."""

    family: Family
    is_tcp: bool
    is_whole: bool = False

    @property
    def header(self) -> int:
        """Return the bytes that every packet of the family has."""
        return 20 if self.family is Family.IP else 40


class _Spot(NamedTuple):
    """A header, and bytes behind its start."""

    base: str
    offset: int


def _header_end(reach: Reach, spot: _Spot, known: _Known) -> str | None:
    """Return the header that a read points behind: "th" for IPv4's length, "ih" for TCP's."""
    at = (spot.base, spot.offset, reach.shift, reach.mask)
    if at == ("nh", 0, 22, 0x3C) and known.family is Family.IP:
        return "th"
    if at == ("th", 12, 26, 0x3C) and known.is_tcp:
        return "ih"
    return None


def _locate(test: Test, known: _Known) -> _Spot:
    """Return where the last read of a test happens."""
    spot = _Spot("nh", test.reaches[0].offset)
    for reach, following in zip(test.reaches, test.reaches[1:], strict=False):
        if reach.mask == 0:
            # What is masked away completely points to where the count began.
            spot = _Spot(spot.base, spot.offset - reach.offset + following.offset)
            continue
        base = _header_end(reach, spot, known)
        if base is None:
            raise no_exact_form(
                "u32", "it reads at fixed places behind a header, and `@` leads elsewhere here", option=_OPTION
            )
        spot = _Spot(base, following.offset)
    if spot.offset > _FARTHEST:
        raise no_exact_form("u32", f"it reads at most {_FARTHEST} bytes behind a header's start", option=_OPTION)
    return spot


# --- what is compared ---


def _value_tests(spot: _Spot, reach: Reach, values: IntervalSet, known: _Known) -> tuple[FieldTest, ...]:
    """Return the tests of the four bytes at the spot; of fewer where all packets have the place."""
    cubes = tuple(_cubes(reach, values))
    is_there = spot.base == "nh" and spot.offset + 4 <= known.header
    if not is_there and len(cubes) <= 1:
        return (FieldTest(raw_payload(spot.base, spot.offset * 8, 32), BitSet.of(32, cubes)),)
    numeric = _number_test(spot, reach, values, known)
    if is_there:
        return (numeric or _narrow_test(spot, cubes, known),)
    if numeric is not None and spot.base == "nh":
        return number_range(PACKET_LENGTH, spot.offset + 4, _ONES), numeric
    if numeric is not None and numeric.field.width == 32:
        return (numeric,)
    return (FieldTest(raw_payload(spot.base, spot.offset * 8, 32), BitSet.of(32, cubes)),)


def _number_test(spot: _Spot, reach: Reach, values: IntervalSet, known: _Known) -> FieldTest | None:
    """Return the test of a number of whole bytes, if the read amounts to one."""
    width = reach.mask.bit_length()
    if reach.shift < 0 or reach.shift % 8 or width % 8 or not width or reach.mask != (1 << width) - 1:
        return None
    start = spot.offset * 8 + 32 - reach.shift - width
    kept = values.intersection(IntervalSet.of(32, ((0, (1 << width) - 1),))).ranges
    named = _NAMED.get((start, width)) if spot.base == "nh" and known.family is Family.IP else None
    if named is not None and named.kind is not FieldKind.BITS:
        return FieldTest(named, IntervalSet(width, kept))
    cubes = [cube for low, high in kept for cube in BitSet.from_range(width, low, high).cubes]
    return FieldTest(named or raw_payload(spot.base, start, width), BitSet.of(width, cubes))


def _cubes(reach: Reach, values: IntervalSet) -> Iterator[Cube]:
    """Yield the patterns of the four bytes whose result is one of the values."""
    for low, high in values.ranges:
        for mask, value in BitSet.from_range(32, low, high).cubes:
            if not value & ~reach.mask:
                yield reach.source(mask & reach.mask), reach.source(value & reach.mask)


def _narrow_test(spot: _Spot, cubes: tuple[Cube, ...], known: _Known) -> FieldTest:
    """Return the test of those bytes alone that are looked at."""
    touched = 0
    for mask, _ in cubes:
        touched |= mask
    first, last = 0, 3
    while first < 3 and not touched >> (24 - 8 * first) & 0xFF:
        first += 1
    while last > first and not touched >> (24 - 8 * last) & 0xFF:
        last -= 1
    shift, width = 24 - 8 * last, 8 * (last - first + 1)
    start = spot.offset * 8 + 8 * first
    named = _NAMED.get((start, width)) if known.family is Family.IP else None
    field = named if named is not None and named.kind is FieldKind.BITS else raw_payload("nh", start, width)
    return FieldTest(field, BitSet.of(width, ((mask >> shift, value >> shift) for mask, value in cubes)))


# --- the tests together ---


def _fragment_branches(test: Test, value: tuple[FieldTest, ...], spot: _Spot) -> Iterator[tuple[PureTest, ...]]:
    """Yield the ways a test behind the IPv4 header can hold: by the transport header, or where it would be."""
    yield (present(HAS_TRANSPORT), *value)
    for words in range(5, 16):
        offset = 4 * words + spot.offset
        if offset > _FARTHEST:
            raise no_exact_form("u32", f"it reads at most {_FARTHEST} bytes behind a header's start", option=_OPTION)
        there = raw_payload("nh", offset * 8, 32)
        cubes = _cubes(test.reaches[-1], test.values)
        yield (
            absent(HAS_TRANSPORT),
            number(IP_HEADER_LENGTH, words),
            FieldTest(there, BitSet.of(32, cubes)),
        )


def _excludes_fragments(test: Test) -> bool:
    """Tell whether a test lets no later fragment through: `4&0x1FFF=0`, `4&0x3FFF=0`."""
    (first, *others) = test.reaches
    return (
        not others
        and first.offset == 4
        and first.shift == 0
        and first.mask & 0x1FFF == 0x1FFF
        and all(not value & 0x1FFF for value in _few(test.values))
    )


def _asks_for_tcp(test: Test) -> bool:
    (first, *others) = test.reaches
    return not others and first == Reach(6, 0, 0xFF) and test.values.only == _TCP


def _few(values: IntervalSet) -> Iterator[int]:
    """Yield the values, and for a set too large to list one that excludes nothing."""
    if values.size > 64:
        yield 1
        return
    for low, high in values.ranges:
        yield from range(low, high + 1)


def _plain(tests: tuple[Test, ...], known: _Known, place: Place) -> tuple[PureTest, ...]:
    steps: list[PureTest] = []
    for test in tests:
        spot = _locate(test, known)
        value = _value_tests(spot, test.reaches[-1], test.values, known)
        if spot.base == "nh" or known.is_whole:
            steps.extend(value)
        elif spot.base == "th":
            steps.append(AnyOf(tuple(_fragment_branches(test, value, spot))))
        else:
            place.assume("fragments are put together before a rule of u32 looks behind the TCP header")
            steps.extend(value)
        known = replace(
            known,
            is_tcp=known.is_tcp or _asks_for_tcp(test),
            is_whole=known.is_whole or (known.family is Family.IP and _excludes_fragments(test)),
        )
    return tuple(steps)


def _negated(tests: tuple[Test, ...], known: _Known) -> AnyOf:
    steps: list[PureTest] = []
    for test in tests:
        spot = _locate(test, known)
        if spot.base != "nh":
            raise no_exact_form(
                "u32", "negated it holds for packets that end before the place, and that cannot be asked behind a "
                "computed one", option=_OPTION,
            )  # fmt: skip
        if spot.offset + 4 > known.header:
            steps.append(number_range(PACKET_LENGTH, spot.offset + 4, _ONES))
        steps.extend(_value_tests(spot, test.reaches[-1], test.values, known))
    return AnyOf(opposite_of_all(tuple(steps)))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need(_OPTION)
    tests = read_tests(option.values[0])
    known = _Known(place.family, place.protocol == _TCP)
    if option.negated:
        return (_negated(tests, known),)
    return _plain(tests, known, place)


EXTENSION = Match(
    name="u32",
    families=BOTH,
    options=(Option(name=_OPTION, negatable=True),),
    lower=_lower,
    in_context=True,
)
