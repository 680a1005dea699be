"""A packet, a hook visit, and the answers to what cannot be known: the input of both evaluators.

What both evaluators take for granted about the IR (they share nothing else):

- A field that is not in `Packet.values` is absent, and so is one whose `requires` do not all hold: every test of it is
  false. Presence fields (`has.*`) are 0 or 1; interfaces and bridge ports that a packet does not have are the empty name.
- `nfproto` says which network protocol the packet carries (2, 10, or another number), in a bridge table as well.
- An `Assign` to an absent field does nothing and the rule goes on; where the *source* of an `Assign` is absent, or a map
  holds nothing under the key (`AssignFromMap`, `StatefulFromMap`, `Nat` with a map), the rule ends there, as nftables' break does. Earlier
  effects of the rule stay. `AssignFromTable` does nothing where the old value is not in the table.
- Tests and effects read the fields as they have been written by then. `NoTrack` makes `ct.state` untracked and takes
  `has.conntrack` away. `Nat` does not change the addresses that are tested later in the same hook.
- A base chain's end, and `Return` in it, is its policy. Accept ends the base chain and the next one goes on. So do Queue
  (user space is taken to let the packet go; it is an effect beside the verdict) and TransparentProxy (which also sets
  the mark). Drop, Reject and SynProxy end the visit. Chains of equal priority run in the order of the tables in the
  ruleset, and of the chains in a table.
- A chain of kind nat sees only packets that have a conntrack entry and are new or related, and none once an earlier chain
  of the same visit has set up a translation (nf_nat_inet_fn, kernel 6.1).
- A `Dispatch` whose key is absent, or not in the map, goes on with the next rule. A jump that returns goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Family, Field
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.ruleset import Hook


class HookVisit(NamedTuple):
    """One pass through one hook. `family` is that of the packet's path: IP, IP6, ARP, BRIDGE or NETDEV.

    A visit of IP or IP6 passes the tables of that family and those of inet. `device` is for netdev's ingress and egress.
    """

    family: Family
    hook: Hook
    device: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """What there is to test: numbers and names by field. A field that is not there is absent."""

    values: Mapping[Field, int | str]


class UnknownKind(Enum):
    """What is asked: does an opaque test hold, is a stateful object not used up, is a key in a set that rules change."""

    OPAQUE = "opaque"
    STATEFUL = "stateful"
    MEMBER = "member"


class Unknown(NamedTuple):
    """A question that the packet alone does not answer.

    `identity` is that of the `OpaqueTest` or `StatefulObject`, or a set's name with its table (see `set_identity`). `nth`
    counts from 0: how often this packet has touched the object before in this visit, or how many updates of the set it has
    made before. The answer to a stateful question is about the object (not used up), whatever the test's `over` says.
    """

    kind: UnknownKind
    identity: str
    key: tuple[KeyPart, ...] = ()
    nth: int = 0


def set_identity(family: Family, table: str, set_name: str) -> str:
    """Return the name by which a changing set goes in `Unknown.identity`."""
    return f"{family.value} {table} {set_name}"
