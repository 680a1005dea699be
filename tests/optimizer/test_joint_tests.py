"""What few rules turn away is asked at once, and packets for which no field is there find the rules as they were."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.joint_tests import PASS, with_joint_tests
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table, read
from tests.optimizer.proofs import assert_safe_everywhere
from tests.semantics.rulesets import random_ruleset

SETS = "set black { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.3.0.1 } }"
LOGS = 'chain logs { log prefix "flags"; drop; }'
IP = "meta protocol ip meta nfproto ipv4 goto user"
REST = "ct mark set 1; tcp dport 80 accept; drop"


def text_of(rules: str, *chains: str, to: str = "ether type ip goto user", whole: bool = True) -> str:
    tracked = "ct state established accept; " if whole else ""
    base = f"chain forward {{ type filter hook forward priority 5; policy accept; {tracked}{to}; }}"
    return "\n".join(["table bridge fw {", SETS, *chains, f"chain user {{ {rules}; }}", base, "}", ""])


def joined(rules: str, *chains: str, to: str = "ether type ip goto user", whole: bool = True) -> list[list[str]]:
    """Return the rules of the chain and of those made of it, proved, each rule as its tests' fields and its verdict."""
    before = read(text_of(rules, *chains, to=to, whole=whole))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
    (table,) = after.tables
    return [[str(rule.verdict) for rule in chain.rules] for chain in table.chains if chain.name.startswith("user")]


TURNED_AWAY = (
    "ip saddr @black drop; ip saddr 224.0.0.0/4 drop; ip daddr 255.255.255.255 goto logs; ip saddr 0.0.0.0 drop"
)


def test_what_nothing_is_for_passes_one_rule() -> None:
    passed, user = joined(f"{TURNED_AWAY}; {REST}", LOGS)
    assert user == ["Goto(chain='user-passed')", *user[1:5], "Goto(chain='user-passed')"]
    assert len(passed) == 3


def test_rules_for_tcp_are_no_matter_of_others() -> None:
    flags = "tcp flags & (fin | syn) == (fin | syn) drop"
    _, user = joined(f"{TURNED_AWAY}; {flags}; {REST}", LOGS)
    assert user[:2] == ["Goto(chain='user-passed')"] * 2
    assert len(user) == 8


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ("tcp flags & (fin | syn) == (fin | syn) drop", "l4proto in not {6}"),
        ("tcp flags & (fin | syn) == (fin | syn) drop; tcp flags & (syn | rst) == (syn | rst) drop", "tcp.flags in"),
    ],
)
def test_whose_look_ups_are_more_stand_first(flags: str, first: str) -> None:
    before = read(text_of(f"{TURNED_AWAY}; {flags}; {REST}", LOGS))
    (table,) = PASS.run(before).ruleset.tables
    (user,) = (chain for chain in table.chains if chain.name == "user")
    assert first in print_rule(user.rules[0])


def test_an_answer_for_all_others() -> None:
    (user,) = joined(
        "ip saddr @black accept; ip saddr 224.0.0.0/4 accept; ip daddr 255.255.255.255 accept; drop", to=IP
    )
    assert user == ["Drop()", "Accept()"]


def test_where_a_field_may_be_missing_the_rules_are_asked_again() -> None:
    rules = "ip saddr @black accept; ip saddr 224.0.0.0/4 accept; ip daddr 255.255.255.255 accept; drop"
    (user,) = joined(rules, to="meta mark 5 goto user")
    assert len(user) == 6


def test_fragments_without_a_header() -> None:
    rules = "udp sport 53 accept; udp dport 54 accept; udp dport 67 accept; ip saddr 10.0.0.1 accept; drop"
    for whole in (True, False):
        found = joined(rules, to="meta l4proto udp goto user", whole=whole)
        assert found[-1][0] == "Drop()"


def test_what_asks_for_more_is_asked_behind() -> None:
    rules = "ip saddr 10.0.0.1 accept; ip saddr 10.0.0.7 ip daddr 10.0.0.8 accept; ip saddr 10.0.0.3 accept; ip daddr 10.0.0.4 accept; drop"
    answer, user = joined(rules, to=IP)
    assert user == ["Goto(chain='user-answer')", "Accept()"]
    assert answer == ["Accept()", "Drop()"]


@pytest.mark.parametrize(
    "rules",
    [
        f"ip saddr @black drop; ip saddr 224.0.0.0/4 drop; {REST}",
        f"ip saddr @black drop; ip saddr 224.0.0.0/4 accept; ip daddr 255.255.255.255 drop; {REST}",
        f'ip saddr @black drop; ip saddr 224.0.0.0/4 drop; iifname "tap1" drop; {REST}',
        f"ip saddr @black drop; ip saddr 224.0.0.0/4 limit rate 1/second drop; meta mark 1 mark set 2; {REST}",
        f"ip saddr != 10.0.0.0/8 drop; ip daddr != 10.1.0.0/16 drop; ip saddr != 10.0.0.0/8 drop; {REST}",
        "ip saddr 10.0.0.1 drop; ip saddr 10.0.0.3 drop; ip daddr 10.0.0.4 drop; accept",
        "ip saddr 10.0.0.1 accept; ip saddr 10.0.0.3 accept; drop",
        "ip saddr 10.0.0.0/8 accept; ip daddr 11.0.0.0/8 accept; drop",
        "ip saddr 10.0.0.0/8 tcp dport 1 accept; ip saddr 12.0.0.0/8 tcp dport 2 accept; drop",
        "ip saddr 10.0.0.0/8 accept; ip saddr 12.0.0.0/8 drop; accept",
    ],
)
def test_it_declines(rules: str) -> None:
    before = only_table(text_of(rules))
    assert with_joint_tests(before, whole=True) == before


def test_what_no_packet_passes_as_a_whole_is_asked_one_by_one() -> None:
    rules = "ip saddr 1.0.0.0/8 drop; ip6 saddr 2000::/16 drop; ip daddr 224.0.0.0/4 drop; ip6 daddr ff00::/8 drop"
    before = only_table(text_of(f"{rules}; {REST}", to='iifname "tap1" jump user; iifname "tap2" goto user'))
    assert with_joint_tests(before) == before


def test_ranges_of_one_address_are_one_rule() -> None:
    rules = "ip daddr 0.0.0.0-9.0.0.5 drop; ip daddr 224.0.0.0/4 drop; udp dport 1 accept"
    assert joined(rules) == [["Drop()", "Accept()"]]
    rules = "ip saddr 10.0.3.0/24 th dport 5 accept; ip saddr 10.0.0.1 th dport 5 accept; ip saddr 10.0.0.9 th dport 5 accept; drop"
    assert joined(rules) == [["Accept()", "Drop()"]]


def test_a_range_inside_another_goes() -> None:
    (user,) = joined("ip saddr 10.0.0.0/8 drop; ip saddr 10.1.0.0/16 drop; ip saddr 10.2.0.0/16 drop; accept", to=IP)
    assert user == ["Drop()", "Accept()"]


def test_neighbours_that_ask_different_addresses_stay() -> None:
    (user,) = joined("ip saddr 10.0.0.1 drop; ip daddr 10.0.0.2 drop; ip saddr 10.0.0.3 goto logs; accept", LOGS, to=IP)
    assert len(user) == 4


def test_lists_of_other_families_are_left_alone() -> None:
    text = text_of(f"{TURNED_AWAY}; {REST}", LOGS).replace("table bridge", "table ip").replace("ether type ip ", "")
    before = read(text)
    assert PASS.run(before).ruleset is before


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    assert_safe_everywhere(lambda before: PASS.run(before).ruleset, random_ruleset(Random(seed)))  # noqa: S311 -- a seed makes failures repeatable


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), whole=st.booleans())
def test_random_runs_do_the_same(seed: int, whole: bool) -> None:
    draw = Random(seed)  # noqa: S311 -- a seed makes failures repeatable
    tests = [
        "ip saddr @black", "ip saddr 224.0.0.0/4", "ct state new ip saddr 255.255.255.255", "ip daddr != 1.0.0.0/8",
        "tcp flags & (fin | syn) == (fin | syn)", "tcp sport 0 tcp flags syn", "udp dport 53", "th sport 1-1023",
        "ip6 saddr fe80::/10", "meta l4proto icmp", "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1", "ether type arp",
    ]  # fmt: skip
    verdicts = draw.choice([["drop"], ["accept"], ["drop", "goto logs"], ["drop", "accept", "goto logs", "jump logs"]])
    rules = [f"{draw.choice(tests)} {draw.choice(verdicts)}" for _ in range(draw.randint(3, 9))]
    rules.append(draw.choice([REST, "drop", "accept", "goto logs", "tcp dport 1 drop"]))
    to = draw.choice(["ether type ip goto user", "goto user", "meta l4proto tcp jump user", "ct state new goto user"])
    joined("; ".join(rules), LOGS, to=to, whole=whole)


def test_as_a_pass() -> None:
    before = only_table(text_of(f"{TURNED_AWAY}; {REST}", LOGS))
    assert PASS.run(Ruleset((before,))).ruleset != Ruleset((before,))
