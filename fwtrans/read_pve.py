"""The dumps that a Proxmox VE configuration stands for.

What pve-firewall makes of a configuration is imported where there is one: dumps need not wait for it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.host import Host
from fwtrans.lower.pve.chains import Line, made_text
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.sources import is_firewall_file, is_pve_directory, recognise_path
from fwtrans.parsers.pve.syntax import FirewallKind, Guest, GuestConf, GuestKind, PveConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from fwtrans.lower.pve.compile import Dumps
    from fwtrans.parsers.iptables_save.syntax import IptablesDump
    from fwtrans.parsers.pve.syntax import FirewallFile, NodeFacts
    from fwtrans.source import SourceFile

_KINDS = {"cluster": FirewallKind.CLUSTER, "host": FirewallKind.HOST, "guest": FirewallKind.GUEST}

_RULE = re.compile(r"(?:\[\d+:\d+\] )?-A ")


class Compiled(NamedTuple):
    """What pve-firewall would load, and what the configuration tells of the host."""

    dumps: Dumps
    host: Host


def dumps_of_pve(
    sources: Sequence[SourceFile],
    others: tuple[SourceFile | None, SourceFile | None],
    sink: DiagnosticSink,
    *,
    nftables: bool = False,
) -> Compiled:
    """Return what pve-firewall would load. `others` are the dumps (IPv4, IPv6) of other software's rules beside it.

    With `nftables`, what only PVE's nftables backend makes of the configuration is there, too.
    """
    from fwtrans.lower.pve.compile import compile_node  # noqa: PLC0415 -- see the module docstring

    files = {source.name: source for source in sources}
    single = [source for source in sources if is_firewall_file(source)]
    if is_pve_directory(files) or not single:
        config = read_pve_directory(files, sink)
    else:
        config = _of_single_files(single, sink)
    found = config.foreign
    config = replace(config, foreign=(found[0] or others[0], found[1] or others[1]))
    return Compiled(compile_node(config, sink, nftables=nftables), _host(config))


def written_out(dump: IptablesDump) -> SourceFile:
    """Return the text of a dump that calls have left behind; its rules come from the lines of the calls."""
    rules = (dump.source.origin(rule.line) for table in dump.tables for chain in table.chains for rule in chain.rules)
    lines = unparse_dump(dump).splitlines()
    return made_text(dump.source.name, [Line(line, next(rules) if _RULE.match(line) else None) for line in lines])


def _host(config: PveConfig) -> Host:
    """Return the addresses of the node and of its guests' network cards."""
    from fwtrans.lower.pve.guests import port_name  # noqa: PLC0415 -- see the module docstring

    hardware = {
        port_name(guest, device): int(device.mac.replace(":", ""), 16)
        for guest in config.guests.values()
        for device in guest.conf.devices
        if device.mac
    }
    return Host(addresses=tuple(_node_addresses(config.node)), hardware=hardware)


def _node_addresses(node: NodeFacts | None) -> Iterator[IPv4Interface | IPv6Interface]:
    if node is None or not node.host_address:
        return
    with suppress(ValueError):
        address = ip_address(node.host_address)
        network = ip_network(node.local_network or node.host_address, strict=False)
        length = network.prefixlen if address in network else network.max_prefixlen
        yield ip_interface(f"{address}/{length}")


def _of_single_files(sources: Sequence[SourceFile], sink: DiagnosticSink) -> PveConfig:
    """Return a configuration of .fw files without the rest of a node: they are read, and checked as far as that goes."""
    found: dict[FirewallKind, FirewallFile] = {}
    for source in sources:
        kind = _kind(source)
        found.setdefault(kind, parse_firewall_file(source, kind, sink))
    guest = found.get(FirewallKind.GUEST)
    conf = None if guest is None else GuestConf(guest.source, 0, GuestKind.QEMU, ())
    vnet = found.get(FirewallKind.VNET)
    return PveConfig(
        found.get(FirewallKind.CLUSTER),
        found.get(FirewallKind.HOST),
        {} if conf is None else {0: Guest(conf, guest)},
        vnets={} if vnet is None else {"vnet": vnet},
    )


def _kind(source: SourceFile) -> FirewallKind:
    """Return whose a .fw file is, by its name, or as the kind that takes most of it."""
    found = recognise_path(source.name)
    if found is not None and found.part in _KINDS:
        return _KINDS[found.part]
    return min(FirewallKind, key=lambda kind: _mistakes(source, kind))


def _mistakes(source: SourceFile, kind: FirewallKind) -> int:
    sink = DiagnosticSink()
    parse_firewall_file(source, kind, sink)
    return len(sink.found)
