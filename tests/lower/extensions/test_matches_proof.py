"""What a case from mac to udp prints, read back as nft text, does what the case says: proved for all packets.

A case that ends in ACCEPT would prove nothing in a chain that accepts, so it is tried with DROP.
"""

from __future__ import annotations

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.ruleset import Ruleset
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.iptables import lower_dump
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile
from tests.lower.extensions.second_half import NAMES, Case, dump_of, read_cases, sets_of, translate

CASES = [case for name in NAMES for case in read_cases(name) if not case.code]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.place) for case in CASES])
def test_a_case_is_read_back_equal(case: Case) -> None:
    dump = dump_of(case.table, case.chain, [case.rule.replace("-j ACCEPT", "-j DROP")])
    sink = DiagnosticSink()
    parsed = parse_dump(SourceFile("case", dump), case.family, ExtensionOptions(), sink)
    assert parsed is not None
    lowered = Ruleset((lower_dump(parsed, sets_of(case.family), sink).table,))
    source = SourceFile("printed", translate(dump, case.family).script)
    back = lower_nft(source, parse_nft_text(source, sink), sink)
    assert not sink.errors, sink.errors
    assert back is not None
    comparison = compare(lowered, back)
    assert not comparison.undecided
    assert comparison.equal, comparison.differences
