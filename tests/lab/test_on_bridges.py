"""Packets between every two endpoints of a Proxmox VE host."""

from __future__ import annotations

from random import Random

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.derive import derive
from fwtrans.lab.on_bridges import OnBridges, of_all_pairs, topology_of
from fwtrans.lab.topology import HOST
from fwtrans.read import read_inputs
from tests.places import FIXTURES


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
