"""What nft asks for by itself: a message type for fields that only some ICMP messages have, the protocol of a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import (
    CT_L3PROTO,
    ETHER_PROTOCOL,
    ETHER_TYPE,
    ICMP6_TYPE,
    ICMP_TYPE,
    L4PROTO,
    NFPROTO,
    SEVERAL_PROTOCOLS,
    VLAN_ID,
    VLAN_PRIORITY,
    VLAN_TYPE,
    Family,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest, number
from fwtrans.lower.nft.json_types import NotModelled
from fwtrans.lower.nft.selectors import part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.lower.nft.json_types import Json

MESSAGES = {"icmp": 2, "icmpv6": 10, "igmp": 2}
FRAMES = {2: 0x0800, 10: 0x86DD}
_OF_TAGS = {VLAN_ID, VLAN_PRIORITY}
_HEADERS = {"payload", "exthdr", "ip option"}
_ECHO, _ECHO6 = number(ICMP_TYPE, 0, 8), number(ICMP6_TYPE, 128, 129)
_TESTS = {
    ("icmp", "id"): _ECHO,
    ("icmp", "sequence"): _ECHO,
    ("icmp", "gateway"): number(ICMP_TYPE, 5),
    ("icmp", "mtu"): number(ICMP_TYPE, 3),
    ("icmpv6", "id"): _ECHO6,
    ("icmpv6", "sequence"): _ECHO6,
    ("icmpv6", "mtu"): number(ICMP6_TYPE, 2),
}


def implied_type(statement: Json, before: Iterable[Step]) -> tuple[FieldTest, ...]:
    """Return the test that stands in front of a statement, none where the rule has asked for the type already."""
    match = statement.get("match") if isinstance(statement, dict) else None
    left = match.get("left") if isinstance(match, dict) else None
    payload = left.get("payload") if isinstance(left, dict) else None
    if not isinstance(payload, dict):
        return ()
    test = _TESTS.get((str(payload.get("protocol")), str(payload.get("field"))))
    if test is None or any(isinstance(step, FieldTest) and step.field is test.field for step in before):
        return ()
    return (test,)


def asked_family(statement: Json, before: Iterable[Step], family: Family) -> tuple[FieldTest, ...]:
    """Return the test of the network protocol that nft makes where a field of ICMP's messages is asked without more.

    In tables of several families only, and not where the rule has asked for one transport or network protocol before.
    A bridge asks the frame's header, which of a frame with a tag says 8021q, and netdev what the frame carries; behind a
    question for the tag both ask what stands behind the tag.
    """
    if family not in SEVERAL_PROTOCOLS:
        return ()
    for payload in _payloads(statement):
        protocol = str(payload.get("protocol"))
        if protocol in {"ip", "ip6"}:
            return ()
        answered = MESSAGES.get(protocol)
        if answered is not None:
            if any(settles_family(step, family) for step in before):
                return ()
            if any(isinstance(step, FieldTest) and step.field in _OF_TAGS for step in before):
                return (number(VLAN_TYPE, FRAMES[answered]),)
            if family is Family.INET:
                return (number(NFPROTO, answered),)
            return (number(ETHER_TYPE if family is Family.BRIDGE else ETHER_PROTOCOL, FRAMES[answered]),)
    return ()


def settles_family(step: Step, family: Family) -> bool:
    """Tell whether nft asks for no family behind a step: the rule has asked for one transport or network protocol."""
    if isinstance(step, MemberTest):
        return any(_is_of_network(part.field) for part in step.key)
    if not isinstance(step, FieldTest):
        return False
    asking = {L4PROTO, ETHER_TYPE, VLAN_TYPE, CT_L3PROTO, NFPROTO if family is Family.INET else ETHER_PROTOCOL}
    single = step.field in asking and isinstance(step.values, IntervalSet) and step.values.only is not None
    return single or _is_of_network(step.field)


def _is_of_network(field: Field) -> bool:
    return field.spelling[0] in _HEADERS and any(name == NFPROTO.name for name, _ in field.requires)


def asked_by_nft(statement: Json, family: Family) -> tuple[FieldTest, ...]:
    """Return the tests that nft puts in front of a statement without a model: of the headers that it looks into.

    A listing leaves `meta l4proto tcp` out where `dnat to ip daddr . tcp dport map { ... }` follows.
    """
    found: dict[FieldTest, None] = {}
    for payload in _payloads(statement):
        layer = {"ip": 2, "ip6": 10}.get(str(payload.get("protocol")))
        if layer is not None and family is Family.INET:
            found[number(NFPROTO, layer)] = None
        elif layer is not None and family in SEVERAL_PROTOCOLS:
            found[number(ETHER_PROTOCOL, FRAMES[layer])] = None
        try:
            found.update(dict.fromkeys(part_of({"payload": payload}, family, inner=True).before))
        except (NotModelled, Refused):
            continue
    return tuple(found)


def _payloads(value: Json) -> Iterator[dict[str, Json]]:
    """Yield the header fields anywhere in a statement."""
    if isinstance(value, dict):
        payload = value.get("payload")
        if isinstance(payload, dict) and "protocol" in payload:
            yield payload
        else:
            for inner in value.values():
                yield from _payloads(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _payloads(inner)
