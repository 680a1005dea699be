"""Random chains through every pass of the data half: each proved equal, well-formed, and what is printed loads."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.ir.fields import Family
from fwtrans.ir.verify import verify
from fwtrans.optimizer import cells, cost, cuts, dispatch, fronts, nat_maps, sets, trees
from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.pipeline import run_passes
from fwtrans.optimizer.search import Effort, Search
from fwtrans.optimizer.search_nodes import joined
from fwtrans.semantics.equivalence import compare
from tests.optimizer.random_lists import random_lists
from tests.optimizer.texts import assert_equal, assert_loads, printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.optimizer.clauses import Clause
    from fwtrans.optimizer.search_nodes import Node

PASSES = (sets.PASS, dispatch.PASS, nat_maps.PASS, cuts.sized(50))


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passes do what does not pay, so that short chains are enough to try them."""
    monkeypatch.setattr(cost, "HASH", 5)
    monkeypatch.setattr(cost, "JUMP", 0)
    monkeypatch.setattr(cuts, "SHORTEST", 2)
    monkeypatch.setattr(cuts, "LEAST_GAIN", 0)
    monkeypatch.setattr(cuts, "_EFFORT", Effort(1, 2, 4, 3))
    monkeypatch.setattr(cuts, "_behind_first", lambda _run, node, _always, **_more: node)
    monkeypatch.setattr(cells, "SHORT", 1)
    monkeypatch.setattr(cuts, "time_of", lambda _node: 0.0)


def _cells_only(run: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, **_more: bool) -> Iterator[Node]:
    found = cells.Cells(Boxes.of(run, always), most)
    found.tabled = cells.LONG == 1
    yield found.build(most)


def _trees_only(run: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, **_more: bool) -> Iterator[Node]:
    yield trees.Trees(Boxes.of(run, always), len(run), most).build()


def _fronts_only(
    run: Sequence[Clause], always: Mapping[Field, ValueSet], _most: float, **_more: bool
) -> Iterator[Node]:
    found = fronts.front(run, always, 1)
    if found is not None:
        count, node = found
        yield joined(node, Search(Boxes.of(run[count:], always), Effort(1, 2, 4, 3)).build())


@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize("block", range(14))
def test_each_pass_alone(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if block >= 10:
        monkeypatch.setattr(trees, "SHORT", 1)
        monkeypatch.setattr(fronts, "MOST_FIRST", 24)
        monkeypatch.setattr(cuts, "_candidates", _fronts_only if block % 4 == 1 else _trees_only)
    elif block % 2:
        monkeypatch.setattr(cuts, "_candidates", _cells_only)
    if block % 4 == 3:
        monkeypatch.setattr(cells, "LONG", 1)
    changed = dict.fromkeys((item.name for item in PASSES), 0)
    for seed in range(20):
        before = random_lists(Random(1000 * block + seed))  # noqa: S311 -- the same rulesets each time
        for item in PASSES:
            found = item.run(before).ruleset
            if found == before:
                continue
            changed[item.name] += 1
            assert verify(found) == verify(before)
            assert_equal(before, found)
            if seed < 4 and before.tables[0].family is not Family.BRIDGE:  # not every kernel has ct there
                assert_loads(printed(found))
    assert changed["dispatch"]
    assert changed["cuts"]


@given(st.integers(min_value=0))
def test_all_together(seed: int) -> None:
    before = random_lists(Random(seed))  # noqa: S311 -- hypothesis names the ruleset
    found = run_passes(before, PASSES)
    assert not found.refused
    assert compare(before, found.ruleset).equal
    assert run_passes(found.ruleset, PASSES).ruleset == found.ruleset
