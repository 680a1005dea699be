"""One base chain for each hook where the original had several, and what that saves for established connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Chain, Hook
from fwtrans.ir.verdict import Drop, Jump, Return
from fwtrans.optimizer.bridged.joining import alike, does_nothing, lets_ip_through, never_accepts, returning
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.packet import HookVisit, Packet
from tests.bridged_corpora import node
from tests.optimizer.guests import only_table

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset

FRAMES = """
table bridge fw {
    chain open { ether type ip accept; ether type ip6 accept; ether saddr != 02:00:00:00:00:01 drop; }
    chain half { ether type ip accept; ether saddr != 02:00:00:00:00:01 drop; }
    chain limits { tcp flags syn limit rate over 5/second drop; jump more; }
    chain more { udp dport 53 drop; }
    chain copy { udp dport 53 drop; }
    chain other { udp dport 54 drop; }
    chain calls { ip saddr 10.0.0.1 jump more; }
    chain calls-copy { ip saddr 10.0.0.1 jump copy; }
    chain calls-other { ip saddr 10.0.0.1 jump other; }
}
"""


def test_what_is_asked_of_stages() -> None:
    table = only_table(FRAMES)
    chains: dict[str, Chain] = {chain.name: chain for chain in table.chains}
    assert lets_ip_through(table, "open")
    assert not lets_ip_through(table, "half")
    assert never_accepts(chains, ["limits"])
    assert not never_accepts(chains, ["limits", "half"])
    assert not does_nothing(chains, ["open"])
    assert alike(chains, "calls", "calls-copy")
    assert not alike(chains, "calls", "calls-other")


@pytest.mark.parametrize("name", ["s10", "f-opt-l2"])
def test_a_hook_has_one_chain_for_what_is_judged_there(name: str) -> None:
    (table,) = (table for table in node(name, optimized=True).new.tables if table.family is Family.BRIDGE)
    bases = sorted((chain.base.hook.value, chain.name) for chain in table.chains if chain.base is not None)
    assert bases == [("forward", "in-FORWARD"), ("output", "own-FORWARD"), ("prerouting", "out-FORWARD")]


def established(ruleset: Ruleset, sender: str, receiver: str) -> int:
    """Return the steps of a packet of an established connection between two guests without firewall bridges."""
    packet: dict[Field, int | str] = {
        known.ETHER_TYPE: 0x800, known.ETHER_PROTOCOL: 0x800, known.NFPROTO: 2, known.HAS_VLAN: 0, known.HAS_ETHERNET: 1,
        known.CT_STATE: 1, known.HAS_CONNTRACK: 1, known.CT_MARK: 0, known.MARK: 0, known.L4PROTO: 17, known.IP_FRAGMENT: 0,
        known.HAS_TRANSPORT: 1, known.SPORT: 4000, known.DPORT: 9999, known.IP_SADDR: 0x0A0A0001, known.IP_DADDR: 0x0A0A0002,
        known.ETHER_SADDR: 0x020000000001, known.ETHER_DADDR: 0x020000000002, known.IBRNAME: "vmbr0", known.OBRNAME: "vmbr0",
    }  # fmt: skip
    visits = {Hook.PREROUTING: (sender, ""), Hook.FORWARD: (sender, receiver)}
    return sum(
        evaluate(
            ruleset, HookVisit(Family.BRIDGE, hook), Packet({**packet, known.IIFNAME: iif, known.OIFNAME: oif})
        ).steps
        for hook, (iif, oif) in visits.items()
    )


@pytest.mark.parametrize(("name", "steps"), [("f-opt-l2", 2), ("s10", 3)])
def test_an_established_packet_passes_by_a_rule_at_each_hook(name: str, steps: int) -> None:
    """The node s10 counts SYNs before anything else: TCP without one is second where it comes in, all else where it leaves."""
    assert established(node(name, optimized=True).new, "tap100i0", "tap102i0") == steps


STAGES = """
table bridge fw {
    chain tail { ct state invalid drop; jump own; }
    chain own { ct state established accept; udp dport 53 drop; accept; }
    chain middle { jump own; udp dport 54 drop; }
    chain drops { udp dport 55 drop; }
    chain forward { type filter hook forward priority -190; policy accept; ether type ip jump tail; jump drops; }
    chain other { type filter hook forward priority -180; policy accept; ether type ip jump middle; }
}
"""


def test_what_a_stage_accepts_goes_on_behind_it_where_a_return_leads_there() -> None:
    chains = {chain.name: chain for chain in only_table(STAGES).chains}
    found = returning(chains, chains["forward"])
    assert found is not None
    base, *copies = found
    made = {chain.name: chain for chain in copies}
    assert [rule.verdict for rule in base.rules] == [Jump("tail-on"), Jump("drops")]
    assert [rule.verdict for rule in made["tail-on"].rules] == [Drop(), Jump("own-on")]
    assert [rule.verdict for rule in made["own-on"].rules] == [Return(), Drop(), Return()]


def test_what_is_accepted_in_the_middle_of_a_chain_cannot_go_on() -> None:
    chains = {chain.name: chain for chain in only_table(STAGES).chains}
    assert returning(chains, chains["other"]) is None
