"""Rules for states that no packet has where they stand go, and no others."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_rule
from fwtrans.optimizer.known_states import PASS
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import read
from tests.optimizer.proofs import assert_safe_everywhere
from tests.semantics.rulesets import random_ruleset

FIRST = "ct state established,related accept"
CHAIN = f"chain in {{ {FIRST}; ct state invalid drop; tcp dport 22 drop; }}"
MAP = 'map ports { type ifname : verdict; elements = { "t1" : jump in, "t2" : goto in } }'


def rules_of(name: str, *chains: str, base: str, other: str = "") -> list[str]:
    """Return what a chain says after the pass, proved."""
    hooks = f"chain a {{ type filter hook forward priority 5; {base}; }} chain b {{ type filter hook output priority 5; {other} }}"
    before = read(" ".join(["table bridge fw {", MAP, *chains, hooks, "}"]))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    assert PASS.run(after).ruleset is after
    return [print_rule(rule) for chain in after.tables[0].chains if chain.name == name for rule in chain.rules]


@pytest.mark.parametrize(
    ("base", "other", "count"),
    [
        (f"{FIRST}; oifname vmap @ports; tcp dport 1 goto in", "", 2),
        (f"{FIRST}; ct state invalid drop; oifname vmap @ports", "", 1),
        ("ct state new oifname vmap @ports", "", 1),
        (f"{FIRST}; oifname vmap @ports", f"{FIRST}; oifname vmap @ports;", 2),
        (f"{FIRST}; oifname vmap @ports", "oifname vmap @ports;", 3),
        (f"tcp dport 1 {FIRST}; oifname vmap @ports", "", 3),
        ("ct state established,related jump others; oifname vmap @ports", "", 3),
        ("ct state established accept; oifname vmap @ports", "", 3),
    ],
    ids=["accepted", "two", "asked", "both-ways", "other-way", "some", "comes-back", "related-is-left"],
)
def test_rules_that_are_left(base: str, other: str, count: int) -> None:
    others = "chain others { udp dport 53 drop; }"
    assert len(rules_of("in", CHAIN, others, base=base, other=other)) == count


def test_what_only_such_rules_lead_to_goes_too() -> None:
    chains = "chain in { ct state established jump known; udp dport 1 drop; } chain known { tcp dport 2 drop; }"
    assert not rules_of("known", chains, base=f"{FIRST}; oifname vmap @ports")


def test_an_effect_before_the_test_stays() -> None:
    chain = "chain in { meta mark set 1 ct state established accept; }"
    assert len(rules_of("in", chain, base=f"{FIRST}; oifname vmap @ports")) == 1


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    assert_safe_everywhere(lambda before: PASS.run(before).ruleset, random_ruleset(Random(seed)))  # noqa: S311 -- a seed makes failures repeatable
