"""What the real pve-firewall made of real configurations: every dump is read, printed back to the same text, and lowered.

Bridge ports (physdev) need the bridge family, which comes with the Proxmox work; they are the only thing refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink, Severity
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.parsers.ebtables_save.dialect import EBTABLES
from fwtrans.parsers.ebtables_save.parse import parse_bridge_dump
from fwtrans.parsers.ebtables_save.unparse import unparse_bridge_dump
from fwtrans.parsers.ipset_save.parse import parse_ipset_save
from fwtrans.parsers.ipset_save.unparse import unparse
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.source import SourceFile
from fwtrans.translate import Settings
from tests.hosts import translated
from tests.places import SHARED

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES = sorted(path.parent for path in SHARED.glob("*corpus/*/iptables-save"))


def test_the_corpora_are_complete(shared: Path) -> None:
    assert len(DIRECTORIES) >= 39, f"{shared} holds only {len(DIRECTORIES)} directories"


def printed_back(path: Path) -> str:
    source = SourceFile(path.name, path.read_text())
    sink = DiagnosticSink()
    if path.name == "ebtables-save":
        bridge = parse_bridge_dump(source, EBTABLES, sink)
        assert bridge is not None, sink.found
        return unparse_bridge_dump(bridge)
    if path.name == "ipset-save":
        sets = parse_ipset_save(source, sink)
        assert not sink.errors, sink.found
        return unparse(sets.commands)
    dump = parse_dump(source, "ip6" if path.name == "ip6tables-save" else "ip", ExtensionOptions(), sink)
    assert dump is not None, sink.found
    return unparse_dump(dump)


@pytest.mark.parametrize("folder", DIRECTORIES, ids=lambda path: f"{path.parent.name[:7]}-{path.name}")
def test_every_dump_prints_back_to_the_same_text(folder: Path) -> None:
    for name in ("iptables-save", "ip6tables-save", "ipset-save", "ebtables-save"):
        path = folder / name
        assert printed_back(path) == path.read_text(), path


@pytest.mark.parametrize("folder", DIRECTORIES, ids=lambda path: f"{path.parent.name[:7]}-{path.name}")
def test_nothing_is_refused(folder: Path) -> None:
    result, found = translated(folder, Settings(verify=False))
    assert not [item for item in found if item.severity is Severity.ERROR]
    assert not [key for key in result.coverage.counts if "not translated" in key]
