"""Leaves that go on as their callers do, look-ups that find nothing, and short chains for new connections."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer import missed_maps, new_calls, same_ends
from tests.optimizer.guests import read
from tests.optimizer.marked_rulesets import random_marked_table
from tests.optimizer.proofs import assert_safe_everywhere, proved_change
from tests.semantics.rulesets import random_ruleset

if TYPE_CHECKING:
    from fwtrans.optimizer.base import Pass


def chains_of(item: Pass, body: str, family: str = "ip") -> dict[str, list[str]] | None:
    """Return what the chains of a table say after a pass, proved; None where nothing has changed."""
    found = proved_change(item, read(f"table {family} t {{ {body} }}"))
    return (
        None if found is None else {chain.name: list(map(print_rule, chain.rules)) for chain in found.tables[0].chains}
    )


def base(rules: str, hook: str = "input") -> str:
    return f"chain base {{ type filter hook {hook} priority 0; policy accept; {rules}; }}"


# --- leaves that go on as their callers do ---

END = "ip saddr 10.0.0.1 drop; meta mark set 1"
LEAF = f"chain leaf {{ icmp type echo-request drop; {END}; }}"


def by_protocol(elements: str = "icmp : goto leaf", name: str = "c-by-l4proto") -> str:
    return f"map {name} {{ type inet_proto : verdict; elements = {{ {elements} }}; }}"


CALLER = f"chain caller {{ meta l4proto vmap @c-by-l4proto; {END}; }}"
TO_CALLER = base("iifname a jump caller; drop")


@pytest.mark.parametrize(
    "body",
    [
        f"{LEAF} {by_protocol()} {CALLER} {TO_CALLER}",
        f"{LEAF} chain caller {{ meta l4proto icmp goto leaf; {END}; }} {TO_CALLER}",
    ],
    ids=["an element", "a goto"],
)
def test_a_leaf_that_goes_on_as_its_caller_does(body: str) -> None:
    found = chains_of(same_ends.PASS, body)
    assert found is not None
    assert found.keys() == {"caller", "base"}
    assert len(found["caller"]) == 3
    assert found["caller"][0] == "l4proto in {1}; icmp.type in {echo-request}; => Drop()"


@pytest.mark.parametrize(
    "body",
    [
        f"{LEAF} {by_protocol()} {CALLER} {base('iifname a jump caller; iifname b jump leaf; drop')}",
        f"{LEAF} {by_protocol()} {CALLER} {base('iifname a jump caller; meta l4proto vmap @c-by-l4proto; drop')}",
        f"{LEAF} {by_protocol('icmp : goto leaf, tcp : drop')} {CALLER} {TO_CALLER}",
        f"{LEAF} {by_protocol('icmp : jump leaf')} {CALLER} {TO_CALLER}",
        f"{LEAF} {by_protocol(name='theirs')} {CALLER.replace('c-by-l4proto', 'theirs')} {TO_CALLER}",
        f"{LEAF.replace('drop;', 'drop; udp dport 5 drop;', 1)} {by_protocol()} {CALLER} {TO_CALLER}",
        f"{LEAF.replace('10.0.0.1', '10.0.0.2')} {by_protocol()} {CALLER} {TO_CALLER}",
        f"{LEAF} {by_protocol()} {CALLER.replace('meta l4proto vmap', 'limit rate 1/second meta l4proto vmap')} {TO_CALLER}",
    ],
    ids=[
        "a caller more",
        "a look-up more",
        "two elements",
        "a jump",
        "their map",
        "two rules",
        "another end",
        "a limit",
    ],
)
def test_leaves_that_stay(body: str) -> None:
    assert chains_of(same_ends.PASS, body) is None


# --- look-ups that find nothing ---

PORTS = "map p-by-port { type inet_proto . inet_service : verdict; elements = { tcp . 43 : goto b }; }"
ASK = "meta l4proto . th dport vmap @p-by-port"
TARGET = "chain b { ip saddr 10.0.0.9 drop; }"


def test_a_look_up_that_finds_nothing_goes() -> None:
    body = f"{PORTS} {TARGET} chain a {{ th sport 1 drop; {ASK}; }} {base(f'meta l4proto udp goto a; {ASK}')}"
    found = chains_of(missed_maps.PASS, body)
    assert found is not None
    assert [len(rules) for rules in found.values()] == [1, 1, 2]


def test_what_a_set_holds_is_known_behind_it() -> None:
    of_type = "set s { typeof ether type . oifname; elements = { ip . t1, ip . t2 }; }"
    asked = "map m-by-type { typeof ether type . ip daddr : verdict; elements = { ip6 . 10.0.0.1 : drop }; }"
    body = f"{of_type} {asked} chain a {{ udp dport 1 drop; ether type . ip daddr vmap @m-by-type; }}"
    found = chains_of(missed_maps.PASS, f"{body} {base('ether type . oifname @s jump a', 'forward')}", "bridge")
    assert found is not None
    assert [len(rules) for rules in found.values()] == [1, 1]


@pytest.mark.parametrize(
    "body",
    [
        f"{PORTS} {TARGET} chain a {{ {ASK}; }} {base('meta l4proto udp goto a; meta l4proto tcp goto a')}",
        f"{PORTS} {TARGET} chain a {{ {ASK}; }} {base('meta l4proto udp goto a')}".replace("p-by-port", "theirs"),
        f"{PORTS} {TARGET} chain a {{ limit rate 1/second {ASK}; }} {base('meta l4proto udp goto a')}",
    ],
    ids=["another way", "their map", "a limit"],
)
def test_look_ups_that_stay(body: str) -> None:
    assert chains_of(missed_maps.PASS, body) is None


# --- short chains for new connections ---

FIRST = "ct state established,related accept; ct state invalid drop"
SMURFS = "chain s { ip saddr 0.0.0.0 return; fib saddr type broadcast drop; ip saddr 224.0.0.0/4 drop; }"
NEW = "ct state new jump s; tcp dport 1 drop"


def test_a_short_chain_for_new_connections() -> None:
    found = chains_of(new_calls.PASS, f"{SMURFS} {base(f'{FIRST}; {NEW}')}")
    assert found is not None
    assert found.keys() == {"base"}
    assert len(found["base"]) == 5


@pytest.mark.parametrize(
    "body",
    [
        f"{SMURFS} {base(f'ct state invalid drop; {NEW}')}",
        f"{SMURFS} {base(f'{FIRST}; {NEW}; udp dport 2 jump s')}",
        f"{SMURFS} {base(f'{FIRST}; {NEW}'.replace('new', 'new ip ttl 3'))}",
        f"{SMURFS.replace('ip saddr 0.0.0.0', 'tcp dport 4')} {base(f'{FIRST}; {NEW}')}",
        f"{SMURFS.replace('ip saddr 0.0.0.0 return', 'ip saddr 0.0.0.0 drop')} {base(f'{FIRST}; {NEW}')}",
        f"{SMURFS.replace('drop;', 'limit rate 1/second drop;')} {base(f'{FIRST}; {NEW}')}",
        f"{SMURFS} {base(f'{FIRST}; {NEW}; udp dport 2 notrack', 'prerouting')}",
    ],
    ids=["established", "a caller more", "a test more", "a port", "three rules", "a limit", "notrack"],
)
def test_calls_that_stay(body: str) -> None:
    assert chains_of(new_calls.PASS, body) is None


def test_ipv6_has_packets_that_are_not_tracked() -> None:
    chain = "chain s { ip6 saddr ::1 drop; ip6 saddr ff00::/8 drop; }"
    assert chains_of(new_calls.PASS, f"{chain} {base(f'{FIRST}; {NEW}')}", "ip6") is None


@pytest.mark.parametrize("item", [same_ends.PASS, missed_maps.PASS, new_calls.PASS], ids=lambda item: item.name)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_random_rulesets_do_the_same(item: Pass, seed: int) -> None:
    draw = Random(seed)  # noqa: S311 -- a seed makes failures repeatable
    for whole in (random_ruleset(draw), Ruleset((random_marked_table(draw, 1),))):
        assert_safe_everywhere(lambda before: item.run(before).ruleset, whole)
