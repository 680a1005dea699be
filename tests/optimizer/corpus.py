"""Real dumps of a Proxmox node as tables, and what is known of packets at each kind of hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.walk import flat_steps
from fwtrans.read import read_inputs
from fwtrans.source import Origin, SourceFile
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Ruleset, Table

ORIGIN = Origin(SourceFile("test", ""), 1)
_CORPUS = SHARED / "pve-corpus"
NODES = tuple(sorted(path.name for path in _CORPUS.iterdir() if path.name != "s200")) if _CORPUS.exists() else ()
"""The nodes of the corpus, the largest aside; none where the corpus is missing, which the fixture `shared` says."""
FIREWALLED = NameSet.prefix("fwln")


def pve_ruleset(shared: Path, name: str, *, family: str = "") -> Ruleset:
    """Return the tables of a directory of the corpus."""
    folder = shared / "pve-corpus" / name
    dumps = {"": ("iptables-save", "ip6tables-save"), "ip": ("iptables-save",), "ip6": ("ip6tables-save",)}[family]
    paths = [folder / file for file in (*dumps, "ipset-save")]
    sink = DiagnosticSink()
    reading = read_inputs(
        read_paths([str(path) for path in paths if path.read_text().strip()], sink), sink, FileAccess()
    )
    assert reading is not None, sink
    assert not sink.errors
    return reading.ruleset


def pve_table(shared: Path, name: str, family: str = "ip") -> Table:
    """Return the table of one family."""
    return pve_ruleset(shared, name, family=family).tables[0]


def guest_ports(table: Table) -> NameSet:
    """Return the ports that the ruleset names."""
    return NameSet.exact(*sorted(set(_names(table))))


def _names(table: Table) -> Iterator[str]:
    for chain in table.chains:
        for rule in chain.rules:
            for step in flat_steps(rule.steps):
                if isinstance(step, FieldTest) and step.field in {known.PORT_IN, known.PORT_OUT}:
                    assert isinstance(step.values, NameSet)
                    yield from (pattern.text for pattern in step.values.patterns if not pattern.is_prefix)


def bridged_facts(port_in: ValueSet, port_out: ValueSet, bridge: NameSet) -> dict[Field, ValueSet]:
    """Return what is known of a packet that a bridge forwards from port to port."""
    return {
        known.PORT_IN: port_in,
        known.PORT_OUT: port_out,
        known.BRIDGED: IntervalSet.single(1, 1),
        known.IIFNAME: bridge,
        known.OIFNAME: bridge,
    }


def hops(table: Table) -> dict[str, dict[Field, ValueSet]]:
    """Return the facts of the hops of a bridged packet: out of a guest, between bridges, into a guest."""
    guests, inner = guest_ports(table), NameSet.prefix("fwbr")
    outside = FIREWALLED.union(guests).complement().difference(NameSet.exact(""))
    return {
        "out": bridged_facts(guests, FIREWALLED, inner),
        "middle": bridged_facts(outside, outside, inner.complement()),
        "in": bridged_facts(FIREWALLED, guests, inner),
    }
