"""ipsets whose bitmask has holes: an element stands for every way to fill them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.semantics.concrete import Decision
from fwtrans.simulate import read_probe, simulate
from tests.hosts import translated
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from pathlib import Path

SETS = "create m hash:ip bitmask 255.0.252.0\nadd m 10.1.2.3\nadd m 11.0.0.0-11.0.4.1\n"
RULES = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set m src -j DROP\nCOMMIT\n"
ADDRESSES = {
    "10.1.2.3": True, "10.200.3.255": True, "10.200.4.0": False, "11.0.0.9": True, "11.9.4.255": True,
    "11.9.8.0": False, "12.1.0.0": False,
}  # fmt: skip


def written(folder: Path, sets: str) -> Path:
    (folder / "ipset-save").write_text(sets)
    (folder / "iptables-save").write_text(RULES)
    return folder


@pytest.mark.netns
def test_the_kernel_masks_the_packet() -> None:
    script = SETS + "".join(f"test m {address}\n" for address in ADDRESSES)
    with namespace():
        assert_inside()
        answers = {}
        for line in script.splitlines():
            done = subprocess.run(["ipset", *line.split()], capture_output=True, check=False)
            if line.startswith("test"):
                answers[line.split()[2]] = done.returncode == 0
    assert answers == ADDRESSES


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_element_stands_for_all_addresses_under_the_mask(address: str, tmp_path: Path) -> None:
    sink = DiagnosticSink()
    reading = read_inputs(read_paths([str(written(tmp_path, SETS))], sink), sink, FileAccess())
    assert reading is not None
    probe = read_probe(["hook=input", f"src={address}", "proto=udp"], sink)
    assert probe is not None
    assert (simulate(reading.ruleset, probe).last.decision is Decision.DROP) is ADDRESSES[address]


def test_a_translation_has_them_as_ranges(tmp_path: Path) -> None:
    result, found = translated(written(tmp_path, SETS))
    assert not found
    assert result.output.count("10.7.0.0/22") == 1
    assert result.output.count("/22") == 3 * 256


def test_more_ranges_than_a_set_should_have_are_refused(tmp_path: Path) -> None:
    result, found = translated(written(tmp_path, "create m hash:ip bitmask 1.0.0.1\nadd m 10.1.2.3\n"))
    assert [item.code for item in found][:1] == ["FWT200"]
    assert not result.output
