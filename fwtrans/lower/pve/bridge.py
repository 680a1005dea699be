"""The ebtables rules: a guest's MAC, whose ARP it may send, which protocols besides IP.

IPv4 and IPv6 are accepted at once, because iptables judges them on the bridge as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.chains import Chains, LeftOut, Line
from fwtrans.lower.pve.guests import filtered_devices, filtered_guests, own_addresses, port_name
from fwtrans.lower.pve.scope import read_address
from fwtrans.parsers.pve.syntax import GuestKind
from fwtrans.parsers.pve.values import ALIAS, Cidr, read_cidr

if TYPE_CHECKING:
    from fwtrans.lower.pve.node import CheckedGuest, Node
    from fwtrans.parsers.pve.syntax import IpsetEntry, NetworkDevice
    from fwtrans.source import Origin

_BUILT_IN = ("INPUT", "FORWARD", "OUTPUT")
_LEADING_ZERO = re.compile(r"0([0-9a-f])", re.IGNORECASE)


def bridge_lines(node: Node, sink: DiagnosticSink) -> list[Line]:
    """Return what pve-firewall gives to ebtables-restore; without the option there are no rules of PVE."""
    chains = Chains()
    if node.cluster.options.flag("ebtables", default=True):
        chains.create("PVEFW-FORWARD")
        chains.create("PVEFW-FWBR-OUT")
        chains.rule("PVEFW-FORWARD", "-p IPv4", "-j ACCEPT")
        chains.rule("PVEFW-FORWARD", "-p IPv6", "-j ACCEPT")
        chains.rule("PVEFW-FORWARD", "-o fwln+", "-j PVEFW-FWBR-OUT")
        for guest in filtered_guests(node.guests):
            _add_guest(chains, guest, sink)
    names = sorted(chains.lines)
    lines = [Line("*filter"), *(Line(f":{name} ACCEPT") for name in (*_BUILT_IN, *names))]
    if "PVEFW-FORWARD" in chains:
        lines.append(Line("-A FORWARD -j PVEFW-FORWARD"))
    lines.extend(line for name in names for line in chains.lines[name])
    return lines


def _add_guest(chains: Chains, guest: CheckedGuest, sink: DiagnosticSink) -> None:
    for device in filtered_devices(guest):
        _tell_of_word(guest, device, sink)
        try:
            addresses = _arp_addresses(guest, device)
        except LeftOut as left:
            _tell_lost(guest, device, str(left), sink)
            return
        _add_device(chains, guest, device, addresses)


def _tell_of_word(guest: CheckedGuest, device: NetworkDevice, sink: DiagnosticSink) -> None:
    """Refuse `ip=manual` where a container's own address goes to ebtables: of the words PVE leaves out `dhcp` alone."""
    word = dict(device.properties).get("ip")
    if guest.conf.kind is not GuestKind.LXC or word is None or not guest.file.options.flag("ipfilter", default=False):
        return
    if word.text != "dhcp" and not isinstance(read_cidr(word.text), Cidr):
        message = f"PVE takes `{word.text}` for an address that {port_name(guest, device)} may send ARP of"
        note = "ebtables-restore refuses it, and with it all rules of layer 2 of the node; PVE stops there"
        hint = "without `ip=` the container has its address set by hand all the same"
        span = device.span(word)
        sink.add(Diagnostic(code="FWT168", message=message, span=span, notes=(note,), hints=(hint,)))


def _tell_lost(guest: CheckedGuest, device: NetworkDevice, reason: str, sink: DiagnosticSink) -> None:
    message = f"PVE makes no ebtables rules for {port_name(guest, device)}: {reason}"
    note = (
        "neither MAC nor ARP nor other protocols of this NIC and of the guest's NICs behind it are filtered on layer 2;"
        " iptables still checks the MAC of IP packets"
    )
    hint = "write the address itself into the set"
    span = _blamed(guest, device).span()
    sink.add(Diagnostic(code="FWT183", message=message, span=span, notes=(note,), hints=(hint,)))


def _blamed(guest: CheckedGuest, device: NetworkDevice) -> IpsetEntry | NetworkDevice:
    blamed = (entry for entry in _filter_entries(guest, device) if not isinstance(read_cidr(entry.address.text), Cidr))
    return next(blamed, device)


def _filter_entries(guest: CheckedGuest, device: NetworkDevice) -> tuple[IpsetEntry, ...]:
    """Return what stands in a NIC's set. PVE asks all of it here, its mistakes too, which are in no set."""
    section = guest.file.sets.get(f"ipfilter-{device.name}")
    return section.written if section is not None else ()


def _arp_addresses(guest: CheckedGuest, device: NetworkDevice) -> list[tuple[str, Origin]]:
    """Return whose ARP a NIC may send: the IPv4 entries of its set, nomatch or not, and a container's own address."""
    found = []
    for entry in _filter_entries(guest, device):
        if ALIAS.fullmatch(entry.address.text):
            raise LeftOut(f"the set `ipfilter-{device.name}` names the alias `{entry.address.text}`")
        if not isinstance(read_cidr(entry.address.text), Cidr):
            raise LeftOut(f"an entry of the set `ipfilter-{device.name}` is no address")
        address = read_address(entry.address.text)
        if address.version == 4:
            found.append((address.text, entry.origin))
    if guest.conf.kind is GuestKind.LXC and guest.file.options.flag("ipfilter", default=False):
        found.extend((address, device.origin) for address in own_addresses(device) if ":" not in address)
    return found


def _add_device(
    chains: Chains, guest: CheckedGuest, device: NetworkDevice, addresses: list[tuple[str, Origin]]
) -> None:
    port, options = port_name(guest, device), guest.file.options
    chain = f"{port}-OUT"
    chains.create(chain)
    if device.mac and options.flag("macfilter", default=True):
        mac = _LEADING_ZERO.sub(r"\1", device.mac).lower()
        chains.rule(chain, f"-s ! {mac}", "-j DROP", device.origin)
    if addresses:
        arp = f"{chain}-ARP"
        chains.rule(chain, "-p ARP", f"-j {arp}", addresses[0][1])
        chains.create(arp)
        for address, origin in addresses:
            chains.rule(arp, f"-p ARP --arp-ip-src {address}", "-j RETURN", origin)
        chains.rule(arp, "", "-j DROP", addresses[0][1])
    protocols = options.text("layer2_protocols")
    if protocols:
        origin_of_option = options.origin("layer2_protocols")
        names = f"{chain}-PROTO"
        chains.rule(chain, "", f"-j {names}", origin_of_option)
        chains.create(names)
        for protocol in protocols.rstrip(",").split(","):
            chains.rule(names, f"-p {protocol}", "-j RETURN", origin_of_option)
        chains.rule(names, "", "-j DROP", origin_of_option)
    chains.rule(chain, "", "-j ACCEPT", device.origin)
    chains.rule("PVEFW-FWBR-OUT", f"-i {port}", f"-j {chain}", device.origin)
