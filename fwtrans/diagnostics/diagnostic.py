"""Errors as values: what is wrong, where, and what to do about it.

Stages never print and never exit. They put a `Diagnostic` into the `DiagnosticSink` that they were handed and go on, so
that one run shows all that is wrong. `Refused` is the one exception below the command line: code deep inside the
meaning of one option raises it, and the driver of that stage, which knows the line, turns it into a `Diagnostic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.diagnostics.codes import CODES, Severity

if TYPE_CHECKING:
    from fwtrans.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding. `code` is a key of `CODES`; `message` quotes what was read and says what was expected."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """Return the severity that the code has; a code is never an error here and a warning there."""
        return CODES[self.code].severity


class Refused(Exception):  # noqa: N818 -- it is an answer, not a fault
    """A construct was read but has no exact meaning here. `option` names the word to point at, if one is to blame."""

    def __init__(self, code: str, message: str, *, option: str = "", hint: str = "", note: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.option = option
        self.hint = hint
        self.note = note


@dataclass(slots=True)
class DiagnosticSink:
    """Collects diagnostics in the order in which they were found."""

    found: list[Diagnostic] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep one more."""
        self.found.append(diagnostic)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Return those that forbid a result."""
        return tuple(item for item in self.found if item.severity is Severity.ERROR)

    def has_errors(self, family: str = "") -> bool:
        """Tell whether an error was found, of the code family (its first digit) if one is named."""
        prefix = f"FWT{family}"
        return any(item.severity is Severity.ERROR and item.code.startswith(prefix) for item in self.found)
