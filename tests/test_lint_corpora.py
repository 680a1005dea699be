"""Real dumps: what is told of their rules is proved by taking them away, and a node of 14,000 rules takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.verdict import Jump
from fwtrans.read import read_inputs
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.shadowing import FindingKind, lint
from tests.semantics.test_shadowing import key, without

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.ir.ruleset import Ruleset

FILES = ("iptables-save", "ip6tables-save", "ipset-save")
DEAD = {FindingKind.SHADOWED, FindingKind.NEVER_MATCHES}


def corpus(shared: Path, name: str) -> Ruleset:
    folder = shared / "pve-corpus" / name
    sink = DiagnosticSink()
    reading = read_inputs(read_paths([str(folder / file) for file in FILES], sink), sink, FileAccess())
    assert reading is not None
    assert not sink.errors
    return reading.ruleset


@pytest.mark.parametrize("name", ["f-macros", "f-log-custom", "f-host-both", "s10", "s50"])
def test_what_is_told_of_a_dump_may_be_taken_away(shared: Path, name: str) -> None:
    ruleset = corpus(shared, name)
    found = lint(ruleset)
    assert not found.undecided
    dead = {key(item) for item in found.findings if item.kind in DEAD}
    idle = [key(item) for item in found.findings if item.kind is FindingKind.NEVER_MATTERS]
    assert dead or idle
    assert compare(ruleset, without(ruleset, dead)).equal
    for place in idle[:: max(1, len(idle) // 5)]:
        assert compare(ruleset, without(ruleset, {place})).equal, place


def test_every_other_rule_of_a_dump_that_decides_matters(shared: Path) -> None:
    """Not each rule that is not told can be judged by taking it away, but most can: nearly all of them change something."""
    ruleset = corpus(shared, "s3")
    told = {key(item) for item in lint(ruleset).findings}
    lasting = [
        (f"{table.family.value} {table.name}", chain.name, number)
        for table in ruleset.tables
        for chain in table.chains
        for number, rule in enumerate(chain.rules)
        if rule.verdict is not None and not isinstance(rule.verdict, Jump)
    ]
    asked = [place for place in lasting if place not in told][::6]
    equal = [place for place in asked if compare(ruleset, without(ruleset, {place})).equal]
    assert len(asked) > 20
    assert len(equal) <= len(asked) // 4, equal


def test_a_node_of_14000_rules(shared: Path) -> None:
    found = lint(corpus(shared, "s200"))
    assert found.rules > 13_000
    assert not found.undecided
