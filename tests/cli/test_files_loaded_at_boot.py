"""A folder from which a distribution loads its rules at boot is read as it is: nobody has to rename files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import read_paths
from fwtrans.diagnostics import DiagnosticSink

if TYPE_CHECKING:
    from pathlib import Path

FOUR = "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set friends src -j ACCEPT\nCOMMIT\n"
SIX = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT\n"
SETS = "create friends hash:net family inet hashsize 1024 maxelem 65536\nadd friends 192.0.2.0/24\n"


@pytest.mark.parametrize(
    "names",
    [
        ("rules.v4", "rules.v6", "ipsets"),
        ("iptables", "ip6tables", "ipset"),
        ("iptables.rules", "ip6tables.rules", "ipset.conf"),
    ],
)
def test_the_rules_and_sets_of_a_distribution(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, text in zip(names, (FOUR, SIX, SETS), strict=True):
        (tmp_path / name).write_text(text)
    (tmp_path / "README").write_text("not a ruleset\n")
    sink = DiagnosticSink()
    found = read_paths([str(tmp_path)], sink)
    assert not sink.found
    assert [source.text for source in found] == [FOUR, SIX, SETS]


def test_what_was_collected_comes_first(tmp_path: Path) -> None:
    """A backup of the file that is loaded at boot is not the ruleset that runs."""
    (tmp_path / "iptables-save").write_text(SIX)
    (tmp_path / "rules.v4").write_text(FOUR)
    found = read_paths([str(tmp_path)], DiagnosticSink())
    assert [source.text for source in found] == [SIX]


def test_a_folder_without_any(tmp_path: Path) -> None:
    (tmp_path / "my-rules.txt").write_text(FOUR)
    sink = DiagnosticSink()
    assert not read_paths([str(tmp_path)], sink)
    assert [item.code for item in sink.found] == ["FWT115"]
    assert "rules.v4" in sink.found[0].notes[0]
