"""What is wrong with a statement, and where in its text."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadStatement(Exception):  # noqa: N818 -- an answer about the input, which the reader turns into a diagnostic
    """A statement that is not nft's. `start` and `end` are offsets in the statement's text."""

    def __init__(self, code: str, message: str, start: int = 0, end: int | None = None, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = start + 1 if end is None else end
        self.hint = hint


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the word which was probably meant, nothing where no word is near."""
    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""
