r"""One line of a .fw file to words, each with its terminal of the grammar; the grammar then says what is out of place.

PVE is particular about blanks: one, and no tab, between a rule's option and its value; one between an alias and its
address; none before the colon of an option. Comments begin at the first `#`, in the middle of a word as well. A carriage
return at a line's end is no blank to a section header or an alias, so that a file with CRLF is none to PVE.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from fwtrans.parsers.grammar import TOKENS, load_grammar
from fwtrans.parsers.pve.syntax import SectionKind, Token
from fwtrans.parsers.pve.values import LOG_LEVELS, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = " \t"
SPACE = " \t\n\r\f\v"
"""What Perl's \\s takes in a text of bytes."""

_STARTS = ("header_line", "option_line", "alias_line", "entry_line", "rule_line")
_PLAIN_HEADER = re.compile(r"\[(options|aliases|rules)\]", re.IGNORECASE | re.ASCII)
_NAMED_HEADER = re.compile(
    r"\[(group|ipset)[ \t\n\r\f\v]+([^ \t\n\r\f\v]+)\][ \t\n\r\f\v]*(#.*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)
_WORD = re.compile(r"[^ \t\n\r\f\v]+")
_GAP = re.compile(r"[ \t\n\r\f\v]*")
_KEY = re.compile(r"([^ \t\n\r\f\v:]+):")
_PARAMETER = re.compile(
    r"(-i|-p|--?(?:proto|dport|sport|source|dest|icmp-type)) ([^ \t\n\r\f\v]+)"
    rf"|(--?log) ({'|'.join(LOG_LEVELS)})"
)
_OPTION = re.compile(r"(?:-i|-p|--?(?:proto|dport|sport|source|dest|icmp-type|log))(?![^ \t\n\r\f\v])")
_MACRO = re.compile(r"([^ \t\n\r\f\v]+)\((ACCEPT|DROP|REJECT)\)")
_VERDICTS = frozenset({"ACCEPT", "DROP", "REJECT"})
_DIRECTIONS = frozenset({"in", "out", "forward"})


class Word(NamedTuple):
    """A terminal of the grammar with its text and first column."""

    terminal: str
    text: str
    start: int

    @property
    def token(self) -> Token:
        """Return it as syntax keeps it."""
        return Token(self.text, self.start)


class Line(NamedTuple):
    """A line's words, and what its comment says. `wrong` is the first word that PVE does not take, None for none.

    `expected` are the terminals that could have stood in its place; a wrong word of no text is the line's end.
    """

    words: tuple[Word, ...]
    comment: str
    wrong: Word | None = None
    expected: frozenset[str] = frozenset()

    def word(self, terminal: str) -> Word | None:
        """Return the first word of a terminal."""
        return next((word for word in self.words if word.terminal == terminal), None)


def header(text: str, start: int) -> Line | None:
    """Return a section header, or None. `start` is the column at which the text, without blanks around, begins."""
    if found := _PLAIN_HEADER.fullmatch(text):
        return _checked("header_line", [Word("SECTION", found[1], start + 1)], "")
    if found := _NAMED_HEADER.fullmatch(text):
        words = [
            Word("NAMED_SECTION", found[1], start + 1),
            Word("NAME" if NAME.fullmatch(found[2]) else "REST", found[2], start + found.start(2)),
        ]
        comment = (found[3] or "").removeprefix("#").strip(SPACE)
        if comment:
            words.append(Word("COMMENT", found[3], start + found.start(3)))
        return _checked("header_line", words, comment)
    return None


def split_line(kind: SectionKind, text: str, start: int) -> Line:
    """Return a line of a section."""
    if kind is SectionKind.OPTIONS:
        return _checked("option_line", list(_option_words(text, start)), "")
    before, mark, behind = text.partition("#")
    comment = behind.strip(SPACE)
    comments = [Word("COMMENT", mark + behind, start + len(before))] if mark else []
    if kind is SectionKind.ALIASES:
        words = _alias_words(before.rstrip(SPACE) if mark else before, start)
        return _checked("alias_line", [*words, *comments], comment)
    if kind is SectionKind.IPSET:
        return _checked("entry_line", [*_entry_words(before, start), *comments], comment)
    return _checked("rule_line", [*_rule_words(before, start), *comments], comment)


def _option_words(text: str, start: int) -> Iterator[Word]:
    found = _KEY.match(text)
    if found is None:
        yield Word("REST", text, start)
        return
    yield Word("KEY", found[1], start)
    value = text[found.end() :]
    stripped = value.strip(SPACE)
    if stripped:
        yield Word("VALUE", stripped, start + found.end() + len(value) - len(value.lstrip(SPACE)))


def _alias_words(text: str, start: int) -> Iterator[Word]:
    name = _WORD.match(text)
    if name is None:
        yield Word("REST", text, start)
        return
    yield Word("NAME", name.group(), start)
    value = _WORD.match(text, name.end() + 1)
    if value is not None and value.end() == len(text):
        yield Word("VALUE", value.group(), start + value.start())
    elif name.end() < len(text):
        yield from _rest(text, name.end() if value is None else value.end(), start)


def _entry_words(text: str, start: int) -> Iterator[Word]:
    position = 0
    if text.startswith("!"):
        yield Word("NOT", "!", start)
        position = _skip(text, 1)
    value = _WORD.match(text, position)
    if value is not None:
        yield Word("VALUE", value.group(), start + value.start())
        position = _skip(text, value.end())
    yield from _rest(text, position, start)


def _rule_words(text: str, start: int) -> Iterator[Word]:
    position = 0
    if text.startswith("|"):
        yield Word("DISABLED", "|", start)
        position = 1
    kind = _WORD.match(text, position)
    action = _WORD.match(text, _skip(text, kind.end())) if kind is not None else None
    if kind is None:
        yield from _rest(text, position, start)
        return
    name = kind.group().lower()
    terminal = "DIRECTION" if name in _DIRECTIONS else "GROUP" if name == "group" else "REST"
    yield Word(terminal, kind.group(), start + kind.start())
    if action is None:
        return
    yield from _action_words(terminal, action.group(), start + action.start())
    yield from _parameter_words(text, _skip(text, action.end()), start, in_group=terminal == "GROUP")


def _action_words(kind: str, text: str, start: int) -> Iterator[Word]:
    if kind == "GROUP":
        yield Word("NAME" if NAME.fullmatch(text) else "REST", text, start)
    elif found := _MACRO.fullmatch(text):
        yield Word("MACRO", found[1], start)
        yield Word("VERDICT", found[2], start + found.start(2))
    else:
        yield Word("VERDICT" if text in _VERDICTS else "REST", text, start)


def _parameter_words(text: str, position: int, start: int, *, in_group: bool) -> Iterator[Word]:
    """Yield options and values; from the first that PVE cannot read on, all is one REST."""
    while found := _PARAMETER.match(text, position):
        option, value = (1, 2) if found[1] else (3, 4)
        if in_group and found[option] != "-i":
            break
        yield Word("INTERFACE" if found[option] == "-i" else "OPTION", found[option], start + found.start(option))
        yield Word("VALUE", found[value], start + found.start(value))
        position = _skip(text, found.end())
    if not in_group and (found := _OPTION.match(text, position)) and not text[found.end() :].strip(SPACE):
        yield Word("INTERFACE" if found.group() == "-i" else "OPTION", found.group(), start + position)
        return
    yield from _rest(text, position, start)


def _rest(text: str, position: int, start: int) -> Iterator[Word]:
    rest = text[position:]
    stripped = rest.strip(SPACE)
    if stripped:
        yield Word("REST", stripped, start + position + len(rest) - len(rest.lstrip(SPACE)))


def _skip(text: str, position: int) -> int:
    found = _GAP.match(text, position)
    return position if found is None else found.end()


def _checked(rule: str, words: list[Word], comment: str) -> Line:
    """Return the line with the grammar's opinion of it."""
    shape, places = _shape(words)
    wrong, expected = _first_wrong(rule, shape)
    if wrong < 0:
        return Line(tuple(words), comment)
    if wrong < len(places):
        return Line(tuple(words), comment, words[places[wrong]], expected)
    end = words[-1].start + len(words[-1].text) if words else 0
    return Line(tuple(words), comment, Word("END", "", end), expected)


def _shape(words: list[Word]) -> tuple[tuple[str, ...], list[int]]:
    """Return the terminals, and the number of the word that each stands for.

    Options are alike to the grammar, so one of a run stands for all: a line of a megabyte is no longer than others.
    """
    terminals: list[str] = []
    places: list[int] = []
    for number, word in enumerate(words):
        terminals.append(word.terminal)
        places.append(number)
        if terminals[-2:] == terminals[-4:-2] and terminals[-1] == "VALUE":
            del terminals[-2:], places[-2:]
    return tuple(terminals), places


@lru_cache(maxsize=1024)
def _first_wrong(rule: str, shape: tuple[str, ...]) -> tuple[int, frozenset[str]]:
    """Return the number of the first terminal that the grammar has no place for, -1 for none, and what fits there."""
    from lark import Token as LarkToken  # noqa: PLC0415 -- see fwtrans/parsers/grammar.py
    from lark import UnexpectedInput  # noqa: PLC0415

    tokens = [LarkToken(terminal, terminal, start_pos=index) for index, terminal in enumerate(shape)]
    try:
        load_grammar("pve_firewall", start=_STARTS, lexer=TOKENS).parse(cast("str", tokens), start=rule)
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        at_end = token is None or token.type == "$END"
        wrong = len(shape) if at_end or token is None else token.start_pos or 0
        return wrong, frozenset(getattr(error, "expected", None) or getattr(error, "accepts", None) or ())
    return -1, frozenset()
