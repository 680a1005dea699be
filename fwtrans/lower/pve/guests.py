"""The two chains of each guest NIC that has the firewall on: what it gets (IN) and what it sends (OUT)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.lower.pve.chains import LeftOut
from fwtrans.lower.pve.commands import Compilation, Where, add_rule, applies, jump_to
from fwtrans.lower.pve.filters import add_neighbour_discovery, add_policy
from fwtrans.lower.pve.groups import add_group_rule
from fwtrans.lower.pve.node import CheckedGuest, vmids_in_order
from fwtrans.lower.pve.scope import SetName
from fwtrans.lower.pve.standard import CLEARED_MARK, REJECT, SET_ACCEPT_MARK
from fwtrans.parsers.pve.syntax import GuestKind, RuleOption
from fwtrans.parsers.pve.values import Cidr, read_cidr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.lower.pve.node import Options
    from fwtrans.parsers.pve.syntax import Guest, NetworkDevice

_PORTS = {GuestKind.QEMU: "tap", GuestKind.LXC: "veth"}
_DHCP = {(4, "IN"): (67, 68), (4, "OUT"): (68, 67), (6, "IN"): (547, 546), (6, "OUT"): (546, 547)}


def port_name(guest: CheckedGuest | Guest, device: NetworkDevice) -> str:
    """Return the name of the NIC's port on the host: tap100i0, veth200i0."""
    return f"{_PORTS[guest.conf.kind]}{guest.conf.vmid}i{device.index}"


def filtered_guests(guests: tuple[CheckedGuest, ...]) -> Iterator[CheckedGuest]:
    """Yield the guests whose firewall is on, in PVE's order."""
    return (guest for guest in vmids_in_order(guests) if guest.file.options.flag("enable", default=False))


def filtered_devices(guest: CheckedGuest) -> Iterator[NetworkDevice]:
    """Yield the NICs that have the firewall on, in PVE's order: net0, net1, net10, net2."""
    return (device for device in sorted(guest.conf.devices, key=lambda each: each.name) if device.firewall)


def own_addresses(device: NetworkDevice) -> Iterator[str]:
    """Yield the addresses that a container's configuration gives to a NIC, without their networks' lengths."""
    return (text.partition("/")[0] for text in device.addresses if isinstance(read_cidr(text), Cidr))


def add_guest_chains(compilation: Compilation) -> None:
    """Make the chains of all guests; where one cannot be made, the rest of its guest is lost with it."""
    for guest in filtered_guests(compilation.node.guests):
        for device in filtered_devices(guest):
            try:
                for direction in ("IN", "OUT"):
                    _add_chain(compilation, guest, device, direction)
            except LeftOut as left:
                _tell_lost(compilation, guest, device, str(left))
                break


def _tell_lost(compilation: Compilation, guest: CheckedGuest, device: NetworkDevice, reason: str) -> None:
    key = ("FWT179", f"{guest.conf.vmid} {device.name} {reason}")
    if key not in compilation.told:
        compilation.told.add(key)
        message = f"PVE breaks off at {port_name(guest, device)}: {reason}"
        note = "the chains of this NIC and of the guest's NICs behind it are not finished, and nothing leads into them"
        compilation.sink.add(Diagnostic(code="FWT179", message=message, span=device.span(), notes=(note,)))


def _add_chain(compilation: Compilation, guest: CheckedGuest, device: NetworkDevice, direction: str) -> None:
    options, vmid = guest.file.options, guest.conf.vmid
    port = port_name(guest, device)
    chain = f"{port}-{direction}"
    accept = accept_target(options)
    _begin_chain(compilation, guest, device, chain, direction)
    where = Where(chain, compilation.node.scope(guest), vmid)
    targets = {"ACCEPT": SET_ACCEPT_MARK if direction == "OUT" else accept, "REJECT": REJECT}
    for rule in guest.file.rules:
        bound = rule.value(RuleOption.INTERFACE)
        if (bound and bound != device.name) or not applies(rule, compilation.version):
            continue
        if rule.kind == "group":
            add_group_rule(compilation, rule, where, direction, "RETURN" if direction == "OUT" else accept)
        elif rule.kind == direction.lower():
            try:
                add_rule(compilation, rule, where, targets, named=True)
            except LeftOut as left:
                compilation.tell("FWT176", str(left), rule, "PVE leaves the rule out")
    if options.flag("ips", default=False) and direction == "IN":
        if "PVEFW-IPS" not in compilation.chains:
            compilation.chains.create("PVEFW-IPS")
        match = f"-m physdev --physdev-out {port} --physdev-is-bridged"
        compilation.chains.rule("PVEFW-IPS", match, f"-j {accept}", options.origin("ips"))
    name, default = ("policy_out", "ACCEPT") if direction == "OUT" else ("policy_in", "DROP")
    level = options.log_level(f"log_level_{direction.lower()}")
    policy = options.text(name, default)
    add_policy(compilation, chain, policy, targets["ACCEPT"], level, vmid, options.origin(name))
    side = "in" if direction == "OUT" else "out"
    match = f"-m physdev --physdev-is-bridged --physdev-{side} {port}"
    compilation.chains.rule(f"PVEFW-FWBR-{direction}", match, f"-j {chain}", device.origin)


def _begin_chain(
    compilation: Compilation, guest: CheckedGuest, device: NetworkDevice, chain: str, direction: str
) -> None:
    """Add what stands before a guest's rules: DHCP, and for what it sends the filters of its addresses."""
    chains, options, version = compilation.chains, guest.file.options, compilation.version
    chains.create(chain)
    chains.rule(chain, "", f"-j CONNMARK --set-mark {guest.conf.vmid}", device.origin)
    accept = jump_to(SET_ACCEPT_MARK) if direction == "OUT" else "-j ACCEPT"
    if options.flag("dhcp", default=True):
        source, destination = _DHCP[version, direction]
        match = f"-p udp --sport {source} --dport {destination}"
        chains.rule(chain, match, accept, options.origin("dhcp"))
    if direction == "OUT":
        _add_source_filters(compilation, guest, device, chain)
        chains.rule(chain, "", f"-j MARK --set-mark {CLEARED_MARK}")
    else:
        accept = f"-j {accept_target(options)}"
    advertises = direction != "OUT" or options.flag("radv", default=False)
    add_neighbour_discovery(compilation, chain, options, accept, advertises=advertises)


def _add_source_filters(compilation: Compilation, guest: CheckedGuest, device: NetworkDevice, chain: str) -> None:
    chains, options, version = compilation.chains, guest.file.options, compilation.version
    if device.mac and options.flag("macfilter", default=True):
        chains.rule(chain, f"-m mac ! --mac-source {device.mac}", "-j DROP", device.origin)
    if version == 6 and not options.flag("radv", default=False):
        chains.rule(chain, "-p icmpv6 --icmpv6-type router-advertisement", "-j DROP", options.origin("radv"))
    name = f"ipfilter-{device.name}"
    own = guest.file.sets.get(name)
    if options.flag("ipfilter", default=False) or own is not None:
        origin = own.section.origin if own is not None and own.section is not None else options.origin("ipfilter")
        match = f"-m set ! --match-set {SetName(guest.conf.vmid, name).for_version(version)} src"
        chains.rule(chain, match, "-j DROP", origin)


def accept_target(options: Options) -> str:
    """Return what accepting means towards a guest: with an intrusion prevention, a queue that it listens on."""
    if not options.flag("ips", default=False):
        return "ACCEPT"
    queues = re.fullmatch(r"(\d+)(?::(\d+))?", options.text("ips_queues"))
    words = ["NFQUEUE"]
    if queues is not None and options.text("ips_queues") != "0":
        words.append(f"--queue-balance {queues[1]}:{queues[2]}" if queues[2] else f"--queue-num {queues[1]}")
    return " ".join([*words, "--queue-bypass"])
