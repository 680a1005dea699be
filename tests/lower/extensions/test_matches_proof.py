"""What a case prints, read back by the reader of nft, matches what the case says: proved for all packets.

Every rule drops, for with a policy that accepts, a rule that accepts says nothing.
"""

from __future__ import annotations

import pytest

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.ruleset import Ruleset
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.iptables import lower_dump
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.parsers.nft_json.parse import parse_nft_json
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile
from tests.lower.extensions.match_cases import Case, dump_of, read_cases, without_target

# nft's JSON has whole seconds only.
GOOD = [case for case in read_cases() if not case.code and "htable-expire 10500" not in case.rule]


def ruleset_of(case: Case) -> Ruleset:
    sink = DiagnosticSink()
    dump = dump_of(case.table, case.chain, [f"{without_target(case.rule)} -j DROP"])
    parsed = parse_dump(SourceFile("case", dump), case.family, ExtensionOptions(), sink)
    assert parsed is not None
    lowered = lower_dump(parsed, {}, sink)
    assert not sink.errors
    return Ruleset((lowered.table,))


def read_back(ruleset: Ruleset) -> Ruleset:
    sink = DiagnosticSink()
    printed = SourceFile("printed", print_json(lower_ruleset(ruleset, sink, Printing()).ruleset))
    items = parse_nft_json(printed, sink)
    assert items is not None
    back = lower_nft(printed, items, sink)
    assert back is not None
    assert not sink.errors
    return back


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.place)
def test_a_case_is_read_back_equal(case: Case) -> None:
    ruleset = ruleset_of(case)
    comparison = compare(ruleset, read_back(ruleset))
    assert not comparison.undecided
    assert comparison.equal, comparison.differences


def test_the_proof_can_fail() -> None:
    """Two cases of each extension that match different packets are not equal."""
    by_name = {case.place: case for case in GOOD}
    for one, other in (
        ("connlabel:1", "connlabel:2"), ("conntrack:48", "conntrack:49"), ("icmp:1", "icmp:2"), ("state:1", "state:2"),
        ("limit:1", "limit:2"), ("length:1", "length:2"),
    ):  # fmt: skip
        left, right = ruleset_of(by_name[one]), ruleset_of(by_name[other])
        assert not compare(left, right).equal, one
