"""Variables that a script sets in other ways than by `NAME=value`: nobody can say what they hold.

    ((PORT++))    X=$((PORT += 1))    ${PORT:=22}    let PORT=23    printf -v PORT 23    mapfile PORT    PORTS=(22 80)

They are looked for in the whole text, wherever the change stands: better one variable too many than an old value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_words import Kind, Operator, RawWord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.parsers.shell_words import Token

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ASSIGNED = re.compile(
    rf"({_NAME})(?:\[[^\]]*\])?\s*(?:=(?!=)|(?:[-+*/%&|^]|<<|>>)=|\+\+|--)|(?:\+\+|--)\s*({_NAME})", re.ASCII
)
_DEFAULT = re.compile(rf"\$\{{({_NAME}):?=", re.ASCII)
_ELEMENT = re.compile(rf"({_NAME})\[[^\]]*\]\+?=.*", re.ASCII | re.DOTALL)
_WHOLE_NAME = re.compile(_NAME, re.ASCII)
_ARRAY = re.compile(rf"({_NAME})\+?=", re.ASCII)
_READERS = frozenset({"mapfile", "readarray"})
_DECLARING = frozenset({"declare", "typeset", "local", "export", "readonly"})
_IN_FRONT = frozenset({"then", "do", "else", "elif", "if", "while", "until", "{", "!", "time", "builtin", "command"})
_OTHER_KINDS = re.compile(r"[-+][A-Za-z]*[nialucA][A-Za-z]*")


def changed_names(found: Sequence[Token], text: str) -> Iterator[tuple[str, int]]:
    """Yield each such variable, and where it is changed."""
    line: list[RawWord] = []
    for index, token in enumerate(found):
        if isinstance(token, Operator):
            before = found[index - 1] if index else None
            if token.text == "(" and before is not None and before.end == token.start:
                yield from _bracket(before, text, token.start)
            if not token.is_redirection:
                yield from _command(line, text)
                line = []
        elif isinstance(token, RawWord):
            line.append(token)
            yield from _pieces(token)
    yield from _command(line, text)


def _bracket(before: Token, text: str, start: int) -> Iterator[tuple[str, int]]:
    """Look into `((...))`, and at the name of an array in front of `(`."""
    if isinstance(before, Operator) and before.text == "(":
        end = text.find("))", start)
        yield from _assigned(text[start : end if end >= 0 else len(text)], start)
    elif isinstance(before, RawWord) and before.bare is not None and (array := _ARRAY.fullmatch(before.bare)):
        yield array[1], before.start


def _pieces(word: RawWord) -> Iterator[tuple[str, int]]:
    for piece in word.pieces:
        if piece.kind is not Kind.COMPUTED:
            continue
        yield from ((found[1], word.start) for found in _DEFAULT.finditer(piece.text))
        if piece.text.startswith("$(("):
            yield from _assigned(piece.text, word.start)
    bare = word.bare
    if bare is not None and (element := _ELEMENT.fullmatch(bare)):
        yield element[1], word.start


def _command(words: list[RawWord], text: str) -> Iterator[tuple[str, int]]:
    """Look at one command that takes names of variables for its words."""
    while words and words[0].bare in _IN_FRONT:
        words = words[1:]
    if len(words) < 2 or (program := words[0].bare) is None:
        return
    if program == "let":
        yield from _assigned(text[words[1].start : words[-1].end], words[1].start)
    given = [(word.bare or "", word.start) for word in words[1:]]
    if program == "printf" and given[0][0] == "-v" and len(given) > 1:
        yield from _names(given[1:2])
    elif program in _READERS or (program in _DECLARING and any(_OTHER_KINDS.fullmatch(word) for word, _ in given)):
        yield from _names(given)


def _names(given: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Take both names of `declare -n OTHER=NAME`, which are one variable."""
    for word, start in given:
        yield from ((name, start) for name in re.split(r"[=\[]", word, maxsplit=1) if _WHOLE_NAME.fullmatch(name))


def _assigned(text: str, start: int) -> Iterator[tuple[str, int]]:
    for found in _ASSIGNED.finditer(text):
        yield found[1] or found[2], start
