"""Look-ups and gotos that only lead on go, and packets end where they ended."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.optimizer.short_ways import PASS
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import read
from tests.optimizer.proofs import assert_safe_everywhere
from tests.semantics.rulesets import random_ruleset

MAPS = """
map user-by-first { type ifname . inet_proto : verdict; elements = { "t1" . tcp : goto web, "t1" . icmp : accept } }
map user-by-second { type ifname : verdict; elements = { "t1" : drop, "t2" : goto web } }
chain web { tcp dport 80 accept; meta l4proto udp accept; drop; }
"""
LOOK_UPS = "iifname . meta l4proto vmap @user-by-first; iifname vmap @user-by-second"


def shortened(*chains: str, base: str, policy: str = "accept") -> dict[str, list[str]]:
    """Return the rules of all chains, proved."""
    hook = f"chain forward {{ type filter hook forward priority 5; policy {policy}; ct state established accept; {base}; }}"
    before = read("\n".join(["table bridge fw {", *chains, hook, "}", ""]))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
    return {chain.name: [print_rule(rule) for rule in chain.rules] for table in after.tables for chain in table.chains}


def elements_of(*chains: str, base: str) -> set[tuple[object, ...]]:
    hook = f"chain forward {{ type filter hook forward priority 5; policy accept; {base}; }}"
    before = read("\n".join(["table bridge fw {", *chains, hook, "}", ""]))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    found = next(item for item in after.tables[0].maps if item.name == "user-by-first")
    return {(str(key[0]), key[1][0]) for key in (element.key for element in found.elements)}


def test_protocols_find_in_the_first_map_what_the_second_has() -> None:
    found = elements_of(MAPS, f"chain user {{ {LOOK_UPS}; }}", base="ether type ip goto user")
    assert {protocol for _, protocol in found} == {1, 6, 17}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("maps", "rules"),
    [
        (MAPS.replace('"t2" : goto web', '"t2" : jump web'), LOOK_UPS),
        (MAPS, "iifname . meta l4proto vmap @user-by-first; tcp dport 1 drop; iifname vmap @user-by-second"),
        (MAPS, "iifname . meta l4proto vmap @user-by-first; ip saddr 10.0.0.1 iifname vmap @user-by-second"),
        (MAPS, f"{LOOK_UPS}; ct mark 1 iifname . meta l4proto vmap @user-by-first"),
        (MAPS, "iifname vmap @user-by-second; iifname . meta l4proto vmap @user-by-first"),
        (MAPS.replace('"t2" : goto web', '"t*" : goto web'), LOOK_UPS),
    ],
)
def test_elements_stay_as_they_are(maps: str, rules: str) -> None:
    assert len(elements_of(maps, f"chain user {{ {rules}; }}", base="ether type ip goto user")) == 2


LAST = "chain last { iifname vmap @user-by-second; oifname vmap @user-by-second-2; }"
SECOND = 'map user-by-second-2 { type ifname : verdict; elements = { "t7" : drop } }'


def test_a_short_chain_stands_where_others_go_to_it() -> None:
    users = "chain a { tcp dport 1 drop; goto last; } chain b { udp dport 2 drop; goto last; }"
    found = shortened(MAPS, SECOND, LAST, users, base="ether type ip goto a; ether type ip6 goto b")
    assert len(found["a"]) == len(found["b"]) == 3
    assert "last" not in found


def test_short_chains_behind_short_chains() -> None:
    chains = [
        "chain c { ip daddr 10.0.0.9 accept; ip daddr 10.0.0.8 drop; }",
        "chain b { ip saddr 10.0.0.7 drop; goto c; }",
        "chain a { ip saddr 10.0.0.6 drop; goto b; }",
        "chain a2 { ip saddr 10.0.0.5 drop; goto b; }",
    ]
    found = shortened(
        *chains, base='iifname "t1" goto a; iifname "t2" goto a2; iifname "t3" goto b; iifname "t4" goto c'
    )
    assert [len(found[name]) for name in ("a", "a2", "b", "c")] == [4, 4, 3, 2]


def test_a_count_of_connections_of_several_callers_stays_one() -> None:
    chains = (MAPS, "chain helpers { ct count over 20 iifname vmap @user-by-second; }")
    users = [f"chain user{number} {{ jump helpers; ip saddr 10.0.0.{number} drop; accept; }}" for number in (1, 2)]
    found = shortened(*chains, *users, base='iifname "t1" goto user1; iifname "t2" goto user2')
    assert "helpers" in found


def test_a_map_that_somebody_made_stays_as_it_is() -> None:
    rules, maps = (text.replace("user-by-", "their-") for text in (LOOK_UPS, MAPS))
    hook = f"chain forward {{ type filter hook forward priority 5; policy accept; {rules}; }}"
    before = read(f"table bridge fw {{\n{maps}\n{hook}\n}}\n")
    assert PASS.run(before).ruleset is before


def test_what_several_rules_lead_to_stays_a_chain() -> None:
    user = "chain a { tcp dport 1 goto last; udp dport 5 drop; goto last; }"
    assert "last" in shortened(MAPS, SECOND, LAST, user, base="ether type ip goto a")


def test_a_limit_of_several_callers_stays_one() -> None:
    last = "chain last { limit rate 5/second accept; drop; }"
    users = "chain a { tcp dport 1 drop; goto last; } chain b { udp dport 2 drop; goto last; }"
    assert "last" in shortened(last, users, base="ether type ip goto a; ether type ip6 goto b")


HELPERS = """
map helpers-by-port { type inet_proto . inet_service : verdict; elements = { tcp . 21 : goto ftp, udp . 69 : goto tftp } }
chain ftp { meta mark set 1; } chain tftp { meta mark set 2; }
chain helpers { meta l4proto . th dport vmap @helpers-by-port; }
"""


def test_a_look_up_stands_in_the_place_of_its_call() -> None:
    users = "chain a { jump helpers; tcp dport 80 drop; } chain b { udp dport 2 drop; meta l4proto . th dport vmap @helpers-by-port; }"
    found = shortened(HELPERS, users, base="ether type ip goto a; ether type ip6 goto b")
    assert "Dispatch" in found["a"][0]
    assert "helpers" not in found


@pytest.mark.parametrize(
    "users",
    [
        "chain a { jump helpers; tcp dport 80 drop; } chain b { meta l4proto . th dport vmap @helpers-by-port; udp dport 2 drop; }",
        "chain a { ip saddr 10.0.0.1 jump helpers; tcp dport 80 drop; } chain b { udp dport 2 drop; }",
    ],
)
def test_a_look_up_that_others_need_as_it_is_stays(users: str) -> None:
    assert "helpers" in shortened(HELPERS, users, base="ether type ip goto a; ether type ip6 goto b")


def test_accepting_at_the_end_is_said_once() -> None:
    user = "chain a { tcp dport 1 drop; udp dport 5 accept; }"
    assert len(shortened(user, base="ether type ip goto a; drop")["a"]) == 1
    assert len(shortened(user, base="ether type ip jump a; drop")["a"]) == 2
    assert len(shortened(user, base="ether type ip goto a", policy="drop")["a"]) == 2
    logged = 'chain a { tcp dport 1 drop; udp dport 5 log prefix "x" accept; }'
    assert len(shortened(logged, base="ether type ip goto a")["a"]) == 2


def test_behind_the_last_rule_of_a_base_chain_is_its_end() -> None:
    user = "chain a { tcp dport 1 drop; udp dport 5 accept; }"
    assert len(shortened(user, base="udp dport 7 drop; ether type ip jump a")["a"]) == 1
    assert len(shortened(user, base="ether type ip jump a; udp dport 7 drop")["a"]) == 2
    assert len(shortened(user, base="ether type ip jump a", policy="drop")["a"]) == 2
    between = "chain b { jump a; udp dport 9 drop; }"
    assert len(shortened(user, between, base="ether type ip jump b")["a"]) == 2


def test_where_one_way_comes_back_accepting_stays() -> None:
    users = "chain a { tcp dport 1 drop; udp dport 5 accept; } chain b { tcp dport 9 goto a; }"
    assert len(shortened(users, base="ether type ip6 jump b; ether type ip goto a; drop")["a"]) == 2


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    assert_safe_everywhere(lambda before: PASS.run(before).ruleset, random_ruleset(Random(seed)))  # noqa: S311 -- a seed makes failures repeatable


def targets_of_first(*chains: str) -> set[str]:
    hook = "chain forward { type filter hook forward priority 5; policy accept; iifname . meta l4proto vmap @user-by-first; }"
    maps = "\n".join(line for line in MAPS.splitlines() if not line.startswith("chain web"))
    before = read("\n".join(["table bridge fw {", maps, *chains, hook, "}", ""]))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
    found = next(item for item in after.tables[0].maps if item.name == "user-by-first")
    return {element.value.chain for element in found.elements if isinstance(element.value, (Jump, Goto))}


@pytest.mark.parametrize("verdict", ["goto", "jump"])
def test_an_element_leads_where_the_chain_leads_that_it_went_to(verdict: str) -> None:
    detour = f"chain web {{ {verdict} server; }} chain server {{ tcp dport 80 accept; meta l4proto udp accept; drop; }}"
    assert targets_of_first(detour) == {"server"}


def test_an_element_of_a_chain_that_asks_first_stays() -> None:
    server = "chain server { tcp dport 80 accept; meta l4proto udp accept; drop; }"
    assert targets_of_first("chain web { ip saddr 10.0.0.1 goto server; }", server) == {"web"}
