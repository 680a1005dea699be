"""`fwtrans optimize` and maps that programs fill: what is put in later means the same in the result as in the input.

What was there when the ruleset was optimised is today's content and no more: nothing may rest on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import Settings
from fwtrans.optimizing import optimize_texts
from fwtrans.source import SourceFile
from fwtrans.verify import verify_sides
from tests.test_optimize_any_statement import Nothing, loads, optimized

if TYPE_CHECKING:
    from pathlib import Path

HOOK = "type filter hook input priority filter; policy drop;"
# each: what is declared, the rules of the base chain, and what a program puts in or takes out later
CASES = {
    "an empty verdict map": (
        "map ports { type inet_service : verdict; }",
        "tcp dport vmap @ports",
        "add element inet t ports { 80 : accept }",
    ),
    "an element that no packet finds today": (
        "map hosts { type ipv4_addr : verdict; elements = { 192.0.2.1 : drop, 192.0.2.2 : accept } }",
        "ip saddr 192.0.2.1 accept\n\t\tip saddr vmap @hosts",
        "delete element inet t hosts { 192.0.2.1 }",
    ),
    "a chain that more keys will lead to": (
        "map ports { type inet_service : verdict; elements = { 22 : jump limited } }",
        "tcp dport vmap @ports\n\t\taccept",
        "add element inet t ports { 23 : jump limited }",
    ),
    "empty, and called as a pass might call it": (
        "map access-by-mac { type ether_addr : verdict; }",
        "ether saddr vmap @access-by-mac",
        "add element inet t access-by-mac { 02:00:00:00:00:01 : accept }",
    ),
    "two maps that are alike today": (
        "map a { type ipv4_addr : mark; }\n\tmap b { type ipv4_addr : mark; }",
        "meta mark set ip saddr map @a\n\t\tmeta mark set ip daddr map @b\n\t\tmeta mark 7 accept",
        "add element inet t a { 192.0.2.1 : 7 }",
    ),
    "two verdict maps that are alike today": (
        "map a { type ipv4_addr : verdict; }\n\tmap b { type ipv4_addr : verdict; }",
        "ip saddr vmap @a\n\t\tip daddr vmap @b",
        "add element inet t b { 192.0.2.1 : accept }",
    ),
    "asked by what a rule writes": (
        'map marks { type mark : verdict; }\n\tmap pairs { type ifname . mark : verdict; elements = { "eth0" . 2 : drop } }',
        "meta mark set 1\n\t\tmeta mark vmap @marks\n\t\tmeta mark set 2\n\t\tmeta mark vmap @marks\n\t\tiifname . meta mark vmap @pairs",
        'add element inet t marks { 1 : accept }\nadd element inet t pairs { "eth1" . 2 : accept }',
    ),
    "asked twice, by other fields": (
        "map hosts { type ipv4_addr : verdict; flags interval; elements = { 192.0.2.0/24 : accept } }",
        "ip saddr vmap @hosts\n\t\tip daddr vmap @hosts",
        "add element inet t hosts { 198.51.100.0/24 : drop }",
    ),
    "a map that no rule asks": (
        "map spare { type inet_service : verdict; elements = { 22 : accept } }",
        "tcp dport 25 accept",
        "insert rule inet t c tcp dport vmap @spare",
    ),
    "networks later": (
        "map hosts { type ipv4_addr : verdict; flags interval; }",
        "ip saddr vmap @hosts",
        "add element inet t hosts { 198.51.100.0/24 : accept }",
    ),
    "beside a catch-all": (
        "map services { type inet_service : verdict; elements = { 80 : accept, * : jump limited } }",
        "tcp dport vmap @services\n\t\tudp dport 53 accept",
        "add element inet t services { 9 : accept }",
    ),
    "beside a catch-all of several fields": (
        "map pairs { type ipv4_addr . inet_service : verdict; flags interval; elements = { 192.0.2.1 . 5-6 : accept, * : drop } }",
        "ip daddr . tcp dport vmap @pairs\n\t\tudp dport 53 accept",
        "add element inet t pairs { 192.0.2.1 . 9 : accept }",
    ),
    "the last rule of a chain that accepts": (
        "map ports { type inet_service : verdict; elements = { 22 : accept } }",
        "jump open\n\t\taccept",
        "add element inet t ports { 23 : drop }",
    ),
}  # fmt: skip
# what is put in changes nothing that packets see
UNSEEN = {"an element that no packet finds today"}
CHAINS = """	chain limited {
		tcp dport 22 accept
		ip saddr 192.0.2.9 accept
		drop
	}
	chain open {
		ip saddr 192.0.2.7 accept
		tcp dport vmap @%s
	}
"""


def ruleset(declared: str, rules: str) -> str:
    chains = CHAINS % declared.split()[1] if {"limited", "open"} & set(re.findall(r"\w+", declared + rules)) else ""
    chain = f"\tchain c {{\n\t\t{HOOK}\n\t\t{rules}\n\t}}\n"
    return f"table inet t {{\n\t{declared}\n{chains}{chain}}}\n"


@pytest.mark.netns
@pytest.mark.parametrize("name", CASES)
def test_what_is_put_in_later_means_the_same(name: str, tmp_path: Path) -> None:
    declared, rules, later = CASES[name]
    before = ruleset(declared, rules)
    after = optimized(before)
    assert optimized(after) == after
    for text in (before, after, f"{before}{later}\n", f"{after}{later}\n"):
        assert loads(text, tmp_path), text
    assert is_equal(before, after)
    assert is_equal(before, f"{before}{later}\n") == (name in UNSEEN)
    assert is_equal(f"{before}{later}\n", f"{after}{later}\n"), after


def is_equal(before: str, after: str) -> bool:
    sink = DiagnosticSink()
    found = verify_sides(
        (SourceFile("before.nft", before),), (SourceFile("after.nft", after),), sink, Nothing()
    )  # fmt: skip
    assert found is not None, [error.message for error in sink.errors]
    return found.comparison.equal and not found.comparison.undecided


@pytest.mark.netns
def test_what_is_declared_of_a_map_stays(tmp_path: Path) -> None:
    elements = '1.1.1.1 counter packets 1 bytes 2 comment "x" : drop, 10.0.0.0/8 counter packets 0 bytes 0 : accept'
    hosts = f'type ipv4_addr : verdict; flags interval; counter; size 100; comment "mine"; elements = {{ {elements} }}'
    ports = 'type inet_service : verdict; flags timeout; timeout 1h; elements = { 22 timeout 5m comment "y" : accept }'
    before = ruleset(f"map hosts {{ {hosts} }}\n\tmap p {{ {ports} }}", "ip saddr vmap @hosts\n\t\ttcp dport vmap @p")
    after = optimized(before)
    for words in (
        "size 100", "flags interval", "counter\n", 'comment "mine"', "flags timeout", "timeout 1h\n",
        '1.1.1.1 counter packets 1 bytes 2 comment "x" : drop', "10.0.0.0/8 counter : accept", '22 timeout 5m comment "y" : accept',
    ):  # fmt: skip
        assert words in after
    assert optimized(after) == after
    assert loads(after, tmp_path), after


def test_a_map_whose_chains_have_gone_is_not_made_up() -> None:
    declared = "map spare { type inet_service : verdict; elements = { 22 : jump alone } }"
    alone = "chain alone {\n\t\tip saddr 192.0.2.1 drop\n\t}"
    sink = DiagnosticSink()
    source = SourceFile("host.nft", ruleset(f"{declared}\n\t{alone}", "tcp dport 25 accept"))
    after = optimize_texts([source], Settings(), sink, Nothing()).output
    assert "tcp dport 25 accept" in after
    assert "spare" not in after
    assert "alone" not in after
    assert [(item.code, "spare" in item.message) for item in sink.found] == [("FWT206", True)]


def test_a_set_that_merges_goes_on_merging() -> None:
    block = "set block { type ipv4_addr; flags interval; auto-merge; elements = { 192.0.2.0/24 } }"
    catch_all = 'map m { type inet_service : verdict; elements = { 22 : accept, * comment "rest" : drop } }'
    after = optimized(ruleset(f"{block}\n\t{catch_all}", "ip saddr @block drop\n\t\ttcp dport vmap @m"))
    assert "auto-merge\n" in after
    assert '* comment "rest" : drop' in after
    assert optimized(after) == after


@pytest.mark.netns
@pytest.mark.parametrize("last", ["tcp dport 22 accept", "reject", "accept", "jump refuse", "tcp dport 22 return", ""])
def test_a_chain_that_is_emptied_stays_closed(last: str, tmp_path: Path) -> None:
    """Where rules end every packet's way nobody meets the policy, until somebody takes the rules out."""
    refuse = "chain refuse {\n\t\tmeta l4proto tcp reject with tcp reset\n\t\treject\n\t}"
    before = ruleset(refuse, f"ip saddr 192.0.2.1 accept\n\t\t{last}")
    after = optimized(before)
    assert "policy drop;" in after, after
    assert optimized(after) == after
    assert loads(after, tmp_path), after
    assert is_equal(before, after)
