"""Fields and values of the IR in nftables' words: the selector of a field, the literal of a value, the match of a test."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from fwtrans.backend.nft import model as nft
from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import (
    CT_EXPIRATION,
    CT_LABEL,
    CT_STATE,
    ETHER_TYPE,
    HAS_CONNTRACK,
    HAS_ETHERNET,
    HAS_LOOKED_UP_SOCKET,
    HAS_SOCKET,
    HAS_TRANSPORT,
    HAS_WHOLE_SOCKET,
    IP6_CLASS,
    IP_TOS,
    L4PROTO,
    SEVERAL_PROTOCOLS,
    TIME,
    Family,
    Field,
    FieldKind,
)
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.names import NamePattern, NameSet

if TYPE_CHECKING:
    from fwtrans.ir.match import FieldTest, KeyPart

# Protocols whose names are words of nft's grammar; others need /etc/protocols on the loading machine, so get numbers.
PROTOCOL_WORDS = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp",
    108: "comp", 132: "sctp", 136: "udplite",
}  # fmt: skip
# Protocols with a port pair that nft knows by name.
PORT_PROTOCOLS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
# A test of a field of one of these headers makes nft add the test of the protocol itself.
HEADER_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "esp": 50, "ah": 51, "icmpv6": 58, "comp": 108, "sctp": 132, "udplite": 136}  # fmt: skip

_DIRECTIONS = {"original": nft.Direction.ORIGINAL, "reply": nft.Direction.REPLY}


@cache
def selector(field: Field) -> nft.Selector:
    """Return how nftables calls the field."""
    kind, *words = field.spelling
    if kind == "payload":
        return _payload(field, *words)
    if kind == "meta":
        return nft.Meta(words[0])
    if kind == "ct":
        return _conntrack(words)
    if kind == "fib":
        return nft.Fib(tuple(words[0].split(" . ")), words[1])
    if kind == "raw":
        return nft.RawPayload(words[0], int(words[1]), int(words[2]))
    if kind == "rt":
        return nft.Route(words[0])
    if kind == "socket":
        return nft.Socket(words[0])
    if kind == "osf":
        return nft.Osf(*words)
    if kind == "ipsec":
        family, _, key = words[2].rpartition(" ")
        return nft.Ipsec(words[0], key, family, int(words[1]))
    if kind in {"exthdr", "tcp option", "ip option", "sctp chunk"}:
        return _header(kind, words[0], "" if words[1] == "exists" else words[1])
    if kind == "physdev":
        return nft.Meta("physdev" + words[0].replace("-", ""))
    raise Refused("FWT300", f"field {field.name} has no nftables form")


def _payload(field: Field, protocol: str, name: str) -> nft.Selector:
    # nft 1.0.6 knows DSCP and ECN, but neither the whole TOS byte nor the whole traffic class.
    if field is IP_TOS:
        return nft.RawPayload("nh", 8, 8)
    if field is IP6_CLASS:
        return nft.RawPayload("nh", 4, 8)
    return nft.Payload(protocol, name)


def _conntrack(words: list[str]) -> nft.Conntrack:
    if words[0] not in _DIRECTIONS:
        return nft.Conntrack(words[0])
    direction = _DIRECTIONS[words[0]]
    return nft.Conntrack(words[-1], direction, words[1] if len(words) == 3 else "")


def _header(kind: str, name: str, part: str) -> nft.Selector:
    if kind == "exthdr":
        return nft.ExtensionHeader(name, part)
    if kind == "tcp option":
        return nft.TcpOption(int(name) if name.isdigit() else name, part)
    if kind == "ip option":
        return nft.IpOption(name, part)
    return nft.SctpChunk(name, part)


def literal(field: Field, value: int) -> nft.Expression:
    """Return one value of the field."""
    if field.kind in {FieldKind.IPV4, FieldKind.IPV6}:
        return nft.Address(value, field.width)
    if field.kind is FieldKind.MAC:
        return nft.MacAddress(value)
    if field is L4PROTO:
        word = PROTOCOL_WORDS.get(value)
        return nft.Symbol(word) if word else nft.Number(value)
    word = field.symbol(value)
    if word is not None:
        return nft.Symbol(word)
    if field.kind is FieldKind.BITS:
        return nft.Number(value, (field.width + 3) // 4)
    if field is ETHER_TYPE:
        return nft.Number(value, 4)
    return nft.Number(value)


def interval(field: Field, low: int, high: int) -> nft.Expression:
    """Return the values from low to high: one value, a prefix, or a range."""
    if low == high:
        return literal(field, low)
    if field.kind in {FieldKind.IPV4, FieldKind.IPV6}:
        size = high - low + 1
        if size & (size - 1) == 0 and low % size == 0:
            return nft.Prefix(nft.Address(low, field.width), field.width - size.bit_length() + 1)
        return nft.Range(nft.Address(low, field.width), nft.Address(high, field.width))
    if field.symbols or field is L4PROTO:
        return nft.Range(nft.Number(low), nft.Number(high))
    return nft.Range(literal(field, low), literal(field, high))


def set_part(field: Field, part: Interval | NamePattern) -> nft.Expression:
    """Return one dimension of a set's element."""
    if isinstance(part, NamePattern):
        return nft.InterfaceName(part.text, part.is_prefix)
    return interval(field, *part)


def key_expression(key: tuple[KeyPart, ...]) -> nft.Expression:
    """Return the key of a lookup, masked where it says so."""
    parts = tuple(_key_part(part) for part in key)
    return parts[0] if len(parts) == 1 else nft.Concatenation(parts)


def _key_part(part: KeyPart) -> nft.Expression:
    found = selector(part.field)
    if part.mask is None or part.mask == (1 << part.field.width) - 1:
        return found
    mask = (
        nft.Address(part.mask, part.field.width)
        if part.field.kind in {FieldKind.IPV4, FieldKind.IPV6}
        else literal(part.field, part.mask)
    )
    return nft.Binary(nft.BinaryOperator.AND, found, mask)


# --- tests ---


def match_of(test: FieldTest, family: Family, protocol: int | None) -> tuple[nft.Match, ...]:
    """Return the nft matches of a plain test. `protocol` is the transport protocol that the rule has settled before."""
    field = test.field
    if field.spelling[0] == "presence":
        return _presence(field, test.values, family)
    if field.spelling[-1] == "exists" and field.width == 1:
        return (nft.Match(selector(field), nft.Symbol("exists" if 1 in _numbers(test) else "missing")),)
    found = selector(field)
    if isinstance(found, nft.Fib) and found.result == "oif":
        numbers = _numbers(test)
        if 0 in {numbers.only, numbers.complement().only}:
            return (nft.Match(found, nft.Symbol("missing" if 0 in numbers else "exists")),)
    if isinstance(found, nft.Payload) and found.protocol == "th" and protocol in PORT_PROTOCOLS:
        found = nft.Payload(PORT_PROTOCOLS[protocol], found.field)
    if isinstance(test.values, NameSet):
        return (_names(found, test.values),)
    if isinstance(test.values, BitSet):
        if (
            field in {IP_TOS, IP6_CLASS}
            and family in SEVERAL_PROTOCOLS
            and (named := _by_name(field, test.values)) is not None
        ):
            return (named,)
        return (_label(found, test.values) if field is CT_LABEL else _bits(found, field, test.values),)
    if field is CT_EXPIRATION:
        return _expiration(found, _numbers(test))
    return (_numbers_match(found, field, test.values),)


def _numbers(test: FieldTest) -> IntervalSet:
    assert isinstance(test.values, IntervalSet)  # noqa: S101 -- number fields hold interval sets
    return test.values


def _expiration(found: nft.Expression, values: IntervalSet) -> tuple[nft.Match, ...]:
    """Compare with whole seconds: nft reads milliseconds as well, but loses them when it lists a rule."""
    low, high = values.ranges[0]
    if len(values.ranges) == 1 and low % 1000 == 0 and high % 1000 == 0:
        first, last = nft.Number(low // 1000), nft.Number(high // 1000)
        return (nft.Match(found, first if low == high else nft.Range(first, last)),)
    if len(values.ranges) > 1 or low % 1000 or ((high + 1) % 1000 and high + 1 < 1 << values.width):
        raise Refused("FWT200", "nft lists the time a connection has left in whole seconds only")
    at_least = nft.Match(found, nft.Number(low // 1000), nft.Operator.GREATER_OR_EQUAL)
    if high + 1 == 1 << values.width:
        return (at_least,)
    below = nft.Match(found, nft.Number((high + 1) // 1000), nft.Operator.LESS)
    return (at_least, below) if low else (below,)


def _label(found: nft.Expression, values: BitSet) -> nft.Match:
    """Ask for one bit. nft takes a number for the position of a bit here, not for a mask."""
    mask, value = values.only_cube or (0, 0)
    if mask.bit_count() != 1:
        raise Refused("FWT200", "connection labels can be asked bit by bit only")
    bit = nft.Number(mask.bit_length() - 1)
    operator = nft.Operator.EQUAL if value else nft.Operator.NOT_EQUAL
    return nft.Match(nft.Binary(nft.BinaryOperator.AND, found, bit), bit, operator)


def _presence(field: Field, values: object, family: Family) -> tuple[nft.Match, ...]:
    assert isinstance(values, IntervalSet)  # noqa: S101 -- presence is a number of one bit
    there = 1 in values
    if field is HAS_TRANSPORT:
        return _transport_presence(family, there=there)
    if field is HAS_CONNTRACK:
        # The kernel says invalid or untracked exactly where a packet has no entry.
        states = ("established", "related", "new") if there else ("invalid", "untracked")
        return (nft.Match(nft.Conntrack("state"), nft.FlagList(tuple(nft.Symbol(word) for word in states))),)
    if field is HAS_ETHERNET and there:
        return (nft.Match(nft.Meta("iiftype"), nft.Symbol("ether")),)
    if field in _READ_TO_ASK and there:
        return (nft.Match(_READ_TO_ASK[field], nft.Number(0), nft.Operator.GREATER_OR_EQUAL),)
    raise Refused("FWT200", f"that a packet has no {field.spelling[1]} cannot be asked in nftables")


# Reading one of these ends the rule where the thing is not there; there is no way to ask that it is not.
_READ_TO_ASK: dict[Field, nft.Selector] = {
    HAS_SOCKET: nft.Meta("skuid"),
    HAS_LOOKED_UP_SOCKET: nft.Socket("transparent"),
    HAS_WHOLE_SOCKET: nft.Socket("wildcard"),
}
ASKED_POSITIVELY = frozenset({HAS_ETHERNET, *_READ_TO_ASK})


def _transport_presence(family: Family, *, there: bool) -> tuple[nft.Match, ...]:
    if there:
        # A load of three bytes takes the kernel's careful path (net/netfilter/nft_payload.c), which fails in later
        # fragments; the fast path for two and four bytes reads whatever lies where the ports would be.
        return (nft.Match(nft.RawPayload("th", 0, 24), nft.Number(0), nft.Operator.GREATER_OR_EQUAL),)
    if family is Family.IP:
        offset = nft.Binary(nft.BinaryOperator.AND, nft.Payload("ip", "frag-off"), nft.Number(0x1FFF, 4))
        return (nft.Match(offset, nft.Number(0), nft.Operator.NOT_EQUAL),)
    return (nft.Match(nft.ExtensionHeader("frag", "frag-off"), nft.Number(0), nft.Operator.NOT_EQUAL),)


def _numbers_match(found: nft.Expression, field: Field, values: IntervalSet) -> nft.Match:
    if field is CT_STATE:
        return _state_match(found, values)
    if field is TIME:
        return _time_match(found, values)
    if len(values.ranges) == 1:
        low, high = values.ranges[0]
        if low and high < (1 << field.width) - 1:
            return nft.Match(found, interval(field, low, high))
    others = values.complement()
    if len(others.ranges) < len(values.ranges) or (len(others.ranges) == 1 and others.only is not None):
        if others.is_empty:
            least = (
                literal(field, 0) if field.kind in {FieldKind.IPV4, FieldKind.IPV6, FieldKind.MAC} else nft.Number(0)
            )
            return nft.Match(found, least, nft.Operator.GREATER_OR_EQUAL)
        return nft.Match(found, _alternatives(field, others), nft.Operator.NOT_EQUAL)
    if values.is_full:
        return nft.Match(found, literal(field, 0), nft.Operator.GREATER_OR_EQUAL)
    if len(values.ranges) == 1 and values.only is None and values.ranges[0][0] and field.kind is FieldKind.NUMBER:
        low, high = values.ranges[0]
        if high == (1 << field.width) - 1 and field.width > 16:
            return nft.Match(found, nft.Number(low), nft.Operator.GREATER_OR_EQUAL)
    return nft.Match(found, _alternatives(field, values))


def _alternatives(field: Field, values: IntervalSet) -> nft.Expression:
    parts = tuple(interval(field, low, high) for low, high in values.ranges)
    if field.symbols and field.width <= 4 and len(parts) > 1:
        # Enumerations: one word each, never a range of words.
        parts = tuple(literal(field, value) for low, high in values.ranges for value in range(low, high + 1))
    return parts[0] if len(parts) == 1 else nft.AnonymousSet(parts)


def _time_match(found: nft.Expression, values: IntervalSet) -> nft.Match:
    """Compare whole seconds with the kernel's nanoseconds: the last second is in to its end, which is where the next begins."""
    (low, high), *others = values.ranges
    if not others and not low:
        return nft.Match(found, nft.Number(high + 1), nft.Operator.LESS)
    if not others and high == (1 << TIME.width) - 1:
        return nft.Match(found, nft.Number(low), nft.Operator.GREATER_OR_EQUAL)
    is_open = values.ranges[-1][1] == (1 << TIME.width) - 1  # no number is behind its end
    spans = tuple(
        nft.Range(nft.Number(first), nft.Number(last + 1))
        for first, last in (values.complement() if is_open else values).ranges
    )
    operator = nft.Operator.NOT_EQUAL if is_open else nft.Operator.IMPLICIT
    return nft.Match(found, spans[0] if len(spans) == 1 else nft.AnonymousSet(spans), operator)


def _state_match(found: nft.Expression, values: IntervalSet) -> nft.Match:
    """States are one bit each in nftables, and a packet has exactly one: any-of by a list of bits."""
    words = tuple(nft.Symbol(word) for word, number in CT_STATE.symbols if number in values)
    if not words:
        return nft.Match(found, nft.Number(0))
    return nft.Match(found, words[0] if len(words) == 1 else nft.FlagList(words))


def _bits(found: nft.Expression, field: Field, values: BitSet) -> nft.Match:
    if values.is_full:
        return nft.Match(found, nft.Number(0), nft.Operator.GREATER_OR_EQUAL)
    if len(values.cubes) == 1:
        return _cube(found, field, values, nft.Operator.EQUAL)
    others = values.complement()
    if len(others.cubes) == 1:
        return _cube(found, field, others, nft.Operator.NOT_EQUAL)
    if field in {IP_TOS, IP6_CLASS} and (named := _by_name(field, values)) is not None:
        return named
    listed, spans = values.listed, values.intervals
    if spans is not None and (listed is None or len(spans) < len(listed[1])):
        return _spans(found, field, spans)
    if listed is not None:
        return _listed(found, field, *listed, nft.Operator.IMPLICIT)
    left_out = others.listed
    assert left_out is not None  # noqa: S101 -- expand made copies of what no match says
    return _listed(found, field, *left_out, nft.Operator.NOT_EQUAL)


def _listed(
    found: nft.Expression, field: Field, mask: int, numbers: tuple[int, ...], operator: nft.Operator
) -> nft.Match:
    named = _named_part(field, mask)
    if named is not None:
        part, shift = named
        return nft.Match(part, nft.AnonymousSet(tuple(nft.Number(value >> shift) for value in numbers)), operator)
    if field is IP6_CLASS:
        words = tuple(nft.Number(value << _CLASS_SHIFT, 4) for value in numbers)
        return nft.Match(_class_word(mask), nft.AnonymousSet(words), operator)
    parts = nft.AnonymousSet(tuple(_bit_number(field, value) for value in numbers))
    return nft.Match(_masked(found, field, mask), parts, operator)


_DSCP, _ECN = 0xFC, 0x03


def _by_name(field: Field, values: BitSet) -> nft.Match | None:
    """Ask for DSCP or ECN by its name, which asks for the family too where a table has several; the raw byte asks for none.

    None where the values are not of one of the two alone.
    """
    asked = 0
    for mask, _ in values.cubes:
        asked |= mask
    if not asked or (asked & _DSCP and asked & _ECN):
        return None
    name, shift, width = ("dscp", 2, 6) if asked & _DSCP else ("ecn", 0, 2)
    points = [value for value in range(1 << width) if value << shift in values]
    inside = IntervalSet.values(width, points)
    others = inside.complement()
    wanted, operator = (
        (others, nft.Operator.NOT_EQUAL) if len(others.ranges) < len(inside.ranges) else (inside, nft.Operator.IMPLICIT)
    )
    part = nft.Payload("ip" if field is IP_TOS else "ip6", name)
    parts = tuple(
        nft.Number(low) if low == high else nft.Range(nft.Number(low), nft.Number(high)) for low, high in wanted.ranges
    )
    return nft.Match(part, parts[0] if len(parts) == 1 else nft.AnonymousSet(parts), operator)


# Where the traffic class lies in the first word of IPv6's header.
_CLASS_SHIFT = 4


def _class_word(mask: int) -> nft.Expression:
    """Return bits of the traffic class, as bits of the word that it lies in.

    nft 1.0.6 shifts a field that starts within a byte after it has masked it, and then compares the wrong byte:
    `@nh,4,8 & 0xc0 == 0x40` never holds, and with 0 it holds for every packet.
    """
    return nft.Binary(nft.BinaryOperator.AND, nft.RawPayload("nh", 0, 16), nft.Number(mask << _CLASS_SHIFT, 4))


def _named_part(field: Field, mask: int) -> tuple[nft.Payload, int] | None:
    """Return nft's own name for DSCP and ECN, and how far to shift; the bytes around them have none."""
    if field not in {IP_TOS, IP6_CLASS} or mask not in {0xFC, 0x03}:
        return None
    protocol = "ip" if field is IP_TOS else "ip6"
    return (nft.Payload(protocol, "dscp"), 2) if mask == 0xFC else (nft.Payload(protocol, "ecn"), 0)


def _cube(found: nft.Expression, field: Field, values: BitSet, operator: nft.Operator) -> nft.Match:
    mask, value = values.cubes[0]
    if value == 0 and operator is nft.Operator.EQUAL and not mask:
        return nft.Match(found, nft.Number(0), nft.Operator.GREATER_OR_EQUAL)
    named = _named_part(field, mask)
    if named is not None:
        part, shift = named
        plain = nft.Operator.IMPLICIT if operator is nft.Operator.EQUAL else operator
        return nft.Match(part, nft.Number(value >> shift), plain)
    if field is IP6_CLASS and mask != 0xFF:
        return nft.Match(_class_word(mask), nft.Number(value << _CLASS_SHIFT, 4), operator)
    return nft.Match(_masked(found, field, mask), _bit_words(field, value), operator)


def _masked(found: nft.Expression, field: Field, mask: int) -> nft.Expression:
    if mask == (1 << field.width) - 1:
        return found
    return nft.Binary(nft.BinaryOperator.AND, found, _bit_words(field, mask))


def _spans(found: nft.Expression, field: Field, spans: tuple[Interval, ...]) -> nft.Match:
    """Compare with intervals, or with the gaps between them where these are fewer."""
    others = IntervalSet.of(field.width, spans).complement().ranges
    wanted, operator = (others, nft.Operator.NOT_EQUAL) if len(others) < len(spans) else (spans, nft.Operator.IMPLICIT)
    parts = tuple(_bit_span(field, low, high) for low, high in wanted)
    return nft.Match(found, parts[0] if len(parts) == 1 else nft.AnonymousSet(parts), operator)


def _bit_span(field: Field, low: int, high: int) -> nft.Expression:
    first = _bit_number(field, low)
    return first if low == high else nft.Range(first, _bit_number(field, high))


def _bit_number(field: Field, value: int) -> nft.Expression:
    return nft.Number(value, (field.width + 3) // 4)


@lru_cache(maxsize=4096)
def _bit_words(field: Field, value: int) -> nft.Expression:
    """Return `fin | syn` for flags that have names, else a hexadecimal number."""
    known = 0
    for _, number in field.symbols:
        known |= number
    if not field.symbols or value & ~known or value == 0:
        return nft.Number(0, 0) if value == 0 else _bit_number(field, value)
    result: nft.Expression | None = None
    for word, number in field.symbols:
        if value & number:
            symbol = nft.Symbol(word)
            result = symbol if result is None else nft.Binary(nft.BinaryOperator.OR, result, symbol)
    assert result is not None  # noqa: S101 -- value is not 0 and all its bits have words
    return result


def _names(found: nft.Expression, values: NameSet) -> nft.Match:
    named = [(pattern, inside) for pattern, inside in values.entries if pattern.text or not pattern.is_prefix]
    if not named:
        return nft.Match(found, nft.InterfaceName("", is_prefix=False), nft.Operator.NOT_EQUAL)
    parts = tuple(nft.InterfaceName(pattern.text, pattern.is_prefix) for pattern, _ in named)
    operator = nft.Operator.IMPLICIT if named[0][1] else nft.Operator.NOT_EQUAL
    return nft.Match(found, parts[0] if len(parts) == 1 else nft.AnonymousSet(parts), operator)


__all__ = [
    "HEADER_PROTOCOLS",
    "PORT_PROTOCOLS",
    "interval",
    "key_expression",
    "literal",
    "match_of",
    "selector",
    "set_part",
]
