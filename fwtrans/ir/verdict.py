"""Verdicts: how a rule ends. A rule without one goes on with the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwtrans.ir.match import KeyPart


@dataclass(frozen=True, slots=True)
class Accept:
    """Ends this base chain; chains of later priority still see the packet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Ends everything."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Drops and answers: with a TCP reset, or an ICMP message of `kind` (`port-unreachable`, `admin-prohibited` ...).

    `protocol` is "tcp reset", "icmp", "icmpv6" or "icmpx".
    """

    protocol: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """Hands the packet to user space."""

    first: int = 0
    last: int = 0
    bypass: bool = False
    fanout: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """Goes on behind the jump that led here; in a base chain, to its policy."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Goes to a chain and comes back at its end."""

    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """Goes to a chain whose end is the end of this one."""

    chain: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Takes the verdict that the named map holds under the key; goes on where it holds none."""

    key: tuple[KeyPart, ...]
    map_name: str


@dataclass(frozen=True, slots=True)
class TransparentProxy:
    """Hands the packet to a local socket and marks it; drops it where there is none (iptables' TPROXY)."""

    address: int | None
    port: int
    mark_keep: int
    mark_constant: int


@dataclass(frozen=True, slots=True)
class SynProxy:
    """Answers SYNs itself until the client has proved to be there. Everything that it matches ends here."""

    mss: int = 0
    window_scale: int | None = None
    timestamp: bool = False
    sack_permitted: bool = False


Verdict = Accept | Drop | Reject | Queue | Return | Jump | Goto | Dispatch | TransparentProxy | SynProxy

TERMINAL = (Accept, Drop, Reject, Queue, TransparentProxy, SynProxy)
