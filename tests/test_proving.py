"""The proof that begins while the passes still look for more: of the last text that it is given, whatever it was given before."""

from __future__ import annotations

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.host import Host
from fwtrans.optimize import Settings as OptimizerSettings
from fwtrans.optimize import optimize_ruleset
from fwtrans.optimizer.bridged.translation import bridged_translation
from fwtrans.proving import EarlyProof
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.places import FIXTURES

DUMP = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport {port} -j DROP
COMMIT
"""
NODE = FIXTURES / "golden" / "proxmox" / "10-small-node" / "input"


def dump(port: int) -> SourceFile:
    return SourceFile("iptables-save", DUMP.format(port=port))


def printed(port: int) -> str:
    sink = DiagnosticSink()
    found = translate((dump(port),), Settings(optimize=True), sink, FileAccess())
    assert not sink.errors
    return found.output


def test_the_last_text_is_proved_and_no_other() -> None:
    reading = read_inputs((dump(22),), DiagnosticSink(), FileAccess())
    assert reading is not None
    right, wrong = printed(22), printed(23)
    assert right != wrong
    with EarlyProof(reading.ruleset, Host(), FileAccess()) as early:
        for text in (wrong, right, right):
            early.begin(text)
        assert early.result(wrong) is None
        found = early.result(right)
    assert found is not None
    assert found.comparison.equal
    with EarlyProof(reading.ruleset, Host(), FileAccess()) as early:
        early.begin(right)
        early.begin(wrong)
        assert early.result(wrong) is None  # it is not equal, which is told by a proof without another process
        assert early.result(wrong) is None  # who asks again, for passes that are proved one by one, is told the same


def test_what_may_be_the_result_is_told_before_it_is_known() -> None:
    sink = DiagnosticSink()
    reading = read_inputs(read_paths([str(NODE)], sink), sink, FileAccess())
    assert reading is not None
    shaped = bridged_translation(reading.ruleset, reading.host).ruleset
    told: list[object] = []
    found = optimize_ruleset(shaped, OptimizerSettings(verify=False), told.append)
    assert told
    assert told[-1] is found.ruleset


def test_what_cannot_be_printed_is_told_once_and_nothing_of_passes() -> None:
    either = " ".join(f"-m multiport --ports 1,{port}" for port in range(2, 13))
    sink = DiagnosticSink()
    text = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp {either} -j DROP\nCOMMIT\n"
    found = translate([SourceFile("iptables-save", text)], Settings(optimize=True), sink, FileAccess())
    assert [(item.code, item.span.line) for item in sink.found if item.span is not None] == [("FWT200", 3)]
    assert len(sink.found) == 1
    assert not found.output
