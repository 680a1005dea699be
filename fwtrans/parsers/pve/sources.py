"""Which inputs are files of a Proxmox VE configuration: by their paths, or by what stands in them.

What reads them is imported where there are some: dumps need not wait for it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.registry import Format, recognise
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.diagnostics import Diagnostic
    from fwtrans.source import SourceFile

HOST_FILES = ("hostname", "hosts", "interfaces")
"""What tells of the host beside a configuration, by the last part of their paths."""

_PARTS = {
    "cluster": re.compile(r"(?:.*?/)??cluster\.fw"),
    "host": re.compile(r"(?:.*?/)??(?:nodes/(?P<node>[^/]+)/)?host\.fw"),
    "vnet": re.compile(r"(?:.*?/)??sdn/firewall/(?P<name>[^/]+)\.fw"),
    "guest": re.compile(r"(?:.*?/)??(?P<name>[1-9][0-9]{0,8})\.fw"),
    "conf": re.compile(
        r"(?:.*?/)??(?:nodes/(?P<node>[^/]+)/)?(?P<folder>qemu-server|lxc)/(?P<name>[1-9][0-9]{0,8})\.conf"
    ),
    "corosync": re.compile(r"(?:.*?/)??corosync\.conf"),
    "facts": re.compile(r"(?:.*?/)??vms\.json"),
    "sdn": re.compile(r"(?:.*?/)??sdn\.json"),
    "sdn running": re.compile(r"(?:.*?/)??sdn/\.running-config"),
    "sdn leases": re.compile(r"(?:.*?/)??sdn/pve-ipam-state\.json"),
    "sdn old leases": re.compile(r"(?:.*?/)??priv/ipam\.db"),
    "sdn vnets": re.compile(r"(?:.*?/)??sdn/vnets\.cfg"),
    "sdn subnets": re.compile(r"(?:.*?/)??sdn/subnets\.cfg"),
    "foreign": re.compile(r"(?:.*?/)??foreign\.(?P<name>v[46])"),
    "flat vnet": re.compile(r"(?:.*?/)??(?P<name>[A-Za-z][A-Za-z0-9]*)\.fw"),
}


class PvePath(NamedTuple):
    """What a path says: the part that a file plays, whose it is, and its name (vmid, vnet) if it has one.

    The folder tells of a guest's configuration what kind of guest it is: qemu-server or lxc.
    """

    part: str
    node: str = ""
    name: str = ""
    folder: str = ""


def recognise_path(path: str) -> PvePath | None:
    """Return what a file is by its path, or None where it is none of PVE's."""
    path = path.replace("\\", "/")
    for part, pattern in _PARTS.items():
        found = pattern.fullmatch(path)
        if found is not None:
            groups = found.groupdict()
            node, name, folder = (groups.get(word) or "" for word in ("node", "name", "folder"))
            return PvePath(part.removeprefix("flat "), node, name, folder)
    return None


def is_pve_directory(paths: Mapping[str, object]) -> bool:
    """Tell whether these files are a configuration of PVE's, and not merely have one that could be."""
    return any(found.part in {"cluster", "conf"} for path in paths if (found := recognise_path(path)) is not None)


_SURE = frozenset({"cluster", "host", "guest", "conf", "corosync", "facts", "sdn"})
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
        name = PurePath(source.name).name
        tells_of_host = together and name in HOST_FILES
        is_own = (together and part is not None) or is_firewall_file(source)
        if is_own or tells_of_host:
            pve.append(source)
        if not is_own and not (tells_of_host and name != "interfaces"):  # which may hold firewall calls, too
            others.append(source)
    return Parted(tuple(pve), tuple(others))


def is_firewall_file(source: SourceFile) -> bool:
    """Tell whether an input is one of PVE's own files of rules, by what stands in it."""
    return bool(source.text.strip()) and recognise(source.text, source.name) is Format.PVE_FW


def at_its_origin(diagnostic: Diagnostic) -> Diagnostic:
    """Return a finding about a line that we have made as one about the line of the configuration that it is made from."""
    span = diagnostic.span
    if span is None or not span.source.made_from:
        return diagnostic
    origin = span.source.origin(span.line)
    if origin.source is span.source:
        return diagnostic
    text = origin.source.line(origin.line)
    place = Span(origin.source, origin.line, len(text) - len(text.lstrip()), max(len(text.rstrip()), 1))
    notes = (*diagnostic.notes, f"pve-firewall makes of this: {span.source.line(span.line)}")
    return replace(diagnostic, span=place, notes=notes)
