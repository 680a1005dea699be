"""Random packets between random ends of a node, and their way through a ruleset by the concrete evaluator."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.effect import Log
from fwtrans.ir.fields import ADDRESS_TYPES, Family, FieldKind
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.address_types import host_broadcasts
from fwtrans.semantics.bridged.hops import arrival_hop, departure_hop, forward_hop, frame_of
from fwtrans.semantics.bridged.journey import End, journey, read_end
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import Packet, Unknown, UnknownKind
from fwtrans.semantics.path import Hop
from fwtrans.simulate import read_probe
from tests.semantics.samples import boundaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from random import Random

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.topology import GuestPort
    from tests.bridged_corpora import Node

Values = dict["Field", "int | str"]
STATES = ("new", "new", "new", "established", "related", "invalid", "untracked")
FLAGS = ("syn", "syn", "ack", "rst", "syn,ack", "none", "fin,psh,urg", "syn,rst", "syn,fin")
PROTOCOLS = {
    Family.IP: ("tcp", "tcp", "udp", "udp", "icmp", "sctp", "gre", "igmp", "112"),
    Family.IP6: ("tcp", "udp", "icmpv6", "esp"),
}
SOMEBODY = 0x020000000099


class Seen(NamedTuple):
    """What people see of a packet's way."""

    decision: Decision
    logs: tuple[str, ...]
    ct_mark: int | str | None
    rejected_as: str


def answer(seed: int) -> Callable[[Unknown], bool]:
    """Answer alike for a limit that is called otherwise on the other side: by what is asked, all of one kind alike."""
    return lambda unknown: bool(seed % 3) if unknown.kind is UnknownKind.STATEFUL else bool(seed % 2)


def travelled(ruleset: Ruleset, hops: Sequence[Hop], values: Values, seed: int) -> Seen:
    """Send a packet along hops; what one hop writes, the next one sees."""
    values = dict(values)
    logs: list[str] = []
    for hop in hops:
        found = evaluate(ruleset, hop.visit, Packet({**values, **hop.values}), answer(seed))
        logs.extend(effect.prefix for effect in found.effects if isinstance(effect, Log))
        if found.decision is not Decision.ACCEPT:
            rejected = next((str(effect) for effect in found.effects if type(effect).__name__ == "Reject"), "")
            return Seen(found.decision, tuple(logs), None, rejected)
        values.update({field: value for field, value in found.values.items() if field not in hop.values})
    return Seen(Decision.ACCEPT, tuple(logs), values.get(known.CT_MARK), "")


def over_firewall_bridges(family: Family, start: End, goal: End) -> tuple[Hop, ...]:
    """Return the visits of the bridge family (and of the host's) where guests hang on firewall bridges."""
    plain = journey(family, start, goal, by_iptables=False)
    frame = frame_of(family)
    found: list[Hop] = []
    if start.guest is not None:
        found += across(frame, start.guest.bridge, start.guest.name, start.guest.inner)
    for hop in plain:
        values = tuple((field, renamed(value, start, goal)) for field, value in hop.known)
        found.append(Hop(hop.visit, values))
    if goal.guest is not None:
        found += across(frame, goal.guest.bridge, goal.guest.inner, goal.guest.name)
    return tuple(found)


def across(frame: tuple[tuple[Field, int | str], ...], bridge: str, port_in: str, port_out: str) -> Iterator[Hop]:
    yield arrival_hop(frame, bridge, port_in)
    yield forward_hop(frame, bridge, port_in, port_out)
    yield departure_hop(frame, bridge, port_out)


def renamed(value: int | str, start: End, goal: End) -> int | str:
    """Return the port by which the host's own bridge knows a guest behind a firewall bridge."""
    names = {end.port: end.outer for end in (start, goal) if end.guest is not None}
    return names.get(value, value) if isinstance(value, str) else value


# --- packets ---------------------------------------------------------------------------------------------------------


class Pool(NamedTuple):
    """Values to choose from: the boundaries of what the rules of both sides ask."""

    bounds: Mapping[Field, tuple[int | str, ...]]
    ends: tuple[str, ...]
    hardware: tuple[int, ...]
    broadcasts: tuple[int, ...]


def pool_of(found: Node) -> Pool:
    guests = [guest.name for guest in guest_ports(found.old)]
    ends = (*guests, *guests, "host", "outside", "nfvm", "vmbr1/eth1", "vmbr1/tap8888i0")
    hardware = {**found.host.hardware, **hardware_addresses(found.old)}
    return Pool(boundaries(found.old), ends, tuple(hardware.values()), host_broadcasts(found.host.addresses))


def words(source: Random, pool: Pool) -> list[str]:
    """Return a packet in words, its values boundaries of the rules' own."""
    family = source.choice((Family.IP, Family.IP, Family.IP6))
    protocol = source.choice(PROTOCOLS[family])
    found = [f"proto={protocol}", f"state={source.choice(STATES)}"]
    for key, field in (("src", known.source_address(family)), ("dst", known.destination_address(family))):
        found.append(f"{key}={shown(source.choice(pool.bounds.get(field) or (1,)), field)}")
    if protocol in {"tcp", "udp", "sctp"}:
        found += [
            f"sport={source.choice(ports(pool, known.SPORT))}",
            f"dport={source.choice(ports(pool, known.DPORT))}",
        ]
    if protocol == "tcp":
        found.append(f"tcp-flags={source.choice(FLAGS)}")
    kind = {"icmp": known.ICMP_TYPE, "icmpv6": known.ICMP6_TYPE}.get(protocol)
    if kind is not None:
        code = known.ICMP_CODE if protocol == "icmp" else known.ICMP6_CODE
        found.append(f"icmp-type={source.choice(pool.bounds.get(kind) or (8,))}")
        found.append(f"icmp-code={source.choice(pool.bounds.get(code) or (0,))}")
    return found


def ports(pool: Pool, field: Field) -> tuple[int | str, ...]:
    return pool.bounds.get(field) or (80,)


def shown(value: int | str, field: Field) -> str:
    assert isinstance(value, int)
    return str(IPv4Address(value) if field.kind is FieldKind.IPV4 else IPv6Address(value))


def packet(source: Random, pool: Pool, start: End, goal: End, own: Mapping[str, int]) -> tuple[Family, Values]:
    sink = DiagnosticSink()
    while (probe := read_probe([*words(source, pool), "iif=x"], sink)) is None:
        continue
    values = dict(probe.values)
    usual = dict.fromkeys(
        (known.IIFNAME, known.OIFNAME, known.IBRNAME, known.OBRNAME, known.PORT_IN, known.PORT_OUT), ""
    )
    values.update({**usual, known.BRIDGED: 0, known.HAS_ETHERNET: 1})
    # a frame to a guest's address goes to that guest: that is assumed, and said with the result
    values[known.ETHER_DADDR] = own[goal.port] if goal.port in own and source.random() < 0.8 else SOMEBODY
    others = (SOMEBODY, *pool.hardware)
    is_own = start.port in own and source.random() < 0.8
    values[known.ETHER_SADDR] = own[start.port] if is_own else source.choice(others)
    values.update(routed_types(pool, probe.family, values))
    return probe.family, values


def routed_types(pool: Pool, family: Family, values: Values) -> Iterator[tuple[Field, int | str]]:
    """Yield what the host's routes say of the addresses (fib), where rules ask for that."""
    ends = {"saddr": known.source_address(family), "daddr": known.destination_address(family)}
    kinds = dict(ADDRESS_TYPES)
    for field in pool.bounds:
        if field.spelling[0] == "fib" and field.spelling[2] == "type":
            address = values[ends[field.spelling[1]]]
            assert isinstance(address, int)
            yield field, kinds[kind_of(family, address, pool.broadcasts)]


def kind_of(family: Family, address: int, broadcasts: tuple[int, ...]) -> str:
    if family is Family.IP6:
        return "multicast" if address >> 120 == 0xFF else "unicast"
    if address in (0, *broadcasts, 0xFFFFFFFF):
        return "broadcast"
    return "multicast" if address >> 28 == 0xE else "unicast"


def ends(source: Random, pool: Pool, guests: Sequence[GuestPort]) -> tuple[End, End]:
    """Return two different ends."""
    while True:
        start, goal = (read_end(source.choice(pool.ends), guests) for _ in range(2))
        assert start is not None
        assert goal is not None
        if start != goal:
            return start, goal
