"""Where text came from: files, places in them, and the origin that a rule carries through every stage.

A `Span` is exact (line and columns) and made only when something must be shown. An `Origin` is what rules carry by the
hundred thousand, so it holds nothing but the file and the line; the line's own text is looked up when a report asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A named text. Lines are split once; line numbers start at 1.

    A text that we have made of others names for each line where it comes from, None where it is of our own making.
    """

    name: str
    text: str
    made_from: tuple[Origin | None, ...] = field(default=(), repr=False)
    lines: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Split at newline only: a form feed or a Unicode separator inside a comment does not end a rule."""
        object.__setattr__(self, "lines", tuple(self.text.split("\n")))

    def line(self, number: int) -> str:
        """Return line `number` without its ending (CR included), or nothing where there is no such line."""
        if 1 <= number <= len(self.lines):
            return self.lines[number - 1].rstrip("\r")
        return ""

    def origin(self, number: int) -> Origin:
        """Return where line `number` comes from: what it was made of, else the line itself."""
        if 1 <= number <= len(self.made_from):
            return self.made_from[number - 1] or Origin(self, number)
        return Origin(self, number)


@dataclass(frozen=True, slots=True)
class Span:
    """Columns `start` (first, from 0) to `end` (first behind it) of one line."""

    source: SourceFile
    line: int
    start: int
    end: int

    @property
    def location(self) -> str:
        """Return file:line:column, the form that editors jump to."""
        return f"{self.source.name}:{self.line}:{self.start + 1}"


class Origin(NamedTuple):
    """The line a rule came from. `note` says which part where one line makes several rules."""

    source: SourceFile
    line: int
    note: str = ""

    @property
    def location(self) -> str:
        """Return file:line."""
        return f"{self.source.name}:{self.line}"

    @property
    def text(self) -> str:
        """Return the rule's own text."""
        return self.source.line(self.line).strip()
