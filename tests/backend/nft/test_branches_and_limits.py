"""A rule with alternatives becomes several rules; a limit behind them is still charged once for each packet."""

from __future__ import annotations

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

DUMP = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p udp -m multiport --ports 23,53 -m limit --limit 5/min --limit-burst 3 -j DROP
COMMIT
"""


def test_alternatives_before_a_limit_are_disjoint() -> None:
    sink = DiagnosticSink()
    translate([SourceFile("iptables-save", DUMP)], Settings(), sink, FileAccess())
    assert [error.code for error in sink.errors] == []
