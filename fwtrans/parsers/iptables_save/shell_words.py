r"""The words of a command line in a script, as a shell would hand them to iptables; with their places in the source.

Nothing is expanded and nothing is run: whatever a shell would compute (`$IF`, a command substitution, a pipe) is
refused at its place. A line that ends in a backslash goes on in the next one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.source import SourceFile


class Word(NamedTuple):
    """One word with its quotes undone, and where it is written. `refused` says why only a shell could go on from it.

    `separator` marks the end of a command. `&&` is one like `;`, because a command that fails makes all of an input fail.
    """

    text: str
    line: int
    start: int
    end: int
    refused: str = ""
    separator: bool = False


_OPEN = "open quote"
_COMPUTED = "computed"

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
    |(?P<joined>\\\n)
    |(?P<comment>(?<![^ \t\n;&|])\#[^\n]*)
    |(?P<separator>&&|;)
    |(?P<operator>[|&<>()\n]+)
    |(?P<single>'[^']*')
    |(?P<double>"(?:[^"\\]|\\.)*")
    |(?P<escape>\\.)
    |(?P<expansion>`|\$(?=[A-Za-z0-9_{(@*\#?!$'"-]))
    |(?P<plain>[^ \t\n\\#;|&<>()'"`$]+|[\#$])
    |(?P<open>.)""",
    re.VERBOSE | re.DOTALL,
)
_DOUBLE_ESCAPE = re.compile(r'\\(\n|[$`"\\])')
_INNER_EXPANSION = re.compile(r"(?<!\\)(?:\\\\)*(`|\$[A-Za-z0-9_{(@*#?!$-])")


def logical_line(source: SourceFile, first: int) -> tuple[str, int]:
    """Return the text of the command that begins at a line, and the number of the line behind it."""
    parts = []
    number = first
    while number <= len(source.lines):
        text = source.line(number)
        parts.append(text)
        number += 1
        if not _continues(text):
            break
    return "\n".join(parts), number


def shell_words(text: str, first_line: int) -> Iterator[Word]:
    """Yield the words of a logical line; separators are words of their own, comments are left out. Never fails."""
    builder = _Builder(first_line)
    for match in _TOKEN.finditer(text):
        kind, piece = str(match.lastgroup), match.group()
        if kind in {"blank", "comment", "separator", "operator"}:
            yield from builder.finish()
        if kind in {"blank", "comment", "joined"}:
            builder.skip(piece)
        else:
            builder.add(piece, *_meaning(kind, piece))
        if kind in {"separator", "operator"}:
            yield from builder.finish(separator=kind == "separator")
    yield from builder.finish()


def refuse_what_a_shell_computes(words: tuple[Word, ...]) -> None:
    """Raise for the first word that only a shell could tell the meaning of."""
    for number, word in enumerate(words):
        if word.refused == _OPEN:
            raise BadLine("FWT108", f"quote is not closed in `{word.text}`", word=number)
        if word.refused:
            raise BadLine(
                "FWT102",
                f"`{word.text.strip() or 'line break'}` means something to the shell, and fwtrans runs no shell",
                word=number,
                hint="run the script where it belongs and translate what `iptables-save` prints there",
            )


def _continues(text: str) -> bool:
    """Tell whether an odd number of backslashes ends the line."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _meaning(kind: str, piece: str) -> tuple[str, str]:
    """Return the text that a piece of a word stands for, and what is to be refused about it."""
    if kind == "single":
        return piece[1:-1], ""
    if kind == "double":
        inner = piece[1:-1]
        expansion = _INNER_EXPANSION.search(inner)
        return _DOUBLE_ESCAPE.sub(lambda found: found.group(1).strip("\n"), inner), _COMPUTED if expansion else ""
    if kind == "escape":
        return piece[1:], ""
    if kind in {"expansion", "operator"}:
        return piece, _COMPUTED
    if kind == "open":
        return piece, _OPEN
    return piece, ""


class _Builder:
    """Puts the pieces of one word together and keeps count of lines and columns."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.column = 0
        self.begin: tuple[int, int] | None = None
        self.end = (line, 0)
        self.parts: list[str] = []
        self.refused = ""

    def add(self, piece: str, text: str, refused: str) -> None:
        """Add a piece to the word."""
        if self.begin is None:
            self.begin = (self.line, self.column)
        self.parts.append(text)
        self.refused = self.refused or refused
        self.skip(piece)
        if self.line == self.begin[0]:
            self.end = (self.line, self.column)
        elif self.end < self.begin:
            self.end = (self.begin[0], self.begin[1] + 1)  # a quote that goes on in the next line

    def skip(self, piece: str) -> None:
        """Move behind a piece."""
        breaks = piece.count("\n")
        self.line += breaks
        self.column = len(piece) - piece.rfind("\n") - 1 if breaks else self.column + len(piece)

    def finish(self, *, separator: bool = False) -> Iterator[Word]:
        """Yield the word, if there is one."""
        if self.begin is not None:
            line, start = self.begin
            yield Word("".join(self.parts), line, start, self.end[1], self.refused, separator)
        self.begin, self.parts, self.refused = None, [], ""
