"""The dearest packet between two guests over all hooks: exactly, for a node of the corpora, and not by a sample of packets.

The packet that takes the way is given to the concrete evaluator, which must count as many steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.translate import Settings
from tests.bridged_corpora import pve_node, translated
from tests.optimizer.worst_ways import (
    ESTABLISHED,
    NEW,
    Ways,
    between,
    over_firewall_bridges,
    packet_class,
    packet_of,
    steps_of,
)

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table

PORTS = (22, 25, 53, 80, 110, 143, 443, 993, 3306)
OPTIONS = "[OPTIONS]\n\nenable: 1\n"
MACS = (0xBC2411000064, 0xBC2411000065)


def plain_guest(number: int) -> tuple[str, str]:
    """Return a guest with ten plain rules each way, and its card."""
    rules = [f"{side} ACCEPT -p tcp -dport {port}" for side in ("OUT", "IN") for port in PORTS]
    rules += [f"{side} ACCEPT -p udp -dport 5001" for side in ("OUT", "IN")]
    card = f"virtio=BC:24:11:00:00:{number:02X},bridge=vmbr0,firewall=1"
    return f"{OPTIONS}policy_out: DROP\n\n[RULES]\n\n" + "\n".join(rules) + "\n", card


@pytest.fixture(scope="module")
def plain() -> Table:
    """The bridge table of ten such guests."""
    cluster = f"{OPTIONS}\n[ALIASES]\n\nlocal_network 192.0.2.0/24\n"
    sources = pve_node(cluster, OPTIONS, {number: plain_guest(number) for number in range(100, 110)})
    new = translated(sources, Settings(verify=False, optimize=True)).new
    return next(table for table in new.tables if table.family is Family.BRIDGE)


def worst(table: Table, state: int, protocol: int) -> int:
    """Return the most steps of a packet from the first guest to the second."""
    visits = between("tap100i0", "tap101i0")
    way = Ways(table).worst(visits, packet_class(Family.IP, protocol, state, saddr=MACS[0], daddr=MACS[1]))
    assert way is not None
    assert steps_of(table, visits, packet_of(way.facts)) == way.steps
    return way.steps


def test_a_new_packet_between_plain_guests(plain: Table) -> None:
    assert {protocol: worst(plain, NEW, protocol) for protocol in (6, 17, 1)} == {6: 9, 17: 12, 1: 17}


def test_the_last_of_ten_plain_rules_each_way(plain: Table) -> None:
    visits = between("tap100i0", "tap101i0")
    facts = packet_class(Family.IP, 17, NEW, saddr=MACS[0], daddr=MACS[1])
    packet = {**packet_of(facts), known.DPORT: 5001}
    assert steps_of(plain, visits, packet) == 9


def test_an_established_packet_between_plain_guests(plain: Table) -> None:
    assert {protocol: worst(plain, ESTABLISHED, protocol) for protocol in (6, 17, 1)} == {6: 2, 17: 2, 1: 2}


def test_an_established_packet_over_firewall_bridges(plain: Table) -> None:
    """Firewall bridges that are still there are passed by two rules each."""
    visits = over_firewall_bridges("tap100i0", "tap101i0")
    way = Ways(plain).worst(visits, packet_class(Family.IP, 6, ESTABLISHED, saddr=MACS[0], daddr=MACS[1]))
    assert way is not None
    assert way.steps == steps_of(plain, visits, packet_of(way.facts)) == 6
