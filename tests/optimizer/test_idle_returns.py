"""Returns that keep nothing from happening go, and only those."""

from __future__ import annotations

import pytest

from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.idle_returns import without_idle_returns
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table


def rules_left(rules: str, behind: str = "drop") -> int:
    base = f"chain forward {{ type filter hook forward priority 5; policy accept; jump user; {behind}; }}"
    before = only_table(f"table bridge fw {{\nchain user {{ {rules}; }}\n{base}\n}}\n")
    after = without_idle_returns(before)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert without_idle_returns(after) == after
    return len(after.chains[0].rules)


def test_pves_smurfs() -> None:
    assert rules_left("ip saddr 0.0.0.0 return; ip saddr 224.0.0.0/4 drop; ip saddr 255.255.255.255 drop") == 2


def test_a_return_at_the_end() -> None:
    assert rules_left("tcp dport 1 accept; ip saddr 10.0.0.1 return") == 1
    assert rules_left("tcp dport 1 accept; return") == 1


def test_a_field_is_there_in_packets_of_its_protocol_only() -> None:
    """Whether a rule says so or leaves it to the field, as one that is printed and read again does."""
    assert rules_left("icmpv6 type 135 return; meta l4proto gre accept", behind="accept") == 1
    assert rules_left("meta l4proto ipv6-icmp icmpv6 type 135 return; meta l4proto gre accept", behind="accept") == 1
    assert rules_left("icmpv6 type 135 return; meta l4proto ipv6-icmp accept") == 2


@pytest.mark.parametrize(
    "rules",
    [
        "ip saddr 0.0.0.0 return; ip saddr 0.0.0.0/8 drop",
        "ip saddr 0.0.0.0 return; tcp dport 1 drop",
        'ip saddr 0.0.0.0 log prefix "x" return; ip saddr 1.0.0.0 drop',
        "ip saddr 0.0.0.0 limit rate 1/second return; ip saddr 1.0.0.0 drop",
        "meta mark 1 return; meta mark set 1 meta mark 2 drop",
    ],
)
def test_what_may_matter_stays(rules: str) -> None:
    assert rules_left(rules) == 2


def test_in_a_base_chain_a_return_is_the_policy() -> None:
    base = "chain forward { type filter hook forward priority 5; policy drop; ip saddr 0.0.0.0 return; ip saddr 1.0.0.0 accept; }"
    before = only_table(f"table bridge fw {{\n{base}\n}}\n")
    assert without_idle_returns(before) == before
