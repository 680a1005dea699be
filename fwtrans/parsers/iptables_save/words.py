r"""Lines to words, quotes and escapes undone, exactly as iptables-restore does it; and back to columns for a caret.

iptables-restore 1.8.9 (add_param_to_argv in xshared.c) knows two blanks, space and tab, and the double quote. The
closing quote ends the word even where no blank follows. A backslash takes the next character as it is, inside quotes
alone. Single quotes mean nothing:

    --comment "say \"hi\""   one word    say "hi"
    a"b c"d                  two words   ab c  and  d
    'a b'                    two words   'a    and  b'

A command line in a script goes through a shell instead, see shell_words.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_WORD = 1023
LONGEST_LINE = 10239
MOST_WORDS = 251
"""What iptables-restore 1.8.9 has room for: it cuts longer lines in two and refuses the rest."""

_BODY = r'[^"\\]*(?:\\.[^"\\]*)*"'
_RAW = re.compile(rf'[^ \t"]*"{_BODY}|[^ \t"]*".*|[^ \t"]+', re.DOTALL)
_QUOTED = re.compile(_BODY, re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_COUNTERS = re.compile(r"\[[^\]]*\]?")
_PLAIN_COUNTERS = re.compile(r'\[[^\] \t"]*\][ \t]')
_BLANKS = re.compile(r"[ \t]+")
_OTHER_BLANKS = re.compile("[\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|\r(?!\n)")
_PLAIN_STRING = re.compile(r"[-_0-9A-Za-z]+")
_NEEDS_QUOTES = re.compile(r'[ \t\n"]')


class BadLine(Refused):
    """A line that cannot be read. `word` is the number of the word to blame; None for the line as a whole."""

    def __init__(self, code: str, message: str, *, word: int | None = None, hint: str = "", label: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.word = word
        self.label = label


def has_other_blanks(text: str) -> bool:
    """Tell whether `str.split` would split the text where iptables-restore does not."""
    return _OTHER_BLANKS.search(text) is not None


def split_line(line: str, *, other_blanks: bool = True) -> tuple[list[str], list[str] | None]:
    """Return the words, and the words as written (None where no quote makes them differ).

    `other_blanks` may be False if `has_other_blanks` said so of the text; it is three times as fast.
    """
    if line[:1] == "[" and not _PLAIN_COUNTERS.match(line):
        return _split_counters(line)
    if '"' in line:
        raws = _RAW.findall(line)
        return [_unquote(raw, number) if '"' in raw else raw for number, raw in enumerate(raws)], raws
    if other_blanks:
        return [word for word in _BLANKS.split(line) if word], None
    return line.split(), None


def word_columns(line: str) -> tuple[tuple[int, int], ...]:
    """Return the first column and the first column behind each word of `split_line`. Never fails."""
    begin = 0
    columns = []
    if line[:1] == "[" and (counters := _COUNTERS.match(line)):
        begin = counters.end()
        columns.append((0, begin))
    columns += [match.span() for match in _RAW.finditer(line, begin)]
    return tuple(columns)


def quoted(value: str) -> str:
    """Return the value as one word that `split_line` reads back; quotes only where they are needed."""
    return save_string(value) if not value or _NEEDS_QUOTES.search(value) else value


def save_string(value: str) -> str:
    """Return a text (comment, log prefix) as iptables-save prints it (xtables_save_string)."""
    if _PLAIN_STRING.fullmatch(value):
        return value
    return '"' + re.sub(r"""(["\\'])""", r"\\\1", value) + '"'


def refuse_what_overflows(line: str, words: Sequence[str]) -> None:
    """Refuse what iptables-restore has no room for, so that we never translate what no host has loaded."""
    if len(line.encode(errors="surrogateescape")) > LONGEST_LINE:
        raise BadLine("FWT102", f"line is longer than the {LONGEST_LINE} bytes that iptables-restore reads at once")
    for number, word in enumerate(words):
        if len(word.encode(errors="surrogateescape")) > LONGEST_WORD:
            raise BadLine(
                "FWT102", f"word is longer than the {LONGEST_WORD} bytes that iptables-restore takes", word=number
            )
    if len(words) > MOST_WORDS:
        raise BadLine("FWT102", f"line has {len(words)} words, iptables-restore takes {MOST_WORDS}", word=MOST_WORDS)


def _split_counters(line: str) -> tuple[list[str], list[str] | None]:
    """Split `[0:0] -A ...`: no blank is needed behind the bracket, and blanks inside it belong to it."""
    counters = _COUNTERS.match(line)
    head = counters.group() if counters else "["
    if not head.endswith("]"):
        raise BadLine("FWT102", f"`{head}` begins with a bracket that is not closed", word=0)
    try:
        words, raws = split_line(" " + line[len(head) :])
    except BadLine as error:
        error.word = None if error.word is None else error.word + 1
        raise
    return [head, *words], None if raws is None else [head, *raws]


def _unquote(raw: str, number: int) -> str:
    """Return the word that a piece with a quote in it stands for."""
    before, _, rest = raw.partition('"')
    if "\\" not in rest and rest.find('"') == len(rest) - 1 >= 0:
        return before + rest[:-1]
    if not _QUOTED.fullmatch(rest):
        raise BadLine(
            "FWT108",
            f"quote is not closed in `{raw}`",
            word=number,
            hint='close it with `"`, or write `\\"` inside quotes for a quote that belongs to the text',
        )
    return before + _ESCAPE.sub(r"\1", rest[:-1])
