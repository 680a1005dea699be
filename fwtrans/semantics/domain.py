"""Which packets there can be: what the hook says about a packet, and what its fields say about each other.

Two rulesets are compared on possible packets only: a rule for `oifname` at the input hook is no difference, because no
packet has one there. Each fact is an IR test that must hold, so that the symbolic side, the command line (contradictory
packets) and generators of random packets read the same list.

A fact may speak of fields that no rule reads. What it says about the others is what is left when the unread ones may have
any value: that a packet without ports is a later fragment says nothing where nobody reads the fragment offset.

Some facts are `assumed`: malformed packets break them. A comparison that rests on one says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, absent, bits, negated, number, present
from fwtrans.ir.names import NameSet
from fwtrans.ir.ruleset import Hook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.match import PureTest
    from fwtrans.semantics.packet import HookVisit, Packet

IP_PROTOCOL, ARP_PROTOCOL, IP6_PROTOCOL = 0x0800, 0x0806, 0x86DD
_VLAN_TYPES = (0x8100, 0x88A8)
_NEITHER = 0

_L3 = frozenset({Family.IP, Family.IP6})
_LINK = frozenset({Family.BRIDGE, Family.NETDEV})
_ALL = frozenset(Family)

_PROTOCOLS = {
    Family.IP: {known.NFPROTO: 2, known.ETHER_PROTOCOL: IP_PROTOCOL},
    Family.IP6: {known.NFPROTO: 10, known.ETHER_PROTOCOL: IP6_PROTOCOL},
    Family.ARP: {known.NFPROTO: _NEITHER, known.ETHER_PROTOCOL: ARP_PROTOCOL, known.HAS_ETHERNET: 1},
    Family.BRIDGE: {known.HAS_ETHERNET: 1},
    Family.NETDEV: {known.HAS_ETHERNET: 1},
}
_NO_IN = {known.IIFNAME: "", known.IBRNAME: ""}
_NO_OUT = {known.OIFNAME: "", known.OBRNAME: ""}
_NOT_BRIDGED: dict[Field, int | str] = {known.PORT_OUT: "", known.BRIDGED: 0}
_HOOKS: dict[Hook, dict[Field, int | str]] = {
    Hook.INGRESS: {**_NO_OUT, **_NOT_BRIDGED},
    Hook.PREROUTING: {**_NO_OUT, **_NOT_BRIDGED},
    Hook.INPUT: {**_NO_OUT, **_NOT_BRIDGED},
    Hook.FORWARD: {},
    Hook.OUTPUT: {**_NO_IN, **_NOT_BRIDGED, known.PORT_IN: ""},
    Hook.POSTROUTING: {},
    Hook.EGRESS: {**_NO_IN, **_NOT_BRIDGED},
}

# Values that a field never has, though its width allows them.
POSSIBLE: dict[Field, IntervalSet] = {
    known.CT_STATE: IntervalSet(3, ((0, 4),)),
    known.NFPROTO: IntervalSet.values(8, (_NEITHER, 2, 10)),
    known.DAY: IntervalSet(3, ((0, 6),)),
    known.HOUR: IntervalSet(17, ((0, 86399),)),
    known.PACKET_TYPE: IntervalSet(3, ((0, 3),)),
}


class Constraint(NamedTuple):
    """A fact about the packets of some families, said for people and as a test that every packet passes.

    `assumed` says what must be granted for it, nothing for what always holds.
    """

    text: str
    families: frozenset[Family]
    test: PureTest
    assumed: str = ""


def fixed_values(visit: HookVisit) -> dict[Field, int | str]:
    """Return the fields that have one value for every packet of the visit."""
    found: dict[Field, int | str] = {**_PROTOCOLS.get(visit.family, {}), **_HOOKS[visit.hook]}
    if visit.family is Family.BRIDGE and visit.hook is Hook.POSTROUTING:
        # nf_hook's state has no input device there (br_forward.c; seen on 6.1 and 6.12)
        found |= _NO_IN
    return found


def presence(field: Field, family: Family) -> PureTest | bool:
    """Return what must hold, beside the field's own `requires`, for it to be there in visits of the family."""
    if field.spelling[:2] == ("payload", "arp"):
        return family is Family.ARP or (family in _LINK and number(known.ETHER_PROTOCOL, ARP_PROTOCOL))
    if field is known.L4PROTO:
        return family in _L3 or (family in _LINK and number(known.NFPROTO, 2, 10))
    return True


def constraints(visit: HookVisit, ether_types: Iterable[IntervalSet] = ()) -> Iterator[Constraint]:
    """Yield the facts for a visit. `ether_types` are the disjoint sets that tests of ether types tell apart."""
    for constraint in _FACTS:
        if visit.family in constraint.families:
            yield constraint
    yield from _interfaces(visit.hook)
    if visit.family in _LINK:
        yield _ether_types(tuple(ether_types))


def tested_fields(test: PureTest) -> set[Field]:
    """Return the fields that a fact speaks of."""
    return {part.field for part in field_tests(test)}


def field_tests(test: PureTest) -> Iterator[FieldTest]:
    """Yield the tests of fields that a fact is made of."""
    if isinstance(test, AnyOf):
        for branch in test.branches:
            for part in branch:
                yield from field_tests(part)
    elif isinstance(test, FieldTest):
        yield test


def contradictions(visit: HookVisit, packet: Packet, *, malformed: bool = True, whole: bool = False) -> tuple[str, ...]:
    """Return the facts that a packet breaks, as sentences; a field that it does not name breaks none.

    Without `malformed` these are also the facts that are only assumed; `whole` adds `WHOLE`.
    """
    values = {**fixed_values(visit), **packet.values}
    found = [
        f"{field.name} is {wanted!r} at {visit.family.value} {visit.hook.value}"
        for field, wanted in fixed_values(visit).items()
        if packet.values.get(field, wanted) != wanted
    ]
    for field, possible in POSSIBLE.items():
        value = packet.values.get(field)
        if isinstance(value, int) and value not in possible:
            found.append(f"{field.name} is never {value}")
    found.extend(
        constraint.text
        for constraint in (*constraints(visit, _types_of(packet)), *((WHOLE,) if whole else ()))
        if not (malformed and constraint.assumed) and not _may_hold(constraint.test, values)
    )
    return tuple(found)


def _either(*branches: tuple[PureTest, ...]) -> AnyOf:
    return AnyOf(branches)


_NO_PORT_OUT = FieldTest(known.PORT_OUT, NameSet.exact(""))
_HAS_PORT_IN = FieldTest(known.PORT_IN, NameSet.exact("").complement())
_NO_FRAGMENT = bits(known.IP_FRAGMENT, 0x1FFF, 0)
_IP6_OFFSET = known.header_field("exthdr", "frag", "frag-off", 13)
_NO_IP6_HEADER = absent(known.header_present("exthdr", "frag"))
_NOT_SHORT = "no packet ends inside its transport header"
_FACTS: tuple[Constraint, ...] = (
    Constraint(
        "a packet has a conntrack entry exactly when its state is established, related or new",
        _ALL,
        _either(
            (present(known.HAS_CONNTRACK), number(known.CT_STATE, 1, 2, 3)),
            (absent(known.HAS_CONNTRACK), number(known.CT_STATE, 0, 4)),
        ),
    ),
    Constraint(
        "a packet of state new goes in the original direction",
        _ALL,
        _either(
            (negated(number(known.CT_STATE, 3)),),
            (absent(known.HAS_CONNTRACK),),
            (number(known.CT_DIRECTION, 0),),
        ),
    ),
    Constraint(
        "a bridged packet has a port in and a port out, any other has no port out",
        _L3,
        _either(
            (number(known.BRIDGED, 1), _HAS_PORT_IN, negated(_NO_PORT_OUT)), (number(known.BRIDGED, 0), _NO_PORT_OUT)
        ),
    ),
    Constraint(
        "a later fragment has no transport header",
        _LINK | {Family.IP},
        _either(
            (negated(_NO_FRAGMENT), absent(known.HAS_TRANSPORT)), (_NO_FRAGMENT,), (negated(number(known.NFPROTO, 2)),)
        ),
    ),
    Constraint(
        "what has no transport header is a later fragment",
        _LINK | {Family.IP},
        _either((negated(_NO_FRAGMENT),), (present(known.HAS_TRANSPORT),), (negated(number(known.NFPROTO, 2)),)),
        _NOT_SHORT,
    ),
    Constraint(
        "a later fragment of IPv6 has no transport header",
        _LINK | {Family.IP6},
        _either(
            (absent(known.HAS_TRANSPORT),),
            (_NO_IP6_HEADER,),
            (number(_IP6_OFFSET, 0),),
            (negated(number(known.NFPROTO, 10)),),
        ),
    ),
    Constraint(
        "what has no transport header in IPv6 is a later fragment",
        _LINK | {Family.IP6},
        _either(
            (negated(number(_IP6_OFFSET, 0)),), (present(known.HAS_TRANSPORT),), (negated(number(known.NFPROTO, 10)),)
        ),
        _NOT_SHORT,
    ),
    Constraint(
        "a tracked packet has a transport header",
        _L3 | _LINK,
        _either((present(known.HAS_TRANSPORT),), (absent(known.HAS_CONNTRACK),)),
        _NOT_SHORT,
    ),
    Constraint(
        "a frame carries IPv4 exactly when its protocol is 0x0800, and IPv6 exactly when it is 0x86dd",
        _LINK,
        _either(
            (number(known.NFPROTO, 2), number(known.ETHER_PROTOCOL, IP_PROTOCOL)),
            (number(known.NFPROTO, 10), number(known.ETHER_PROTOCOL, IP6_PROTOCOL)),
            (number(known.NFPROTO, _NEITHER), negated(number(known.ETHER_PROTOCOL, IP_PROTOCOL, IP6_PROTOCOL))),
        ),
    ),
    Constraint(
        "a frame that carries no IP has neither a transport header nor a conntrack entry",
        _LINK | {Family.ARP},
        _either(
            (number(known.NFPROTO, 2, 10),),
            (number(known.NFPROTO, _NEITHER), absent(known.HAS_TRANSPORT), absent(known.HAS_CONNTRACK)),
        ),
    ),
)

# Where connection tracking puts fragments together before any rule sees them (`arrives_whole`).
WHOLE = Constraint(
    "connection tracking puts fragments together",
    _L3 | _LINK,
    _either((present(known.HAS_TRANSPORT),), (negated(number(known.NFPROTO, 2, 10)),)),
    _NOT_SHORT,
)


def _interfaces(hook: Hook) -> Iterator[Constraint]:
    some = NameSet.exact("").complement()
    if hook in {Hook.INGRESS, Hook.PREROUTING, Hook.INPUT, Hook.FORWARD}:
        test = _either((FieldTest(known.IIFNAME, some),))
        yield Constraint("a packet that came in has an input interface", _ALL, test)
    if hook in {Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING, Hook.EGRESS}:
        test = _either((FieldTest(known.OIFNAME, some),))
        yield Constraint("a packet that goes out has an output interface", _ALL, test)


def _ether_types(parts: tuple[IntervalSet, ...]) -> Constraint:
    tagged = number(known.ETHER_TYPE, *_VLAN_TYPES)
    same = tuple(
        (absent(known.HAS_VLAN), FieldTest(known.ETHER_TYPE, untagged), FieldTest(known.ETHER_PROTOCOL, untagged))
        for untagged in (part.difference(IntervalSet.values(16, _VLAN_TYPES)) for part in parts)
        if not untagged.is_empty
    )
    text = "without a VLAN tag a frame's type is its protocol, with one it is 802.1Q or 802.1ad"
    return Constraint(text, _LINK, _either((present(known.HAS_VLAN), tagged), *same))


def _types_of(packet: Packet) -> tuple[IntervalSet, ...]:
    named = {packet.values.get(field) for field in (known.ETHER_TYPE, known.ETHER_PROTOCOL)}
    singles = [IntervalSet.single(16, value) for value in sorted(v for v in named if isinstance(v, int))]
    rest = IntervalSet.values(16, (s.ranges[0][0] for s in singles)).complement()
    return (*singles, rest)


def _may_hold(test: PureTest, values: Mapping[Field, int | str]) -> bool:
    """Tell whether a test of the list above holds, taking what the packet does not name for fitting."""
    if isinstance(test, AnyOf):
        return any(all(_may_hold(part, values) for part in branch) for branch in test.branches)
    if not isinstance(test, FieldTest) or any(
        name in FIELDS and values.get(FIELDS[name], needed) != needed for name, needed in test.field.requires
    ):
        return False
    value = values.get(test.field)
    if value is None:
        return True
    return value in test.values if test.field.kind is FieldKind.NAME or isinstance(value, int) else False  # type: ignore[operator]
