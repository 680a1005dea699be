"""A Proxmox VE configuration as a network in the lab, with the packets to send through it."""

from __future__ import annotations

from ipaddress import ip_interface
from itertools import permutations
from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.probe import Follow, Kind, Probe
from fwtrans.lab.topology import GuestNic, HostAddress, PveTopology, Uplink
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.parsers.pve.syntax import GuestKind
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PORTS = {GuestKind.QEMU: "tap", GuestKind.LXC: "veth"}
NO_FIREWALL = GuestNic(
    name="tap990i0",
    bridge="vmbr0",
    mac="bc:24:11:99:00:01",
    addresses=("10.10.250.90", "2001:db8:10::90"),
    firewalled=False,
)
_TCP = (22, 23, 25, 53, 80, 113, 135, 443, 445, 3389, 8006, 31000, 60040)
_UDP = (53, 123, 137, 161, 514, 1194, 1900, 4789, 5353, 33440)
_CONVERSATION = (Follow.REPLY, Follow.REQUEST)
_SPOOFED = "bc:24:11:ff:ff:01"


def topology_of(folder: Path, *, with_firewall_bridges: bool, most_guests: int = 6) -> PveTopology:
    """Return the network of a configuration's node: its first guests, one without a firewall, and the host."""
    sink = DiagnosticSink()
    files = {
        str(path.relative_to(folder)): SourceFile(str(path.relative_to(folder)), path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    config = read_pve_directory(files, sink)
    guests: list[GuestNic] = []
    for guest in list(config.guests.values())[:most_guests]:
        for device in guest.conf.devices:
            place = len(guests) + 10
            given = tuple(str(ip_interface(address).ip) for address in device.addresses)
            guests.append(
                GuestNic(
                    name=f"{_PORTS[guest.conf.kind]}{guest.conf.vmid}i{device.index}",
                    bridge=device.bridge,
                    mac=device.mac.lower(),
                    addresses=given or (f"10.10.250.{place}", f"2001:db8:10::{place}"),
                    firewalled=device.firewall,
                )
            )
    address = config.node.host_address if config.node is not None and config.node.host_address else "10.10.0.1"
    return PveTopology(
        guests=(*guests, NO_FIREWALL),
        host=(
            HostAddress(interface="vmbr0", address=f"{address}/24"),
            HostAddress(interface="vmbr0", address="2001:db8:10::1/64"),
        ),
        uplinks=(Uplink(addresses=("10.10.250.254", "2001:db8:10::fe")),),
        with_firewall_bridges=with_firewall_bridges,
    )


def probes_for(topology: PveTopology, *, most_ends: int = 4) -> list[Probe]:
    """Return packets of every kind that a guest, the host or the outside may send."""
    guests = [guest for guest in topology.guests if guest.firewalled][:most_ends]
    ends = [*(guest.name for guest in guests), NO_FIREWALL.name, "outside", "host"]
    found: list[Probe] = []
    for source, target in permutations(ends, 2):
        if source != "host" or target != "host":
            found.extend(_between(source, target, topology))
    for guest in guests:
        found.extend(_alone(guest, ends))
    return found


def _between(source: str, target: str, topology: PveTopology) -> Iterator[Probe]:
    way = f"{source} to {target}"
    for ipv6 in _families(source, target, topology):
        sign = "6" if ipv6 else "4"
        for port in _TCP:
            yield Probe(id=f"{way}: tcp{sign} {port}", source=source, target=target, kind=Kind.TCP, dport=port, ipv6=ipv6, follow=_CONVERSATION)  # fmt: skip
        for port in _UDP:
            yield Probe(id=f"{way}: udp{sign} {port}", source=source, target=target, kind=Kind.UDP, dport=port, ipv6=ipv6, follow=_CONVERSATION)  # fmt: skip
        yield Probe(
            id=f"{way}: echo{sign}", source=source, target=target, kind=Kind.ECHO, ipv6=ipv6, follow=(Follow.REPLY,)
        )
        yield Probe(id=f"{way}: related{sign}", source=source, target=target, kind=Kind.UDP, dport=53, ipv6=ipv6, follow=(Follow.RELATED,))  # fmt: skip
        yield Probe(id=f"{way}: reset{sign}", source=source, target=target, kind=Kind.TCP, dport=80, ipv6=ipv6, follow=(Follow.RESET,))  # fmt: skip
        yield Probe(
            id=f"{way}: never asked{sign}", source=source, target=target, kind=Kind.TCP, dport=80, flags=0x12, ipv6=ipv6
        )
        yield Probe(
            id=f"{way}: all flags{sign}", source=source, target=target, kind=Kind.TCP, dport=80, flags=0x29, ipv6=ipv6
        )
        yield Probe(id=f"{way}: fragments{sign}", source=source, target=target, kind=Kind.UDP, dport=53, size=400, fragment=96, ipv6=ipv6)  # fmt: skip
        yield Probe(id=f"{way}: esp{sign}", source=source, target=target, kind=Kind.PROTOCOL, protocol=50, ipv6=ipv6)


def _families(source: str, target: str, topology: PveTopology) -> Sequence[bool]:
    addresses = {name: own for name, _, own, _, _ in topology.endpoints()}
    for name in (source, target):
        if name in addresses and not any(":" in address for address in addresses[name]):
            return (False,)
    return (False, True)


def _alone(guest: GuestNic, ends: Sequence[str]) -> Iterator[Probe]:
    other = next(name for name in ends if name != guest.name)
    mine = guest.name
    yield Probe(id=f"{mine}: arp", source=mine, target=other, kind=Kind.ARP_REQUEST)
    yield Probe(id=f"{mine}: spoofed arp", source=mine, target=other, kind=Kind.ARP_REQUEST, source_mac=_SPOOFED)
    yield Probe(
        id=f"{mine}: another's arp", source=mine, target=other, kind=Kind.ARP_REQUEST, source_address="10.10.250.77"
    )
    yield Probe(id=f"{mine}: spoofed mac", source=mine, target=other, kind=Kind.UDP, dport=53, source_mac=_SPOOFED)
    yield Probe(
        id=f"{mine}: spoofed mac, tcp", source=mine, target="outside", kind=Kind.TCP, dport=443, source_mac=_SPOOFED
    )
    yield Probe(id=f"{mine}: spoofed address", source=mine, target="outside", kind=Kind.UDP, dport=53, source_address="10.10.250.77")  # fmt: skip
    yield Probe(id=f"{mine}: solicitation", source=mine, target="outside", kind=Kind.NEIGHBOUR_SOLICITATION)
    yield Probe(id=f"{mine}: advertisement", source=mine, target="outside", kind=Kind.NEIGHBOUR_ADVERTISEMENT)
    yield Probe(id=f"{mine}: router advertisement", source=mine, kind=Kind.ROUTER_ADVERTISEMENT)
    yield Probe(id=f"{mine}: router solicitation", source=mine, kind=Kind.ROUTER_SOLICITATION)
    yield Probe(id=f"{mine}: dhcp", source=mine, kind=Kind.DHCP_DISCOVER)
    yield Probe(id=f"{mine}: dhcp6", source=mine, kind=Kind.DHCP6_SOLICIT)
    yield Probe(id=f"{mine}: spoofed dhcp", source=mine, kind=Kind.DHCP_DISCOVER, source_mac=_SPOOFED)
    yield Probe(id=f"{mine}: offer", source="outside", target=mine, kind=Kind.DHCP_OFFER)
    yield Probe(id=f"{mine}: solicited", source="outside", target=mine, kind=Kind.NEIGHBOUR_SOLICITATION)
    yield Probe(id=f"{mine}: advertised", source="outside", target=mine, kind=Kind.ROUTER_ADVERTISEMENT)
    yield Probe(id=f"{mine}: unknown unicast", source=mine, kind=Kind.UDP, dport=53, target_address="10.10.250.9", target_mac="02:aa:00:00:00:09")  # fmt: skip
    yield Probe(id=f"{mine}: broadcast", source=mine, kind=Kind.UDP, dport=53, target_address="255.255.255.255", target_mac="ff:ff:ff:ff:ff:ff")  # fmt: skip
    yield Probe(id=f"{mine}: multicast", source=mine, kind=Kind.UDP, dport=5353, target_address="224.0.0.251", target_mac="01:00:5e:00:00:fb")  # fmt: skip
    yield Probe(id=f"{mine}: multicast to it", source="outside", kind=Kind.UDP, dport=5353, target_address="224.0.0.251", target_mac="01:00:5e:00:00:fb")  # fmt: skip
    yield Probe(id=f"{mine}: other protocol", source=mine, kind=Kind.ETHERTYPE, protocol=0x88B5)
    yield Probe(id=f"{mine}: mld", source=mine, kind=Kind.MLD_REPORT)
    yield Probe(id=f"{mine}: igmp", source=mine, kind=Kind.IGMP_REPORT)
    yield Probe(id=f"{mine}: tagged by itself", source=mine, target="outside", kind=Kind.UDP, dport=53, vlan=7)
    yield Probe(id=f"{mine}: known before", source=mine, target="outside", kind=Kind.TCP, dport=25, follow=(Follow.REPLY, Follow.REQUEST), settled=2)  # fmt: skip
