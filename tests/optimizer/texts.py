"""Rulesets as nft text, before and after a pass: read, optimised, proved, printed, loaded."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.verify import verify
from fwtrans.read import read_inputs
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Chain, Ruleset
    from fwtrans.optimizer.base import Pass


def read_nft(text: str) -> Ruleset:
    sink = DiagnosticSink()
    found = read_inputs((SourceFile("test.nft", text),), sink, FileAccess())
    assert found is not None, [item.message for item in sink.found]
    return found.ruleset


def printed(ruleset: Ruleset) -> str:
    """Return the text, without the comments that tell where rules are from."""

    def bare(chain: Chain) -> Chain:
        return replace(chain, rules=tuple(replace(rule, origins=()) for rule in chain.rules))

    tables = tuple(replace(table, chains=tuple(map(bare, table.chains))) for table in ruleset.tables)
    sink = DiagnosticSink()
    lowered = lower_ruleset(replace(ruleset, tables=tables), sink, Printing(guard_ports=False))
    assert not sink.found, [item.message for item in sink.found]
    return print_ruleset(lowered.ruleset).text


def assert_equal(before: Ruleset, after: Ruleset) -> None:
    found = compare(before, after)
    assert found.equal, [(item.kind, item.subject, item.packet) for item in found.differences] or found.undecided


def assert_loads(text: str) -> None:
    """Load a ruleset into a network namespace of its own."""
    process = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=text, text=True, capture_output=True, check=False
    )
    assert process.returncode == 0, process.stderr[:2000]


def after(item: Pass, text: str) -> str:
    """Return what a pass makes of a ruleset, proved, idempotent, and read back the same."""
    before = read_nft(text)
    found = item.run(before).ruleset
    assert set(verify(found)) <= set(verify(before))
    assert_equal(before, found)
    assert item.run(found).ruleset == found
    text_after = printed(found)
    assert_equal(before, read_nft(text_after))
    return text_after


def in_forward(*rules: str, family: str = "inet", policy: str = "accept", more: str = "") -> str:
    """Return a ruleset whose forward chain has the rules."""
    body = "\n  ".join(rules)
    head = f"type filter hook forward priority 0; policy {policy};"
    return f"table {family} t {{\n{more}\n chain forward {{ {head}\n  {body}\n }}\n}}\n"


def rules_of(text: str, chain: str = "forward") -> list[str]:
    """Return the rules of a chain in a printed ruleset."""
    lines = text.split(f"\tchain {chain} {{\n", 1)[1].split("\n\t}\n", 1)[0].splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("type ")]


def elements_of(text: str, name: str) -> list[str]:
    """Return the elements of a set or map in a printed ruleset."""
    for kind in ("map", "set"):
        if f"\t{kind} {name} {{\n" in text:
            body = text.split(f"\t{kind} {name} {{\n", 1)[1].split("\n\t}\n", 1)[0]
            listed = body.split("elements = {", 1)[1].rsplit("}", 1)[0]
            return [item.strip() for item in listed.split(",") if item.strip()]
    message = f"no set or map {name}"
    raise AssertionError(message)
