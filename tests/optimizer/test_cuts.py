"""Long runs become a search that decides the same, in fewer steps, and no bigger than allowed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.optimizer import cuts
from fwtrans.optimizer.size import size_of
from fwtrans.optimizer.steps import hook_costs
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.packet import HookVisit, Packet
from tests.optimizer.texts import after, assert_equal, assert_loads, in_forward, printed, read_nft, rules_of
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from types import ModuleType

    from fwtrans.ir.ruleset import Ruleset


def _lists() -> ModuleType:
    """Return the bench's generator: bench/ is no package."""
    spec = importlib.util.spec_from_file_location("bench_lists", REPOSITORY / "bench" / "lists.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LISTS = _lists()


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
    assert rules_of(after(cuts.PASS, in_forward(*rules))) == rules


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


def _packet(entry: Any) -> Packet:
    """Return a packet that the entry's rule takes, if no earlier one does."""
    protocols = {"tcp": 6, "udp": 17, "icmp": 1, "": 47}
    values = {
        known.NFPROTO: 2, known.ETHER_PROTOCOL: 0x800, known.HAS_CONNTRACK: 1, known.CT_STATE: 3,
        known.IP_SADDR: int(LISTS.first_address(entry.source)), known.IP_DADDR: int(LISTS.first_address(entry.target)),
        known.L4PROTO: protocols[entry.protocol],
    }  # fmt: skip
    if entry.protocol in {"tcp", "udp"}:
        values |= {known.HAS_TRANSPORT: 1, known.SPORT: entry.from_ports[0], known.DPORT: entry.to_ports[0]}
    return Packet(values)


@pytest.mark.parametrize("kind", ["acl", "firewall", "hard", "tuples"])
def test_no_packet_takes_more_steps_than_before(kind: str) -> None:
    """One packet for each rule: where it stands early, its few steps are not to become more."""
    listed = LISTS.entries(kind, 300, 3)
    before = read_nft(LISTS.ruleset(listed))
    after_ = cuts.PASS.run(before).ruleset
    assert after_ != before
    visit = HookVisit(Family.IP, Hook.FORWARD)
    for number, entry in enumerate(listed):
        packet = _packet(entry)
        old, new = evaluate(before, visit, packet), evaluate(after_, visit, packet)
        assert new.decision is old.decision
        assert new.steps <= old.steps, number
