# ruff: noqa: S311 -- seeds make failures repeatable
"""Rules that are proved to do nothing go, and what another one rests on stays."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_ruleset
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verdict import Jump
from fwtrans.optimizer.shadowed import without_shadowed_rules
from fwtrans.semantics.equivalence import compare
from tests.optimizer.corpus import pve_ruleset
from tests.optimizer.marked_rulesets import random_marked_table
from tests.semantics.builders import ACCEPT, DROP, TCP, UDP, base, chain, log, rule, ruleset, source
from tests.semantics.rulesets import random_ruleset

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain


def left(*parts: Rule | Chain) -> str:
    before = ruleset(*parts)
    after = without_shadowed_rules(before).ruleset
    assert compare(before, after).equal
    assert without_shadowed_rules(after).ruleset == after
    return print_ruleset(after)


def test_what_earlier_rules_have_taken_together_goes() -> None:
    wide = (rule(source(1, 2), DROP), rule(source(3), DROP))
    last = rule(log("x"), DROP)
    assert left(*wide, rule(source(2, 3), TCP, ACCEPT), last) == print_ruleset(ruleset(*wide, last))


def test_of_two_that_stand_in_for_each_other_one_stays() -> None:
    assert left(rule(TCP, source(1), DROP), rule(TCP, DROP), rule(source(1), ACCEPT), rule(log("x"), DROP)) == (
        print_ruleset(ruleset(rule(TCP, DROP), rule(source(1), ACCEPT), rule(log("x"), DROP)))
    )
    two = (rule(source(1), TCP, DROP), rule(source(1), UDP, DROP), rule(source(1), DROP), rule(log("x"), ACCEPT))
    assert left(*two) == print_ruleset(ruleset(*two[2:]))


def test_what_a_rule_does_beside_deciding_matters() -> None:
    rules = (rule(TCP, log("a"), DROP), rule(log("b"), None), rule(DROP))
    assert left(*rules) == print_ruleset(ruleset(*rules))


def test_chains_that_nothing_leads_to_any_more_go() -> None:
    found = left(base(rule(TCP, DROP), rule(TCP, Jump("a")), rule(log("x"), DROP)), chain("a", rule(source(1), ACCEPT)))
    assert found == print_ruleset(ruleset(rule(TCP, DROP), rule(log("x"), DROP)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    for before in (random_ruleset(Random(seed)), Ruleset((random_marked_table(Random(seed), 1),))):
        after = without_shadowed_rules(before).ruleset
        assert compare(before, after).equal
        assert without_shadowed_rules(after).ruleset == after


@pytest.mark.parametrize("node", ["f-macros", "f-host-both", "f-log-custom", "s3"])
def test_real_nodes_do_the_same(shared: Path, node: str) -> None:
    before = pve_ruleset(shared, node)
    after = without_shadowed_rules(before).ruleset
    assert after != before
    assert compare(before, after).equal
    assert without_shadowed_rules(after).ruleset == after
