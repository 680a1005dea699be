"""nft expressions: what a rule compares, looks up, computes and writes.

Each class is one production of nft(8); its docstring gives the text it becomes. Values that a user may have written
(addresses, numbers, interface names) are kept as numbers or are checked by the printers, so that no value can end a
token early. Strings named `protocol`, `field`, `key` and the like are nft's own words and come from our code only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fwtrans.backend.nft.statements import Verdict


# --- literal values ---


@dataclass(frozen=True, slots=True)
class Number:
    """`22`, or with `hexadecimal_digits` 8 `0x00000016`, as nft lists marks."""

    value: int
    hexadecimal_digits: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """`192.0.2.1` (width 32) or `2001:db8::1` (width 128), held as the number it is."""

    value: int
    width: int


@dataclass(frozen=True, slots=True)
class MacAddress:
    """`00:11:22:33:44:55`."""

    value: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """One of nft's own words for a value: `established`, `syn`, `local`, `exists`, `missing`, `tcp`."""

    name: str


@dataclass(frozen=True, slots=True)
class QuotedString:
    """`"ftp"`: a string value such as a helper's or an operating system's name."""

    text: str


@dataclass(frozen=True, slots=True)
class InterfaceName:
    """`"eth0"`, or with `is_prefix` `"eth*"`. A name that itself ends in an asterisk is printed escaped."""

    name: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Prefix:
    """`10.0.0.0/8`. Host bits of the address must be zero."""

    address: Address
    length: int


@dataclass(frozen=True, slots=True)
class Range:
    """`1024-65535`, both ends included, low end first."""

    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class AnyElement:
    """`*`: the catch-all element of a set or map, hit when no other element is."""


# --- what a packet holds ---


@dataclass(frozen=True, slots=True)
class Payload:
    """A header field: `tcp dport`, `ip saddr`, `th dport`, `ether saddr`, `icmpv6 type`, `vlan id`, `arp operation`."""

    protocol: str
    field: str


@dataclass(frozen=True, slots=True)
class RawPayload:
    """`@th,16,16`: bits at an offset from a base, which is `ll`, `nh`, `th` or `ih`."""

    base: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Meta:
    """`meta mark`, `meta l4proto`; nft's short form where it has one (`iifname`, `oif`, `iifgroup`).

    Compare `time`, `hour` and `day` with plain numbers (seconds since 1970, seconds of the day in UTC, days since
    Sunday): nft reads quoted ones in the time zone of whoever loads them, and a number as it is.
    """

    key: str


class Direction(Enum):
    """A connection's direction."""

    ORIGINAL = "original"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Conntrack:
    """`ct state`, `ct original bytes`, `ct original ip saddr` (family `ip` or `ip6`, key `saddr` or `daddr`).

    `proto-src` and `proto-dst` need a test of the protocol before them, and nft 1.0.6 loads them in a concatenation
    but crashes when it lists that.
    """

    key: str
    direction: Direction | None = None
    family: str = ""


@dataclass(frozen=True, slots=True)
class Fib:
    """`fib saddr . iif oif`, `fib daddr type`: flags joined by dots, then the result `oif`, `oifname` or `type`.

    A comparison with `Symbol("exists")` or `Symbol("missing")` is about there being a route at all.
    """

    flags: tuple[str, ...]
    result: str


@dataclass(frozen=True, slots=True)
class ExtensionHeader:
    """`exthdr frag` (compare with exists or missing), or with a field `frag frag-off`, `rt type`, `mh type`."""

    header: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class TcpOption:
    """`tcp option maxseg size`; without a field `tcp option sack-perm`, for exists and missing."""

    option: str | int
    field: str = ""


@dataclass(frozen=True, slots=True)
class RawTcpOption:
    """`tcp option @255,8,16`: bits of an option by its number."""

    kind: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class IpOption:
    """`ip option ra value`; without a field `ip option ra`, for exists and missing."""

    option: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class SctpChunk:
    """`sctp chunk init` for exists and missing, or a field of it: `sctp chunk init flags`."""

    chunk: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """`rt classid`, `rt ip nexthop`, `rt mtu`, `rt ipsec`."""

    key: str
    family: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """`socket transparent`, `socket mark`, `socket wildcard`; `socket cgroupv2 level 1` with a level."""

    key: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Ipsec:
    """`ipsec in spnum 0 reqid`, `ipsec out ip saddr`: direction `in` or `out`."""

    direction: str
    key: str
    family: str = ""
    sequence_number: int = 0


@dataclass(frozen=True, slots=True)
class Osf:
    """`osf name`, `osf ttl loose name`, `osf version`: the passive fingerprint. `ttl` is empty, `loose` or `skip`."""

    key: str = "name"
    ttl: str = ""


# --- computed values ---


@dataclass(frozen=True, slots=True)
class NumberGenerator:
    """`numgen inc mod 2 offset 0`, `numgen random mod 100`: mode `inc` or `random`."""

    mode: str
    modulus: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class JenkinsHash:
    """`jhash ip saddr . ip daddr mod 16 seed 0xdeadbeef offset 1`."""

    expression: Expression
    modulus: int
    seed: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SymmetricHash:
    """`symhash mod 2 offset 100`."""

    modulus: int
    offset: int = 0


class BinaryOperator(Enum):
    """An operator between two values."""

    AND = "&"
    OR = "|"
    XOR = "^"
    LEFT_SHIFT = "<<"
    RIGHT_SHIFT = ">>"


@dataclass(frozen=True, slots=True)
class Binary:
    """`meta mark & 0xff`, `(ct mark | 0x1) & 0xff`; brackets are printed wherever they are needed.

    The right side has to be constant. As an assignment's value, a constant left side is no use either.
    """

    operator: BinaryOperator
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class FlagList:
    """`established,related`: any of these bits, on the right of an implicit comparison.

    For a mask or an exact value of flags use `Binary` with OR, as helper `flags_or` makes it.
    """

    flags: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Concatenation:
    """`ip saddr . tcp dport`, and the same for its values."""

    parts: tuple[Expression, ...]


# --- sets and maps inside expressions ---


@dataclass(frozen=True, slots=True)
class AnonymousSet:
    """`{ 22, 80, 443 }`."""

    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnonymousMap:
    """`{ 22 : accept, 23 : jump telnet, * : drop }`; values are expressions or, in a verdict map, verdicts."""

    entries: tuple[tuple[Expression, Expression | Verdict], ...]


@dataclass(frozen=True, slots=True)
class SetReference:
    """`@name`: a named set or map of the same table."""

    name: str


@dataclass(frozen=True, slots=True)
class MapLookup:
    """`ip daddr map @targets`, `iifname map { "eth0" : 0x1 }`: the value that a map has for a key."""

    key: Expression
    mapping: AnonymousMap | SetReference


Value: TypeAlias = Number | Address | MacAddress | Symbol | QuotedString | InterfaceName | Prefix | Range | AnyElement
Selector: TypeAlias = (
    Payload
    | RawPayload
    | Meta
    | Conntrack
    | Fib
    | ExtensionHeader
    | TcpOption
    | RawTcpOption
    | IpOption
    | SctpChunk
    | Route
    | Socket
    | Ipsec
    | Osf
)
Expression: TypeAlias = (
    Value
    | Selector
    | NumberGenerator
    | JenkinsHash
    | SymmetricHash
    | Binary
    | FlagList
    | Concatenation
    | AnonymousSet
    | SetReference
    | MapLookup
)
