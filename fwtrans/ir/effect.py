"""Effects: what a rule does to a packet, its connection or a set, apart from deciding about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from fwtrans.ir.remembering import Hashed, remembers_hash

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart


@dataclass(frozen=True, slots=True)
class BitsOf:
    """A masked field as the source of an assignment, shifted left (or right, if negative) by `shift`."""

    field: Field
    mask: int
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Assign:
    """field = ((field & keep) ^ source) ^ constant, bit by bit; `keep` 0 forgets what was there.

    `--set-xmark v/m` is keep ~m, constant v. `--save-mark` is keep ~ctmask with the masked mark as source.
    """

    field: Field
    keep: int
    constant: int
    source: BitsOf | None = None


@dataclass(frozen=True, slots=True)
class AssignFromMap:
    """field = what the named map holds under the key; nothing happens, and the rule ends, where it holds nothing."""

    field: Field
    key: tuple[KeyPart, ...]
    map_name: str


@dataclass(frozen=True, slots=True)
class AssignFromTable:
    """field = table[field], for arithmetic that nftables does not have (TTL minus one). Pairs are (old, new)."""

    field: Field
    table: tuple[tuple[int, int], ...]


@remembers_hash
@dataclass(frozen=True, slots=True)
class Log(Hashed):
    """A line for the kernel's log (`group` None) or a message to a netlink group.

    `snaplen` None is what the listener asked for; 0 sends nothing of the packet itself.
    """

    prefix: str = ""
    level: str = ""
    flags: tuple[str, ...] = ()
    group: int | None = None
    snaplen: int | None = None
    queue_threshold: int = 0


class SetOperation(Enum):
    """What is done to a set's entry; UPDATE also renews the time it has left."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """Adds or deletes the key; `timeout` in seconds, None for the set's own."""

    set_name: str
    key: tuple[KeyPart, ...]
    operation: SetOperation
    timeout: float | None = None


class NatKind(Enum):
    """Which address is rewritten, and where the new one comes from."""

    SNAT = "snat"
    DNAT = "dnat"
    MASQUERADE = "masquerade"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class Nat:
    """Sets up address translation for the connection. The rule's verdict is Accept: NAT ends the chain.

    `addresses` and `ports` are inclusive ranges. With `prefix` (NETMAP) the network part is replaced, the host part kept,
    and `addresses` are the first and last of the network. `map_name` and `key` take them from a map instead.
    """

    kind: NatKind
    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    flags: tuple[str, ...] = ()
    prefix: bool = False
    key: tuple[KeyPart, ...] = ()
    map_name: str = ""


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Keeps the packet out of connection tracking."""


@dataclass(frozen=True, slots=True)
class SetHelper:
    """Gives the connection a helper (ftp, sip ...) for one transport protocol."""

    helper: str
    l3proto: str
    l4proto: str


@dataclass(frozen=True, slots=True)
class SetTimeoutPolicy:
    """Gives the connection a timeout policy: pairs of state and seconds for one protocol."""

    name: str
    l3proto: str
    l4proto: str
    policy: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Sends a copy of the packet to a gateway, by way of a device if one is named."""

    gateway: int
    device: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """Sends the packet out of a device (netdev family)."""

    device: str


@dataclass(frozen=True, slots=True)
class ResetTcpOption:
    """Overwrites the TCP option of that kind with NOPs, where the packet has it."""

    kind: int


@dataclass(frozen=True, slots=True)
class SetSecmark:
    """Gives the packet a security context, which the loaded security module must know."""

    context: str


@dataclass(frozen=True, slots=True)
class OpaqueEffect:
    """Something that we cannot model but can print exactly; two are the same where `identity` is the same."""

    identity: str
    expression: str


@dataclass(frozen=True, slots=True)
class Count:
    """An anonymous or named counter with the values it starts from. It decides nothing."""

    packets: int = 0
    byte_count: int = 0
    name: str = ""


Effect = (
    Assign
    | AssignFromMap
    | AssignFromTable
    | Log
    | SetUpdate
    | Nat
    | NoTrack
    | SetHelper
    | SetTimeoutPolicy
    | Duplicate
    | Forward
    | ResetTcpOption
    | SetSecmark
    | OpaqueEffect
    | Count
)
