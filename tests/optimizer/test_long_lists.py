"""Long lists of all styles through all passes: proved, no packet takes more steps, at most four times as big, and they load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern
from fwtrans.ir.ruleset import Hook
from fwtrans.optimize import Settings, optimize_ruleset
from fwtrans.optimizer import cuts, dead, fold
from fwtrans.optimizer.service_search import PASS as SERVICE_SEARCH
from fwtrans.optimizer.size import size_of
from fwtrans.optimizer.steps import hook_costs
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.packet import HookVisit
from tests.optimizer.flat_lists import LISTS, packet_of, ruleset_of
from tests.optimizer.texts import assert_loads, printed, read_nft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.optimizer.clauses import Clause
    from fwtrans.optimizer.search_nodes import Node

KINDS = ("acl", "firewall", "hard", "tuples")
_VISIT = HookVisit(Family.IP, Hook.FORWARD)


@settings(max_examples=25)
@example("firewall", 30, 5061)  # two keys of a cut became rules, one step more than the list
@given(st.sampled_from(KINDS), st.integers(24, 300), st.integers(0, 2**32 - 1))
def test_no_packet_takes_more_steps_and_no_list_grows_beyond_its_limit(kind: str, count: int, seed: int) -> None:
    listed = LISTS.entries(kind, count, seed)
    before = read_nft(LISTS.ruleset(listed))
    (table,) = dead.PASS.run(fold.PASS.run(before).ruleset).ruleset.tables
    assume(len(table.chains[0].rules) > cuts.SHORTEST)
    found = optimize_ruleset(before)
    assert not found.refused
    assert found.size_after.entries <= cuts.MOST_GROWTH * found.size_before.entries
    worst = max(item.worst.steps for item in found.costs_after)
    assert worst <= max(item.worst.steps for item in found.costs_before)
    for number, entry in enumerate(listed):
        other = listed[number * 7 % count]
        for mixed in (
            entry,
            entry._replace(target=other.target),
            entry._replace(source=other.source),
            entry._replace(protocol=other.protocol, from_ports=other.from_ports, to_ports=other.to_ports),
        ):
            packet = packet_of(mixed)
            old, new = evaluate(before, _VISIT, packet), evaluate(found.ruleset, _VISIT, packet)
            assert new.decision is old.decision
            assert new.steps <= min(old.steps, worst), (number, mixed)


@settings(max_examples=60)
@example("hard", 4, 639310, "drop")  # the rules for one port said no more than the end, and were passed by all others
@example("tuples", 6, 806969, "drop")  # elements of a map that said what the rule behind it says were taken away
@example("tuples", 8, 735706, "accept")  # a map of two keys became two rules
@example("hard", 26, 215834, "drop")
@given(st.sampled_from(KINDS), st.integers(2, 30), st.integers(0, 2**32 - 1), st.sampled_from(("accept", "drop")))
def test_no_packet_takes_more_steps_than_in_a_short_list(kind: str, count: int, seed: int, last: str) -> None:
    listed = LISTS.entries(kind, count, seed)
    before = read_nft(LISTS.ruleset(listed, last=last))
    found = optimize_ruleset(before)
    assert not found.refused
    for entry in listed:
        for other in listed:
            packet = packet_of(
                entry._replace(protocol=other.protocol, from_ports=other.from_ports, to_ports=other.to_ports)
            )
            old, new = evaluate(before, _VISIT, packet), evaluate(found.ruleset, _VISIT, packet)
            assert new.decision is old.decision
            assert new.steps <= old.steps, (entry, other)


def test_twenty_thousand_rules_take_few_steps_as_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a third of the room, and without the forms that lose, to be quick: 20,001 steps before."""
    listed = LISTS.entries("acl", 20_000)
    before = dead.PASS.run(ruleset_of(listed)).ruleset
    monkeypatch.setattr(cuts, "_candidates", _tree_only)
    found = cuts.sized(1.25, 20_000).run(before).ruleset
    (cost,) = hook_costs(found)
    assert size_of(before).entries > 3900
    assert size_of(found).entries <= 25_000
    assert cost.worst.steps <= 64
    for entry in listed[::2000]:
        packet = packet_of(entry)
        old, new = evaluate(before, _VISIT, packet), evaluate(found, _VISIT, packet)
        assert new.decision is old.decision
        assert new.steps <= min(old.steps, cost.worst.steps)


def _tree_only(run: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, *, at_end: bool) -> Iterator[Node]:
    tree = cuts._tree(run, always, most, at_end=at_end)
    assert tree is not None
    yield tree


def test_a_tree_of_more_than_a_few_dozen_steps_is_left_for_no_slow_map() -> None:
    """With 26 steps a map of 425 concatenated intervals was taken, at 20,000 rules one of 4,159 that takes 13 microseconds."""
    before = dead.PASS.run(ruleset_of(LISTS.entries("acl", 5000))).ruleset
    (table,) = cuts.sized(2, 5001).run(before).ruleset.tables
    ranged = [
        len(item.elements)
        for item in table.maps
        if len(item.fields) > 1 and any(low != high for element in item.elements for low, high in element.key)
    ]
    assert max(ranged, default=0) < 16


def test_who_gives_more_room_than_by_default_gets_fewer_steps() -> None:
    """A tree would be quicker by the table of costs, and take 47 steps."""
    before = ruleset_of(LISTS.entries("firewall", 1500))
    found = cuts.sized(10, 1501).run(before).ruleset
    (cost,) = hook_costs(found)
    assert cost.worst.steps <= 30
    assert size_of(found).entries <= 15_010


def test_parts_of_the_space_end_at_round_numbers() -> None:
    """The kernel keeps a bit for each prefix of a range: where parts ended as rules do, an element had 25."""
    (table,) = cuts.sized().run(ruleset_of(LISTS.entries("hard", 300, 3))).ruleset.tables
    (item,) = (item for item in table.maps if len(item.fields) == 5)
    prefixes = 0
    for element in item.elements:
        for wanted, part in zip(item.fields, element.key, strict=True):
            assert not isinstance(part, NamePattern)
            prefixes += len(IntervalSet(wanted.width, (part,)).prefixes())
    assert prefixes <= 18 * len(item.elements)


@pytest.mark.netns
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_thirty_two_lists_load(kind: str, seed: int) -> None:
    text = LISTS.ruleset(LISTS.entries(kind, 30 + 35 * seed, seed))
    assert_loads(printed(optimize_ruleset(read_nft(text), Settings(verify=False)).ruleset))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_list_became_is_left_when_it_is_optimised_again(kind: str) -> None:
    once = optimize_ruleset(read_nft(LISTS.ruleset(LISTS.entries(kind, 200, 5))), Settings(verify=False)).ruleset
    again = read_nft(printed(once))
    assert printed(optimize_ruleset(again, Settings(verify=False)).ruleset) == printed(once)


def test_a_list_of_exact_tuples_is_not_searched_by_service() -> None:
    """It would be parted by protocol and port only, for ten steps where three are enough."""
    before = read_nft(LISTS.ruleset(LISTS.entries("tuples", 300)))
    assert SERVICE_SEARCH.run(before).ruleset == before
    found = optimize_ruleset(before, Settings(verify=False))
    assert max(item.worst.steps for item in found.costs_after) <= 4


def test_rules_behind_a_map_of_ranges_that_somebody_wrote_are_cut() -> None:
    rules = "\n".join(f"ip saddr 10.{number}.0.0/16 tcp dport {number + 1} accept" for number in range(90))
    text = f"""table ip t {{
 chain lan {{
  {rules}
 }}
 chain forward {{
  type filter hook forward priority 0; policy drop;
  ip daddr vmap {{ 10.0.0.0/8 : goto lan, 192.168.0.0/16 : drop }}
 }}
}}
"""
    found = optimize_ruleset(read_nft(text))
    assert not found.refused
    assert max(item.worst.steps for item in found.costs_after) <= 4


def test_a_result_that_would_be_too_big_is_left() -> None:
    before = read_nft(LISTS.ruleset(LISTS.entries("firewall", 150, 2)))
    found = optimize_ruleset(before, Settings(verify=False, size_factor=1.5))
    assert found.size_after.entries <= 1.5 * found.size_before.entries


@pytest.mark.parametrize(("kind", "count", "seed"), [("acl", 20, 1903737354), ("hard", 40, 2287466916)])
def test_more_room_never_costs_the_search(kind: str, count: int, seed: int) -> None:
    """The form of fewest steps was not worth its time, and none was made, though another one was."""
    before = read_nft(LISTS.ruleset(LISTS.entries(kind, count, seed)))
    worst = [
        max(item.worst.steps for item in optimize_ruleset(before, Settings(size_factor=factor)).costs_after)
        for factor in (4, 5, 16)
    ]
    assert max(worst) <= worst[0]
