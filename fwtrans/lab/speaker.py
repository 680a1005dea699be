"""Sends the packets of probes: as frames on a wire of the world, or from the host through its own rules."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from fwtrans.lab.conversation import BROADCAST, LINK_KINDS, Ends, Outgoing, group_mac, no_address
from fwtrans.lab.frames import ethernet
from fwtrans.lab.probe import Kind, Probe
from fwtrans.lab.topology import HOST, OUTSIDE

if TYPE_CHECKING:
    from fwtrans.lab.ears import Ears
    from fwtrans.lab.wiring import Endpoint, Wiring

_FIRST_PORT = 20000
_TO_ALL = {Kind.DHCP_DISCOVER, Kind.DHCP_OFFER}
_GROUP_OF = {
    Kind.ROUTER_SOLICITATION: "ff02::2",
    Kind.ROUTER_ADVERTISEMENT: "ff02::1",
    Kind.MLD_REPORT: "ff02::16",
    Kind.IGMP_REPORT: "224.0.0.22",
    Kind.DHCP6_SOLICIT: "ff02::1:2",
}
_PORTS_OF = {Kind.DHCP_DISCOVER: (68, 67), Kind.DHCP_OFFER: (67, 68), Kind.DHCP6_SOLICIT: (546, 547)}
_ONLY_IPV6 = {Kind.NEIGHBOUR_SOLICITATION, Kind.NEIGHBOUR_ADVERTISEMENT}
_DISCARD_PORT = 9


class Speaker:
    """Knows endpoints by name, fills in what a probe leaves open, and sends."""

    def __init__(self, wiring: Wiring, ears: Ears) -> None:
        self.wiring = wiring
        self.ears = ears
        self.endpoints: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in wiring.endpoints}
        self.raw = {family: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) for family in (2, 10)}
        self.raw[2].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.held: dict[tuple[int, int, int], socket.socket] = {}
        self.outside = next((one.name for one in wiring.endpoints if one.is_uplink), "")

    def known(self, name: str) -> str:
        """Return the endpoint's own name."""
        return self.outside if name == OUTSIDE else name

    def filled_in(self, probe: Probe) -> Probe:
        """Return the probe with its endpoints' own names."""
        return replace(probe, source=self.known(probe.source), target=self.known(probe.target))

    def ends(self, probe: Probe, index: int) -> Ends:
        """Fill in addresses and ports."""
        chosen = probe.source_address or probe.target_address or _GROUP_OF.get(probe.kind, "")
        is_v6 = ":" in chosen if chosen else probe.ipv6 or probe.kind in _ONLY_IPV6
        source = probe.source_address or self.address(probe.source, probe.target, is_v6=is_v6)
        target = probe.target_address or _GROUP_OF.get(probe.kind, "")
        if probe.kind in _TO_ALL and not target:
            target = "255.255.255.255"
            source = probe.source_address or (no_address(is_v6=False) if probe.kind is Kind.DHCP_DISCOVER else source)
        target = target or self.address(probe.target, probe.source, is_v6=is_v6)
        source, target = str(ip_address(source)), str(ip_address(target))
        ports = _PORTS_OF.get(probe.kind, (_FIRST_PORT + index % 40000, _DISCARD_PORT))
        return Ends(
            source, target, self.mac(probe.source_mac or self.own_mac(probe.source, probe.target)),
            self._target_mac(probe, target), probe.sport or ports[0], probe.dport or ports[1],
        )  # fmt: skip

    def address(self, name: str, other: str, *, is_v6: bool) -> str:
        """Return an endpoint's first address of a family; the host's is the one nearest to the other party."""
        if name == HOST or not name:
            near = self.endpoints[other].attached if other in self.endpoints else ""
            own = [item for item in self.wiring.host_addresses if (":" in item[1]) == is_v6]
            own.sort(key=lambda item: item[0] != near)
            found = [address for _, address in own]
        else:
            found = [one for one in self.endpoints[name].addresses if (":" in one) == is_v6]
        return found[0] if found else no_address(is_v6=is_v6)

    def own_mac(self, name: str, other: str) -> str:
        """Return an endpoint's hardware address; the host has that of the interface where the other party is."""
        if name != HOST:
            return self.endpoints[name].mac
        return self.wiring.macs[self._attached(other)]

    def _next_mac(self, receiver: str, sender: str) -> str:
        """Return the hardware address that a frame from `sender` to `receiver` goes to: where the host routes, its own."""
        if self.wiring.routed:
            return self.wiring.macs[self._attached(sender)]
        return self.own_mac(receiver, sender)

    def _attached(self, name: str) -> str:
        if name in self.endpoints:
            return self.endpoints[name].attached
        return self.wiring.endpoints[0].attached

    def mac(self, text: str) -> str:
        """Return a hardware address that may be given as the name of an interface of the host."""
        return self.wiring.macs.get(text, text)

    def _target_mac(self, probe: Probe, address: str) -> str:
        if probe.target_mac:
            return self.mac(probe.target_mac)
        if probe.kind is Kind.NEIGHBOUR_SOLICITATION:
            return f"33:33:ff:{address_tail(address)}"
        if found := group_mac(address):
            return found
        if probe.kind is Kind.ARP_REQUEST or not probe.target:
            return BROADCAST
        return self._next_mac(probe.target, probe.source)

    def hold_ports(self, probes: list[tuple[Probe, Ends]]) -> None:
        """Have the host answer on the ports that are asked for, so that it refuses nothing by itself."""
        for probe, ends in probes:
            family = socket.AF_INET6 if ":" in ends.target_address else socket.AF_INET
            if probe.target == HOST and probe.kind in {Kind.TCP, Kind.UDP}:
                self._hold(family, probe.kind, ends.dport)
            elif probe.source == HOST and probe.kind is Kind.UDP:
                self._hold(family, probe.kind, ends.sport)

    def _hold(self, family: int, kind: Kind, port: int) -> None:
        sort = socket.SOCK_STREAM if kind is Kind.TCP else socket.SOCK_DGRAM
        if (family, sort, port) in self.held:
            return
        made = socket.socket(family, sort)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("", port))
        if kind is Kind.TCP:
            made.listen(1024)
        self.held[family, sort, port] = made

    def close(self) -> None:
        """Close all sockets."""
        for made in (*self.raw.values(), *self.held.values()):
            made.close()

    def send(self, probe: Probe, ends: Ends, sender: str, outgoing: list[Outgoing]) -> str:
        """Send packets of a step; return why that was not possible, or nothing."""
        back = sender != probe.source
        for one in outgoing:
            try:
                if sender == HOST and probe.kind not in LINK_KINDS:
                    self._from_host(one, ends.source_address if back else ends.target_address)
                else:
                    self._frame(probe, ends, sender, one, back=back)
            except PermissionError:
                # what a rule of OUTPUT drops
                return ""
            except OSError as error:
                return f"{error.strerror}"
        return ""

    def _from_host(self, one: Outgoing, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        there = (address, 0, 0, 0) if family == socket.AF_INET6 else (address, 0)
        self.raw[family].sendto(one.payload, there)

    def _frame(self, probe: Probe, ends: Ends, sender: str, one: Outgoing, *, back: bool) -> None:
        receiver = probe.source if back else probe.target
        wire = self.ears.bridges[self._attached(receiver)] if sender == HOST else self.ears.wires[sender]
        if one.kind < 0:
            wire.send(one.payload)
            return
        here, there = (ends.target_mac, ends.source_mac) if back else (ends.source_mac, ends.target_mac)
        if back:
            # who answers knows its own address, whatever the question was sent to
            here = self.own_mac(sender, receiver)
            if self.wiring.routed:
                there = self._next_mac(receiver, sender)
            elif probe.target_mac in self.wiring.macs:
                # what came over the host goes back over it
                there = self.wiring.macs[self._attached(sender)]
        wire.send(ethernet(there, here, one.kind, one.payload, self._tag(probe, sender, receiver, back=back)))

    def _tag(self, probe: Probe, sender: str, receiver: str, *, back: bool) -> int | None:
        if probe.vlan is not None and not back:
            return probe.vlan
        here, there = self.endpoints.get(sender), self.endpoints.get(receiver)
        if here is not None and there is not None and here.is_uplink:
            return there.tag
        return None


def address_tail(address: str) -> str:
    """Return the last three bytes of an IPv6 address, as in the hardware address of its solicited-node group."""
    data = socket.inet_pton(socket.AF_INET6, address)
    return ":".join(f"{byte:02x}" for byte in data[13:])
