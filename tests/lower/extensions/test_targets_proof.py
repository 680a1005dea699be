"""What a case prints, read back by the reader of nft, does what the case says: proved for all packets."""

from __future__ import annotations

import pytest

from fwtrans.backend.nft.json_form import print_json
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_json.parse import parse_nft_json
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile
from tests.lower.extensions.printing import objects_of, ruleset_of
from tests.lower.extensions.target_cases import Case, read_cases
from tests.lower.extensions.test_targets_cases import SETS

GOOD = [case for case in read_cases() if not case.code]
UNREAD = pytest.mark.xfail(strict=True, reason="the reader of nft does not know secmark objects yet")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.place, marks=[UNREAD] if "SECMARK --selctx" in case.text else []) for case in GOOD],
)
def test_a_case_is_read_back_equal(case: Case) -> None:
    ruleset = ruleset_of(case.text, SETS)
    sink = DiagnosticSink()
    source = SourceFile("printed", print_json(objects_of(ruleset)))
    items = parse_nft_json(source, sink)
    assert items is not None
    back = lower_nft(source, items, sink)
    assert back is not None
    assert not sink.errors, sink.errors
    comparison = compare(ruleset, back)
    assert not comparison.undecided
    assert comparison.equal, comparison.differences
