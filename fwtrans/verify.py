"""Are two sides the same? Each side is any inputs that `read` takes; the answer is a proof or packets that show where not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.comparing import compare_on
from fwtrans.diagnostics import Diagnostic, Refused
from fwtrans.ir.host import Host
from fwtrans.lower.nft.listed import LEFT_OUT, as_listed
from fwtrans.read import read_inputs
from fwtrans.semantics.shadowing import lint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.comparing import Compared
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.read import Files
    from fwtrans.semantics.shadowing import Lint
    from fwtrans.source import SourceFile


_UNKNOWN = Host()


def verify_sides(
    old: Sequence[SourceFile],
    new: Sequence[SourceFile],
    sink: DiagnosticSink,
    files: Files,
    *,
    strict: bool = False,
    host: Host = _UNKNOWN,
) -> Compared | None:
    """Return the comparison, None where a side cannot be read (the sink says why)."""
    before = read_inputs(old, sink, files, strict=strict)
    after = read_inputs(new, sink, files, strict=strict)
    if before is None or after is None or sink.errors:
        return None
    try:
        return _compared(before.host.joined(after.host).joined(host), before.ruleset, after.ruleset)
    except Refused as refused:
        sink.add(Diagnostic(code=refused.code, message=refused.message))
        return None


def _compared(host: Host, old: Ruleset, new: Ruleset) -> Compared:
    """Compare as both are written; where that differs and nothing but what a listing leaves out is different, say so."""
    found = compare_on(host, old, new)
    listed = as_listed(old), as_listed(new)
    if found.comparison.equal or listed == (old, new):
        return found
    again = compare_on(host, *listed)
    if not again.comparison.equal:
        return found
    assumptions = (*again.comparison.assumptions, LEFT_OUT)
    return again._replace(comparison=replace(again.comparison, assumptions=assumptions))


def lint_side(sources: Sequence[SourceFile], sink: DiagnosticSink, files: Files) -> Lint | None:
    """Return the rules that never match or never matter, None where the side cannot be read (the sink says why)."""
    found = read_inputs(sources, sink, files)
    return None if found is None or sink.errors else lint(found.ruleset)
