"""Real Proxmox VE dumps, classic against their translation, on the same packets: with firewall bridges, and without them.

Every two endpoints have a packet between them, beyond those that the rules are asked with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import SETTING
from fwtrans.lab.loadable import loadable
from fwtrans.laboratory import LabResult, LabSettings, compare_in_lab
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.lab.kernels import Kernel
    from fwtrans.laboratory import Disagreement

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

DUMPS = ("iptables-save", "ip6tables-save", "ipset-save", "ebtables-save")


def asked(name: str, budget: int, shared: Path, kernel: Kernel, monkeypatch: Any) -> tuple[LabResult, set[str]]:
    """Return what the kernel says of a node, and the ports whose guests' hardware addresses the dumps do not tell."""
    folder = shared / "pve-corpus" / name
    # what the kernel has no match or target for is left out on both sides
    texts = loadable({dump: (folder / dump).read_text() for dump in DUMPS}, kernel).texts
    old = [SourceFile(f"{name}/{dump}", text) for dump, text in texts.items() if text.strip()]
    sink = DiagnosticSink()
    translated = translate(old, Settings(), sink, FileAccess())
    assert not sink.errors, sink.errors
    reading = read_inputs(old, sink, FileAccess())
    assert reading is not None
    if kernel.timed:
        monkeypatch.setenv(SETTING, kernel.command[0])
    settings = LabSettings(budget=budget, kernel="uml" if kernel.timed else "running", seconds=900, all_pairs=True)
    found = compare_in_lab(old, [SourceFile(f"{name}.nft", translated.output)], settings, sink, FileAccess())
    assert found is not None, sink.errors
    return found, set(hardware_addresses(reading.ruleset))


def is_drop_for_want_of_an_address(item: Disagreement, known: set[str]) -> bool:
    """Tell whether a REJECT towards a guest became a drop, which is said where nobody knows the guest's address (FWT211)."""
    old, new = item.difference.old, item.difference.new
    assert old is not None
    assert new is not None
    target = item.probe.target
    return target not in known and bool(old.answers) and not new.answers and target not in (*old.seen_at, *new.seen_at)


def check(found: LabResult, known: set[str]) -> None:
    wrong = [item for item in found.disagreements if not is_drop_for_want_of_an_address(item, known)]
    assert not wrong, "\n".join(str(item) for item in wrong[:5])
    assert found.verdicts["delivered"] > found.probes / 20
    assert found.verdicts["lost"] > found.probes / 20


def test_a_node_with_three_guests(shared: Path, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    check(*asked("s3", 300, shared, bridge_kernel, monkeypatch))


@pytest.mark.lab_long
@pytest.mark.parametrize("name", ["s10", "s50"])
def test_a_node_with_many_guests(
    name: str, shared: Path, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(*asked(name, 1000, shared, bridge_kernel, monkeypatch))
