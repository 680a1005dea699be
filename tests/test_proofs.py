"""What is printed is read back by both nft readers and proved equal to its input: every golden host, every corpus dump.

Bridge ports (physdev) are printed in a form that only our readers take; nothing else is special about these proofs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.target import DEBIAN_13
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.report.equivalence import difference_text
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile
from tests.golden import golden_cases
from tests.places import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.ir.ruleset import Ruleset
    from tests.golden import GoldenCase

CORPUS = sorted(path.parent for path in SHARED.glob("pve-corpus/*/iptables-save"))


def read(sources: tuple[SourceFile, ...]) -> Ruleset:
    sink = DiagnosticSink()
    reading = read_inputs(sources, sink, FileAccess())
    assert reading is not None, sink.found
    assert not sink.errors, sink.errors
    return reading.ruleset


def prove_both_ways(place: Path) -> None:
    ruleset = read(read_paths([str(place)], DiagnosticSink()))
    sink = DiagnosticSink()
    printed = lower_ruleset(ruleset, sink, Printing(proof_only=True)).ruleset
    assert not sink.errors, sink.errors
    texts = {"text": print_ruleset(printed).text, "JSON": print_json(printed, DEBIAN_13)}
    for name, text in texts.items():
        found = compare(ruleset, read((SourceFile(f"printed {name}", text),)))
        assert not found.undecided, (name, found.undecided)
        assert not found.differences, (name, [difference_text(item) for item in found.differences[:3]])


@golden_cases("hosts")
def test_a_golden_host_is_proved_through_both_readers(case: GoldenCase) -> None:
    prove_both_ways(case.input)


def test_there_is_a_corpus_to_prove(shared: Path) -> None:
    assert len(CORPUS) >= 36, f"{shared} holds only {len(CORPUS)} dumps"


@pytest.mark.parametrize("folder", CORPUS, ids=lambda path: path.name)
def test_a_corpus_dump_is_proved_through_both_readers(folder: Path) -> None:
    prove_both_ways(folder)
