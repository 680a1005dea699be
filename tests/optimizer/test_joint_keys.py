"""What a guest must have in two sets under its port is asked in one; where that is not the same, both are asked."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.match import MemberTest
from fwtrans.optimizer.joint_keys import PASS, with_joint_keys
from fwtrans.optimizer.live_sets import held, live_sets
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table, read
from tests.optimizer.proofs import assert_safe_everywhere
from tests.semantics.rulesets import random_ruleset

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

# The names of sets that are written inside a rule: nobody changes them.
SETS = """
    set __mac { type ifname . ether_addr; elements = {
        "tap1" . 02:00:00:00:00:01, "tap2" . 02:00:00:00:00:02, "tap3" . 02:00:00:00:00:03 } }
    set __ipv4 { type ifname . ipv4_addr; elements = { "tap1" . 10.0.0.1, "tap1" . 10.0.0.7, "tap2" . 10.0.0.2 } }
    set __net { type ifname . ipv4_addr; elements = { "tap1" . 10.0.0.0, "tap2" . 10.0.1.0 } }
    set __range { type ifname . ipv4_addr; flags interval; elements = { "tap1" . 10.0.0.0/24 } }
    set __many { type ifname . ether_addr; elements = { ELEMENTS } }
    set iif-ipv4 { type ifname . ipv4_addr; elements = { "tap1" . 10.0.0.1 } }
"""
MANY = ", ".join(f'"tap1" . 02:00:00:00:01:{number:02x}' for number in range(20))
BASE = "chain out {{ type filter hook prerouting priority 5; policy accept; ct state established accept; {}; }}"
MAC, IP = "iifname . ether saddr != @__mac drop", "iifname . ip saddr != @__ipv4 drop"


def text_of(rules: str, to: str = "ether type ip goto guest") -> str:
    return f"table bridge fw {{ {SETS.replace('ELEMENTS', MANY)} chain guest {{ {rules}; }} {BASE.format(to)} }}"


def joined(rules: str) -> list[tuple[str, int]]:
    """Return the verdicts of the chain's rules with how many fields each looks up, proved."""
    before = read(text_of(rules))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
    (guest,) = (chain for chain in after.tables[0].chains if chain.name == "guest")
    return [
        (str(rule.verdict), sum(len(step.key) for step in rule.steps if isinstance(step, MemberTest)))
        for rule in guest.rules
    ]


def test_both_addresses_are_one_look_up() -> None:
    assert joined(f"{MAC}; {IP}; tcp dport 22 accept; drop") == [("Drop()", 3), ("Accept()", 0), ("Drop()", 0)]


def test_whatever_else_drops_stands_behind() -> None:
    found = joined(f"{IP}; icmp type 5 drop; {MAC}; accept")
    assert found == [("Drop()", 3), ("Drop()", 0), ("Accept()", 0)]


def test_a_network_is_asked_as_it_was() -> None:
    net = "iifname . ip saddr & 255.255.255.0 != @__net drop"
    assert joined(f"{MAC}; {net}; accept") == [("Drop()", 3), ("Accept()", 0)]


def test_ports_of_one_set_alone_have_no_element() -> None:
    table = with_joint_keys(only_table(text_of(f"{MAC}; {IP}; accept")))
    assert {item.name: len(item.elements) for item in table.sets} == {"__mac-__ipv4": 3}


@pytest.mark.parametrize(
    ("rules", "to"),
    [
        (f"{MAC}; {IP}; accept", "goto guest"),  # ARP has no such address, and passes the second rule
        (f"{MAC}; tcp dport 22 accept; {IP}; accept", "ether type ip goto guest"),
        (f'{MAC}; tcp dport 22 log prefix "x" drop; {IP}; accept', "ether type ip goto guest"),
        (f"{MAC}; iifname . ip saddr @__ipv4 drop; accept", "ether type ip goto guest"),
        (f"{MAC}; iifname . ip saddr != @__range drop; accept", "ether type ip goto guest"),
        (f"{MAC}; iifname . ip saddr != @iif-ipv4 drop; accept", "ether type ip goto guest"),
        (f"iifname . ether saddr != @__many drop; {IP}; accept", "ether type ip goto guest"),
        (f"{MAC}; oifname . ip saddr != @__ipv4 drop; accept", "ether type ip goto guest"),
    ],
)
def test_it_declines(rules: str, to: str) -> None:
    before = held_as_others_may_change(read(text_of(rules, to)))
    assert PASS.run(before).ruleset is before


def held_as_others_may_change(ruleset: Ruleset) -> Ruleset:
    return held(ruleset, live_sets(ruleset))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    assert_safe_everywhere(lambda before: PASS.run(before).ruleset, random_ruleset(Random(seed)))  # noqa: S311 -- a seed makes failures repeatable


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_filters_do_the_same(seed: int) -> None:
    draw = Random(seed)  # noqa: S311 -- a seed makes failures repeatable
    rules = [
        MAC, IP, "iifname . ip saddr & 255.255.255.0 != @__net drop", "iifname . ether saddr != @__many drop",
        "iifname . arp saddr ip != @__ipv4 drop", "ip daddr 224.0.0.0/4 drop", "tcp dport 22 accept", "ct mark set 7",
    ]  # fmt: skip
    to = draw.choice(["ether type ip goto guest", "goto guest", "ether type arp jump guest"])
    before = read(text_of("; ".join(draw.choices(rules, k=6)), to))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
