"""Verdicts: how a rule ends. A rule without one goes on with the next."""

from __future__ import annotations

from typing import NamedTuple

from fwtrans.ir.match import KeyPart


class Accept(NamedTuple):
    """Ends this base chain; chains of later priority still see the packet."""


class Drop(NamedTuple):
    """Ends everything."""


class Reject(NamedTuple):
    """Drops and answers: with a TCP reset, or an ICMP message of `kind` (`port-unreachable`, `admin-prohibited` ...).

    `protocol` is "tcp reset", "icmp", "icmpv6" or "icmpx".
    """

    protocol: str
    kind: str = ""


class Queue(NamedTuple):
    """Hands the packet to user space."""

    first: int = 0
    last: int = 0
    bypass: bool = False
    fanout: bool = False


class Return(NamedTuple):
    """Goes on behind the jump that led here; in a base chain, to its policy."""


class Jump(NamedTuple):
    """Goes to a chain and comes back at its end."""

    chain: str


class Goto(NamedTuple):
    """Goes to a chain whose end is the end of this one."""

    chain: str


class Dispatch(NamedTuple):
    """Takes the verdict that the named map holds under the key; goes on where it holds none."""

    key: tuple[KeyPart, ...]
    map_name: str


class TransparentProxy(NamedTuple):
    """Hands the packet to a local socket and marks it; drops it where there is none (iptables' TPROXY)."""

    address: int | None
    port: int
    mark_keep: int
    mark_constant: int


class SynProxy(NamedTuple):
    """Answers SYNs itself until the client has proved to be there. Everything that it matches ends here."""

    mss: int = 0
    window_scale: int | None = None
    timestamp: bool = False
    sack_permitted: bool = False


Verdict = Accept | Drop | Reject | Queue | Return | Jump | Goto | Dispatch | TransparentProxy | SynProxy

TERMINAL = (Accept, Drop, Reject, Queue, TransparentProxy, SynProxy)
