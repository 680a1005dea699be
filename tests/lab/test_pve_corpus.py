"""Real Proxmox VE dumps, classic against their translation, on the same packets: with firewall bridges, and without them.

Every two endpoints have a packet between them, beyond those that the rules are asked with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import SETTING
from fwtrans.lab.loadable import loadable
from fwtrans.laboratory import LabResult, LabSettings, compare_in_lab
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.lab.kernels import Kernel

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

DUMPS = ("iptables-save", "ip6tables-save", "ipset-save", "ebtables-save")


def asked(name: str, budget: int, shared: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> LabResult:
    """Return what the kernel says of a node."""
    folder = shared / "pve-corpus" / name
    # what the kernel has no match or target for is left out on both sides
    texts = loadable({dump: (folder / dump).read_text() for dump in DUMPS}, kernel).texts
    old = [SourceFile(f"{name}/{dump}", text) for dump, text in texts.items() if text.strip()]
    sink = DiagnosticSink()
    translated = translate(old, Settings(), sink, FileAccess())
    assert not sink.errors, sink.errors
    if kernel.timed:
        monkeypatch.setenv(SETTING, kernel.command[0])
    settings = LabSettings(budget=budget, kernel="uml" if kernel.timed else "running", seconds=900, all_pairs=True)
    found = compare_in_lab(old, [SourceFile(f"{name}.nft", translated.output)], settings, sink, FileAccess())
    assert found is not None, sink.errors
    return found


def check(found: LabResult) -> None:
    assert found.same, "\n".join(str(item) for item in found.disagreements[:5])
    assert found.verdicts["delivered"] > found.probes / 20
    assert found.verdicts["lost"] > found.probes / 20


def test_a_node_with_three_guests(shared: Path, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    check(asked("s3", 300, shared, bridge_kernel, monkeypatch))


@pytest.mark.parametrize("name", ["s10", pytest.param("s50", marks=pytest.mark.lab_long)])
def test_a_node_with_many_guests(
    name: str, shared: Path, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(asked(name, 1000, shared, bridge_kernel, monkeypatch))
