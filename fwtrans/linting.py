"""Rules that do nothing and known mistakes of one side, which is any inputs that `read` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.registry import Format, recognise
from fwtrans.read import read_inputs
from fwtrans.report.lint import Linted
from fwtrans.semantics.mistakes import left_out, mistakes
from fwtrans.semantics.shadowing import lint
from fwtrans.source import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.read import Files
    from fwtrans.source import SourceFile


def lint_sides(sources: Sequence[SourceFile], sink: DiagnosticSink, files: Files) -> Linted | None:
    """Return what was found, None where the side cannot be read (the sink says why)."""
    found = read_inputs(sources, sink, files)
    if found is None or sink.errors:
        return None
    texts = [source for source in sources if recognise(source.text, source.name) is Format.NFT_TEXT]
    comments = tuple(Origin(source, line) for source in texts for line in left_out(source))
    return Linted(lint(found.ruleset), mistakes(found.ruleset), comments)
