"""What a chain says at its end goes where the same follows; very small maps become rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.idle_ends import without_idle_ends
from fwtrans.optimizer.small_maps import with_few_maps
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.ruleset import Table


def becomes(change: Callable[[Table], Table], text: str) -> dict[str, list[str]]:
    """Return the rules of a table's chains after the change, proved."""
    before = only_table(f"table ip fw {{ {text} }}")
    after = change(before)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert change(after) == after
    return {chain.name: list(map(print_rule, chain.rules)) for chain in after.chains}


FORWARD = "chain forward {{ type filter hook forward priority 0; policy {}; {} }}"


def test_what_a_base_chain_does_anyway_is_not_said_by_chains_that_go_there() -> None:
    found = becomes(
        without_idle_ends,
        """
        map m-by-l4proto { type inet_proto : verdict; elements = { tcp : goto a, udp : goto b, icmp : goto c } }
        chain c { ip saddr 10.0.0.1 accept; accept; }
        chain b { goto c; }
        chain a { th sport 1 drop; th sport 2 accept; accept; }
        """
        + FORWARD.format(
            "accept", "ip saddr 10.0.0.2 accept; ip saddr 10.0.0.3 drop; meta l4proto vmap @m-by-l4proto; "
        ),
    )
    assert set(found) == {"forward", "a"}
    assert len(found["a"]) == 1
    assert len(found["forward"]) == 3


def test_nothing_is_left_of_a_base_chain_that_accepts() -> None:
    text = "chain a { tcp dport 22 accept; accept; } " + FORWARD.format("accept", "ip saddr 10.0.0.1 jump a; accept;")
    assert becomes(without_idle_ends, text) == {"forward": []}


def test_what_stands_behind_a_jump_is_not_said_by_the_chain() -> None:
    text = "chain a { tcp dport 22 accept; udp dport 53 drop; drop; } " + FORWARD.format("accept", "jump a; drop;")
    assert len(becomes(without_idle_ends, text)["a"]) == 1


@pytest.mark.parametrize(
    ("chain", "rules", "policy"),
    [
        ("tcp dport 22 drop; tcp dport 23 accept;", "jump a; ip saddr 10.0.0.1 drop;", "accept"),
        ("tcp dport 22 accept; tcp dport 23 drop;", "ip saddr 10.0.0.1 goto a; ip saddr 10.0.0.2 accept;", "drop"),
        ("tcp dport 22 drop; meta mark set 1 accept;", "goto a;", "accept"),
        ('tcp dport 22 drop; log prefix "x" accept;', "goto a;", "accept"),
        (
            "tcp dport 22 drop; tcp dport 23 accept;",
            "ip saddr 10.0.0.1 jump a; ip saddr 10.0.0.2 goto a; drop;",
            "accept",
        ),
    ],
)
def test_what_else_may_follow_is_kept(chain: str, rules: str, policy: str) -> None:
    before = only_table(f"table ip fw {{ chain a {{ {chain} }} {FORWARD.format(policy, rules)} }}")
    assert without_idle_ends(before) == before


@pytest.mark.parametrize("rules", ["goto a;", "jump a;", "tcp sport 5 accept; udp sport 6 goto a;"])
def test_behind_the_last_rule_of_a_chain_that_drops_stands_a_drop(rules: str) -> None:
    """It is printed as a rule there, and to be seen by whoever reads that."""
    text = (
        f"table ip fw {{ chain a {{ tcp dport 22 accept; tcp dport 23 drop; drop; }} {FORWARD.format('drop', rules)} }}"
    )
    before = only_table(text)
    after = without_idle_ends(before)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    (chain,) = (chain for chain in after.chains if chain.name == "a")
    assert len(chain.rules) == 1
    assert without_idle_ends(after) == after


def test_elements_of_a_map_that_somebody_made_or_that_others_ask_stay() -> None:
    services = "map {} {{ type inet_service : verdict; elements = {{ 22 : accept, 23 : drop }} }} "
    asked = services.format("services") + FORWARD.format("accept", "tcp dport vmap @services;")
    twice = services.format("a-by-th.dport") + FORWARD.format(
        "accept", "tcp dport vmap @a-by-th.dport; udp dport vmap @a-by-th.dport;"
    )
    for text in (asked, twice):
        before = only_table(f"table ip fw {{ {text} }}")
        assert without_idle_ends(before) == before


MAPS = """
    map a-by-l4proto-th.dport { type inet_proto . inet_service : verdict; elements = { ELEMENTS } }
    chain a { ip saddr 10.0.0.1 drop; }
    chain b { ip saddr 10.0.0.2 drop; }
""" + FORWARD.format("accept", "meta l4proto . th dport vmap @a-by-l4proto-th.dport; ip daddr 10.0.0.9 drop;")


@pytest.mark.parametrize(
    ("elements", "rules"),
    [
        ("tcp . 22 : goto a", 2),
        ("tcp . 22 : jump a", 2),
        ("tcp . 22 : goto a, udp . 53 : drop", 3),
        ("tcp . 22 : goto a, udp . 53 : jump b", 3),
    ],
)
def test_a_map_of_few_keys_becomes_rules(elements: str, rules: int) -> None:
    found = becomes(with_few_maps, MAPS.replace("ELEMENTS", elements))
    assert len(found["forward"]) == rules
    assert not any("vmap" in rule or "Dispatch" in rule for rule in found["forward"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ELEMENTS", "tcp . 22 : goto a, udp . 53 : drop, udp . 54 : goto b"),
        ("ELEMENTS", "tcp . 22 : jump a, udp . 53 : jump b"),
        ("a-by-l4proto-th.dport", "services"),
        ("meta l4proto . th dport vmap", "meta mark set 1 meta l4proto . th dport vmap"),
    ],
)
def test_a_map_stays_where_it_is_worth_it_or_somebody_may_fill_it(old: str, new: str) -> None:
    text = MAPS.replace(old, new).replace("ELEMENTS", "tcp . 22 : goto a, udp . 53 : drop")
    before = only_table(f"table ip fw {{ {text} }}")
    assert with_few_maps(before) == before


def test_a_map_that_tells_guests_apart_stays() -> None:
    before = only_table("""
table bridge fw {
    map forward-by-iifname { type ifname : verdict; elements = { "tap100i0" : drop } }
    chain forward { type filter hook forward priority 0; policy accept; iifname vmap @forward-by-iifname; }
}
""")
    assert with_few_maps(before) == before
