# ruff: noqa: S311 -- seeds make failures repeatable
"""Packets between all kinds of ends, through iptables' rules hop by hop and through ours, judged by the concrete evaluator.

It shares no code with the proof, nor with the parts that the proof cuts a packet's way into. Ours is asked twice: for
guests that sit on their bridge directly, and for guests that still hang on a firewall bridge while our rules are loaded.
Both must do what iptables does, but for the differences that are named.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.journey import journey, read_end
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.semantics.concrete import Decision
from fwtrans.semantics.packet import HookVisit
from tests.bridged_corpora import node
from tests.semantics.bridged.journeys import ends, over_firewall_bridges, packet, pool_of, travelled

if TYPE_CHECKING:
    from fwtrans.semantics.bridged.journey import End
    from tests.semantics.bridged.journeys import Seen, Values

PAIRS = 300
INVALID = 0


def is_meant(old: Seen, new: Seen, start: End, goal: End, is_own: bool, values: Values) -> bool:
    """Tell whether a difference is one of the named ones: reject-is-drop where nobody can answer, own-invalid-passes."""
    if start.is_host and values[known.CT_STATE] == INVALID:
        return old.decision in {Decision.REJECT, Decision.DROP}
    is_mute = goal.guest is not None and (start.is_host or not is_own)
    return is_mute and (old.decision, new.decision) == (Decision.REJECT, Decision.DROP) and old.logs == new.logs


def judge(name: str, pairs: int, *, optimized: bool = False) -> Counter[str]:
    """Send packets between random pairs of ends; return how each ended."""
    found, source = node(name, optimized=optimized), Random(name)
    pool = pool_of(found)
    own = {**found.host.hardware, **hardware_addresses(found.old)}
    guests = guest_ports(found.old)
    ended: Counter[str] = Counter()
    for number in range(pairs):
        start, goal = ends(source, pool, guests)
        family, values = packet(source, pool, start, goal, own)
        old = travelled(found.old, journey(family, start, goal, by_iptables=True), values, number)
        for hops in (journey(family, start, goal, by_iptables=False), over_firewall_bridges(family, start, goal)):
            new = travelled(found.new, hops, values, number)
            told = (name, number, start, goal, {field.name: value for field, value in values.items()})
            assert new == old or is_meant(
                old, new, start, goal, values.get(known.ETHER_DADDR) == own.get(goal.port), values
            ), (told, old, new)
        ended[old.decision.value] += 1
        ended["logged"] += bool(old.logs)
    return ended


SAMPLE = ("f-addrs", "f-foreign", "f-host-both", "f-host-inv", "f-icmp", "f-ipsets", "f-log-custom", "f-macros", "f-opt-ipf1",
          "f-opt-ips", "f-opt-mac0", "f-opt-ndp0", "f-opt-radv1", "f-pol-accept-reject", "f-pol-reject-accept", "f-protos", "f-sdn")  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_packets_fare_alike_on_a_node_with_one_feature(name: str) -> None:
    ended = judge(name, PAIRS)
    assert ended["accept"] > 5
    assert ended["drop"] > 5


@pytest.mark.parametrize("optimized", [False, True])
def test_packets_fare_alike_on_a_node_with_ten_guests(*, optimized: bool) -> None:
    ended = judge("s10", 1500, optimized=optimized)
    assert all(ended[word] > 20 for word in ("accept", "drop", "reject", "logged")), ended


def test_a_wrong_rule_shows() -> None:
    """The comparison can fail: s10's rules are not those of f-icmp."""
    found, other = node("f-icmp"), node("f-pol-accept-accept")
    source, pool = Random(1), pool_of(found)
    guests, own = guest_ports(found.old), dict[str, int]()
    different = 0
    for number in range(200):
        start, goal = ends(source, pool, guests)
        family, values = packet(source, pool, start, goal, own)
        old = travelled(found.old, journey(family, start, goal, by_iptables=True), values, number)
        new = travelled(other.new, journey(family, start, goal, by_iptables=False), values, number)
        different += not (
            new == old or is_meant(old, new, start, goal, values.get(known.ETHER_DADDR) == own.get(goal.port), values)
        )
    assert different > 10


def test_the_ways_are_those_of_the_kernel() -> None:
    """Guest to guest: three FORWARDs under br_netfilter, one bridge for us, three where firewall bridges are left."""
    guests = guest_ports(node("s10").old)
    start, goal = read_end(guests[0].name, guests), read_end(guests[1].name, guests)
    assert start is not None
    assert goal is not None
    by_iptables = journey(Family.IP, start, goal, by_iptables=True)
    forwards = [dict(hop.known) for hop in by_iptables if hop.visit == HookVisit(Family.IP, Hook.FORWARD)]
    ways = [(values[known.PORT_IN], values[known.PORT_OUT]) for values in forwards]
    a, b = guests[:2]
    assert ways == [(a.name, a.inner), (a.outer, b.outer), (b.inner, b.name)]
    assert [hop.visit.hook for hop in journey(Family.IP, start, goal, by_iptables=False)] == [
        Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING,
    ]  # fmt: skip
    left = over_firewall_bridges(Family.IP, start, goal)
    assert [dict(hop.known)[known.IIFNAME] for hop in left if hop.visit.hook is Hook.FORWARD] == [
        a.name, a.outer, b.inner,
    ]  # fmt: skip
