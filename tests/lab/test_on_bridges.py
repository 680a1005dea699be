"""Packets between every two endpoints of a Proxmox VE host."""

from __future__ import annotations

from random import Random

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.lab.by_rules import RulesOnBridges
from fwtrans.lab.derive import derive
from fwtrans.lab.on_bridges import OnBridges, of_all_pairs, topology_of
from fwtrans.lab.topology import HOST, GuestNic, PveTopology
from fwtrans.read import read_inputs
from fwtrans.semantics.packet import HookVisit, Packet
from fwtrans.source import SourceFile
from tests.places import FIXTURES

NEUTRON = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:neutron-sg - [0:0]
-A FORWARD -m physdev --physdev-out tap1234567-89 --physdev-is-bridged -j neutron-sg
-A neutron-sg -p tcp -m tcp --dport 22 -j RETURN
-A neutron-sg -m physdev --physdev-in qvo-of-another --physdev-is-bridged -j ACCEPT
-A neutron-sg -j DROP
COMMIT
"""


def test_ports_of_other_systems_are_ports_of_a_bridge() -> None:
    sink = DiagnosticSink()
    reading = read_inputs([SourceFile("iptables-save", NEUTRON)], sink, FileAccess())
    assert reading is not None, sink.errors
    topology = topology_of(reading.ruleset, reading.ruleset, reading.host, with_firewall_bridges=True)
    names = {guest.name for guest in topology.guests}
    assert names >= {"tap1234567-89", "qvo-of-another"}
    assert not any(topology.has_firewall_bridge(guest) for guest in topology.guests)
    derived = derive(reading.ruleset, reading.ruleset, budget=200, realised=OnBridges(topology).realise)
    towards = [item.probe for item in derived if item.probe.target == "tap1234567-89"]
    assert {one.dport == 22 for one in towards} == {True, False}
    assert "qvo-of-another" in {one.source for one in towards}
    rules = RulesOnBridges(reading.ruleset, topology, on_every_bridge=True)
    said = {rules.rule(one, 0) for one in towards if one.source != HOST}
    assert {"iptables-save:9", "iptables-save:8"} <= said


def test_a_packet_for_the_only_guest_comes_from_outside() -> None:
    """Where one guest is all there is, and it is the one that is meant, no other guest can send."""
    topology = PveTopology(guests=(GuestNic(name="tap1-2", bridge="vmbr0", mac="02:00:00:00:00:01", firewalled=False),))
    visit = HookVisit(Family.IP, Hook.FORWARD)
    packet = Packet({known.PORT_OUT: "tap1-2", known.BRIDGED: 1, known.NFPROTO: 2, known.L4PROTO: 17})
    for seed in range(20):
        probe = OnBridges(topology).realise(visit, packet, "1", Random(seed))  # noqa: S311 -- any seed has to do
        assert probe is not None
        assert (probe.source, probe.target) == ("eth0", "tap1-2")


def test_every_two_endpoints_have_a_packet() -> None:
    sink = DiagnosticSink()
    place = FIXTURES / "golden" / "proxmox" / "10-small-node" / "input"
    reading = read_inputs(read_paths([str(place)], sink), sink, FileAccess())
    assert reading is not None, sink.errors
    topology = topology_of(reading.ruleset, reading.ruleset, reading.host, with_firewall_bridges=True)
    derived = derive(reading.ruleset, reading.ruleset, budget=40, realised=OnBridges(topology).realise)
    more = of_all_pairs(topology, derived, Random(1))  # noqa: S311 -- the same in every run
    assert more
    names = {HOST, *(name for name, *_ in topology.endpoints())}
    pairs = [(item.probe.source, item.probe.target) for item in more]
    asked = {(item.probe.source, item.probe.target) for item in derived}
    assert not asked & set(pairs)
    assert asked | set(pairs) >= {(here, there) for here in names for there in names if here != there}
    assert len(pairs) == len(set(pairs))
    assert len({item.probe.id for item in [*derived, *more]}) == len(derived) + len(more)
    assert not any(item.probe.source_address or item.probe.source_mac for item in more)
