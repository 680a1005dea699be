"""One change at any place of a configuration or a dump: one line of the review for each way, whatever stands around it.

What is let through and what no longer is are two lines, as where a port becomes another one; whatever else the change brings
about on the same way stands with them. The regions are proved to be the whole difference.
"""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import FIELDS
from fwtrans.report.review.model import Category
from fwtrans.review import review_sides
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fwtrans.report.review.model import Review

    Change = Callable[[list[str], int, random.Random], None]

ROUNDS = range(10)
ADDED_TO_PVE = (
    "IN ACCEPT -p tcp -dport 4711 -source 10.33.0.0/16", "OUT DROP -dest 192.0.2.77", "IN Ping(DROP)", "OUT ACCEPT",
    "IN REJECT -p udp -dport 5000:5100", "IN DROP -log info", "IN SSH(ACCEPT) -i net0", "GROUP mail",
)  # fmt: skip
ADDED_TO_DUMPS = (
    "-p tcp -m tcp --dport 4711 -j DROP", "-p udp -m udp --dport 5000:5100 -j ACCEPT", "-j DROP",
    "-m conntrack --ctstate INVALID -j DROP", "-m mark --mark 0x7 -j ACCEPT",
)  # fmt: skip
_LETS = (("ACCEPT", "DROP"), ("REJECT", "ACCEPT"), ("DROP", "ACCEPT"))


def removed(lines: list[str], at: int, _: random.Random) -> None:
    del lines[at]


def decided_otherwise(lines: list[str], at: int, _: random.Random) -> None:
    for one, other in _LETS if "--reject-with" not in lines[at] else ():
        if re.search(rf"\b{one}\b", lines[at]):
            lines[at] = re.sub(rf"\b{one}\b", other, lines[at], count=1)
            return


def another_port(lines: list[str], at: int, _: random.Random) -> None:
    lines[at] = re.sub(r"(-dport )(\d+)", lambda found: f"{found[1]}{int(found[2]) + 1}", lines[at])


def behind_the_next(lines: list[str], at: int, _: random.Random) -> None:
    if at + 1 < len(lines) and lines[at].split()[:2] == lines[at + 1].split()[:2]:
        lines[at : at + 2] = lines[at + 1], lines[at]


def twice(lines: list[str], at: int, _: random.Random) -> None:
    lines.insert(at, lines[at])


def added_to_pve(lines: list[str], at: int, chance: random.Random) -> None:
    lines.insert(at, chance.choice(ADDED_TO_PVE))


def added_to_a_dump(lines: list[str], at: int, chance: random.Random) -> None:
    lines.insert(at, f"-A {lines[at].split()[1]} {chance.choice(ADDED_TO_DUMPS)}")


COMMON: tuple[Change, ...] = (removed, decided_otherwise, another_port, behind_the_next, twice)


def change_one(files: Sequence[Path], start: str, changes: Sequence[Change], seed: int) -> str:
    """Change one rule of one of the files; return what has been done, for a test that fails."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    file = chance.choice(files)
    lines = file.read_text(encoding="utf-8").split("\n")
    at = chance.choice([number for number, line in enumerate(lines) if re.match(start, line)])
    what = chance.choice(changes)
    told = f"{file.name}:{at + 1} {what.__name__}: {lines[at]}"
    what(lines, at, chance)
    file.write_text("\n".join(lines), encoding="utf-8")
    return told


def reviewed(old: Path, new: Path) -> Review:
    sink = DiagnosticSink()
    paths = str(old), str(new)
    found = review_sides(read_paths([paths[0]], sink), read_paths([paths[1]], sink), sink, FileAccess(paths))
    assert found is not None, sink.found
    return found


def check(found: Review, told: str) -> None:
    assert found.exact, told
    assert found.by_rule, told
    lines = Counter((entry.category, entry.way) for entry in found.entries)
    assert set(lines.values()) <= {1}, told
    assert len({entry.cause for entry in found.entries}) <= 1, told
    every = [each for entry in found.entries for each in (entry, *entry.also)]
    assert all(cut.boxes for entry in every for cut in entry.cuts), told
    assert all(witness.confirmed for entry in every for witness in entry.witnesses), told
    assert not any("fault of fwtrans" in entry.cause for entry in every), told
    for way in {entry.way for entry in found.entries}:
        of_way = {entry.category for entry in found.entries if entry.way == way}
        assert len(of_way) == 1 or of_way == {Category.ALLOWED, Category.DENIED}, told
    told_fields = {name for entry in every for cut in entry.cuts for box in cut.boxes for name in box}
    assert {name for name in told_fields if " " not in name} <= set(FIELDS), told


@pytest.mark.parametrize("seed", ROUNDS)
def test_of_a_proxmox_ve_configuration(shared: Path, tmp_path: Path, seed: int) -> None:
    old, new = shared / "pve-corpus" / "s10" / "input", tmp_path / "input"
    shutil.copytree(old, new)
    told = change_one(sorted(new.glob("*.fw")), r"(?:IN|OUT|GROUP)\b", (*COMMON, added_to_pve), seed)
    check(reviewed(old, new), told)


@pytest.mark.parametrize("seed", ROUNDS)
def test_of_dumps(shared: Path, tmp_path: Path, seed: int) -> None:
    old, new = shared / "pve-corpus" / "s10", tmp_path / "dumps"
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("input"))
    told = change_one([new / "iptables-save", new / "ip6tables-save"], "-A ", (*COMMON, added_to_a_dump), seed)
    check(reviewed(old, new), told)


@pytest.mark.parametrize("seed", ROUNDS)
def test_of_a_plain_host(tmp_path: Path, seed: int) -> None:
    old, new = REPOSITORY / "fixtures" / "golden" / "hosts" / "10-nat-gateway" / "input", tmp_path / "input"
    shutil.copytree(old, new)
    told = change_one([new / "iptables-save", new / "ip6tables-save"], "-A ", (*COMMON, added_to_a_dump), seed)
    check(reviewed(old, new), told)
