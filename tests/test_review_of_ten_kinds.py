"""The ten kinds of changes that people make, each at any place of a node: one line for each way, in words that fit, or silence."""

from __future__ import annotations

import random
import shutil
from itertools import product
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read_pve import dumps_of_pve
from tests.review_seeds import KINDS, reordered
from tests.test_review_of_any_change import check, reviewed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwtrans.report.review.model import Category, Review
    from tests.review_seeds import Seeded

NODES = ("s10", "s3", "f-ipsets", "f-log-custom", "f-foreign")
BIG = ("s50", "s200")
CASES = [*product(("s10",), KINDS, range(2)), *product(("f-ipsets",), KINDS, range(1))]
MANY = [*product(NODES, KINDS, range(20)), *product(BIG, KINDS, range(2))]


def case_name(value: object) -> str:
    return getattr(value, "__name__", str(value))


def dumped(configuration: Path, place: Path) -> Path:
    """Write what pve-firewall would load as a directory of dumps."""
    dumps, _ = dumps_of_pve(read_paths([str(configuration)], DiagnosticSink()), (None, None), DiagnosticSink())
    place.mkdir()
    for name, source in zip(("iptables", "ip6tables", "ipset", "ebtables"), dumps, strict=True):
        (place / f"{name}-save").write_text(source.text, encoding="utf-8")
    return place


def categories(found: Review) -> set[Category]:
    return {each.category for entry in found.entries for each in (entry, *entry.also)}


def one_change(shared: Path, tmp_path: Path, node: str, kind: Callable[..., Seeded | None], seed: int) -> None:
    old, new = shared / "pve-corpus" / node / "input", tmp_path / "input"
    shutil.copytree(old, new)
    done = kind(new, random.Random(seed))  # noqa: S311 -- no secret
    if done is None:  # nothing of the kind is there
        assert node != "s10"
        return
    told = str(done)
    found = reviewed(old, new)
    of_dumps = reviewed(dumped(old, tmp_path / "old"), dumped(new, tmp_path / "new"))
    assert found.equal == of_dumps.equal == (not found.entries), told
    assert categories(of_dumps) == categories(found), told
    if kind is reordered:
        assert (found.entries, found.structure, of_dumps.structure) == ((), (), ()), told
    check(found, told)
    if found.entries:
        assert any(done.words in text for entry in found.entries for text in (entry.region, entry.cause)), told


@pytest.mark.parametrize(("node", "kind", "seed"), CASES, ids=case_name)
def test_a_change_of_a_kind(shared: Path, tmp_path: Path, node: str, kind: Callable[..., Seeded], seed: int) -> None:
    one_change(shared, tmp_path, node, kind, seed)


@pytest.mark.lab_long
@pytest.mark.parametrize(("node", "kind", "seed"), MANY, ids=case_name)
def test_many_changes(shared: Path, tmp_path: Path, node: str, kind: Callable[..., Seeded], seed: int) -> None:
    one_change(shared, tmp_path, node, kind, seed)
