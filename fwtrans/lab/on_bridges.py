"""Rulesets for bridge ports: a host with bridges out of the ports that they name, and their packets between its guests.

A port of Proxmox VE hangs on a firewall bridge; any other (OpenStack Neutron, libvirt) is a port of the one bridge there is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.lab.derive import Derived
from fwtrans.lab.frames import ARP, IPV4, IPV6
from fwtrans.lab.probe import Kind, Probe
from fwtrans.lab.realise import between
from fwtrans.lab.topology import HOST, GuestNic, HostAddress, PveTopology, Uplink
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.topology import HELD_NAMES, asks_for_ports, guest_ports, port_patterns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from fwtrans.ir.fields import Field
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.packet import HookVisit, Packet

WITHOUT_FIREWALL = "tap999999i0"
"""A guest's port that no rule names: what a guest without a firewall sends has to pass the others' rules."""
_BRIDGE = "vmbr0"
_UPLINK = Uplink(bridge=_BRIDGE)
_OUTER_END = re.compile(r"fw(?:pr|ln)(\d+)[ipo](\d+)")
_HOST_ADDRESSES = ("172.31.255.1/16", "fd00:31::1/64")


def is_about_bridge_ports(ruleset: Ruleset) -> bool:
    """Tell whether rules ask for guests' ports: then the lab needs bridges."""
    return any(asks_for_ports(table) for table in ruleset.tables) or bool(guest_ports(ruleset))


def hardware_of(old: Ruleset, new: Ruleset, host: Host) -> dict[str, int]:
    """Return the hardware addresses of guests that either side or the host's configuration tells."""
    return {**hardware_addresses(new), **hardware_addresses(old), **host.hardware}


def topology_of(old: Ruleset, new: Ruleset, host: Host, *, with_firewall_bridges: bool) -> PveTopology:
    """Return a host with the guests whose ports the rules name, and one that they do not name."""
    ports = sorted({*guest_ports(old), *guest_ports(new)})
    others = sorted((_other_ports(old) | _other_ports(new)) - {port.name for port in ports} - {_BRIDGE, _UPLINK.name})
    hardware = hardware_of(old, new, host)
    guests = [
        GuestNic(
            name=name,
            bridge=_BRIDGE,
            mac=_mac(hardware.get(name, 0x020C00000000 + place)),
            addresses=(f"172.31.{place >> 8}.{(place & 255) or 255}", f"fd00:31::{place:x}:{1:x}"),
            firewalled=firewalled,
        )
        for place, (name, firewalled) in enumerate(
            [*((port.name, True) for port in ports), *((name, False) for name in others)], start=2
        )
    ]
    guests.append(
        GuestNic(
            name=WITHOUT_FIREWALL,
            bridge=_BRIDGE,
            mac="02:0c:ff:00:00:01",
            addresses=("172.31.254.1", "fd00:31::fffe:1"),
            firewalled=False,
        )
    )
    own = tuple(str(address) for address in host.addresses) or _HOST_ADDRESSES
    return PveTopology(
        guests=tuple(guests),
        host=tuple(HostAddress(interface=_BRIDGE, address=address) for address in own),
        uplinks=(_UPLINK,),
        with_firewall_bridges=with_firewall_bridges,
        vlan_aware=False,
    )


def _other_ports(ruleset: Ruleset) -> set[str]:
    """Return the bridge ports that rules name, but for the ends of firewall bridges."""
    names = {pattern.text for pattern in port_patterns(ruleset) if pattern.text and not pattern.is_prefix}
    return {name for name in names if not name.startswith(HELD_NAMES)}


def _mac(number: int) -> str:
    return ":".join(f"{number >> shift & 255:02x}" for shift in range(40, -1, -8))


def of_all_pairs(topology: PveTopology, derived: Sequence[Derived], source: Random) -> list[Derived]:
    """Return a packet for every two endpoints that have none yet: one that a rule is about, with their own addresses."""
    names = [HOST, *(name for name, *_ in topology.endpoints())]
    taken = {(item.probe.source, item.probe.target) for item in derived}
    samples = [item for item in derived if item.probe.kind in _OF_PAIRS and not item.probe.fragment]
    missing = [(here, there) for here in names for there in names if here != there and (here, there) not in taken]
    return [
        Derived(_of_pair(pair, sample.probe, str(number), source), sample.aim)
        for number, pair in enumerate(missing, start=len(derived) + 1)
        for sample in samples and [source.choice(samples)]
    ]


_OF_PAIRS = {Kind.TCP, Kind.UDP, Kind.ECHO, Kind.ICMP}


def _of_pair(pair: tuple[str, str], sample: Probe, name: str, source: Random) -> Probe:
    sport = source.randrange(1024, 65536) if sample.sport >= 1024 else sample.sport
    return replace(
        sample, id=name, source=pair[0], target=pair[1], sport=sport, source_address="", target_address="", source_mac="",
        target_mac="", ipv6=sample.ipv6 or ":" in sample.source_address + sample.target_address, settled=0,
        flags=2 if sample.kind is Kind.TCP else sample.flags,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OnBridges:
    """Makes probes between the endpoints of a topology."""

    topology: PveTopology

    def realise(self, visit: HookVisit, packet: Packet, name: str, source: Random) -> Probe | None:
        """Return a probe that brings the packet to the hook; None where none can."""
        values = packet.values
        protocol = values.get(known.ETHER_TYPE, values.get(known.ETHER_PROTOCOL, IPV4))
        ends = self._ends(visit, values, source)
        if ends is None:
            return None
        if protocol == ARP and visit.family in {Family.BRIDGE, Family.ARP}:
            return self._spoofed(Probe(id=name, source=ends[0], target=ends[1], kind=Kind.ARP_REQUEST), visit, values)
        if visit.family is Family.BRIDGE and protocol not in {IPV4, IPV6}:
            return None
        probe = self._spoofed(between(ends, packet, name, source), visit, values)
        # the lab's own connections before the ruleset are made where it routes; here they are made under the rules
        return replace(probe, settled=0, flags=2 if probe.settled and probe.kind is Kind.TCP else probe.flags)

    def _ends(self, visit: HookVisit, values: Mapping[Field, int | str], source: Random) -> tuple[str, str] | None:
        on_bridge = visit.family is Family.BRIDGE
        comes = str(values.get(known.IIFNAME if on_bridge else known.PORT_IN, ""))
        goes = str(values.get(known.OIFNAME if on_bridge else known.PORT_OUT, ""))
        if visit.hook is Hook.OUTPUT:
            return HOST, self._endpoint(goes, "", source)
        if visit.hook is Hook.INPUT:
            return self._endpoint(comes, "", source), HOST
        if visit.hook is Hook.FORWARD and not on_bridge and not values.get(known.BRIDGED, 0):
            return None
        here = self._named(comes)
        there = self._named(goes)
        here = here or self._endpoint("", there, source)
        there = there or self._endpoint("", here, source)
        return (here, there) if here != there else (here, self._endpoint("", here, source))

    def _named(self, port: str) -> str:
        """Return the endpoint behind a port, nothing where any may be: the inner end leads to all others."""
        names = {guest.name for guest in self.topology.guests} | {uplink.name for uplink in self.topology.uplinks}
        if port in names:
            return port
        found = _OUTER_END.fullmatch(port)
        if found is None or port.startswith("fwln"):
            return ""
        return next((name for name in sorted(names) if name.endswith(f"{found[1]}i{found[2]}")), "")

    def _endpoint(self, port: str, other: str, source: Random) -> str:
        """Return the endpoint behind a port, or any but the other one; the outside is as likely as all guests."""
        named = self._named(port)
        if named:
            return named
        uplinks = [uplink.name for uplink in self.topology.uplinks if uplink.name != other]
        guests = [guest.name for guest in self.topology.guests if guest.name != other]
        return source.choice(uplinks if uplinks and (not guests or source.random() < 0.5) else guests)

    def _spoofed(self, probe: Probe, visit: HookVisit, values: Mapping[Field, int | str]) -> Probe:
        """Give the frame the sender's own hardware address, unless the packet was made to have another at its own port."""
        on_bridge = visit.family is Family.BRIDGE
        port = str(values.get(known.IIFNAME if on_bridge else known.PORT_IN, ""))
        wanted = values.get(known.ETHER_SADDR)
        own = next((guest.mac for guest in self.topology.guests if guest.name == probe.source), "")
        if (
            not own
            or not isinstance(wanted, int)
            or port != probe.source
            or not wanted
            or wanted >> 40 & 1
            or _mac(wanted) == own
        ):
            return replace(probe, source_mac="")
        return replace(probe, source_mac=_mac(wanted))
