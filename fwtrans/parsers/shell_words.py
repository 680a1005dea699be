r"""Shell text to words and operators, each with its place. Nothing is expanded and nothing is run here.

    iptables -A INPUT -i "$IFACE" -j DROP && true    ->    seven words, one of them with a variable; `&&`; a word

The words follow POSIX sh (dash, which /bin/sh is on Debian). What a shell would compute is kept as what it is, a piece of
a word, because a command that is none of ours may well have some; who reads the command decides.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.source import SourceFile


class ShellWord(NamedTuple):
    """A word as a program gets it, and where it is written: its line and its columns from 0, `end` behind it.

    A word that goes on in the next line ends, for the caret, with its first.
    """

    value: str
    line: int
    start: int
    end: int


class Passage(NamedTuple):
    """A stretch of shell text, and from where in the file each run of its characters comes.

    `runs` are (offset in the text, line, column), ascending.
    """

    source: SourceFile
    text: str
    runs: tuple[tuple[int, int, int], ...]

    def place(self, start: int, end: int, value: str) -> ShellWord:
        """Return the word that stands at these offsets."""
        run = max(bisect_right(self.runs, (start, 1 << 60, 0)) - 1, 0)
        offset, line, column = self.runs[run]
        if run + 1 < len(self.runs):
            end = min(end, self.runs[run + 1][0])
        stop = self.text.find("\n", start, end)
        end = end if stop < 0 else stop
        return ShellWord(value, line, start - offset + column, end - offset + column)


def whole_file(source: SourceFile) -> Passage:
    """Return a script as one passage; a CR at the end of a line is no part of it."""
    runs = []
    offset = 0
    lines = []
    for number in range(1, len(source.lines) + 1):
        line = source.line(number)
        runs.append((offset, number, 0))
        lines.append(line)
        offset += len(line) + 1
    return Passage(source, "\n".join(lines), tuple(runs))


class Kind(Enum):
    """What a piece of a word is."""

    TEXT = "text"
    VARIABLE = "variable"
    COMPUTED = "computed"


class Piece(NamedTuple):
    """A piece of a word: plain text, the name of a variable, or what only a shell could compute."""

    kind: Kind
    text: str
    quoted: bool


class RawWord(NamedTuple):
    """A word before any expansion. `NAME=(a b)` has `elements`, see shell_lists.py."""

    pieces: tuple[Piece, ...]
    start: int
    end: int
    elements: tuple[RawWord, ...] | None = None

    @property
    def bare(self) -> str | None:
        """Return the text of a word without quotes and expansions, as reserved words and operators are; else None."""
        if len(self.pieces) == 1 and self.pieces[0].kind is Kind.TEXT and not self.pieces[0].quoted:
            return self.pieces[0].text
        return None


class Operator(NamedTuple):
    """A control operator or a redirection; a line's end is one, too."""

    text: str
    start: int
    end: int

    @property
    def is_redirection(self) -> bool:
        """Tell whether a word belongs to it."""
        return "<" in self.text or ">" in self.text


class Unclosed(NamedTuple):
    """A quote or bracket that the text does not close; nothing behind it can be read."""

    text: str
    start: int
    end: int


Token = RawWord | Operator | Unclosed

_OPERATOR = re.compile(r"&>>|&>|&&|\|\||;;&|;;|;&|\|&|[;&|()]|(?:\d+(?=[<>]))?(?:<<<|<<-|<<|<>|<&|<|>>|>&|>\||>)|\n")
_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_PLAIN = re.compile(r"[^ \t\n\\\"'`$;&|()<>]+")
_WHOLE_WORD = re.compile(r"[^ \t\n\\\"'`$;&|()<>]+(?=[ \t\n]|\Z)")  # nearly all words have no quotes
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPECIAL = re.compile(r"[@*#?$!0-9-]")
_QUOTED_PLAIN = re.compile(r"[^\"\\`$]+")


def tokens(passage: Passage) -> Iterator[Token]:
    """Yield words and operators; comments and the bodies of here-documents are left out."""
    return _Lexer(passage.text).tokens()


class _Open(Exception):  # noqa: N818 -- it ends the reading of a text, and is not seen outside
    """Something is not closed."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start


class _Lexer:
    """Walks through a text once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.pieces: list[Piece] = []
        self.delimiters: list[tuple[str, bool, int]] = []
        self.wants_delimiter = ""

    def tokens(self) -> Iterator[Token]:
        try:
            while self._skip_blanks():
                found = _OPERATOR.match(self.text, self.at)
                if found:
                    self.at = found.end()
                    yield Operator(found.group(), found.start(), found.end())
                    self._after_operator(found.group())
                else:
                    yield self._word()
        except _Open as opened:
            yield Unclosed(self.text[opened.start :], opened.start, len(self.text))

    def _skip_blanks(self) -> bool:
        """Move to the next token; False at the end."""
        if found := _BLANK.match(self.text, self.at):
            self.at = found.end()
        if found := _COMMENT.match(self.text, self.at):
            self.at = found.end()
        return self.at < len(self.text)

    def _after_operator(self, operator: str) -> None:
        self.wants_delimiter = operator.lstrip("0123456789") if "<<" in operator and "<<<" not in operator else ""
        if operator == "\n":
            for delimiter, tabs, start in self.delimiters:
                self._skip_document(delimiter, start, tabs=tabs)
            self.delimiters.clear()

    def _skip_document(self, delimiter: str, start: int, *, tabs: bool) -> None:
        """Skip the lines of a here-document. One without an end is an error: `((A<<1))` looks like one and is none."""
        while self.at < len(self.text):
            end = self.text.find("\n", self.at)
            end = len(self.text) if end < 0 else end
            line = self.text[self.at : end]
            self.at = end + 1
            if (line.lstrip("\t") if tabs else line) == delimiter:
                return
        raise _Open(start)

    def _word(self) -> RawWord:
        start = self.at
        if found := _WHOLE_WORD.match(self.text, start):
            self.at = found.end()
            word = RawWord((Piece(Kind.TEXT, found.group(), quoted=False),), start, self.at)
        else:
            self.pieces = []
            while self.at < len(self.text) and self._piece():
                pass
            word = RawWord(tuple(self.pieces), start, self.at)
        if self.wants_delimiter:
            text = "".join(piece.text for piece in word.pieces)
            self.delimiters.append((text, self.wants_delimiter == "<<-", start))
            self.wants_delimiter = ""
        return word

    def _piece(self) -> bool:
        """Read one more piece of a word; False where the word ends."""
        letter = self.text[self.at]
        if found := _PLAIN.match(self.text, self.at):
            self._add(Kind.TEXT, found.group(), found.end(), quoted=False)
        elif letter == "\\":
            if self.text.startswith("\\\n", self.at):
                self.at += 2
            else:
                self._add(Kind.TEXT, self.text[self.at + 1 : self.at + 2] or "\\", self.at + 2, quoted=True)
        elif letter == "'":
            end = self._find("'", self.at)
            self._add(Kind.TEXT, self.text[self.at + 1 : end], end + 1, quoted=True)
        elif letter == '"':
            self._double()
        elif letter in "`$":
            self._expansion(quoted=False)
        else:
            return False
        return True

    def _add(self, kind: Kind, text: str, end: int, *, quoted: bool) -> None:
        self.pieces.append(Piece(kind, text, quoted))
        self.at = min(end, len(self.text))

    def _find(self, letter: str, start: int) -> int:
        end = self.text.find(letter, start + 1)
        if end < 0:
            raise _Open(start)
        return end

    def _double(self) -> None:
        """Read a double-quoted stretch, which may have nothing in it and is a word even so."""
        start = self.at
        self._add(Kind.TEXT, "", self.at + 1, quoted=True)
        while self.at < len(self.text):
            if found := _QUOTED_PLAIN.match(self.text, self.at):
                self._add(Kind.TEXT, found.group(), found.end(), quoted=True)
                continue
            letter = self.text[self.at]
            if letter == '"':
                self.at += 1
                return
            if letter == "\\":
                escaped = self.text[self.at + 1 : self.at + 2]
                text = "" if escaped == "\n" else escaped if escaped in '$`"\\' else "\\" + escaped
                self._add(Kind.TEXT, text, self.at + 2, quoted=True)
            else:
                self._expansion(quoted=True)
        raise _Open(start)

    def _expansion(self, *, quoted: bool) -> None:
        start = self.at
        after = start + 1
        if self.text[start] == "`":
            self._computed(self._find("`", start) + 1, quoted=quoted)
        elif found := _NAME.match(self.text, after):
            self._add(Kind.VARIABLE, found.group(), found.end(), quoted=quoted)
        elif found := _BRACED_NAME.match(self.text, after):
            self._add(Kind.VARIABLE, found[1], found.end(), quoted=quoted)
        elif self.text.startswith(("(", "{"), after):
            self._computed(self._closing(after), quoted=quoted)
        elif not quoted and self.text.startswith("'", after):
            self._computed(self._find("'", after) + 1, quoted=quoted)
        elif _SPECIAL.match(self.text, after):
            self._computed(after + 1, quoted=quoted)
        else:  # a dollar sign and nothing more; $"..." of bash is a dollar sign and a quoted text for dash
            self._add(Kind.TEXT, "$", after, quoted=quoted)

    def _computed(self, end: int, *, quoted: bool) -> None:
        self._add(Kind.COMPUTED, self.text[self.at : end], end, quoted=quoted)

    def _closing(self, start: int) -> int:
        """Return the offset behind the bracket that closes the one at `start`; brackets in quotes do not count."""
        opening = self.text[start]
        closing = {"(": ")", "{": "}"}[opening]
        depth = 0
        at = start
        while at < len(self.text):
            letter = self.text[at]
            if letter == "\\":
                at += 1
            elif letter == "'":
                at = self._find("'", at)
            elif letter == '"':
                at = self._end_of_double(at)
            elif letter == opening:
                depth += 1
            elif letter == closing:
                depth -= 1
                if depth == 0:
                    return at + 1
            at += 1
        raise _Open(start - 1)

    def _end_of_double(self, start: int) -> int:
        at = start + 1
        while at < len(self.text):
            if self.text[at] == "\\":
                at += 1
            elif self.text[at] == '"':
                return at
            at += 1
        raise _Open(start)
