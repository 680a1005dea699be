# ruff: noqa: S311 -- seeds make failures repeatable
"""All passes of the control flow, alone and behind one another: they do the same, and do nothing the second time."""

from __future__ import annotations

from functools import reduce
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer import dead, fold, idle_ends, inlining, marks, merging, sharing, small_maps, tail_calls
from tests.growth import assert_grows_with
from tests.optimizer.corpus import NODES, pve_ruleset, pve_table
from tests.optimizer.marked_rulesets import random_marked_table
from tests.optimizer.proofs import assert_safe_everywhere
from tests.semantics.rulesets import random_ruleset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PASSES: dict[str, Callable[[Ruleset], Ruleset]] = {
    item.name: lambda before, item=item: item.run(before).ruleset  # type: ignore[misc]
    for item in (
        fold.PASS, dead.PASS, tail_calls.PASS, merging.PASS, sharing.PASS, inlining.PASS, marks.PASS,
        idle_ends.PASS, small_maps.PASS,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(name: str, seed: int) -> None:
    assert_safe_everywhere(PASSES[name], random_ruleset(Random(seed)))


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_calls_do_the_same(name: str, seed: int) -> None:
    assert_safe_everywhere(PASSES[name], Ruleset((random_marked_table(Random(seed), 1),)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), order=st.permutations(list(PASSES)))
def test_passes_in_any_order_do_the_same(seed: int, order: list[str]) -> None:
    def change(before: Ruleset) -> Ruleset:
        return reduce(lambda item, name: PASSES[name](item), order, before)

    def until_nothing_changes(before: Ruleset) -> Ruleset:
        for _ in range(10):
            after = change(before)
            if after == before:
                return before
            before = after
        raise AssertionError("it never ends")

    for whole in (random_ruleset(Random(seed)), Ruleset((random_marked_table(Random(seed), 1),))):
        assert_safe_everywhere(until_nothing_changes, whole)


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("node", [name for name in NODES if name != "s50"])
def test_real_nodes_do_the_same(shared: Path, node: str, name: str) -> None:
    assert_safe_everywhere(PASSES[name], pve_ruleset(shared, node))


# Its rounds go on as long as they win something, and a large node needs more of them.
ROUNDS = {"mark-verdicts": 2}


@pytest.mark.parametrize("name", PASSES)
def test_the_work_grows_with_the_rules(shared: Path, name: str) -> None:
    small, large = (Ruleset((pve_table(shared, node),)) for node in ("s50", "s200"))
    rules = [sum(len(chain.rules) for chain in item.tables[0].chains) for item in (small, large)]
    assert_grows_with(
        ROUNDS.get(name, 1) * rules[1] / rules[0], lambda: PASSES[name](small), lambda: PASSES[name](large)
    )
