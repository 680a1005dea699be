"""nft objects: a ruleset is tables, a table is named objects, sets, maps, flowtables and chains, a chain is rules.

All durations are milliseconds. Order is the caller's: what is given first is printed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fwtrans.backend.nft.expressions import Expression
    from fwtrans.backend.nft.statements import ObjectKind, Rate, Statement, Verdict


class Family(Enum):
    """The packets that a table sees."""

    IP = "ip"
    IP6 = "ip6"
    INET = "inet"
    ARP = "arp"
    BRIDGE = "bridge"
    NETDEV = "netdev"


class ChainType(Enum):
    """What a base chain may do."""

    FILTER = "filter"
    NAT = "nat"
    ROUTE = "route"


class Hook(Enum):
    """Where the kernel calls a base chain."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"
    INGRESS = "ingress"
    EGRESS = "egress"


class ChainPolicy(Enum):
    """What becomes of a packet that runs off the end of a base chain."""

    ACCEPT = "accept"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseHook:
    """`type filter hook input priority filter; policy accept;`.

    `devices` is for ingress and egress only. The printers write the priority by name where nft has one for it.
    """

    type: ChainType
    hook: Hook
    priority: int
    policy: ChainPolicy = ChainPolicy.ACCEPT
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Statements from left to right, and a comment of at most 128 bytes. A rule without statements is not legal."""

    statements: tuple[Statement, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`chain name { ... }`: a base chain where it has a hook, else one to jump to."""

    name: str
    base: BaseHook | None = None
    rules: tuple[Rule, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class DataTypes:
    """`type ipv4_addr . inet_service`: nft's datatype names, more than one where keys are concatenated."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypeOf:
    """`typeof ip saddr . tcp dport`: for fields whose type has no name (`typeof ip frag-off`)."""

    expression: Expression


class SetFlag(Enum):
    """What a set can do; the order is nft's."""

    CONSTANT = "constant"
    INTERVAL = "interval"
    TIMEOUT = "timeout"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True)
class Element:
    """`192.0.2.1 timeout 1h expires 59m counter packets 0 bytes 0 comment "x"`, in a map followed by ` : value`.

    In a map of objects the value is a `QuotedString` with the object's name.
    """

    key: Expression
    value: Expression | Verdict | None = None
    timeout: int | None = None
    expires: int | None = None
    comment: str = ""
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """`set name { type ...; flags ...; elements = { ... } }`. `statements` are given to each new element.

    `prefers_memory` together with a size takes a hash that sees different keys as one (kernel 6.18: File exists).
    """

    name: str
    key: DataTypes | TypeOf
    flags: tuple[SetFlag, ...] = ()
    elements: tuple[Element, ...] = ()
    size: int | None = None
    timeout: int | None = None
    gc_interval: int | None = None
    prefers_memory: bool = False
    auto_merge: bool = False
    statements: tuple[Statement, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class VerdictType:
    """`verdict`, as the value of a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """`map name { type ipv4_addr : verdict; ... }`: a set whose elements have a value.

    The value is a datatype (`value_is_interval` for `interval ipv4_addr`, the ranges and prefixes of NETMAP), a verdict,
    or a kind of named object.
    """

    name: str
    key: DataTypes | TypeOf
    value: DataTypes | TypeOf | VerdictType | ObjectKind
    value_is_interval: bool = False
    flags: tuple[SetFlag, ...] = ()
    elements: tuple[Element, ...] = ()
    size: int | None = None
    timeout: int | None = None
    gc_interval: int | None = None
    prefers_memory: bool = False
    statements: tuple[Statement, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterObject:
    """`counter name { packets 0 bytes 0 }`."""

    name: str
    packets: int = 0
    bytes: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaObject:
    """`quota name { over 25 mbytes used 0 bytes }`; numbers are bytes."""

    name: str
    bytes: int
    over: bool = False
    used: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitObject:
    """`limit name { rate 10/second burst 5 packets }`: one bucket for all rules that name it."""

    name: str
    rate: Rate
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CtHelperObject:
    """`ct helper name { type "ftp" protocol tcp; l3proto ip; }`."""

    name: str
    helper: str
    protocol: str
    l3_protocol: Family
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CtTimeoutObject:
    """`ct timeout name { protocol tcp; l3proto ip; policy = { established : 3600 } }`; the policy is in seconds."""

    name: str
    protocol: str
    l3_protocol: Family
    policy: tuple[tuple[str, int], ...]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CtExpectationObject:
    """`ct expectation name { protocol tcp; dport 5060; timeout 1h; size 12; l3proto ip; }`."""

    name: str
    protocol: str
    l3_protocol: Family
    port: int
    timeout: int
    size: int
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SynproxyObject:
    """`synproxy name { mss 1460; wscale 7; timestamp sack-perm; }`."""

    name: str
    mss: int
    window_scale: int
    timestamp: bool = False
    sack_permitted: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecmarkObject:
    """`secmark name { "system_u:object_r:ssh_server_packet_t:s0" }`."""

    name: str
    context: str
    comment: str = ""


NamedObject: TypeAlias = (
    CounterObject
    | QuotaObject
    | LimitObject
    | CtHelperObject
    | CtTimeoutObject
    | CtExpectationObject
    | SynproxyObject
    | SecmarkObject
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flowtable:
    """`flowtable name { hook ingress priority 0; devices = { eth0, eth1 }; }`."""

    name: str
    priority: int
    devices: tuple[str, ...]
    offload: bool = False


@dataclass(frozen=True, slots=True)
class ForeignObject:
    """A set, map, flowtable or named object in the words in which it was read: its JSON, without its place."""

    kind: str
    name: str
    json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`table family name { ... }`, printed in the order objects, sets, maps, flowtables, foreign objects, chains."""

    family: Family
    name: str
    objects: tuple[NamedObject, ...] = ()
    sets: tuple[Set, ...] = ()
    maps: tuple[Map, ...] = ()
    flowtables: tuple[Flowtable, ...] = ()
    foreign: tuple[ForeignObject, ...] = ()
    chains: tuple[Chain, ...] = ()
    comment: str = ""
    dormant: bool = False


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables that a run prints; nothing else of the host is touched."""

    tables: tuple[Table, ...]
