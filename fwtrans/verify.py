"""Are two sides the same? Each side is any inputs that `read` takes; the answer is a proof or packets that show where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.comparing import compare_on
from fwtrans.diagnostics import Diagnostic, Refused
from fwtrans.ir.host import Host
from fwtrans.read import read_inputs
from fwtrans.semantics.shadowing import lint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.comparing import Compared
    from fwtrans.diagnostics import DiagnosticSink
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
    pve_nftables: bool = False,
    host: Host = _UNKNOWN,
) -> Compared | None:
    """Return the comparison, None where a side cannot be read (the sink says why)."""
    before = read_inputs(old, sink, files, strict=strict, pve_nftables=pve_nftables)
    after = read_inputs(new, sink, files, strict=strict, pve_nftables=pve_nftables)
    if before is None or after is None or sink.errors:
        return None
    try:
        return compare_on(before.host.joined(after.host).joined(host), before.ruleset, after.ruleset)
    except Refused as refused:
        sink.add(Diagnostic(code=refused.code, message=refused.message))
        return None


def lint_side(sources: Sequence[SourceFile], sink: DiagnosticSink, files: Files) -> Lint | None:
    """Return the rules that never match or never matter, None where the side cannot be read (the sink says why)."""
    found = read_inputs(sources, sink, files)
    return None if found is None or sink.errors else lint(found.ruleset)
