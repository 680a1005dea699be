"""Lists of words that bash makes: `{22,80}` and `{1..5}` where the file's first line names bash, and arrays.

    for port in {8000..8003} 22; do      PORTS=(22 80)      for port in "${PORTS[@]}"; do

In sh (dash on Debian) braces are plain letters, so in other scripts they are refused; an array is an error there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_words import Kind, Operator, RawWord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_words import Passage, Token

_BASH = re.compile(r"#!\s*(?:/\S*/)?(?:env\s+(?:-S\s+)?)?(?:/\S*/)?bash(?:\s|\Z)")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*|(?:0|-?[1-9][0-9]{0,8})\.\.(?:0|-?[1-9][0-9]{0,8}))\}", re.ASCII)
_NESTED = re.compile(r"\{[^}]*\{")
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=", re.ASCII)
_MOST_WORDS = 10_000


def is_bash(passage: Passage) -> bool:
    """Tell whether the file's first line names bash."""
    return _BASH.match(passage.source.line(1)) is not None


def unfolded(word: RawWord, passage: Passage) -> tuple[RawWord, ...] | None:
    """Return the words that bash makes of one with braces; None where there are none that are read."""
    at = next(
        (
            at
            for at, piece in enumerate(word.pieces)
            if _is_plain(piece.kind, quoted=piece.quoted) and "{" in piece.text
        ),
        None,
    )
    if at is None or not is_bash(passage) or any(_NESTED.search(piece.text) for piece in word.pieces):
        return None
    found = [word]
    for _ in range(_MOST_WORDS):
        following = [more for each in found for more in _once(each)]
        if len(following) == len(found):
            break
        found = following
        if len(found) > _MOST_WORDS:
            return None
    kept = tuple(each for each in found if any(piece.text or piece.quoted for piece in each.pieces))
    return None if found == [word] or any(_has_braces(each) for each in kept) else kept


def _is_plain(kind: Kind, *, quoted: bool) -> bool:
    return kind is Kind.TEXT and not quoted


def _has_braces(word: RawWord) -> bool:
    return any(_is_plain(piece.kind, quoted=piece.quoted) and set("{}") & set(piece.text) for piece in word.pieces)


def _once(word: RawWord) -> tuple[RawWord, ...]:
    """Unfold the first braces of a word."""
    for at, piece in enumerate(word.pieces):
        braces = _BRACES.search(piece.text) if _is_plain(piece.kind, quoted=piece.quoted) else None
        if braces is not None:
            before, behind = piece.text[: braces.start()], piece.text[braces.end() :]
            return tuple(
                word._replace(
                    pieces=(*word.pieces[:at], piece._replace(text=before + choice + behind), *word.pieces[at + 1 :])
                )
                for choice in _choices(braces[1])
            )
    return (word,)


def _choices(inner: str) -> list[str]:
    if "," in inner:
        return inner.split(",")
    first, last = map(int, inner.split(".."))
    if abs(last - first) > _MOST_WORDS:
        return [""] * (_MOST_WORDS + 1)
    step = 1 if first <= last else -1
    return [str(number) for number in range(first, last + step, step)]


def with_arrays(found: Sequence[Token]) -> tuple[Token, ...]:
    """Return the tokens with `NAME=(a b)` as one word that has elements."""
    result: list[Token] = []
    at = 0
    while at < len(found):
        token = found[at]
        end = _end_of_array(found, at)
        if end is None or not isinstance(token, RawWord):
            result.append(token)
            at += 1
            continue
        elements = tuple(word for word in found[at + 2 : end] if isinstance(word, RawWord))
        result.append(token._replace(end=found[end].end, elements=elements))
        at = end + 1
    return tuple(result)


def _end_of_array(found: Sequence[Token], at: int) -> int | None:
    """Return where the bracket closes that an array's elements stand in."""
    token = found[at]
    if not isinstance(token, RawWord) or not _ARRAY.fullmatch(token.bare or "") or at + 1 == len(found):
        return None
    opening = found[at + 1]
    if not isinstance(opening, Operator) or opening.text != "(" or opening.start != token.end:
        return None
    for index in range(at + 2, len(found)):
        inner = found[index]
        if isinstance(inner, Operator) and inner.text == ")":
            return index
        if not isinstance(inner, RawWord) and not (isinstance(inner, Operator) and inner.text == "\n"):
            return None
    return None
