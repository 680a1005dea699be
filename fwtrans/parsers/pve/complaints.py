"""What is said of a mistake: where it is, what PVE makes of it, and what that means for the traffic.

All are warnings, because PVE goes on as well; whoever wants none of them asks for `refuse_mistakes`. Of very many in one
file the rest is counted, so that a megabyte of junk does not fill the memory with sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Severity
from fwtrans.parsers.pve.lines import BLANKS
from fwtrans.source import SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.parsers.pve.lines import Word
    from fwtrans.parsers.pve.syntax import Token
    from fwtrans.parsers.pve.values import Mistake

MOST = 500
_CODES_OF_PVE = range(160, 190)


@dataclass(slots=True)
class Complaints:
    """The complaints of one file."""

    source: SourceFile
    sink: DiagnosticSink
    count: int = 0
    first_untold: Span | None = field(default=None)

    def add(self, code: str, message: str, span: Span, *, note: str = "", hint: str = "") -> None:
        """Tell one mistake, or count it where there were too many."""
        self.count += 1
        if self.count > MOST:
            self.first_untold = self.first_untold or span
            return
        notes, hints = (note,) if note else (), (hint,) if hint else ()
        self.sink.add(Diagnostic(code=code, message=message, span=span, notes=notes, hints=hints))

    def at(self, line: int, word: Word | Token) -> Span:
        """Return the place of a word; one of no text is the end of its line."""
        return Span(self.source, line, word.start, word.start + max(len(word.text), 1))

    def mistake(self, code: str, line: int, word: Word | Token, mistake: Mistake, note: str) -> None:
        """Tell what is wrong with a value, pointing at the part of it that is to blame."""
        offset = max(word.text.find(mistake.part), 0)
        length = len(mistake.part or word.text)
        span = Span(self.source, line, word.start + offset, word.start + offset + max(length, 1))
        self.add(code, mistake.message, span, note=note, hint=mistake.hint)

    def whole(self, line: int) -> Span:
        """Return the place of all of a line but the blanks around it."""
        text = self.source.lines[line - 1]
        start = len(text) - len(text.lstrip(BLANKS))
        return Span(self.source, line, start, max(len(text.rstrip(BLANKS)), start + 1))

    def close(self) -> None:
        """Tell how many were not told."""
        if self.first_untold is not None:
            count = self.count - MOST
            message = f"{count} more {'line is' if count == 1 else 'lines are'} left out, from this one on"
            self.sink.add(Diagnostic(code="FWT172", message=message, span=self.first_untold))


def refuse_mistakes(sink: DiagnosticSink, start: int = 0) -> None:
    """Make an error of the warnings about PVE's files that were found since `start`, as `--strict` has it.

    The warnings stay, each at its place; the error counts them and points to the first.
    """
    found = [
        item
        for item in sink.found[start:]
        if item.severity is Severity.WARNING and int(item.code.removeprefix("FWT")) in _CODES_OF_PVE
    ]
    if found:
        count = f"{len(found)} mistake{'' if len(found) == 1 else 's'}"
        message = f"{count} in the configuration, of which this is the first, and with --strict there must be none"
        hint = "without --strict each is left out, as PVE does"
        sink.add(Diagnostic(code="FWT174", message=message, span=found[0].span, hints=(hint,)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is most like it, "" where none is."""
    close = get_close_matches(word[:64], list(known), n=1, cutoff=0.7)
    return f"did you mean `{close[0]}`?" if close else ""


def shortened(text: str, longest: int = 60) -> str:
    """Return a text for quoting in a message."""
    return text if len(text) <= longest else text[:longest] + "..."


def skipped_rule(verdict: str, *, enabled: bool) -> str:
    """Return what it means that a rule is skipped."""
    if not enabled:
        return "PVE skips this rule; it is disabled, so that nothing changes for the traffic"
    if verdict == "ACCEPT":
        return "PVE skips this rule: what it would accept goes on to the rules below it and to the policy"
    if verdict in {"DROP", "REJECT"}:
        return "PVE skips this rule: what it would block goes on to the rules below it and to the policy, and may pass"
    if verdict == "group":
        return "PVE skips this rule: nothing of the group is in force here"
    return "PVE skips this rule, as if it were not there"
