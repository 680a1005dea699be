"""A Proxmox VE configuration as a network in the lab, with the packets to send through it."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from ipaddress import ip_interface
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.probe import Follow, Kind, Probe
from fwtrans.lab.topology import HOST, GuestNic, HostAddress, PveTopology, Uplink
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
_OTHER_HOST_ADDRESS = {False: "10.10.252.2", True: "2001:db8:12::2"}
"""The host's for protocols without ports, so that what is sent there is never an answer to what it sent itself."""


class Form(StrEnum):
    """Where the guests' cards are: all on firewall bridges, none, or every other one, as on a host that is being changed."""

    BRIDGES = "with firewall bridges"
    DIRECT = "without firewall bridges"
    MIXED = "some guests moved"


class Ports(NamedTuple):
    """The ports that are tried between each two."""

    tcp: tuple[int, ...]
    udp: tuple[int, ...]


FEW = Ports((22, 25, 80, 113, 8006, 60040), (53, 137, 1900, 4789))
MANY = Ports(
    (22, 23, 25, 53, 80, 113, 135, 443, 445, 3389, 8006, 31000, 60040),
    (53, 123, 137, 161, 514, 1194, 1900, 4789, 5353, 33440),
)
_CONVERSATION = (Follow.REPLY, Follow.REQUEST)
_SPOOFED = "bc:24:11:ff:ff:01"
_ELSEWHERE = "10.10.250.77"


def topology_of(folder: Path, form: Form, *, most_guests: int = 6, vlan_aware: bool = True) -> PveTopology:
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
                    tag=device.tag,
                    firewalled=device.firewall,
                    firewall_bridge=len(guests) % 2 == 0 if form is Form.MIXED else None,
                )
            )
    address = config.node.host_address if config.node is not None and config.node.host_address else "10.10.0.1"
    ends = (*guests, NO_FIREWALL)
    return PveTopology(
        guests=ends,
        host=tuple(HostAddress(interface=interface, address=one) for interface, one in _own(address, ends, vlan_aware)),
        uplinks=tuple(_uplink(bridge) for bridge in sorted({guest.bridge for guest in ends})),
        with_firewall_bridges=form is not Form.DIRECT,
        vlan_aware=vlan_aware,
        forwarding=True,
    )


def _uplink(bridge: str) -> Uplink:
    number = int(bridge.removeprefix("vmbr"))
    return Uplink(
        bridge=bridge,
        name=f"eth{number}",
        mac=f"02:00:5e:00:00:{number + 1:02x}",
        addresses=(f"10.10.{number}.254", f"2001:db8:{number}::fe"),
    )


def _own(address: str, guests: Sequence[GuestNic], vlan_aware: bool) -> Iterator[tuple[str, str]]:
    """Yield the host's addresses: on each bridge, and in each VLAN where a bridge has VLANs."""
    yield "vmbr0", f"{address}/24"
    yield "vmbr0", "2001:db8:10::1/64"
    yield "vmbr0", f"{_OTHER_HOST_ADDRESS[False]}/32"
    yield "vmbr0", f"{_OTHER_HOST_ADDRESS[True]}/128"
    for bridge in sorted({guest.bridge for guest in guests} - {"vmbr0"}):
        number = int(bridge.removeprefix("vmbr"))
        yield bridge, f"10.10.25{number}.1/24"
        yield bridge, f"2001:db8:25{number}::1/64"
    tagged = sorted({(guest.bridge, guest.tag) for guest in guests if guest.tag is not None}) if vlan_aware else ()
    for place, (bridge, tag) in enumerate(tagged, start=1):
        yield f"{bridge}.{tag}", f"10.10.253.{place}/32"
        yield f"{bridge}.{tag}", f"2001:db8:253::{place}/128"


def probes_for(topology: PveTopology, ports: Ports = MANY, *, most_ends: int = 4) -> list[Probe]:
    """Return packets of every kind that a guest, the host or the outside may send."""
    guests = [guest for guest in topology.guests if guest.firewalled][:most_ends]
    outside = {uplink.bridge: uplink.name for uplink in topology.uplinks}
    used = {guest.bridge for guest in (*guests, NO_FIREWALL)}
    ends = [
        *(guest.name for guest in guests),
        NO_FIREWALL.name,
        *(outside[one] for one in sorted(used & outside.keys())),
        HOST,
    ]
    places = {name: (bridge, tag) for name, _, _, bridge, tag in topology.endpoints()}
    uplinks = set(outside.values())
    found: list[Probe] = []
    for source, target in permutations(ends, 2):
        if {source, target} <= uplinks:
            continue
        routed = (
            ""
            if HOST in {source, target} or _near(places[source], places[target], uplinks & {source, target})
            else places[source][0]
        )
        for probe in _between(source, target, topology, ports):
            if not routed:
                found.append(probe)
            elif probe.kind is not Kind.PROTOCOL:
                found.append(replace(probe, id=f"routed {probe.id}", target_mac=routed))
    for guest in guests:
        found.extend(_alone(guest, ends, outside.get(guest.bridge, "")))
    return found


def _near(here: tuple[str, int | None], there: tuple[str, int | None], uplinks: set[str]) -> bool:
    """Tell whether two are in one network; an uplink is in all of its bridge."""
    return here[0] == there[0] and (here[1] == there[1] or bool(uplinks))


def _between(source: str, target: str, topology: PveTopology, ports: Ports) -> Iterator[Probe]:
    way = f"{source} to {target}"
    for ipv6 in _families(source, target, topology):
        sign = "6" if ipv6 else "4"
        base = Probe(id="", source=source, target=target, kind=Kind.UDP, dport=53, ipv6=ipv6)
        tcp = replace(base, kind=Kind.TCP, dport=80)
        for port in ports.tcp:
            yield replace(tcp, id=f"{way}: tcp{sign} {port}", dport=port, follow=_CONVERSATION)
        for port in ports.udp:
            yield replace(base, id=f"{way}: udp{sign} {port}", dport=port, follow=_CONVERSATION)
        yield replace(base, id=f"{way}: echo{sign}", kind=Kind.ECHO, dport=0, follow=(Follow.REPLY,))
        yield replace(base, id=f"{way}: related{sign}", follow=(Follow.RELATED,))
        yield replace(tcp, id=f"{way}: reset{sign}", follow=(Follow.RESET,))
        yield replace(tcp, id=f"{way}: never asked{sign}", flags=0x12)
        yield replace(tcp, id=f"{way}: all flags{sign}", flags=0x29)
        yield replace(tcp, id=f"{way}: no flags{sign}", flags=0)
        yield replace(base, id=f"{way}: small fragments{sign}", size=400, fragment=96)
        yield replace(base, id=f"{way}: fragments{sign}", size=3000, fragment=1400)
        yield replace(base, id=f"{way}: unreachable{sign}", kind=Kind.ICMP, dport=0, icmp_type=1 if ipv6 else 3)
        yield _without_ports(base, f"{way}: esp{sign}", topology)


def _without_ports(base: Probe, name: str, topology: PveTopology) -> Probe:
    """Return an ESP packet to an address of its own: what is dropped leaves a connection that the way back belongs to."""
    probe = replace(base, id=name, kind=Kind.PROTOCOL, protocol=50, dport=0)
    if base.target == HOST:
        return replace(probe, target_address=_OTHER_HOST_ADDRESS[base.ipv6])
    if base.source == HOST:
        return probe
    ends = [(name, mac) for name, mac, _, _, _ in topology.endpoints()]
    names = [name for name, _ in ends]
    here, there = names.index(base.source), names.index(base.target)
    address = f"2001:db8:254:{here}::{there:x}" if base.ipv6 else f"10.{100 + here}.254.{there}"
    return replace(probe, target_address=address, target_mac=ends[there][1])


def _families(source: str, target: str, topology: PveTopology) -> Sequence[bool]:
    addresses = {name: own for name, _, own, _, _ in topology.endpoints()}
    return [
        ipv6
        for ipv6 in (False, True)
        if all(any((":" in one) == ipv6 for one in addresses[name]) for name in (source, target) if name != HOST)
    ]


def _alone(guest: GuestNic, ends: Sequence[str], outside: str) -> Iterator[Probe]:
    other = next(name for name in ends if name != guest.name)
    mine = guest.name
    has_ipv4 = any(":" not in address for address in guest.addresses)
    base = Probe(id="", source=mine, kind=Kind.UDP, dport=53, ipv6=not has_ipv4)
    out = replace(base, target=outside)
    spoofed = {"source_mac": _SPOOFED}
    elsewhere = {"source_address": _ELSEWHERE}
    group = {"target_address": "224.0.0.251", "target_mac": "01:00:5e:00:00:fb"}
    group6 = {"target_address": "ff02::fb", "target_mac": "33:33:00:00:00:fb"}

    def named(name: str, probe: Probe, **more: Any) -> Probe:
        return replace(probe, id=f"{mine}: {name}", **more)

    yield named("arp", base, target=other, kind=Kind.ARP_REQUEST)
    yield named("arp for the host", base, target=HOST, kind=Kind.ARP_REQUEST)
    yield named("spoofed arp", base, target=other, kind=Kind.ARP_REQUEST, **spoofed)
    yield named("another's arp", base, target=other, kind=Kind.ARP_REQUEST, **elsewhere)
    yield named("arp answer", out, kind=Kind.ARP_REPLY)
    yield named("asked by arp", base, source=outside, target=mine, kind=Kind.ARP_REQUEST)
    yield named("spoofed mac", base, target=other, **spoofed)
    yield named("spoofed mac, tcp", out, kind=Kind.TCP, dport=443, **spoofed)
    yield named("spoofed mac, ipv6", out, ipv6=True, **spoofed)
    yield named("spoofed address", out, **elsewhere)
    yield named("spoofed address, tcp", out, kind=Kind.TCP, dport=443, **elsewhere)
    yield named("spoofed address, ipv6", out, source_address="2001:db8:77::77")
    yield named("spoofed address to the host", base, target=HOST, **elsewhere)
    yield named("solicitation", out, kind=Kind.NEIGHBOUR_SOLICITATION)
    yield named("duplicate address detection", out, kind=Kind.NEIGHBOUR_SOLICITATION, source_address="::")
    yield named("spoofed solicitation", out, kind=Kind.NEIGHBOUR_SOLICITATION, **spoofed)
    yield named("advertisement", out, kind=Kind.NEIGHBOUR_ADVERTISEMENT)
    yield named("router advertisement", base, kind=Kind.ROUTER_ADVERTISEMENT)
    yield named("router solicitation", base, kind=Kind.ROUTER_SOLICITATION)
    yield named("dhcp", base, kind=Kind.DHCP_DISCOVER, dport=0)
    yield named("dhcp6", base, kind=Kind.DHCP6_SOLICIT, dport=0)
    yield named("spoofed dhcp", base, kind=Kind.DHCP_DISCOVER, dport=0, **spoofed)
    yield named("offer by a guest", base, kind=Kind.DHCP_OFFER, dport=0)
    yield named("offer", base, source=outside, target=mine, kind=Kind.DHCP_OFFER, dport=0)
    yield named("dhcp6 answer", base, source=outside, target=mine, sport=547, dport=546, ipv6=True)
    yield named("solicited", base, source=outside, target=mine, kind=Kind.NEIGHBOUR_SOLICITATION)
    yield named("advertised", base, source=outside, target=mine, kind=Kind.ROUTER_ADVERTISEMENT)
    yield named("unknown unicast", base, target_address="10.10.250.9", target_mac="02:aa:00:00:00:09")
    yield named(
        "unknown unicast, tcp", base, kind=Kind.TCP, target_address="10.10.250.9", target_mac="02:aa:00:00:00:09"
    )
    yield named(
        "unknown unicast from outside",
        base,
        source=outside,
        target_address="10.10.250.9",
        target_mac="02:aa:00:00:00:09",
    )
    yield named("flooded to it", base, source=outside, target=mine, target_mac="02:aa:00:00:00:09")
    yield named(
        "flooded to it, tcp",
        base,
        source=outside,
        target=mine,
        target_mac="02:aa:00:00:00:09",
        kind=Kind.TCP,
        dport=113,
    )
    yield named("broadcast", base, target_address="255.255.255.255", target_mac="ff:ff:ff:ff:ff:ff")
    yield named(
        "broadcast from outside", base, source=outside, target_address="255.255.255.255", target_mac="ff:ff:ff:ff:ff:ff"
    )
    yield named("from a broadcast address", base, source=outside, target=mine, source_address="255.255.255.255")
    yield named("multicast", base, dport=5353, **group)
    yield named("multicast6", base, dport=5353, **group6)
    yield named("multicast from outside", base, source=outside, dport=5353, **group)
    yield named("multicast6 from outside", base, source=outside, dport=5353, **group6)
    yield named("other protocol", base, kind=Kind.ETHERTYPE, dport=0, protocol=0x88B5)
    yield named("mld", base, kind=Kind.MLD_REPORT, dport=0)
    yield named("igmp", base, kind=Kind.IGMP_REPORT, dport=0)
    yield named("tagged by itself", out, vlan=7)
    yield named("tagged by itself, tcp", out, kind=Kind.TCP, dport=60040, vlan=7)
    yield named("tagged by itself, spoofed", out, vlan=7, **spoofed)
    yield named("tagged arp", out, kind=Kind.ARP_REQUEST, vlan=7)
    yield named("known before", out, kind=Kind.TCP, dport=25, follow=_CONVERSATION, settled=2)
    yield named(
        "known before, from outside",
        base,
        source=outside,
        target=mine,
        kind=Kind.TCP,
        dport=25,
        follow=_CONVERSATION,
        settled=2,
    )
