"""Loops of jumps that no base chain leads to: both kernels load them, and so do we, without them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.hosts import translated
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
CHAINS = "".join(f":{name} - [0:0]\n" for name in "abcd")
UNREACHED = {
    "a chain that goes to itself": ("-A a -j a\n-A INPUT -j d\n-A d -p tcp -j DROP\n", "a"),
    "two, and one that leads there": (
        "-A a -j b\n-A b -g a\n-A c -j a\n-A c -j d\n-A INPUT -j d\n-A d -j DROP\n",
        "abc",
    ),
}
REACHED = {
    "from a base chain": "-A a -j b\n-A b -j a\n-A c -j a\n-A INPUT -j c\n",
    "one more beside a loop that nothing leads to": "-A a -j a\n-A b -j b\n-A OUTPUT -g b\n",
}


def loads(program: str, dump: str) -> bool:
    with namespace():
        assert_inside()
        done = subprocess.run([program], input=dump, text=True, capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.netns
@pytest.mark.parametrize("program", ["iptables-legacy-restore", "iptables-nft-restore"])
def test_both_kernels_look_for_loops_from_the_base_chains_on(program: str) -> None:
    for rules, _ in UNREACHED.values():
        assert loads(program, f"{HEAD}{CHAINS}{rules}COMMIT\n")
    for rules in REACHED.values():
        assert not loads(program, f"{HEAD}{CHAINS}{rules}COMMIT\n")


@pytest.mark.parametrize("case", UNREACHED)
def test_what_no_packet_comes_to_is_left_out_and_told(case: str, tmp_path: Path) -> None:
    rules, looping = UNREACHED[case]
    dump = tmp_path / "iptables-save"
    dump.write_text(f"{HEAD}{CHAINS}{rules}COMMIT\n")
    result, found = translated(dump)
    assert [item.code for item in found] == ["FWT212"] * len(looping)
    assert [item.message.split("`")[1] for item in found] == list(looping)
    assert "drop" in result.output


@pytest.mark.parametrize("case", REACHED)
def test_a_loop_that_a_base_chain_leads_to_is_refused(case: str, tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save"
    dump.write_text(f"{HEAD}{CHAINS}{REACHED[case]}COMMIT\n")
    result, found = translated(dump)
    assert "FWT205" in [item.code for item in found]
    assert not result.output


def test_chains_of_ebtables_may_loop_as_well(tmp_path: Path) -> None:
    dump = tmp_path / "ebtables-save"
    dump.write_text("*filter\n: INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\n: a DROP\n-A a -p ARP -j a\n")
    result, found = translated(dump)
    assert [item.code for item in found] == ["FWT212"]
    assert "drop" in result.output
