"""What a change means for packets: the new ruleset held against the running one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader.image_text import print_image
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.report.equivalence import comparison_text
from fwtrans.source import SourceFile
from fwtrans.verify import verify_sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.backend.loader.image import Image
    from fwtrans.read import Files

_MOST_LINES = 40


class Changed(NamedTuple):
    """Whether packets are treated differently, and the witnesses for people."""

    differs: bool
    lines: tuple[str, ...]


def changed_traffic(before: Sequence[SourceFile], ours: Image, text: str, files: Files) -> Changed:
    """Compare the old rules, or where there are none what we loaded earlier, with the new text."""
    old = tuple(before) or ((SourceFile("the loaded ruleset", print_image(ours)),) if ours else ())
    if not old:
        return Changed(differs=False, lines=())
    sink = DiagnosticSink()
    found = verify_sides(old, (SourceFile("the new ruleset", text),), sink, files)
    if found is None:
        why = sink.errors[0].message if sink.errors else "it cannot be read"
        return Changed(differs=True, lines=(f"what changes for packets is not known: {why}",))
    if found.comparison.equal:
        return Changed(differs=False, lines=("for packets nothing changes: proved",))
    lines = comparison_text(found.comparison, found.intended).splitlines()
    return Changed(differs=True, lines=tuple(lines[:_MOST_LINES]))
