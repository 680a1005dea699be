"""A packet out of a set of packets, one that a person knows: TCP before others, documentation addresses, known ports."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.names import NamePattern
from fwtrans.semantics.classes import NO_NAME
from fwtrans.semantics.packet import Packet, UnknownKind
from fwtrans.semantics.variables import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.intervals import Interval
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.classes import NameClasses
    from fwtrans.semantics.packetset import PacketSets
    from fwtrans.semantics.path import Hop

_DOCUMENTATION = {
    FieldKind.IPV4: tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))),
    FieldKind.IPV6: (ip_network("2001:db8::/32"),),
}
_ADDRESSES: dict[int | str, tuple[Field, Field]] = {
    2: (known.IP_SADDR, known.IP_DADDR),
    10: (known.IP6_SADDR, known.IP6_DADDR),
}
_KNOWN_PORTS = (443, 80, 22, 53, 25, 8080, 123, 993, 3306, 3128)
_HIGH_PORTS = (40000, 50000, 33000, 60000)
_NAMES = ("eth0", "eth1", "eth2", "ens18", "wg0", "br0")
_LONGEST_NAME = 15
_UNICAST = 1


def _documented(text: str) -> int:
    return int(ip_address(text))


# Tried in this order; each is taken where it leaves a packet over.
_LIKED: tuple[tuple[Field, tuple[int | str, ...]], ...] = (
    (known.BRIDGED, (0,)),
    (known.PORT_OUT, ("",)),
    (known.PORT_IN, ("",)),
    (known.HAS_VLAN, (0,)),
    (known.NFPROTO, (2, 10)),
    (known.ETHER_PROTOCOL, (0x0800, 0x86DD, 0x0806)),
    (known.HAS_TRANSPORT, (1,)),
    (known.L4PROTO, (6, 17, 1, 58)),
    (known.CT_STATE, (3, 1, 2)),
    (known.TCP_FLAGS, (2, 16, 18)),
    (known.IP_SADDR, (_documented("192.0.2.10"), _documented("198.51.100.10"))),
    (known.IP_DADDR, (_documented("198.51.100.20"), _documented("192.0.2.20"))),
    (known.IP6_SADDR, (_documented("2001:db8::10"),)),
    (known.IP6_DADDR, (_documented("2001:db8:1::20"),)),
    (known.DPORT, _KNOWN_PORTS),
    (known.SPORT, _HIGH_PORTS),
    (known.IIFNAME, ("eth0", "eth1")),
    (known.OIFNAME, ("eth1", "eth0")),
    (known.HAS_ETHERNET, (1,)),
    (known.ETHER_SADDR, (0x02_00_00_00_00_10,)),
    (known.ETHER_DADDR, (0x02_00_00_00_00_20,)),
    (known.IP_TTL, (64,)),
    (known.IP6_HOPLIMIT, (64,)),
    (known.PACKET_LENGTH, (60,)),
    (known.ICMP_TYPE, (8, 3, 11)),
    (known.ICMP6_TYPE, (128, 1, 135)),
    (known.MARK, (0,)),
    (known.CT_MARK, (0,)),
)


class Witnesses:
    """Packets of one visit, or of a path that begins with it."""

    def __init__(self, sets: PacketSets, hop: Hop) -> None:
        self._sets = sets
        self._variables = sets.variables
        self._bdd = sets.bdd
        self._fixed = hop.values

    def pick(self, packets: Node) -> tuple[Packet, list[bool]]:
        """Return the packet of a non-empty set that a person knows best, and the values of all variables."""
        for condition in self._wishes():
            closer = packets & condition
            if closer != self._bdd.false:
                packets = closer
        assignment = self._bdd.pick(packets)
        if assignment is None:
            message = "a witness was asked for where there is none"
            raise ValueError(message)
        return self._packet(assignment), assignment

    def _wishes(self) -> Iterator[Node]:
        for field, values in _LIKED:
            if field in self._variables.fields and field not in self._fixed:
                yield from (self._variables.at_value(field, value) for value in values)
        for field in self._variables.fields:
            if _is_route_type(field):
                yield self._variables.at_value(field, _UNICAST)
        for unknown, number in self._variables.unknowns.items():
            variable = self._bdd.variables[number]
            yield variable if unknown.kind is UnknownKind.STATEFUL else ~variable

    def _packet(self, assignment: Sequence[bool]) -> Packet:
        # no set speaks of what the hop says, so its bits have any value in the assignment
        said = dict(self._variables.bits_of(self._fixed.items()))
        pairs = [(number, said.get(number, value)) for number, value in enumerate(assignment)]
        values: dict[Field, int | str] = dict(self._fixed)
        for field in self._variables.fields:
            if field not in self._fixed:
                values[field] = self._value(field, assignment)
        for field in self._variables.unvalued:
            usual: int | str = _NAMES[0] if field.kind is FieldKind.NAME else 0
            values.setdefault(field, dict(_LIKED).get(field, (usual,))[0])
        there = {field: value for field, value in values.items() if self._sets.present(field).eval(pairs)}
        self._complete(there)
        return Packet(there)

    def _value(self, field: Field, assignment: Sequence[bool]) -> int | str:
        span = self._variables.spans.get(field)
        if span is None:
            slots = self._variables.slots
            return sum(
                1 << bit
                for bit in range(field.width)
                if Slot(field, bit) in slots and assignment[slots[Slot(field, bit)]]
            )
        number = 0
        for variable in span:
            number = number * 2 + assignment[variable]
        if field in self._variables.names:
            names = self._variables.names[field]
            return _name(field, names, number)
        return _number(field, list(self._variables.numbers[field].members(number)))

    def _complete(self, values: dict[Field, int | str]) -> None:
        """Add what no rule asks for, so that a person sees a whole packet."""
        addresses = _ADDRESSES.get(values.get(known.NFPROTO, 0))
        if addresses is None:
            return
        liked = dict(_LIKED)
        for field in (*addresses, known.L4PROTO, known.HAS_TRANSPORT):
            if field not in self._variables.fields:
                values.setdefault(field, liked[field][0])
        if values.get(known.L4PROTO) in {6, 17} and values.get(known.HAS_TRANSPORT) == 1:
            for field in (known.SPORT, known.DPORT):
                if field not in self._variables.fields:
                    values[field] = liked[field][0]


def _number(field: Field, members: Sequence[Interval]) -> int:
    """Return the best known number of a class."""
    for value in _liked_numbers(field):
        if any(low <= value <= high for low, high in members):
            return value
    for network in _DOCUMENTATION.get(field.kind, ()):
        first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
        for low, high in members:
            if low <= last and high >= first:
                return max(low, first)
    low, high = members[0]
    is_address = field.kind in {FieldKind.IPV4, FieldKind.IPV6}
    return low + 1 if is_address and high > low + 1 else low


def _is_route_type(field: Field) -> bool:
    return field.name.startswith("fib(") and field.name.endswith(".type")


def _liked_numbers(field: Field) -> Iterator[int]:
    if _is_route_type(field):
        yield _UNICAST
    for liked, values in _LIKED:
        if liked is field:
            yield from (value for value in values if isinstance(value, int))


def _name(field: Field, names: NameClasses, number: int) -> str:
    """Return a name of a class: one that was seen, or one that fits a prefix and nothing longer."""
    liked = [value for other, values in _LIKED if other is field for value in values if isinstance(value, str)]
    patterns = list(names.members(number))
    exact = [pattern.text for pattern in patterns if not pattern.is_prefix]
    if exact:
        return exact[0]
    for pattern in patterns:
        for name in (*liked, *_candidates(pattern)):
            if pattern.covers(NamePattern(name, is_prefix=False)) and not names.is_taken(name, pattern):
                return name
    return patterns[0].text


def _candidates(pattern: NamePattern) -> Iterator[str]:
    yield from _NAMES
    for ending in ("0", "1", "", *"23456789abcdefghijklmnopqrstuvwxyz", *(f"x{number}" for number in range(1000))):
        name = pattern.text + ending
        if name != NO_NAME.text and len(name) <= _LONGEST_NAME:
            yield name
