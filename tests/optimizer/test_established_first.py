"""Established connections go first exactly where nothing else is done to any of them."""

from __future__ import annotations

import pytest

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.established_first import PASS, established_first
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table, read

FIRST = "ct.state in {established-related}; => Accept()"


def first_rule(*chains: str, policy: str = "accept", kind: str = "filter", **base: str) -> str:
    """Return the base chain's first rule afterwards."""
    text = f"chain prerouting {{ type {kind} hook prerouting priority -150; policy {policy}; {base['rules']}; }}"
    before = only_table("table bridge fw {\n" + "\n".join([*chains, text]) + "\n}\n")
    after = established_first(before)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert established_first(after) == after
    return print_rule(after.chains[-1].rules[0])


FAMILY = "chain family { ct state invalid drop; ct state established,related accept; iifname t1 drop; }"


def test_what_a_called_chain_lets_through_goes_first() -> None:
    assert first_rule(FAMILY, rules="ether type ip jump family; ether type ip6 goto family") == FIRST


def test_through_a_map() -> None:
    assert first_rule(FAMILY, rules="ether type vmap { ip : jump family, ip6 : goto family }") == FIRST


@pytest.mark.parametrize(
    "rules",
    [
        "ip saddr 10.0.0.1 drop; jump family",
        'tcp dport 1 log prefix "x"; jump family',
        "ct mark set 1; jump family",
        "jump family; tcp dport 9 drop",
        "ct state established queue; jump family",
        "ct state established limit rate 5/second accept; jump family",
    ],
)
def test_whatever_else_is_done_to_one_of_them_keeps_them_waiting(rules: str) -> None:
    some = FAMILY.replace("ct state established,related accept", "ct state established,related tcp dport 1-100 accept")
    chain = some if rules.startswith("jump") else FAMILY
    assert first_rule(chain, rules=rules) != FIRST


def test_what_invalid_and_new_packets_meet_does_not_matter() -> None:
    rules = 'ct state new log prefix "new"; ct state invalid counter drop; jump family'
    assert first_rule(FAMILY, rules=rules) == FIRST


def test_chains_that_never_ask_for_the_state_are_left_alone() -> None:
    assert first_rule(rules="tcp dport 22 accept; udp dport 1 accept") != FIRST


def test_it_is_not_said_twice() -> None:
    assert first_rule(rules="accept; ct state established accept") == "=> Accept()"


def test_a_chain_that_drops_by_policy_is_left_alone() -> None:
    assert first_rule(FAMILY, policy="drop", rules="ether type ip jump family") != FIRST


def test_as_a_pass() -> None:
    base = "chain prerouting { type filter hook prerouting priority -150; policy accept; ether type ip jump family; }"
    ruleset = read(f"table bridge fw {{\n{FAMILY}\n{base}\n}}\n")
    found = PASS.run(ruleset).ruleset
    assert found != ruleset
    assert PASS.run(found).ruleset is found
