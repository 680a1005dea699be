"""Builds a topology in the kernel: interfaces of the host here, their other ends in a namespace that stands for the world.

The other ends have no addresses and no stack worth the name: frames are written to them and read from them, so that
nothing speaks that was not asked to. Hardware addresses are pinned in the bridges, because a spoofed frame would otherwise
lead the probes behind it astray.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from pyroute2 import IPRoute  # noqa: TID251 -- the lab builds networks

from fwtrans.lab.netns import another, inside, set_sysctl

if TYPE_CHECKING:
    from fwtrans.lab.topology import GuestNic, PveTopology, RouterTopology, Uplink

_STATIC, _MASTER_STICKY = 0x42, 0x44
"""States and flags of a forwarding entry that learning does not move (NUD_NOARP, NUD_REACHABLE; NTF_MASTER, NTF_STICKY)."""
_EVERY_TAG = "2-4094"
_ON_LINK = 4
OWN_PAIR = ("fwtrans-lab-a", "fwtrans-lab-b")
GATEWAYS = {socket.AF_INET: "192.0.0.8", socket.AF_INET6: "fe80::5e"}


class Endpoint(NamedTuple):
    """Where frames go in and come out: an interface of the world, and what belongs to it."""

    name: str
    interface: str
    mac: str
    addresses: tuple[str, ...]
    attached: str
    """The interface of the host that it reaches the host through."""
    tag: int | None = None
    is_uplink: bool = False


class Wiring(NamedTuple):
    """What was built. `macs` are hardware addresses of the host's interfaces."""

    world: int
    endpoints: tuple[Endpoint, ...]
    macs: dict[str, str]
    host_addresses: tuple[tuple[str, str], ...]
    """Interface and address, without prefix length."""
    routed: bool = False
    """Whether the host routes between the endpoints, so that every frame is for the host."""


class Builder:
    """Makes links, and remembers their numbers."""

    def __init__(self) -> None:
        self.netlink = IPRoute()
        self.world = another()
        self.numbers: dict[str, int] = {}
        self.macs: dict[str, str] = {}
        self.outer: list[str] = []
        with inside(self.world):
            set_sysctl("net/ipv6/conf/all/disable_ipv6", 1, optional=True)
            set_sysctl("net/ipv6/conf/default/disable_ipv6", 1, optional=True)
        calm_host()

    def number(self, name: str) -> int:
        """Return an interface's number."""
        if name not in self.numbers:
            self.numbers[name] = self.netlink.link_lookup(ifname=name)[0]
        return self.numbers[name]

    def mac(self, name: str) -> str:
        """Return a hardware address for a new interface of the host, the same in every run."""
        self.macs[name] = f"02:f0:00:00:{len(self.macs) >> 8:02x}:{len(self.macs) & 255:02x}"
        return self.macs[name]

    def bridge(self, name: str, *, vlan_aware: bool = False, with_ipv6: bool = False) -> None:
        """Make a bridge that forwards from the first moment."""
        self.netlink.link(
            "add", kind="bridge", ifname=name, address=self.mac(name), br_forward_delay=0, br_stp_state=0,
            br_mcast_snooping=0, br_vlan_filtering=int(vlan_aware),
        )  # fmt: skip
        if with_ipv6:
            enable_ipv6(name)
        self.netlink.link("set", index=self.number(name), state="up")

    def port(self, name: str, bridge: str) -> None:
        """Put an interface into a bridge."""
        self.netlink.link("set", index=self.number(name), master=self.number(bridge), state="up")

    def cable(self, name: str, bridge: str = "") -> None:
        """Make an interface of the host whose other end, of the same name, is in the world."""
        self.netlink.link(
            "add", kind="veth", ifname=name, address=self.mac(name), peer={"ifname": name, "net_ns_fd": self.world}
        )
        self.outer.append(name)
        if bridge:
            self.port(name, bridge)
        else:
            self.netlink.link("set", index=self.number(name), state="up")

    def pair(self, inner: str, outer: str) -> None:
        """Make two interfaces of the host that are joined."""
        self.netlink.link(
            "add",
            kind="veth",
            ifname=inner,
            address=self.mac(inner),
            peer={"ifname": outer, "address": self.mac(outer)},
        )

    def pin(self, mac: str, port: str, tag: int | None = None) -> None:
        """Have a bridge find a hardware address behind this port for good."""
        wanted = {"vlan": tag} if tag is not None else {}
        self.netlink.fdb("append", ifindex=self.number(port), lladdr=mac, state=_STATIC, flags=_MASTER_STICKY, **wanted)

    def tags(self, port: str, tag: int | None, *, trunk: bool) -> None:
        """Make a port of a VLAN-aware bridge an access port of a tag, or a trunk whose untagged frames are VLAN 1."""
        if tag is not None:
            self.netlink.vlan_filter("del", index=self.number(port), vlan_info={"vid": 1})
            self.netlink.vlan_filter("add", index=self.number(port), vlan_info={"vid": tag, "pvid": True})
        elif trunk:
            self.netlink.vlan_filter("add", index=self.number(port), vlan_info={"vid": _EVERY_TAG})

    def own_tag(self, bridge: str, tag: int) -> None:
        """Let the host itself take part in a VLAN of a bridge."""
        self.netlink.vlan_filter("add", index=self.number(bridge), vlan_info={"vid": tag}, vlan_flags="self")

    def address(self, interface: str, address: str) -> None:
        """Give the host an address."""
        alone, _, length = address.partition("/")
        self.netlink.addr("add", index=self.number(interface), address=alone, prefixlen=int(length), flags=2)

    def neighbour(self, interface: str, address: str, mac: str) -> None:
        """Tell the host for good who has an address, and that it is reached over this interface."""
        length = 128 if ":" in address else 32
        number = self.number(interface)
        self.netlink.neigh("replace", dst=address, lladdr=mac, ifindex=number, state="permanent")
        self.netlink.route("replace", dst=f"{address}/{length}", oif=number, scope=253)

    def next_hop(self, interface: str, address: str, mac: str) -> None:
        """Tell the host for good who has an address that routes lead over."""
        self.netlink.neigh("replace", dst=address, lladdr=mac, ifindex=self.number(interface), state="permanent")

    def gateway(self, interface: str, mac: str) -> None:
        """Send what nobody near has to a router behind this interface."""
        for family, address in GATEWAYS.items():
            number = self.number(interface)
            self.next_hop(interface, address, mac)
            self.netlink.route("replace", dst="default", family=family, gateway=address, oif=number, flags=_ON_LINK)

    def finish(self) -> None:
        """Bring the other ends up, and a pair of interfaces of the world alone, for the lab's own frames."""
        with inside(self.world), IPRoute() as outer:
            outer.link("add", kind="veth", ifname=OWN_PAIR[0], peer=OWN_PAIR[1])
            self.outer.extend(OWN_PAIR)
            for name in self.outer:
                outer.link("set", index=outer.link_lookup(ifname=name)[0], state="up")
        self.netlink.close()


def calm_host() -> None:
    """Have the host say nothing by itself, and refuse nothing that a firewall should."""
    for name in ("all", "default"):
        set_sysctl(f"net/ipv4/conf/{name}/rp_filter", 0)
        set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", 1, optional=True)
        set_sysctl(f"net/ipv6/conf/{name}/accept_dad", 0, optional=True)
        set_sysctl(f"net/ipv6/conf/{name}/dad_transmits", 0, optional=True)
        set_sysctl(f"net/ipv6/conf/{name}/accept_ra", 0, optional=True)
        set_sysctl(f"net/ipv6/conf/{name}/router_solicitations", 0, optional=True)
        set_sysctl(f"net/ipv6/conf/{name}/mldv2_unsolicited_report_interval", 600000, optional=True)
    # Answers are what is measured: none may be held back because there were many.
    set_sysctl("net/ipv4/icmp_ratelimit", 0)
    set_sysctl("net/ipv6/icmp/ratelimit", 0, optional=True)
    set_sysctl("net/ipv4/icmp_msgs_per_sec", 1000000, optional=True)
    set_sysctl("net/ipv4/icmp_msgs_burst", 1000000, optional=True)
    set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", 0)
    set_sysctl("net/ipv6/conf/lo/disable_ipv6", 0, optional=True)
    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")


def enable_ipv6(name: str) -> None:
    """Let one interface speak IPv6."""
    set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", 0, optional=True)


def build_pve(topology: PveTopology) -> Wiring:
    """Build a Proxmox VE host with its guests."""
    builder = Builder()
    set_sysctl("net/ipv4/ip_forward", int(topology.forwarding))
    set_sysctl("net/ipv6/conf/all/forwarding", int(topology.forwarding), optional=True)
    for bridge in topology.bridges():
        builder.bridge(bridge, vlan_aware=topology.vlan_aware, with_ipv6=True)
    for uplink in topology.uplinks:
        builder.cable(uplink.name, uplink.bridge)
        if topology.vlan_aware:
            builder.tags(uplink.name, None, trunk=True)
    for guest in topology.guests:
        _guest(builder, topology, guest)
    _pin_all(builder, topology)
    _host(builder, topology)
    builder.finish()
    uplinks = {uplink.name for uplink in topology.uplinks}
    endpoints = tuple(
        Endpoint(name, name, mac, addresses, bridge, tag, name in uplinks)
        for name, mac, addresses, bridge, tag in topology.endpoints()
    )
    alone = tuple((one.interface, one.address.partition("/")[0]) for one in topology.host)
    return Wiring(builder.world, endpoints, builder.macs, alone)


def build_router(topology: RouterTopology) -> Wiring:
    """Build a host that routes."""
    builder = Builder()
    set_sysctl("net/ipv4/ip_forward", 1)
    set_sysctl("net/ipv6/conf/all/forwarding", 1, optional=True)
    set_sysctl("net/ipv4/conf/all/accept_local", 1)
    for name in ("all", "default"):
        set_sysctl(f"net/ipv4/conf/{name}/send_redirects", 0)
    addresses, endpoints = [], []
    for place, name in enumerate(topology.interfaces):
        builder.cable(name)
        enable_ipv6(name)
        mac = f"02:0b:00:00:{place >> 8:02x}:{place & 255:02x}"
        for is_v6 in (False, True):
            address = topology.host_address(place, is_v6=is_v6)
            builder.address(name, f"{address}/{64 if is_v6 else 24}")
            builder.next_hop(name, gateway_of(address), mac)
            addresses.append((name, address))
        own = tuple(gateway_of(topology.host_address(place, is_v6=is_v6)) for is_v6 in (False, True))
        endpoints.append(Endpoint(name, name, mac, own, name))
    # what a rule sends elsewhere has to lead somewhere too
    for family, is_v6 in ((socket.AF_INET, False), (socket.AF_INET6, True)):
        gateway = gateway_of(topology.host_address(0, is_v6=is_v6))
        builder.netlink.route("add", dst="default", family=family, gateway=gateway)
    builder.finish()
    return Wiring(builder.world, tuple(endpoints), builder.macs, tuple(addresses), routed=True)


def gateway_of(address: str) -> str:
    """Return the neighbour's address beside one of the host's, which ends with 1."""
    return f"{address[:-1]}2"


def port_of(topology: PveTopology, guest: GuestNic) -> str:
    """Return the port by which a guest is in its vmbr."""
    return f"fwpr{guest.number.replace('i', 'p')}" if topology.has_firewall_bridge(guest) else guest.name


def _guest(builder: Builder, topology: PveTopology, guest: GuestNic) -> None:
    port = port_of(topology, guest)
    if topology.has_firewall_bridge(guest):
        between, inner = f"fwbr{guest.number}", f"fwln{guest.number}"
        builder.bridge(between)
        builder.pair(inner, port)
        builder.port(inner, between)
        builder.cable(guest.name, between)
        builder.pin(guest.mac, guest.name)
    else:
        builder.cable(guest.name)
    outer = guest.bridge
    if guest.tag is not None and not topology.vlan_aware:
        outer = _tagged_bridge(builder, topology, guest.bridge, guest.tag)
    builder.port(port, outer)
    if topology.vlan_aware:
        builder.tags(port, guest.tag, trunk=True)


def _tagged_bridge(builder: Builder, topology: PveTopology, bridge: str, tag: int) -> str:
    """Return the bridge that Proxmox VE makes for a tag, such as vmbr0v50 with the port eth0.50."""
    name = f"{bridge}v{tag}"
    if name in builder.macs:
        return name
    builder.bridge(name)
    for uplink in topology.uplinks:
        if uplink.bridge == bridge:
            builder.netlink.link(
                "add", kind="vlan", ifname=f"{uplink.name}.{tag}", link=builder.number(uplink.name), vlan_id=tag
            )
            builder.port(f"{uplink.name}.{tag}", name)
    return name


def _pin_all(builder: Builder, topology: PveTopology) -> None:
    """Pin guests and routers at all bridges that they can be reached through."""
    tags = {guest.tag for guest in topology.guests} | {_tag_of(one.interface) for one in topology.host} | {None}
    for guest in topology.guests:
        tag = (guest.tag or 1) if topology.vlan_aware else None
        builder.pin(guest.mac, port_of(topology, guest), tag)
        if topology.vlan_aware and guest.tag is None:
            for other in sorted(one for one in tags if one is not None):
                builder.pin(guest.mac, port_of(topology, guest), other)
    for uplink in topology.uplinks:
        _pin_uplink(builder, topology, uplink, tags)
    for guest in topology.guests:
        if topology.has_firewall_bridge(guest):
            for _, mac, _, bridge, tag in topology.endpoints():
                is_near = bridge == guest.bridge and mac != guest.mac and tag in {guest.tag, None}
                if is_near:
                    builder.pin(mac, f"fwln{guest.number}")


def _pin_uplink(builder: Builder, topology: PveTopology, uplink: Uplink, tags: set[int | None]) -> None:
    if topology.vlan_aware:
        for tag in tags:
            builder.pin(uplink.mac, uplink.name, tag or 1)
        return
    builder.pin(uplink.mac, uplink.name)
    for tag in tags:
        if tag is not None and f"{uplink.bridge}v{tag}" in builder.macs:
            builder.pin(uplink.mac, f"{uplink.name}.{tag}")


def _tag_of(interface: str) -> int | None:
    tag = interface.partition(".")[2]
    return int(tag) if tag else None


def _host(builder: Builder, topology: PveTopology) -> None:
    for one in topology.host:
        bridge, tag = one.interface.partition(".")[0], _tag_of(one.interface)
        if tag is not None and one.interface not in builder.macs:
            if topology.vlan_aware:
                builder.own_tag(bridge, tag)
            builder.netlink.link("add", kind="vlan", ifname=one.interface, link=builder.number(bridge), vlan_id=tag)
            builder.macs[one.interface] = builder.macs[bridge]
            enable_ipv6(one.interface)
            builder.netlink.link("set", index=builder.number(one.interface), state="up")
        builder.address(one.interface, one.address)
    own = {one.interface for one in topology.host}
    for _, mac, addresses, bridge, tag in topology.endpoints():
        interface = bridge if tag is None else f"{bridge}.{tag}"
        if interface in own:
            for address in addresses:
                builder.neighbour(interface, address, mac)
    for uplink in topology.uplinks:
        if uplink.bridge in own:
            builder.gateway(uplink.bridge, uplink.mac)
            break
