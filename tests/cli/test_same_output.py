"""One input has one output: nothing that is printed may follow the order of a set, which is another in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

# With two of these, a map's elements once stood in two orders.
SEEDS = ("0", "1", "2")


def output(folder: Path, seed: str) -> bytes:
    words = [sys.executable, "-m", "fwtrans", "translate", str(folder), "--no-verify"]
    found = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
    )
    return found.stdout


@pytest.mark.parametrize("node", ["s10", "f-ipsets"])
def test_the_order_of_sets_is_not_seen(shared: Path, node: str) -> None:
    assert len({output(shared / "pve-corpus" / node, seed) for seed in SEEDS}) == 1


def test_nor_for_a_node_of_our_own() -> None:
    folder = REPOSITORY / "fixtures" / "golden" / "proxmox" / "10-small-node" / "input"
    assert len({output(folder, seed) for seed in SEEDS}) == 1
