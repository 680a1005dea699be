"""Tests that nft's text says by itself: they go where something else says the same, and stay where nothing does."""

from __future__ import annotations

import pytest

from fwtrans.ir.match import FieldTest
from fwtrans.optimizer.as_read import with_protocols_named
from fwtrans.optimizer.fold import PASS as FOLD
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import read
from tests.optimizer.texts import printed, rules_of

TRACKED = "ct state established accept"


def folded(chains: str, *, base: str, family: str = "bridge") -> str:
    head = "type filter hook forward priority 5; policy accept;"
    before = read(f"table {family} t {{ {chains} chain forward {{ {head} {base}; }} }}\n")
    after = FOLD.run(before).ruleset
    assert compare(before, after).equal
    assert FOLD.run(after).ruleset == after
    return printed(after)


ANSWERING = "chain answer { ip saddr 10.0.0.1 drop; reject with tcp reset; ip saddr 10.0.0.2 drop; } "
ANSWERING += "chain other { reject with icmp port-unreachable; ip daddr 10.0.0.3 drop; }"
WAYS = "ether type ip meta l4proto tcp ip daddr {} goto {}"


def test_whom_an_answer_is_for_is_known_from_all_ways() -> None:
    """So nothing comes past the answer: the rule behind it goes with the next round, as for one caller."""
    ways = "; ".join(WAYS.format(f"10.1.0.{number}", "answer") for number in (1, 2))
    (table,) = FOLD.run(read(_forward(ANSWERING, ways))).ruleset.tables
    found = table.chain("answer")
    assert found is not None
    assert not found.rules[1].steps


def test_whom_an_answer_is_for_stays_where_one_way_does_not_know() -> None:
    ways = WAYS.format("10.1.0.1", "answer") + "; ip daddr 10.1.0.2 goto answer"
    (table,) = FOLD.run(read(_forward(ANSWERING, ways))).ruleset.tables
    found = table.chain("answer")
    assert found is not None
    assert found.rules[1].steps


def test_a_family_is_known_from_all_ways() -> None:
    ways = "; ".join(WAYS.format(f"10.1.0.{number}", "other") for number in (1, 2))
    (table,) = FOLD.run(read(_forward(ANSWERING, ways))).ruleset.tables
    found = table.chain("other")
    assert found is not None
    assert not found.rules[0].steps


def _forward(chains: str, ways: str) -> str:
    head = "type filter hook forward priority 5; policy accept;"
    return f"table bridge t {{ {chains} chain forward {{ {head} {TRACKED}; {ways}; }} }}\n"


@pytest.mark.parametrize(("family", "asked_by_nft"), [("ip6", []), ("inet", ["nfproto"]), ("bridge", ["ether.type"])])
def test_the_protocol_of_a_header_is_named(family: str, asked_by_nft: list[str]) -> None:
    text = f"table {family} t {{ chain forward {{ type filter hook forward priority 5; icmpv6 type 133 drop; }} }}\n"
    before = read(text)
    after = with_protocols_named(before)
    ((rule,),) = ([chain.rules[0] for chain in table.chains] for table in after.tables)
    asked = [step.field.name for step in rule.steps if isinstance(step, FieldTest)]
    assert asked == [*asked_by_nft, "l4proto", "icmp6.type"]
    assert compare(before, after).equal
    assert printed(after) == printed(before)
    assert with_protocols_named(after) == after


def test_the_protocol_is_not_named_behind_what_a_rule_does_or_where_ports_are() -> None:
    text = folded("", base='log prefix "x" icmpv6 type 133 drop; tcp flags syn th dport 22 drop')
    assert len(rules_of(text)) == 2
    before = read(text)
    assert with_protocols_named(before) == before
