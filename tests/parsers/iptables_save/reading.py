"""Short ways to read texts in tests, with the small table of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.iptables_save.command_lines import parse_script
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.source import SourceFile
from tests.parsers.iptables_save.option_table import OPTIONS

if TYPE_CHECKING:
    from fwtrans.diagnostics import Diagnostic
    from fwtrans.parsers.iptables_save.syntax import IptablesDump, RuleSyntax


def in_table(*lines: str, table: str = "filter") -> str:
    """Put lines between `*filter` and COMMIT; the first is line 2."""
    return "\n".join([f"*{table}", *lines, "COMMIT"]) + "\n"


def read(text: str, family: str = "ip", *, reuse_shapes: bool = True) -> tuple[IptablesDump | None, list[Diagnostic]]:
    """Read a dump."""
    sink = DiagnosticSink()
    dump = parse_dump(SourceFile("dump", text), family, OPTIONS, sink, reuse_shapes=reuse_shapes)
    return dump, sink.found


def read_well(text: str, family: str = "ip", *, reuse_shapes: bool = True) -> IptablesDump:
    """Read a dump that has no mistake."""
    dump, found = read(text, family, reuse_shapes=reuse_shapes)
    assert dump is not None, [render(item) for item in found]
    return dump


def rule_of(line: str, family: str = "ip", chain: str = "FORWARD") -> RuleSyntax:
    """Read one rule."""
    (rule,) = rules_of(line, family=family, chain=chain)
    return rule


def rules_of(*lines: str, family: str = "ip", chain: str = "FORWARD") -> tuple[RuleSyntax, ...]:
    """Read the rules of one chain; a chain `u` is there too."""
    dump = read_well(in_table(":u - [0:0]", *lines), family)
    return next(found.rules for found in dump.tables[0].chains if found.name == chain)


def canonical(line: str, family: str = "ip") -> str:
    """Read one line in table filter and print what its rules come to."""
    dump = read_well(in_table(":u - [0:0]", line), family)
    return "\n".join(text for text in unparse_dump(dump).split("\n")[2:-2])


def complaint(line: str, family: str = "ip", table: str = "filter") -> str:
    """Read one wrong line and return the whole message of its only error."""
    dump, found = read(in_table(line, table=table), family)
    assert dump is None
    (error,) = found
    return render(error)


def complaint_of_script(text: str, family: str = "ip") -> str:
    """Read a wrong script and return the whole message of its only error."""
    sink = DiagnosticSink()
    assert parse_script(SourceFile("script", text), family, OPTIONS, sink) is None
    (error,) = sink.found
    return render(error)


def script(text: str, family: str = "ip") -> str:
    """Read a script without a mistake and print the tables that it leaves."""
    sink = DiagnosticSink()
    dump = parse_script(SourceFile("script", text), family, OPTIONS, sink)
    assert dump is not None, [render(item) for item in sink.found]
    return unparse_dump(dump)
