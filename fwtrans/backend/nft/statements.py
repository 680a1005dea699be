"""nft statements: the steps of a rule, in the order in which the kernel takes them.

Each class is one statement of nft(8); its docstring gives the text it becomes. All durations are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fwtrans.backend.nft.expressions import AnonymousMap, Expression, MapLookup, SetReference


# what nft takes where a rate in packets names no burst; a rate in bytes has none by itself
DEFAULT_PACKET_BURST = 5


class Operator(Enum):
    """How a match compares. IMPLICIT prints nothing: equality, membership of a set, or any of the flags given."""

    IMPLICIT = ""
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    GREATER = ">"
    LESS_OR_EQUAL = "<="
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Match:
    """`tcp dport 22`, `ip saddr != @blocked`: the rule goes on only where this holds.

    EQUAL is needed only with flags on the right: `tcp flags syn` is true for SYN+ACK, `tcp flags == syn` is not.
    """

    left: Expression
    right: Expression
    operator: Operator = Operator.IMPLICIT


@dataclass(frozen=True, slots=True)
class Foreign:
    """A statement that nobody models, as the JSON of libnftables in which it was read."""

    json: str


class VerdictKind(Enum):
    """What becomes of the packet or where evaluation goes on."""

    ACCEPT = "accept"
    DROP = "drop"
    CONTINUE = "continue"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`accept`, `jump chain`: JUMP and GOTO have a chain, the others have none."""

    kind: VerdictKind
    chain: str = ""


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """`iifname vmap @ports_in`, `ct state vmap { established : accept, invalid : drop }`."""

    key: Expression
    mapping: AnonymousMap | SetReference


@dataclass(frozen=True, slots=True)
class Counter:
    """`counter`, or `counter packets 3 bytes 180` where it starts with values."""

    packets: int = 0
    bytes: int = 0


class Period(Enum):
    """The time in which a rate counts."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Rate:
    """`10/second burst 5 packets`, or where `in_bytes` `over 1 mbytes/second burst 64 kbytes`.

    Without `over` a limit lets the packet pass while tokens are left, with it once they are used up.
    `burst` None is nft's default of 5 packets; in bytes it means no burst of its own.
    """

    amount: int
    period: Period
    burst: int | None = None
    over: bool = False
    in_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit rate 10/second burst 5 packets`: a bucket of this one rule. For a shared one see `ObjectStatement`."""

    rate: Rate


@dataclass(frozen=True, slots=True)
class Quota:
    """`quota 25 mbytes`, `quota over 25 mbytes used 1 mbytes`; numbers are bytes."""

    bytes: int
    over: bool = False
    used: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """`ct count 20`, `ct count over 20`: connections in the table; inside a set's element, those of that key."""

    count: int
    over: bool = False


class ObjectKind(Enum):
    """Kinds of named objects that a rule can refer to; the value is the word of the statement and of its block."""

    COUNTER = "counter"
    QUOTA = "quota"
    LIMIT = "limit"
    CT_HELPER = "ct helper"
    CT_TIMEOUT = "ct timeout"
    CT_EXPECTATION = "ct expectation"
    SYNPROXY = "synproxy"
    SECMARK = "secmark"


@dataclass(frozen=True, slots=True)
class ObjectStatement:
    """Uses a named object, or the one that a map has for a key.

    `counter name "web"`, `limit name iifname map @limits`, `ct helper set "ftp-standard"`, `synproxy name "s"`.
    """

    kind: ObjectKind
    name: str | MapLookup


@dataclass(frozen=True, slots=True)
class Log:
    """`log prefix "in: " level warn flags tcp options`, or with a group `log prefix "x" group 2 snaplen 80 ...`.

    `level` is one of emerg alert crit err warn notice info debug audit; `flags` of `tcp sequence`, `tcp options`,
    `ip options`, `skuid`, `ether`, `all`. Level and flags go with syslog; snap length and queue threshold with a group.
    """

    prefix: str = ""
    level: str = ""
    flags: tuple[str, ...] = ()
    group: int | None = None
    snap_length: int | None = None
    queue_threshold: int | None = None


class RejectKind(Enum):
    """How the sender is told; the value is nft's wording."""

    DEFAULT = ""
    TCP_RESET = "tcp reset"
    ICMP = "icmp"
    ICMPV6 = "icmpv6"
    ICMPX = "icmpx"


@dataclass(frozen=True, slots=True)
class Reject:
    """`reject`, `reject with tcp reset`, `reject with icmp host-unreachable`; code is nft's word for it."""

    kind: RejectKind = RejectKind.DEFAULT
    code: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """`queue to 0`, `queue flags bypass,fanout to 1-3`, or to a computed number (`numgen ...`, a map)."""

    number: Expression
    bypass: bool = False
    fanout: bool = False


class NatKind(Enum):
    """Which end is rewritten, and how."""

    SNAT = "snat"
    DNAT = "dnat"
    MASQUERADE = "masquerade"
    REDIRECT = "redirect"


class NatFlag(Enum):
    """How a port or address is chosen."""

    RANDOM = "random"
    FULLY_RANDOM = "fully-random"
    PERSISTENT = "persistent"


@dataclass(frozen=True, slots=True)
class Nat:
    """`snat ip to 192.0.2.1-192.0.2.9:1024-2048 random,persistent`, `masquerade to :1024-65535`, `redirect to :3128`.

    `family` is `ip` or `ip6` and needed in the inet family wherever an address is given. `is_prefix` prints `prefix to`
    (NETMAP): the address is then a `Prefix` or a map of prefixes, and host bits are kept.
    An address that is a `MapLookup` to `address . port` gives both.
    """

    kind: NatKind
    address: Expression | None = None
    port: Expression | None = None
    family: str = ""
    flags: tuple[NatFlag, ...] = ()
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """`meta mark set 0x1`, `ct mark set meta mark`, `ip dscp set cs1`, `tcp option maxseg size set rt mtu`."""

    target: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Notrack:
    """`notrack`: the connection tracking leaves this packet alone."""


@dataclass(frozen=True, slots=True)
class ResetTcpOption:
    """`reset tcp option sack-perm`: overwrites the option with padding (needs nft 1.0.2, kernel 5.18)."""

    option: str | int


class UpdateKind(Enum):
    """`add` leaves an element's timeout as it is, `update` starts it again, `delete` takes the element out."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """`update @seen { ip saddr timeout 1m limit rate 3/minute }`.

    True where the element could be added and every statement on it held; the statements belong to the element.
    """

    kind: UpdateKind
    name: str
    key: Expression
    timeout: int | None = None
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class MapUpdate:
    """`update @clients { ip saddr timeout 1h : meta mark }`."""

    kind: UpdateKind
    name: str
    key: Expression
    value: Expression
    timeout: int | None = None
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Tproxy:
    """`tproxy ip to 127.0.0.1:3129`, `tproxy to :3129`; no verdict of its own."""

    address: Expression | None = None
    port: Expression | None = None
    family: str = ""


@dataclass(frozen=True, slots=True)
class Synproxy:
    """`synproxy mss 1460 wscale 7 timestamp sack-perm`."""

    mss: int | None = None
    window_scale: int | None = None
    timestamp: bool = False
    sack_permitted: bool = False


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`dup to 192.0.2.9 device "eth1"` (ip, ip6), `dup to "eth1"` (netdev: only the device)."""

    address: Expression | None = None
    device: Expression | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """`fwd to "eth1"`, `fwd ip to 192.0.2.9 device "eth1"`: netdev family only."""

    device: Expression
    address: Expression | None = None
    family: str = ""


@dataclass(frozen=True, slots=True)
class FlowOffload:
    """`flow add @fast`: the flow's next packets go by the flowtable."""

    flowtable: str


@dataclass(frozen=True, slots=True)
class XtStatement:
    """An iptables extension that iptables-nft put into a table, as a listing shows it. It is never printed."""

    kind: str
    name: str


Statement: TypeAlias = (
    Match
    | Verdict
    | VerdictMap
    | Counter
    | Limit
    | Quota
    | ConnectionCount
    | ObjectStatement
    | Log
    | Reject
    | Queue
    | Nat
    | Assignment
    | Notrack
    | ResetTcpOption
    | SetUpdate
    | MapUpdate
    | Tproxy
    | Synproxy
    | Duplicate
    | Forward
    | FlowOffload
    | Foreign
    | XtStatement
)
