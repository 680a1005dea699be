"""Rules for what a bridge forwards that name no port of it: `--physdev-is-bridged` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings
from fwtrans.verify import verify_sides
from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
IS_BRIDGED = "-m physdev --physdev-is-bridged"


def printed(place: Path, *rules: str, optimize: bool = True) -> str:
    dump = place / "iptables-save"
    dump.write_text(HEAD + "".join(f"-A FORWARD {rule}\n" for rule in rules) + "COMMIT\n")
    result, found = translated(dump, Settings(optimize=optimize))
    assert [item.code for item in found] == []
    return result.output


@pytest.mark.parametrize("optimize", [False, True])
def test_what_every_bridge_may_forward_is_not_judged_by_the_chain_of_routed_packets(
    tmp_path: Path, *, optimize: bool
) -> None:
    found = printed(tmp_path, f"{IS_BRIDGED} -j ACCEPT", "-i eth0 -j ACCEPT", optimize=optimize)
    routed = found.partition("table bridge")[0]
    assert "physdev" not in found
    assert routed.count("accept comment") == 1
    assert 'iifname "eth0" accept' in routed


def test_what_is_dropped_on_bridges_alone_is_dropped_there(tmp_path: Path) -> None:
    found = printed(tmp_path, f"-d 10.0.0.9 {IS_BRIDGED} -j DROP", "-j ACCEPT")
    routed, _, bridged = found.partition("table bridge")
    assert "ip daddr 10.0.0.9 drop" in bridged
    assert "10.0.0.9" not in routed


def test_what_no_bridge_forwards_is_asked_of_routed_packets_alone(tmp_path: Path) -> None:
    found = printed(tmp_path, "-d 10.0.0.9 -m physdev ! --physdev-is-bridged -j ACCEPT", f"{IS_BRIDGED} -j ACCEPT")
    routed, _, bridged = found.partition("table bridge")
    assert "ip daddr 10.0.0.9 accept" in routed
    assert "10.0.0.9" not in bridged


def test_a_bridge_that_lets_everything_pass_keeps_its_table(tmp_path: Path) -> None:
    """By it `apply` sees that IPv4's hooks must not be asked about bridged packets: they would be dropped there."""
    found = printed(tmp_path, f"{IS_BRIDGED} -j ACCEPT", "-i eth0 -j ACCEPT")
    assert found.endswith("table bridge fwtrans {\n}\n")


def test_of_two_dumps_one_without_the_rule_is_different() -> None:
    """No rule for bridge ports is no sign of nftables: without a table for bridges FORWARD judges bridged packets."""
    with_it, without = (
        SourceFile(name, HEAD + rule + "COMMIT\n")
        for name, rule in (("one", f"-A FORWARD {IS_BRIDGED} -j ACCEPT\n"), ("other", ""))
    )
    for old, new in ((with_it, without), (without, with_it)):
        found = verify_sides([old], [new], DiagnosticSink(), FileAccess())
        assert found is not None
        assert not found.comparison.equal


@pytest.mark.parametrize("filled", ["bridge", "host"])
def test_a_set_that_one_side_fills_and_the_other_asks_is_refused(tmp_path: Path, filled: str) -> None:
    adds, asks = "-j SET --add-set banned src", "-m set --match-set banned src -j DROP"
    bridged, host = (adds, asks) if filled == "bridge" else (asks, adds)
    dump = tmp_path / "iptables-save"
    dump.write_text(HEAD + f"-A FORWARD {IS_BRIDGED} {bridged}\n-A INPUT {host}\nCOMMIT\n")
    (tmp_path / "ipset-save").write_text("create banned hash:ip family inet hashsize 1024 maxelem 65536\n")
    result, found = translated(tmp_path, Settings(optimize=True))
    assert "FWT200" in [item.code for item in found]
    assert not result.output


def test_a_limit_of_routed_and_bridged_packets_is_told_to_be_two(tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save"
    dump.write_text(HEAD + f"-A FORWARD -m limit --limit 5/sec -j ACCEPT\n-A FORWARD {IS_BRIDGED} -j ACCEPT\nCOMMIT\n")
    result, _ = translated(dump, Settings(optimize=True))
    assert "limits-apart" in {item.name for item in result.intended}
