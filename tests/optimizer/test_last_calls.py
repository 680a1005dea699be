"""What is called in front of a last verdict stands in the place of both, and packets end where they ended."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.last_calls import PASS
from tests.optimizer.guests import read
from tests.optimizer.marked_rulesets import random_marked_table
from tests.optimizer.proofs import assert_safe_everywhere, proved_change
from tests.semantics.rulesets import random_ruleset

ARP = "chain arp { arp saddr ip 10.0.0.1 return; arp operation reply return; drop; }"
CALLING = "chain user { ether saddr 02:00:00:00:00:01 drop; ether type arp jump arp; accept; }"


def changed(*chains: str, base: str = 'iifname "t1" jump user; drop') -> dict[str, int] | None:
    """Return how many rules the chains have, proved; None where nothing has changed."""
    hook = f"chain forward {{ type filter hook forward priority 5; policy accept; {base}; }}"
    after = proved_change(PASS, read("\n".join(["table bridge fw {", *chains, hook, "}", ""])))
    return None if after is None else {chain.name: len(chain.rules) for chain in after.tables[0].chains}


def test_a_chain_takes_the_place_of_its_call() -> None:
    assert changed(ARP, CALLING) == {"user": 5, "forward": 2}


def test_what_comes_back_over_the_end_meets_the_verdict() -> None:
    assert changed("chain arp { arp saddr ip 10.0.0.1 return; arp operation reply drop; }", CALLING) == {
        "user": 5,
        "forward": 2,
    }


def test_calls_within_calls() -> None:
    inner = "chain inner { arp saddr ip 10.0.0.2 return; drop; }"
    arp = "chain arp { arp operation reply drop; ether type arp jump inner; accept; }"
    assert changed(inner, arp, CALLING) == {"user": 6, "forward": 2}


@pytest.mark.parametrize(
    "chains",
    [
        (ARP, CALLING.replace("accept", "ip protocol tcp accept")),
        (ARP, CALLING.replace("ether type arp", "ip protocol udp")),
        (ARP, CALLING.replace("ether type arp", "ether type arp arp operation request")),
        (
            ARP,
            f"{CALLING} chain other {{ jump arp; }}".replace("chain user {", "chain user { ether type ip6 jump other;"),
        ),
        ("chain more { udp dport 1 drop; }", ARP.replace("return", "goto more"), CALLING),
    ],
    ids=["a verdict for some", "a field that may not be there", "two tests", "two callers", "a goto"],
)
def test_what_stays(chains: tuple[str, ...]) -> None:
    assert changed(*chains) is None


def test_base_chains_stay() -> None:
    assert changed(ARP, base="ether type arp jump arp; drop") is None


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(seed: int) -> None:
    draw = Random(seed)  # noqa: S311 -- a seed makes failures repeatable
    for whole in (random_ruleset(draw), Ruleset((random_marked_table(draw, 1),))):
        assert_safe_everywhere(lambda before: PASS.run(before).ruleset, whole)
