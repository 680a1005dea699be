"""Which inputs are a Proxmox VE configuration, and the dumps that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lower.pve.compile import Dumps, compile_node
from fwtrans.parsers.pve.directory import is_pve_directory, read_pve_directory, recognise_path
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.syntax import FirewallKind, Guest, GuestConf, GuestKind, PveConfig
from fwtrans.parsers.registry import Format, recognise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.pve.syntax import FirewallFile
    from fwtrans.source import SourceFile

_KINDS = {"cluster": FirewallKind.CLUSTER, "host": FirewallKind.HOST, "guest": FirewallKind.GUEST}
_SURE = frozenset({*_KINDS, "conf", "corosync", "facts", "sdn"})
"""Parts that a path tells by itself; those of vnets and of other software count beside one of these."""


class Parted(NamedTuple):
    """Inputs that belong to a Proxmox VE configuration, and the others."""

    pve: tuple[SourceFile, ...]
    others: tuple[SourceFile, ...]


def part_sources(sources: Sequence[SourceFile]) -> Parted:
    """Tell the files of a Proxmox VE configuration, by their paths or by what stands in them."""
    parts = [recognise_path(source.name) for source in sources]
    together = any(part is not None and part.part in _SURE for part in parts)
    pve: list[SourceFile] = []
    others: list[SourceFile] = []
    for source, part in zip(sources, parts, strict=True):
        is_own = (together and part is not None) or _is_firewall_file(source)
        (pve if is_own else others).append(source)
    return Parted(tuple(pve), tuple(others))


def _is_firewall_file(source: SourceFile) -> bool:
    return bool(source.text.strip()) and recognise(source.text, source.name) is Format.PVE_FW


def dumps_of_pve(
    sources: Sequence[SourceFile], others: tuple[SourceFile | None, SourceFile | None], sink: DiagnosticSink
) -> Dumps:
    """Return what pve-firewall would load. `others` are the dumps (IPv4, IPv6) of other software's rules beside it."""
    files = {source.name: source for source in sources}
    single = [source for source in sources if _is_firewall_file(source)]
    if is_pve_directory(files) or not single:
        config = read_pve_directory(files, sink)
    else:
        config = _of_single_files(single, sink)
    found = config.foreign
    return compile_node(
        PveConfig(
            config.cluster,
            config.host,
            config.guests,
            config.corosync,
            config.node,
            config.sdn,
            config.vnets,
            (found[0] or others[0], found[1] or others[1]),
        ),
        sink,
    )


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
