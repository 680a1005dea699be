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
        is_tagged = any(places[name][1] is not None for name in (source, target) if name != HOST)
        if routed and is_tagged and (not topology.vlan_aware or uplinks & {source, target}):
            # the host is not in that VLAN: bridges flood such frames as far as they have learned its address
            continue
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
        if target != HOST:
            # the host has answered by itself by then
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


class _Guest(NamedTuple):
    """What packets of one guest are made of."""

    name: str
    mac: str
    base: Probe
    """From the guest to nobody in particular."""
    other: str
    outside: str

    def nobody(self, number: int) -> dict[str, str]:
        """Return where nobody is, behind a hardware address of its own: bridges learn it when a REJECT answers for it."""
        return {"target_address": "10.10.250.9", "target_mac": f"02:aa:{self.mac[-5:]}:00:{number:02x}"}

    def named(self, name: str, **more: Any) -> Probe:
        """Return a packet from the guest."""
        return replace(self.base, id=f"{self.name}: {name}", **more)

    def out(self, name: str, **more: Any) -> Probe:
        """Return a packet from the guest to the outside."""
        return self.named(name, target=self.outside, **more)

    def to_it(self, name: str, **more: Any) -> Probe:
        """Return a packet from the outside to the guest."""
        return self.named(name, source=self.outside, target=self.name, **more)


def _alone(guest: GuestNic, ends: Sequence[str], outside: str) -> Iterator[Probe]:
    other = next(name for name in ends if name != guest.name)
    has_ipv4 = any(":" not in address for address in guest.addresses)
    base = Probe(id="", source=guest.name, kind=Kind.UDP, dport=53, ipv6=not has_ipv4)
    sender = _Guest(guest.name, guest.mac, base, other, outside)
    yield from _spoofing(sender)
    yield from _configuring(sender)
    yield from _flooded(sender)
    yield sender.named("other protocol", kind=Kind.ETHERTYPE, dport=0, protocol=0x88B5)
    yield sender.named("tagged by itself", vlan=7, **sender.nobody(1))
    yield sender.named("tagged by itself, tcp", kind=Kind.TCP, dport=60040, vlan=7, **sender.nobody(2))
    yield sender.named("tagged by itself, spoofed", vlan=7, source_mac=_SPOOFED, **sender.nobody(3))
    yield sender.named("tagged arp", target=other, kind=Kind.ARP_REQUEST, vlan=7)
    known = {"kind": Kind.TCP, "dport": 25, "follow": _CONVERSATION, "settled": 2}
    yield sender.out("known before", **known)
    yield sender.to_it("known before, from outside", **known)


def _spoofing(guest: _Guest) -> Iterator[Probe]:
    spoofed, elsewhere = {"source_mac": _SPOOFED}, {"source_address": _ELSEWHERE}
    yield guest.named("arp", target=guest.other, kind=Kind.ARP_REQUEST)
    yield guest.named("arp for the host", target=HOST, kind=Kind.ARP_REQUEST)
    yield guest.named("spoofed arp", target=guest.other, kind=Kind.ARP_REQUEST, **spoofed)
    yield guest.named("another's arp", target=guest.other, kind=Kind.ARP_REQUEST, **elsewhere)
    yield guest.out("arp answer", kind=Kind.ARP_REPLY)
    yield guest.to_it("asked by arp", kind=Kind.ARP_REQUEST)
    yield guest.named("spoofed mac", target=guest.other, **spoofed)
    yield guest.out("spoofed mac, tcp", kind=Kind.TCP, dport=443, **spoofed)
    yield guest.out("spoofed mac, ipv6", **{**spoofed, "ipv6": True})
    yield guest.out("spoofed address", **elsewhere)
    yield guest.out("spoofed address, tcp", kind=Kind.TCP, dport=443, **elsewhere)
    yield guest.out("spoofed address, ipv6", source_address="2001:db8:77::77")
    yield guest.named("spoofed address to the host", target=HOST, **elsewhere)
    yield guest.to_it("from a broadcast address", source_address="255.255.255.255")


def _configuring(guest: _Guest) -> Iterator[Probe]:
    spoofed = {"source_mac": _SPOOFED}
    yield guest.out("solicitation", kind=Kind.NEIGHBOUR_SOLICITATION)
    yield guest.out("duplicate address detection", kind=Kind.NEIGHBOUR_SOLICITATION, source_address="::")
    yield guest.out("spoofed solicitation", kind=Kind.NEIGHBOUR_SOLICITATION, **spoofed)
    yield guest.out("advertisement", kind=Kind.NEIGHBOUR_ADVERTISEMENT)
    yield guest.named("router advertisement", kind=Kind.ROUTER_ADVERTISEMENT)
    yield guest.named("router solicitation", kind=Kind.ROUTER_SOLICITATION)
    yield guest.to_it("solicited", kind=Kind.NEIGHBOUR_SOLICITATION)
    yield guest.to_it("advertised", kind=Kind.ROUTER_ADVERTISEMENT)
    yield guest.named("dhcp", kind=Kind.DHCP_DISCOVER, dport=0)
    yield guest.named("dhcp6", kind=Kind.DHCP6_SOLICIT, dport=0)
    yield guest.named("spoofed dhcp", kind=Kind.DHCP_DISCOVER, dport=0, **spoofed)
    yield guest.named("offer by a guest", kind=Kind.DHCP_OFFER, dport=0)
    yield guest.to_it("offer", kind=Kind.DHCP_OFFER, dport=0)
    yield guest.to_it("dhcp6 answer", sport=547, dport=546, ipv6=True)
    yield guest.named("mld", kind=Kind.MLD_REPORT, dport=0)
    yield guest.named("igmp", kind=Kind.IGMP_REPORT, dport=0)


def _flooded(guest: _Guest) -> Iterator[Probe]:
    everybody = {"target_address": "255.255.255.255", "target_mac": "ff:ff:ff:ff:ff:ff"}
    group = {"target_address": "224.0.0.251", "target_mac": "01:00:5e:00:00:fb", "dport": 5353}
    group6 = {"target_address": "ff02::fb", "target_mac": "33:33:00:00:00:fb", "dport": 5353}
    yield guest.named("unknown unicast", **guest.nobody(4))
    yield guest.named("unknown unicast, tcp", kind=Kind.TCP, **guest.nobody(5))
    yield guest.named("unknown unicast from outside", source=guest.outside, **guest.nobody(6))
    yield guest.to_it("flooded to it", target_mac=guest.nobody(20)["target_mac"])
    yield guest.to_it("flooded to it, tcp", target_mac=guest.nobody(21)["target_mac"], kind=Kind.TCP, dport=113)
    for name, more in (("broadcast", everybody), ("multicast", group), ("multicast6", group6)):
        yield guest.named(name, **more)
        yield guest.named(f"{name} from outside", source=guest.outside, **more)
