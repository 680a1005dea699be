"""A line to its words, as ipset splits them.

At blanks, tabs and CR; double quotes keep blanks together, and there is no escape, so a backslash is a letter. Quotes
may stand inside of a word; an empty pair makes no word at all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fwtrans.diagnostics import Refused

_WORD = re.compile(r'(?:[^ \t\r"]+|"[^"]*")+')
_QUOTE = '"'


class PlacedWord(NamedTuple):
    """A word without its quotes, and the columns from which it was read. `line` is 0 for the line of its command."""

    value: str
    start: int
    end: int
    line: int = 0


def split_line(line: str) -> list[PlacedWord]:
    """Return the words of a line. Refused where a quote is not closed; its `option` is the column."""
    if line.count(_QUOTE) % 2:
        raise Refused("FWT108", "the quote is not closed on its line", option=str(line.rindex(_QUOTE)))
    words = [
        PlacedWord(found.group().replace(_QUOTE, ""), found.start(), found.end()) for found in _WORD.finditer(line)
    ]
    return [word for word in words if word.value]


def plain_words(line: str) -> list[str]:
    """Return the words of a line that has single blanks and at most one quoted word, as dumps have; else too few.

    A quoted word with a dash in front is left out, because ipset takes `comment "-q"` for its option -q.
    """
    if _QUOTE not in line:
        return line.split(" ")
    before, quoted, *behind = line.split(_QUOTE)
    if len(behind) != 1 or before[-1:] != " " or behind[0][:1] not in {"", " "} or quoted[:1] in {"", "-"}:
        return []
    words = before[:-1].split(" ")
    words.append(quoted)
    return words + behind[0][1:].split(" ") if behind[0] else words
