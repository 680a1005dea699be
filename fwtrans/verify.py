"""Are two sides the same? Each side is any inputs that `read` takes; the answer is a proof or packets that show where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.read import read_inputs
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.shadowing import lint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.read import Files
    from fwtrans.semantics.outcome import Comparison
    from fwtrans.semantics.shadowing import Lint
    from fwtrans.source import SourceFile


def verify_sides(
    old: Sequence[SourceFile], new: Sequence[SourceFile], sink: DiagnosticSink, files: Files
) -> Comparison | None:
    """Return the comparison, None where a side cannot be read (the sink says why)."""
    before, after = read_inputs(old, sink, files), read_inputs(new, sink, files)
    if before is None or after is None or sink.errors:
        return None
    return compare(before.ruleset, after.ruleset)


def lint_side(sources: Sequence[SourceFile], sink: DiagnosticSink, files: Files) -> Lint | None:
    """Return the rules that never match or never matter, None where the side cannot be read (the sink says why)."""
    found = read_inputs(sources, sink, files)
    return None if found is None or sink.errors else lint(found.ruleset)
