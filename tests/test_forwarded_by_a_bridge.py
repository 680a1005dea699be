"""Rules for what a bridge forwards that name no port of it: `--physdev-is-bridged` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.translate import Settings
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
