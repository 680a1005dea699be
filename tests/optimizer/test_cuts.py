"""Long runs become a search that decides the same, in fewer steps, and no bigger than allowed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.fields import NFPROTO, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.ruleset import Hook
from fwtrans.optimizer import cuts, fronts
from fwtrans.optimizer.clauses import Clause, Clauses
from fwtrans.optimizer.search_nodes import Cut
from fwtrans.optimizer.size import size_of
from fwtrans.optimizer.steps import hook_costs
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.packet import HookVisit
from tests.optimizer.flat_lists import LISTS, packet_of
from tests.optimizer.texts import after, assert_equal, assert_loads, in_forward, printed, read_nft, rules_of

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset


def steps(ruleset: Ruleset) -> int:
    return max(cost.worst.steps for cost in hook_costs(ruleset))


@pytest.mark.parametrize("kind", ["acl", "firewall", "hard"])
@pytest.mark.parametrize("seed", [1, 2])
def test_lists_are_cut_and_proved(kind: str, seed: int) -> None:
    before = read_nft(LISTS.ruleset(LISTS.entries(kind, 300, seed)))
    found = cuts.PASS.run(before).ruleset
    assert_equal(before, found)
    assert steps(found) < steps(before) / 2
    assert size_of(found).entries <= cuts.MOST_GROWTH * size_of(before).entries
    text = printed(found)
    assert_equal(before, read_nft(text))
    assert_loads(text)


def test_exact_tuples_take_four_steps_at_most() -> None:
    before = read_nft(LISTS.ruleset(LISTS.entries("tuples", 400)))
    found = cuts.PASS.run(before).ruleset
    assert_equal(before, found)
    assert steps(found) <= 4
    assert size_of(found).entries <= size_of(before).entries + 2


def test_short_runs_stay() -> None:
    rules = [f"ip saddr 10.0.{n}.0/24 drop" for n in range(cuts.SHORTEST - 1)]
    assert rules_of(after(cuts.PASS, in_forward(*rules[: cuts.SHORTEST_LIST - 1]))) == rules[: cuts.SHORTEST_LIST - 1]
    with_more = ['log prefix "x"', *rules]
    assert rules_of(after(cuts.PASS, in_forward(*with_more))) == with_more


def test_a_short_chain_that_is_nothing_but_a_list_is_cut() -> None:
    rules = [f"ip saddr 10.0.{n}.0/24 tcp dport {n} accept" for n in range(cuts.SHORTEST_LIST)]
    before = read_nft(in_forward(*rules))
    found = cuts.PASS.run(before).ruleset
    assert_equal(before, found)
    assert steps(found) == 1


def test_a_rule_that_goes_on_ends_a_run() -> None:
    rules = [f"ip saddr 10.0.{n}.0/24 drop" for n in range(40)]
    found = rules_of(after(cuts.PASS, in_forward(*rules, 'log prefix "x"', *rules)))
    assert found.count('log prefix "x"') == 1
    assert len(found) < 10


def test_a_run_that_would_only_grow_is_left() -> None:
    rules = [f'iifname != "tap{n}" meta mark {n} drop' for n in range(40)]
    text = in_forward(*rules)
    assert cuts.PASS.run(read_nft(text)).ruleset == read_nft(text)


def test_a_rule_of_several_ranges_does_not_come_back_whole() -> None:
    """A part that is shadowed stayed out, and came back where the other parts were printed as the whole rule."""
    rules = [
        'iifname "eth0" drop',
        *(f'iifname {{ "eth0", "tap{n}" }} ip saddr 10.0.0.{n} tcp dport {{ 22, 443 }} accept' for n in range(40)),
        *(f'iifname "tap{n}" ip saddr 10.0.0.0/8 drop' for n in range(40)),
    ]
    before = read_nft(in_forward(*rules))
    found = cuts.PASS.run(before).ruleset
    assert found != before
    assert_equal(before, found)


def test_neighbouring_interfaces_of_one_verdict_stay_two_elements() -> None:
    rules = [f'iifname "tap{n}" ip daddr 10.0.0.{n % 3} drop' for n in range(60)]
    before = read_nft(in_forward(*rules, 'iifname "eth0" accept'))
    assert_equal(before, cuts.PASS.run(before).ruleset)


def _clauses(text: str) -> list[Clause]:
    (table,) = read_nft(text).tables
    clauses = Clauses(table)
    return [clauses.of(rule) for rule in table.chains[0].rules]


@pytest.mark.parametrize("kind", ["acl", "firewall", "hard", "tuples"])
def test_no_packet_takes_more_steps_than_before(kind: str) -> None:
    """One packet for each rule: where it stands early, its few steps are not to become more."""
    listed = LISTS.entries(kind, 300, 3)
    before = read_nft(LISTS.ruleset(listed))
    after_ = cuts.PASS.run(before).ruleset
    assert after_ != before
    visit = HookVisit(Family.IP, Hook.FORWARD)
    for number, entry in enumerate(listed):
        packet = packet_of(entry)
        old, new = evaluate(before, visit, packet), evaluate(after_, visit, packet)
        assert new.decision is old.decision
        assert new.steps <= old.steps, number


@pytest.mark.parametrize(("kind", "count"), [("acl", 60), ("acl", 700), ("firewall", 120), ("hard", 60)])
def test_lists_of_all_lengths_take_no_packet_more_steps(kind: str, count: int) -> None:
    listed = LISTS.entries(kind, count, 5)
    before = read_nft(LISTS.ruleset(listed))
    found = cuts.PASS.run(before).ruleset
    visit = HookVisit(Family.IP, Hook.FORWARD)
    for number, (entry, other) in enumerate(pairwise(listed)):
        for mixed in (entry, entry._replace(target=other.target)):
            packet = packet_of(mixed)
            assert evaluate(found, visit, packet).steps <= evaluate(before, visit, packet).steps, number


def test_two_first_rules_are_found_in_one_hash_under_masks() -> None:
    first = [
        "ip saddr 10.1.0.0/16 ip daddr 10.9.0.1 tcp dport 22 accept",
        "ip saddr 10.2.0.0/24 tcp dport 25 drop",
        "ip saddr 10.3.7.0/24 ip daddr 10.9.0.2 udp dport 53 drop",
    ]
    clauses = _clauses(in_forward(*first))
    found = fronts.front(clauses, {NFPROTO: IntervalSet.values(8, (2,))}, 1)
    assert found is None  # a /16 and a /24 under one mask would be 256 elements
    clauses = _clauses(in_forward(first[0].replace("/16", "/22"), *first[1:]))
    found = fronts.front(clauses, {NFPROTO: IntervalSet.values(8, (2,))}, 1)
    assert found is not None
    count, node = found
    assert (count, node.steps) == (3, 2)
    assert isinstance(node, Cut)
    assert node.masks == (0xFFFFFF00, None, None, None)
    assert len(node.branches) == 5


def test_a_worst_packet_passes_no_big_map_of_concatenated_intervals() -> None:
    """They take the kernel longer than a tree of one field's intervals, once there are hundreds."""
    found = cuts.PASS.run(read_nft(LISTS.ruleset(LISTS.entries("acl", 1000), last="accept"))).ruleset
    (table,) = found.tables
    for item in table.maps:
        ranges = any(low != high for element in item.elements for low, high in element.key)
        assert not ranges or len(item.fields) == 1 or len(item.elements) < 16, item.name
