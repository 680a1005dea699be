"""Whose messages ICMP's are: what nft puts in front of `icmp type`, `icmpv6 type` and `igmp type` by itself.

    inet    icmpv6 type 1                           meta nfproto ipv6, meta l4proto 58, the type
    bridge  icmpv6 type 1                           ether type ip6, meta l4proto 58, the type
            meta l4proto ipv6-icmp icmpv6 type 1    meta l4proto 58, the type

That is what `nft --debug=netlink` shows (1.0.6). Where a rule has asked for the protocol or for one network protocol before,
nft asks for no family; tables of one family have no such question. In a bridge table it asks more than the family, for a
frame with a VLAN tag has another type. So where that is not meant, the protocol is printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import ETHER_PROTOCOL, ETHER_TYPE, L4PROTO, NFPROTO, SEVERAL_PROTOCOLS, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest, number
from fwtrans.ir.rule import is_pure

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step

# by header: the transport protocol, and the network protocol's number in an inet table
_MESSAGES = {"icmp": (1, 2), "icmpv6": (58, 10), "igmp": (2, 2)}


def message_protocol(field: Field, family: Family) -> int | None:
    """Return the protocol of the messages that a field is part of, where nft would ask for their family too."""
    if family not in SEVERAL_PROTOCOLS or field.spelling[0] != "payload":
        return None
    found = _MESSAGES.get(field.spelling[1])
    return found[0] if found is not None else None


def settles_family(step: Step, family: Family) -> bool:
    """Tell whether nft asks for no family behind a step: it has a single protocol, or a network protocol of its own."""
    if isinstance(step, MemberTest):
        return any(part.mask is None and _is_of_network(part.field) for part in step.key)
    if not isinstance(step, FieldTest):
        return False
    if _is_of_network(step.field):
        return True
    asking = {L4PROTO, ETHER_TYPE, NFPROTO if family is Family.INET else ETHER_PROTOCOL}
    return step.field in asking and isinstance(step.values, IntervalSet) and step.values.only is not None


def _is_of_network(field: Field) -> bool:
    return field.spelling[0] == "payload" and any(name == NFPROTO.name for name, _ in field.requires)


def asked_by_messages(steps: tuple[Step, ...], family: Family) -> tuple[Step, ...]:
    """Return the tests at the front that nft makes by itself where a message's field is asked: its family and protocol."""
    if family is not Family.INET:
        return ()
    for at, step in enumerate(steps):
        if not is_pure(step):
            return ()
        found = (
            _MESSAGES.get(step.field.spelling[1])
            if isinstance(step, FieldTest) and step.field.spelling[0] == "payload"
            else None
        )
        if found is not None:
            asked = (number(L4PROTO, found[0]), number(NFPROTO, found[1]))
            before = steps[:at]
            others = any(settles_family(earlier, family) for earlier in before if earlier not in asked)
            return asked if asked[1] in before and not others else ()
    return ()
