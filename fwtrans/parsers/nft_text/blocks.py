"""Text to statements: where each begins and ends, and which braces hold statements of their own.

A newline or a semicolon ends a statement, outside braces that belong to an expression: those of a set, a map or a list.
`chain x {` opens a block, `ip saddr {` does not. Which is which is told by the words in front and by what is around.
Comments and continued lines become blanks, so that every character keeps its place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum, auto

from fwtrans.parsers.nft_text.faults import BadStatement


class Around(Enum):
    """What a statement stands in."""

    FILE = auto()
    TABLE = auto()
    CHAIN = auto()
    OBJECT = auto()


@dataclass(slots=True)
class Statement:
    """One statement: its text (blank where comments were), where it starts in the file, and its block."""

    text: str
    start: int
    block: list[Statement] | None = None


_OBJECTS = r"(?:set|map|meter|flowtable|counter|quota|limit|synproxy|secmark|ct\s+(?:helper|timeout|expectation))"
_FILE_BLOCK = re.compile(rf"\s*(?:(?:add|create)\s+)?(?:(table)|(chain)|{_OBJECTS})\s")
_TABLE_BLOCK = re.compile(rf"\s*(?:(chain)|{_OBJECTS})\s")
_CHAIN_BLOCK = re.compile(r"(?:^|\s)(?:jump|goto)\s*$")
_STOP = re.compile(r'"[^"\n]*"|"|#[^\n]*|\\\r?\n|[;{}\n]')
_HIDDEN = re.compile(r'("[^"\n]*")|#[^\n]*|\\\r?\n')


def split(text: str) -> list[Statement]:
    """Return the statements of a file; BadStatement (offsets in the file) where braces or quotes do not close."""
    return _Splitter(text).file()


@dataclass(slots=True)
class _Splitter:
    text: str
    opened: list[tuple[int, list[Statement], Around]] = field(default_factory=list)
    found: list[Statement] = field(default_factory=list)
    around: Around = Around.FILE
    start: int = 0
    depth: int = 0
    brace: int = 0
    hidden: bool = False
    long_braces: tuple[int, int] | None = None

    def file(self) -> list[Statement]:
        for stop in _STOP.finditer(self.text):
            self._take(stop[0], stop.start(), stop.end())
        self._end(len(self.text))
        if self.depth or self.opened:
            place = self.brace if self.depth else self.opened[-1][0]
            hint = "every `{` needs its `}`" + self._suspicion()
            raise BadStatement("FWT152", "this brace is never closed", place, place + 1, hint=hint)
        return self.found

    def _take(self, stop: str, start: int, end: int) -> None:
        if stop[0] in "#\\":
            self.hidden = True
        elif stop == '"':
            raise BadStatement("FWT152", "a quotation mark is not closed", start, start + 1)
        elif stop[0] == '"':
            return
        elif stop == "{":
            self._open(start, end)
        elif stop == "}":
            self._close(start, end)
        elif not self.depth:
            self._end(start)
            self.start = end

    def _open(self, start: int, end: int) -> None:
        inner = None if self.depth else self._block_kind(self.text[self.start : start])
        if inner is None:
            if not self.depth:
                self.brace = start
            self.depth += 1
            return
        statement = Statement(self._visible(start), self.start, [])
        self.found.append(statement)
        self.opened.append((start, self.found, self.around))
        assert statement.block is not None  # noqa: S101 -- made above
        self.found, self.around, self.start = statement.block, inner, end

    def _close(self, start: int, end: int) -> None:
        if self.depth:
            self.depth -= 1
            if not self.depth and "\n" in self.text[self.brace : start]:
                self.long_braces = (self.brace, start)
            return
        self._end(start)
        if not self.opened:
            raise BadStatement("FWT152", "this brace closes nothing", start, end)
        _, self.found, self.around = self.opened.pop()
        self.start = end

    def _suspicion(self) -> str:
        """Name the last list that goes over lines: it may have taken the brace of a block for its own."""
        if self.long_braces is None:
            return ""
        first, last = (self.text.count("\n", 0, place) + 1 for place in self.long_braces)
        return f"; the list that opens in line {first} closes in line {last}"

    def _end(self, end: int) -> None:
        text = self._visible(end)
        if text.strip() and not self.depth:
            self.found.append(Statement(text, self.start))

    def _visible(self, end: int) -> str:
        text = self.text[self.start : end]
        if self.hidden:
            text = _HIDDEN.sub(lambda found: found[1] or " " * len(found[0]), text)
            self.hidden = False
        return text

    def _block_kind(self, head: str) -> Around | None:
        if self.hidden:
            head = _HIDDEN.sub(lambda found: found[1] or " " * len(found[0]), head)
        if self.around is Around.CHAIN:
            return Around.CHAIN if _CHAIN_BLOCK.search(head) else None
        if self.around is Around.OBJECT:
            return None
        if self.around is Around.TABLE:
            found = _TABLE_BLOCK.match(head)
            return None if found is None else Around.CHAIN if found[1] else Around.OBJECT
        found = _FILE_BLOCK.match(head)
        if found is None:
            return None
        return Around.TABLE if found[1] else Around.CHAIN if found[2] else Around.OBJECT


class Places:
    """Offsets of a text as lines and columns."""

    def __init__(self, text: str) -> None:
        """Find the lines once."""
        self._starts = [0, *(stop.end() for stop in re.finditer("\n", text))]

    def line(self, offset: int) -> int:
        """Return the number of the line, from 1."""
        return bisect_right(self._starts, offset)

    def column(self, offset: int) -> int:
        """Return the column, from 0."""
        return offset - self._starts[self.line(offset) - 1]
