"""Any two kinds of inputs are compared: one ruleset as dumps, as Proxmox VE's configuration, as nft text and as nft JSON."""

from __future__ import annotations

import shutil
from itertools import permutations, product
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fwtrans.cli.app import build

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("dumps", "configuration", "configuration.nft", "configuration.json")


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(build(), arguments)
    return found.exit_code, found.stdout


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kinds")
    whole = shared / "pve-corpus" / "s3"
    shutil.copytree(whole, place / "dumps", ignore=shutil.ignore_patterns("input"))
    shutil.copytree(whole / "input", place / "configuration")
    for name, form in product(("dumps", "configuration"), ("nft", "json")):
        done = run("translate", "--format", form, "-o", str(place / f"{name}.{form}"), str(place / name))
        assert done[0] == 0
    changed = place / "changed"
    shutil.copytree(place / "configuration", changed)
    file = changed / "100.fw"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[RULES]\n", "[RULES]\n\nIN DROP -p tcp -dport 4711\n", 1))
    return place


PAIRS = [
    *(
        (old, new)
        for made_of in KINDS[:2]
        for old, new in permutations((made_of, f"{made_of}.nft", f"{made_of}.json"), 2)
    ),
    *permutations(KINDS[:2], 2),
]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_same_ruleset_is_no_difference(folder: Path, old: str, new: str) -> None:
    """Dumps do not say what the host's broadcast addresses are, so each is compared with what was made of itself."""
    status, text = run("diff", str(folder / old), str(folder / new))
    assert status == 0, text
    assert text.startswith("No difference: both treat every packet alike, proved.\n")


@pytest.mark.parametrize("old", KINDS)
def test_a_rule_that_denies_more_is_told_both_ways(folder: Path, old: str) -> None:
    changed = str(folder / "changed")
    status, text = run("diff", str(folder / old), changed)
    assert status == 1
    assert "NEWLY DENIED to guest 100" in text
    assert "4711" in text
    status, text = run("diff", changed, str(folder / old))
    assert status == 1
    assert "NEWLY ALLOWED to guest 100" in text
    assert "4711" in text
