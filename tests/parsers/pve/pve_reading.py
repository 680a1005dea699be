"""What the tests of Proxmox VE's readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.syntax import FirewallFile, FirewallKind
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from pathlib import Path


class Place(NamedTuple):
    """A finding without its words. Columns count from 1."""

    code: str
    line: int
    column: int


def read(text: str, kind: FirewallKind = FirewallKind.GUEST) -> tuple[FirewallFile, DiagnosticSink]:
    sink = DiagnosticSink()
    return parse_firewall_file(SourceFile("100.fw", text), kind, sink), sink


def places(sink: DiagnosticSink) -> list[Place]:
    found = []
    for item in sink.found:
        assert item.span is not None, item
        found.append(Place(item.code, item.span.line, item.span.start + 1))
    return found


def rules(text: str, kind: FirewallKind = FirewallKind.GUEST) -> tuple[FirewallFile, list[Place]]:
    """Read lines of [RULES]; line 1 is the first of them."""
    sink = DiagnosticSink()
    found = parse_firewall_file(SourceFile("100.fw", f"[RULES]\n{text}"), kind, sink)
    return found, [place._replace(line=place.line - 1) for place in places(sink)]


def files_of(directory: Path) -> dict[str, SourceFile]:
    """Return a directory as the reader takes it."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = [path.relative_to(directory).as_posix() for path in paths]
    return {name: SourceFile(name, path.read_text(encoding="utf-8")) for name, path in zip(names, paths, strict=True)}
