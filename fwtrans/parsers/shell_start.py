"""Whether a script asks if it is called with `start`, as init scripts do: `case "$1" in start) ...`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_outline import FUNCTION
from fwtrans.parsers.shell_words import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import RawWord

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_VARIABLE = re.compile(r"\$([A-Za-z0-9_]+)|\$\{([A-Za-z0-9_]+)(?::-[^{}]*)?\}")
_HANDED_ON = re.compile(r"\$[@*1]|\$\{[@*1]\}")


def asks_for_start(commands: Sequence[SimpleCommand]) -> RawWord | None:
    """Return the word that a `case` or a test compares with `start`, if it is what the script is called with.

    It may stand in a variable first, or be handed on to a function: `main "$@"`.
    """
    outside = [command for command in commands if not any(opener.word == FUNCTION for opener in command.inside)]
    hands_on = any(_HANDED_ON.fullmatch(_text(word)) for command in outside for word in command.words[1:])
    names = {"1", *(name for command in outside for word in command.words if (name := _of_first(word)))}
    asking = (_asked(command, names) for command in (commands if hands_on else outside))
    return next(filter(None, asking), None)


def assigns(word: RawWord) -> re.Match[str] | None:
    """Return `NAME=` or `NAME+=` where a word begins with it."""
    first = word.pieces[0]
    return _ASSIGNMENT.match(first.text) if first.kind is Kind.TEXT and not first.quoted else None


def _text(word: RawWord) -> str:
    return "".join(piece.text for piece in word.pieces)


def _of_first(word: RawWord) -> str:
    """Return NAME of `NAME=$1`."""
    found = assigns(word)
    is_first = found is not None and _VARIABLE.fullmatch(_text(word)[found.end() :])
    return found[1] if found is not None and is_first and (is_first[1] or is_first[2]) == "1" else ""


def _asked(command: SimpleCommand, names: set[str]) -> RawWord | None:
    """Return the word of a `case` or test that is compared with `start` and is what the script is called with."""
    closed = command.closed
    if closed is not None and closed.word == "case":
        words, others = closed.subject, [word for part in closed.patterns for word in part]
    else:
        words = tuple(command.words) if command.words and command.words[0].bare in {"[", "[[", "test"} else ()
        others = list(words)
    if not any(_text(word) == "start" for word in others):
        return None
    for word in words:
        kinds = {piece.kind for piece in word.pieces if piece.text}
        found = _VARIABLE.fullmatch(_text(word)) if kinds == {Kind.COMPUTED} else None
        name = (found[1] or found[2]) if found else _text(word) if kinds == {Kind.VARIABLE} else ""
        if name in names:
            return word
    return None
