"""What our printer writes is read back: every statement of its table, and random rulesets in both of its forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile
from tests.backend.nft.statement_cases import CASES, Case
from tests.backend.nft.strategies import rulesets
from tests.parsers.nft_text.test_agreement import ir_of, same

if TYPE_CHECKING:
    from fwtrans.backend.nft import model as nft


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_every_statement_is_read(case: Case) -> None:
    sink = DiagnosticSink()
    for text in (case.text, case.listed):
        parse_nft_text(SourceFile("t.nft", f"table inet t {{\nchain c {{\n{text}\n}}\n}}\n"), sink)
    assert not sink.found


@settings(max_examples=60, deadline=None)
@given(rulesets())
def test_both_forms_of_a_random_ruleset_are_read_the_same(ruleset: nft.Ruleset) -> None:
    same(ir_of(print_ruleset(ruleset).text), ir_of(print_json(ruleset), as_json=True))
