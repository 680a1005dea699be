"""Short constructors for everyday rules, so that code which makes rules reads like the rules it makes.

    rule(match(tcp("dport"), one_of(number(22), number(80))), counter(), accept(), comment="r12")

becomes `tcp dport { 22, 80 } counter packets 0 bytes 0 accept comment "r12"`.
"""

from __future__ import annotations

import ipaddress

from fwtrans.backend.nft.expressions import (
    Address,
    AnonymousMap,
    AnonymousSet,
    Binary,
    BinaryOperator,
    Concatenation,
    Conntrack,
    Direction,
    Expression,
    FlagList,
    MapLookup,
    Meta,
    Number,
    Payload,
    Prefix,
    SetReference,
    Symbol,
)
from fwtrans.backend.nft.objects import Rule
from fwtrans.backend.nft.statements import (
    Assignment,
    Counter,
    Match,
    Operator,
    Statement,
    Verdict,
    VerdictKind,
)


def number(value: int) -> Number:
    """Return a decimal number."""
    return Number(value)


def mark(value: int) -> Number:
    """Return a mark as nft lists it: eight hexadecimal digits."""
    return Number(value, 8)


def address(text: str) -> Address:
    """Return the IPv4 or IPv6 address that the text names; ValueError where it names none."""
    parsed = ipaddress.ip_address(text)
    return Address(int(parsed), parsed.max_prefixlen)


def prefix(text: str) -> Prefix:
    """Return the network that the text names; ValueError where it names none or has host bits."""
    parsed = ipaddress.ip_network(text)
    return Prefix(Address(int(parsed.network_address), parsed.max_prefixlen), parsed.prefixlen)


def symbols(*names: str) -> tuple[Symbol, ...]:
    """Return nft words as values."""
    return tuple(Symbol(name) for name in names)


def meta(key: str) -> Meta:
    """Return what is known of a packet beside its bytes: mark, iifname, l4proto."""
    return Meta(key)


def ct(key: str, direction: Direction | None = None) -> Conntrack:
    """Return what is known of a packet's connection."""
    return Conntrack(key, direction)


def ip(field: str) -> Payload:
    """Return a field of the IPv4 header."""
    return Payload("ip", field)


def ip6(field: str) -> Payload:
    """Return a field of the IPv6 header."""
    return Payload("ip6", field)


def tcp(field: str) -> Payload:
    """Return a field of the TCP header; nft adds a test of the protocol where none went before."""
    return Payload("tcp", field)


def udp(field: str) -> Payload:
    """Return a field of the UDP header; nft adds a test of the protocol where none went before."""
    return Payload("udp", field)


def th(field: str) -> Payload:
    """Return `sport` or `dport` of whatever transport header there is; a protocol test is the caller's."""
    return Payload("th", field)


def concat(*parts: Expression) -> Expression:
    """Return the parts as one key; a single part stays itself."""
    return parts[0] if len(parts) == 1 else Concatenation(parts)


def one_of(*elements: Expression) -> AnonymousSet:
    """Return an anonymous set."""
    return AnonymousSet(elements)


def any_flag(*names: str) -> FlagList:
    """Return `established,related`: a match on it is true where any of the flags is set."""
    return FlagList(symbols(*names))


def flags_or(*names: str) -> Expression:
    """Return `fin | syn | rst`: one number in which all these bits are set; no name at all is 0."""
    if not names:
        return Number(0)
    result: Expression = Symbol(names[0])
    for name in names[1:]:
        result = Binary(BinaryOperator.OR, result, Symbol(name))
    return result


def bit_and(left: Expression, right: Expression) -> Binary:
    """Return `left & right`."""
    return Binary(BinaryOperator.AND, left, right)


def bit_or(left: Expression, right: Expression) -> Binary:
    """Return `left | right`."""
    return Binary(BinaryOperator.OR, left, right)


def bit_xor(left: Expression, right: Expression) -> Binary:
    """Return `left ^ right`."""
    return Binary(BinaryOperator.XOR, left, right)


def lookup(key: Expression, mapping: AnonymousMap | SetReference) -> MapLookup:
    """Return the value that a map has for the key."""
    return MapLookup(key, mapping)


def set_ref(name: str) -> SetReference:
    """Return `@name`."""
    return SetReference(name)


def match(left: Expression, right: Expression) -> Match:
    """Return a test for equality, membership or any of some flags; a masked value is compared as a whole."""
    if isinstance(left, Binary) and not isinstance(right, (AnonymousSet, FlagList, SetReference)):
        return Match(left, right, Operator.EQUAL)
    return Match(left, right)


def match_not(left: Expression, right: Expression) -> Match:
    """Return a test that holds where the value is different or not a member."""
    return Match(left, right, Operator.NOT_EQUAL)


def match_exactly(left: Expression, right: Expression) -> Match:
    """Return a test for equality that stays one where the right side is flags."""
    return Match(left, right, Operator.EQUAL)


def exists(selector: Expression) -> Match:
    """Return a test that a header, option or route is there."""
    return Match(selector, Symbol("exists"))


def missing(selector: Expression) -> Match:
    """Return a test that a header, option or route is not there."""
    return Match(selector, Symbol("missing"))


def assign(target: Expression, value: Expression) -> Assignment:
    """Return `target set value`."""
    return Assignment(target, value)


def counter(packets: int = 0, bytes_: int = 0) -> Counter:
    """Return an anonymous counter with these values."""
    return Counter(packets, bytes_)


def accept() -> Verdict:
    """Return `accept`."""
    return Verdict(VerdictKind.ACCEPT)


def drop() -> Verdict:
    """Return `drop`."""
    return Verdict(VerdictKind.DROP)


def return_() -> Verdict:
    """Return `return`."""
    return Verdict(VerdictKind.RETURN)


def continue_() -> Verdict:
    """Return `continue`."""
    return Verdict(VerdictKind.CONTINUE)


def jump(chain: str) -> Verdict:
    """Return `jump chain`."""
    return Verdict(VerdictKind.JUMP, chain)


def goto(chain: str) -> Verdict:
    """Return `goto chain`."""
    return Verdict(VerdictKind.GOTO, chain)


def rule(*statements: Statement, comment: str = "") -> Rule:
    """Return a rule of these statements."""
    return Rule(statements, comment)
