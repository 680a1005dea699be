"""Whole inputs through the whole pipeline, as `fwtrans translate` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.report.translation import Translation


def translated(place: Path, settings: Settings | None = None) -> tuple[Translation, tuple[Diagnostic, ...]]:
    """Return what becomes of a file or directory, and all findings."""
    sink = DiagnosticSink()
    sources = read_paths([str(place)], sink)
    result = translate(sources, settings or Settings(), sink, FileAccess())
    return result, tuple(sink.found)
