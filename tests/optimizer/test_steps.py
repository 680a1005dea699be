"""Steps: what a packet takes, the bound that no packet exceeds, and that both count alike."""

from __future__ import annotations

from random import Random

import pytest

from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.optimizer.steps import hook_costs
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.packet import HookVisit
from tests.optimizer.random_lists import random_lists
from tests.optimizer.texts import in_forward, read_nft
from tests.semantics.rulesets import random_packet


def bound(text: str) -> int:
    (cost,) = hook_costs(read_nft(text))
    return cost.worst.steps


def test_each_rule_is_a_step() -> None:
    assert bound(in_forward("tcp dport 22 accept", "udp dport 53 accept", "drop")) == 3


def test_a_rule_with_two_sets_is_two() -> None:
    assert bound(in_forward("ip saddr { 10.0.0.1, 10.0.0.9 } tcp dport { 22, 80 } accept")) == 2


def test_nothing_behind_a_rule_that_ends_all_is_counted() -> None:
    assert bound(in_forward("drop", "tcp dport 22 accept")) == 1


def test_calls_by_different_values_are_counted_once() -> None:
    more = " chain a { tcp dport 1 drop\n tcp dport 2 drop\n }\n chain b { tcp dport 3 drop\n }"
    assert bound(in_forward('iifname "a" jump a', 'iifname "b" jump b', more=more)) == 4
    assert bound(in_forward('iifname "a" jump a', "ip saddr 10.0.0.1 jump b", more=more)) == 5


def test_calls_by_a_field_that_changes_are_all_counted() -> None:
    more = " chain a { meta mark set 2\n }\n chain b { tcp dport 3 drop\n }"
    assert bound(in_forward("meta mark 1 jump a", "meta mark 2 jump b", more=more)) == 4


def test_a_look_up_leads_to_one_of_its_chains() -> None:
    more = " chain a { tcp dport 1 drop\n tcp dport 2 drop\n }\n chain b { tcp dport 3 drop\n }"
    assert bound(in_forward('iifname vmap { "a" : jump a, "b" : jump b }', "drop", more=more)) == 4
    assert bound(in_forward("ip saddr vmap { 10.0.0.0/8 : jump a, 11.0.0.0/8 : goto b }", "drop", more=more)) == 4


@pytest.mark.parametrize("seed", range(60))
def test_no_packet_takes_more_than_the_bound(seed: int) -> None:
    draw = Random(seed)  # noqa: S311 -- the same packets each time
    ruleset = random_lists(draw)
    (cost,) = hook_costs(ruleset)
    family = ruleset.tables[0].family
    visit = HookVisit(Family.IP if family is Family.INET else family, Hook.FORWARD)
    for _ in range(30):
        outcome = evaluate(ruleset, visit, random_packet(draw, visit), lambda _unknown: draw.random() < 0.5)
        assert outcome.steps <= cost.worst.steps
