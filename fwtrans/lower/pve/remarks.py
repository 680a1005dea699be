"""What a reader of the result should know of the configuration as a whole: parts that this backend does not use."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.guests import filtered_devices, filtered_guests, port_name

if TYPE_CHECKING:
    from fwtrans.lower.pve.node import Node
    from fwtrans.parsers.pve.syntax import Option

_ASK = "`--pve-backend nftables` takes these parts, too"


def tell_of_settings(node: Node, sink: DiagnosticSink, *, enabled: bool, nftables: bool = False) -> None:
    """Put what concerns all of the configuration into the sink."""
    if not enabled:
        _tell_of_switch(node, sink)
        return
    if not nftables:
        _tell_of_nftables(node, sink)
    _tell_of_unknown_peers(node, sink)
    for guest in filtered_guests(node.guests):
        for device in filtered_devices(guest):
            if not device.mac:
                message = f"{port_name(guest, device)} has no MAC address in its configuration"
                note = "its frames are not held to one, and its link-local IPv6 address is not known"
                sink.add(Diagnostic(code="FWT186", message=message, span=device.span(), notes=(note,)))


def _tell_of_switch(node: Node, sink: DiagnosticSink) -> None:
    option = node.cluster.options.options.get("enable")
    message = "the firewall of the data center is off: pve-firewall loads nothing, and host and guests are open"
    if node.config.cluster is None:
        message = "there is no cluster.fw, without which pve-firewall loads nothing: host and guests are open"
    hint = "`enable: 1` in [OPTIONS] of cluster.fw turns it on"
    span = option.span(option.written) if option is not None else None
    sink.add(Diagnostic(code="FWT185", message=message, span=span, hints=(hint,)))


def _tell_of_nftables(node: Node, sink: DiagnosticSink) -> None:
    """Name the parts that are for proxmox-firewall, PVE's nftables backend."""
    option = node.host.options.options.get("nftables")
    if option is not None and option.value == "1":
        message = "the host is switched to the nftables backend: pve-firewall itself loads nothing while this is so"
        note = "what is read here is what the iptables backend would make of the same configuration"
        sink.add(Diagnostic(code="FWT180", message=message, span=option.span(option.key), notes=(note,), hints=(_ASK,)))
    unused: list[Option | None] = [
        node.cluster.options.options.get("policy_forward"),
        node.host.options.options.get("log_level_forward"),
    ]
    for each in unused:
        if each is not None:
            message = f"`{each.name}` is for the nftables backend: the iptables backend makes nothing of it"
            sink.add(Diagnostic(code="FWT180", message=message, span=each.span(each.key), hints=(_ASK,)))
    for name, file in sorted(node.config.vnets.items()):
        if file.sections:
            message = (
                f"the firewall of vnet `{name}` is for the nftables backend: the iptables backend makes nothing of it"
            )
            sink.add(Diagnostic(code="FWT180", message=message, span=file.sections[0].span(), hints=(_ASK,)))


def _tell_of_unknown_peers(node: Node, sink: DiagnosticSink) -> None:
    """Name the links of corosync that have host names: PVE looks them up, we do not."""
    corosync = node.config.corosync
    if corosync is None:
        return
    if node.config.node is None:
        message = "the node's own name is not known, so the rules for the cluster's links are missing"
        sink.add(Diagnostic(code="FWT182", message=message, hints=("give vms.json, or the directory that `fwtrans collect` writes",)))  # fmt: skip
        return
    unknown = [
        (each, link, address) for each in corosync.nodes for link, address in each.links if not _is_address(address)
    ]
    if unknown:
        names = ", ".join(dict.fromkeys(f"`{address}`" for _, _, address in unknown))
        message = f"host names stand for addresses of the cluster's links, and are not looked up: {names}"
        note = "the rules that let corosync pass on these links are missing where the name has an address"
        hint = "write addresses into corosync.conf"
        sink.add(Diagnostic(code="FWT182", message=message, span=unknown[0][0].span(), notes=(note,), hints=(hint,)))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
