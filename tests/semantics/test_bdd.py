# ruff: noqa: S311 -- seeds make failures repeatable
from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.semantics.bdd import Bdd, OutOfNodes

if TYPE_CHECKING:
    from fwtrans.semantics.bdd import Node


def test_equal_functions_are_equal_nodes() -> None:
    bdd = Bdd(10_000)
    first, second = (bdd.variables[number] for number in bdd.add_variables(2))
    assert ~(first & second) == ~first | ~second
    assert first.ite(second, bdd.false) == first & second
    assert bdd.any_of([]) == bdd.false
    assert bdd.any_of([first, second, first & second]) == first | second


def test_quantifiers_and_substitution() -> None:
    bdd = Bdd(10_000)
    first, second, third = (bdd.variables[number] for number in bdd.add_variables(3))
    assert bdd.exists(first & second, [0]) == second
    assert bdd.forall(first | second, [0]) == second
    swap = bdd.substitution({0: second, 1: first})
    assert swap(first & ~second & third) == second & ~first & third


@pytest.mark.parametrize("seed", range(20))
def test_few_deep_variables_are_replaced_as_many_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Random(seed)
    bdd = Bdd(100_000)
    numbers = bdd.add_variables(300)
    places = [numbers[at] for at in (0, 3, 150, 290, 291, 292, 293, 299)]

    def function() -> Node:
        found = bdd.false
        for _ in range(4):
            term = bdd.true
            for at in source.sample(places, 3):
                term = term & (bdd.variables[at] if source.random() < 0.5 else ~bdd.variables[at])
            found = found | term
        return found

    functions = [function() for _ in range(6)]
    replacements = {at: function() for at in source.sample(places[2:], 3)}
    one_by_one = list(map(bdd.substitution(replacements), functions))
    monkeypatch.setattr("fwtrans.semantics.bdd._FEW", 0)
    assert one_by_one == list(map(bdd.substitution(replacements), functions))


def test_known_values_are_put_in_wherever_the_variable_stands() -> None:
    bdd = Bdd(10_000)
    first, second, third = (bdd.variables[number] for number in bdd.add_variables(3))
    node = first.ite(second & third, ~second)
    assert bdd.knowing(node, [(0, True)]) == second & third
    assert bdd.knowing(node, [(0, False), (1, False)]) == bdd.true
    assert bdd.knowing(node, [(1, True)]) == first & third
    assert bdd.knowing(node, [(1, False), (2, True)]) == ~first
    assert bdd.knowing(second, [(0, True), (2, False)]) == second
    assert bdd.knowing(bdd.true, [(0, True)]) == bdd.true


def test_a_picked_assignment_satisfies() -> None:
    bdd = Bdd(10_000)
    first, second = (bdd.variables[number] for number in bdd.add_variables(2))
    assert bdd.pick(second & ~first) == [False, True]
    assert bdd.pick(bdd.false) is None


def test_a_full_store_says_so() -> None:
    bdd = Bdd(2_000)
    numbers = bdd.add_variables(40)

    def pairs_from_far_apart() -> None:
        found = bdd.false
        for low in range(20):
            found = found ^ (bdd.variables[numbers[low]] & bdd.variables[numbers[39 - low]])

    with pytest.raises(OutOfNodes):
        pairs_from_far_apart()
