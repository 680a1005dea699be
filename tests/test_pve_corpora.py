"""What we make of a Proxmox VE configuration is what the real pve-firewall made of it, rule by rule and in its order.

Each chain of a true dump ends with the SHA-1 of the commands that pve-firewall gave to iptables-restore. Ours must have
the same, so that a chain is equal to the letter; and lowered, both must be the same rules.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulTest
from fwtrans.lower.pve.compile import Dumps, compile_node
from fwtrans.lower.pve.macros import MACRO_NAMES
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.read import read_inputs
from fwtrans.verify import verify_sides
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset
    from fwtrans.source import SourceFile

DIRECTORIES = sorted(path.parent for path in SHARED.glob("*corpus/*/iptables-save") if (path.parent / "input").is_dir())
every_directory = pytest.mark.parametrize("folder", DIRECTORIES, ids=lambda path: f"{path.parent.name[:7]}-{path.name}")

SIGNATURE = re.compile(r'-A (\S+) -m comment --comment "PVESIG:(\S+)"')


def test_the_corpora_are_complete(shared: Path) -> None:
    assert len(DIRECTORIES) >= 39, f"{shared} holds only {len(DIRECTORIES)} configurations with their dumps"


def sources(folder: Path) -> tuple[SourceFile, ...]:
    sink = DiagnosticSink()
    found = read_paths([str(folder)], sink)
    assert not sink.found
    return found


def made(folder: Path) -> tuple[Dumps, DiagnosticSink]:
    sink = DiagnosticSink()
    files = {source.name: source for source in sources(folder / "input")}
    return compile_node(read_pve_directory(files, sink), sink), sink


def signatures(text: str) -> dict[tuple[str, str], str]:
    """Return the sum of each chain's commands, by table and chain."""
    found = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif signature := SIGNATURE.fullmatch(line):
            found[table, signature[1]] = signature[2]
    return found


@every_directory
def test_every_chain_is_made_of_the_commands_of_the_true_one(folder: Path) -> None:
    dumps, _ = made(folder)
    for source, name in ((dumps.ip, "iptables-save"), (dumps.ip6, "ip6tables-save")):
        expected = signatures((folder / name).read_text())
        assert len(expected) > 10
        assert signatures(source.text) == expected, name


def test_a_signature_tells_of_one_changed_word() -> None:
    dumps, _ = made(SHARED / "pve-corpus" / "s3")
    assert "PVEFW-HOST-IN -p igmp" in dumps.ip.text
    lines = [line for line in dumps.ip.text.splitlines() if line.startswith("-A PVEFW-reject ")]
    assert len(lines) == 8, "seven rules and the signature"


def test_the_corpora_name_every_macro() -> None:
    text = (SHARED / "pve-corpus" / "f-macros" / "input" / "100.fw").read_text()
    assert set(re.findall(r"^IN (\S+)\(", text, re.MULTILINE)) == set(MACRO_NAMES)


def entries(text: str) -> Counter[str]:
    """Return the lines of an ipset dump but for the hash's seed; their order is the hash's."""
    return Counter(re.sub(r" initval \S+", "", line).strip() for line in text.splitlines() if line.strip())


@every_directory
def test_every_set_has_the_entries_of_the_true_one(folder: Path) -> None:
    dumps, _ = made(folder)
    assert entries(dumps.ipset.text) == entries((folder / "ipset-save").read_text())


@every_directory
def test_the_bridge_rules_are_the_true_ones(folder: Path) -> None:
    dumps, _ = made(folder)
    lines = (line.strip() for line in (folder / "ebtables-save").read_text().splitlines())
    assert dumps.ebtables.text.splitlines() == [line for line in lines if line and not line.startswith("#")]


def ruleset(folder: Path) -> Ruleset:
    sink = DiagnosticSink()
    found = read_inputs(sources(folder), sink, FileAccess())
    assert found is not None, sink.errors
    assert not sink.errors, sink.errors
    return found.ruleset


def comparable(chain: Chain) -> list[Rule]:
    """Return a chain's rules free of what iptables-save changes and no packet can tell.

    Buckets get the numbers of their first use, because their names hold a line's number, and `-s a,b` is one line. Pure
    tests that stand together are sorted: iptables-save has an order of its own for the options of one match.
    """
    names: dict[str, str] = {}
    return [replace(rule, steps=tuple(_comparable_steps(rule, names))) for rule in chain.rules]


def _comparable_steps(rule: Rule, names: dict[str, str]) -> Iterator[Step]:
    for pure, steps in groupby(rule.steps, key=is_pure):
        if pure:
            yield from sorted(steps, key=repr)
            continue
        for step in steps:
            if isinstance(step, StatefulTest):
                name = names.setdefault(step.object.identity, str(len(names)))
                yield replace(step, object=replace(step.object, identity=name))
            else:
                yield step


@every_directory
def test_every_rule_is_the_true_one_in_its_place(folder: Path) -> None:
    ours, true = ruleset(folder / "input"), ruleset(folder)
    assert [(table.family, table.name) for table in ours.tables] == [
        (table.family, table.name) for table in true.tables
    ]
    for table, expected in zip(ours.tables, true.tables, strict=True):
        chains = {chain.name: chain for chain in table.chains}
        assert chains.keys() == {chain.name for chain in expected.chains}
        for chain in expected.chains:
            assert chains[chain.name].base == chain.base
            assert comparable(chains[chain.name]) == comparable(chain), chain.name


@every_directory
def test_both_do_the_same_with_every_packet(folder: Path) -> None:
    sink = DiagnosticSink()
    found = verify_sides(sources(folder / "input"), sources(folder), sink, FileAccess())
    assert found is not None, sink.errors
    assert found.comparison.equal


@pytest.mark.parametrize("name", ["s10", "f-foreign", "f-quirk-bad-refs"])
def test_rules_point_at_the_line_that_they_were_made_from(name: str) -> None:
    """Every rule of the host and the cluster that is on and in order shows up; nothing points at an empty line."""
    folder = SHARED / "pve-corpus" / name
    origins = [
        rule.origins[0] for table in ruleset(folder / "input").tables for chain in table.chains for rule in chain.rules
    ]
    assert all(origin.text for origin in origins)
    made_of = {(origin.source.name.rsplit("/", 1)[-1], origin.text) for origin in origins}
    _, sink = made(folder)
    wrong = {(item.span.source.name.rsplit("/", 1)[-1], item.span.line) for item in sink.found if item.span is not None}
    for file in ("cluster.fw", "host.fw"):
        path = folder / "input" / file
        in_rules = False
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
            in_rules = line == "[RULES]" if line.startswith("[") else in_rules
            if in_rules and line.startswith(("IN ", "OUT ", "GROUP ")) and (file, number) not in wrong:
                assert (file, line) in made_of


WARNING = re.compile(r"(\S+\.fw) \(line (\d+)\)")


@every_directory
def test_what_pve_warned_of_is_told_at_its_line(folder: Path) -> None:
    path = folder / "warnings.txt"
    text = path.read_text() if path.exists() else ""
    _, sink = made(folder)
    told = {(item.span.source.name.rsplit("/", 1)[-1], item.span.line) for item in sink.found if item.span is not None}
    assert {(file, int(line)) for file, line in WARNING.findall(text)} <= told
    if "no such security group" in text:
        assert "FWT177" in {item.code for item in sink.found}
