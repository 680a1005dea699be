r"""The lines of an interfaces file: continued ones joined, comments left out, words classified for the grammar.

Seen on ifupdown 0.8.41: a comment is a whole line and never goes on, even with a backslash at its end; a line goes on
where its last character is a backslash, of which one is taken away; `#` in the middle of a line is no comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.shell_words import Passage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.source import SourceFile

_BLANKS = " \t\r"
_WORD = re.compile(r"[^ \t]+")
_SELECTION = re.compile(r"auto|allow-\S+|no-auto-down|no-scripts")
_KEYWORDS = {
    "iface": "INTERFACE",
    "template": "TEMPLATE",
    "mapping": "MAPPING",
    "rename": "RENAME",
    "source": "SOURCE",
    "source-directory": "SOURCE_DIRECTORY",
    "source-dir": "SOURCE_DIRECTORY",
}


class LogicalLine(NamedTuple):
    """A line as ifup sees it. `words` are offsets (start, end) into the passage's text."""

    passage: Passage
    words: tuple[tuple[int, int], ...]
    number: int

    def word(self, index: int) -> str:
        """Return one word."""
        start, end = self.words[index]
        return self.passage.text[start:end]

    def terminals(self) -> tuple[str, ...]:
        """Return the terminals of the grammar: an option has, behind its name, one text for all that follows."""
        first = self.word(0)
        keyword = "SELECTION" if _SELECTION.fullmatch(first) else _KEYWORDS.get(first)
        if keyword is None:
            return ("OPTION", "TEXT") if len(self.words) > 1 else ("OPTION",)
        names = keyword in {"INTERFACE", "TEMPLATE"}
        rest = ("INHERITS" if names and index > 1 and self.word(index) == "inherits" else "WORD" for index in range(1, len(self.words)))  # fmt: skip
        return (keyword, *rest)


def logical_lines(source: SourceFile) -> Iterator[LogicalLine]:
    """Yield the lines that say something."""
    number = 1
    while number <= len(source.lines):
        first = number
        line = source.line(number)
        number += 1
        stripped = line.strip(_BLANKS)
        if not stripped or stripped.startswith("#"):
            continue
        runs = [(0, first, 0)]
        text = line
        while text.endswith("\\") and number <= len(source.lines):
            text = text[:-1]
            runs.append((len(text), number, 0))
            text += source.line(number)
            number += 1
        passage = Passage(source, text.rstrip(_BLANKS), tuple(runs))
        words = tuple(found.span() for found in _WORD.finditer(passage.text))
        if words:
            yield LogicalLine(passage, words, first)
