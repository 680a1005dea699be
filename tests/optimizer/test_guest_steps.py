"""Guests with ten plain rules each way: few steps for a new packet, fewer for an established one, at any number of guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.optimizer import (
    dead,
    dispatch,
    established_first,
    fold,
    idle_returns,
    inlining,
    policy_classes,
    port_dispatch,
    port_key,
    port_lists,
    sets,
    sharing,
    tail_calls,
)
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.packet import HookVisit, Packet
from tests.optimizer.guests import mac, only_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Table

# The order that the passes for guests need: nothing is inlined before guests share their chains, and ports of services are
# looked up last, in what is left of a chain behind the entry.
PASSES = (
    fold.PASS, dead.PASS, idle_returns.PASS, policy_classes.PASS, port_dispatch.PASS, established_first.PASS, port_key.PASS,
    port_lists.PASS, sharing.PASS, tail_calls.PASS, sets.PASS, inlining.PASS, dispatch.PASS,
)  # fmt: skip
PORTS = (22, 25, 53, 80, 110, 143, 443, 993, 3306)


def guest(number: int, version: str) -> Iterator[str]:
    port = f"tap{number}i0"
    client, server = ("68", "67") if version == "ip" else ("546", "547")
    services = [*(f"tcp dport {service} accept" for service in PORTS), "udp dport 5001 accept"]
    router = ["icmpv6 type 134 drop", "icmpv6 type { 133, 135, 136 } accept"] if version == "ip6" else []
    yield f"chain {port}-OUT-{version} {{ ct mark set {number}; udp sport {client} udp dport {server} accept"
    yield from (f"ether saddr != {mac(number)} drop", *router, *services, "drop", "}")
    yield f"chain {port}-IN-{version} {{ ct mark set {number}; udp sport {server} udp dport {client} accept"
    yield from (*router[1:], *services, "jump policy", "drop", "}")


def plain(count: int) -> Table:
    numbers = range(100, 100 + count)
    lines = [
        "table bridge fw {",
        "chain smurfs { ip saddr 0.0.0.0 return; ip saddr { 10.0.0.255, 224.0.0.0/4 } drop; }",
    ]
    lines += ["chain policy { icmp type 11 accept; ct state invalid drop; tcp flags & (fin|syn|rst|ack) != syn drop; }"]
    lines += [line for number in numbers for version in ("ip", "ip6") for line in guest(number, version)]
    names = ", ".join(f'"tap{number}i0"' for number in numbers)
    for side, name, hook in (("OUT", "iifname", "prerouting"), ("IN", "oifname", "postrouting")):
        for version in ("ip", "ip6"):
            lines += [f"chain {side}-{version} {{", "ct state invalid drop", "ct state established,related accept"]
            lines += ["ct state new jump smurfs"] if (side, version) == ("IN", "ip") else []
            lines += [*(f'{name} "tap{number}i0" jump tap{number}i0-{side}-{version}' for number in numbers), "}"]
        lines += [f"chain {hook} {{ type filter hook {hook} priority -150; policy accept"]
        lines += [f"ether type {version} {name} {{ {names} }} jump {side}-{version}" for version in ("ip", "ip6")] + [
            "}"
        ]
    return only_table("\n".join([*lines, "}", ""]))


def optimised(table: Table) -> Table:
    ruleset = Ruleset((table,))
    for step in PASSES:
        ruleset = step.run(ruleset).ruleset
    return ruleset.tables[0]


def steps(table: Table, sender: str, receiver: str, state: int) -> int:
    """Return the steps of a guest's packet to another guest, for the last of both guests' rules."""
    packet: dict[Field, int | str] = {
        known.ETHER_TYPE: 0x800, known.ETHER_PROTOCOL: 0x800, known.NFPROTO: 2, known.HAS_VLAN: 0, known.HAS_ETHERNET: 1,
        known.CT_STATE: state, known.HAS_CONNTRACK: 1, known.CT_MARK: 0, known.MARK: 0, known.L4PROTO: 17,
        known.HAS_TRANSPORT: 1, known.SPORT: 4000, known.DPORT: 5001, known.IP_SADDR: 0x0A0A0001, known.IP_DADDR: 0x0A0A0002,
        known.ETHER_SADDR: int(mac(100).replace(":", ""), 16), known.IIFNAME: "", known.OIFNAME: "",
    }  # fmt: skip
    total = 0
    for hook, field, port in ((Hook.PREROUTING, known.IIFNAME, sender), (Hook.POSTROUTING, known.OIFNAME, receiver)):
        outcome = evaluate(Ruleset((table,)), HookVisit(Family.BRIDGE, hook), Packet({**packet, field: port}))
        total += outcome.steps
    return total


def test_a_new_packet_takes_at_most_ten_steps_and_an_established_one_three() -> None:
    before = plain(10)
    after = optimised(before)
    assert steps(before, "tap100i0", "tap109i0", 3) > 40
    assert steps(after, "tap100i0", "tap109i0", 3) <= 10
    assert steps(after, "tap100i0", "tap109i0", 1) <= 3
    assert compare(Ruleset((before,)), Ruleset((after,))).equal


def test_one_more_guest_or_many_change_elements_only() -> None:
    few = optimised(plain(10))
    for count in (11, 80):
        many = optimised(plain(count))
        assert many.chains == few.chains
        assert [item.name for item in many.maps] == [item.name for item in few.maps]
        assert [item.name for item in many.sets] == [item.name for item in few.sets]


def test_a_second_run_changes_nothing() -> None:
    once = optimised(plain(12))
    assert optimised(once) == once
