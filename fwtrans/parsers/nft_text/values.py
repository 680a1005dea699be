"""Words and numbers of a statement as JSON values. Some stay open: a rule of the same shape fills in its own words.

A `Leaf` is a word whose meaning depends on nothing but itself. What is read at once instead (a unit, a flag) ties the
result to the statement it came from, and `shapes.py` notices.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lark import Token

Json = Any

_UNIT = re.compile(r"(\d+)(ms|[dhms])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class Leaf(NamedTuple):
    """A word, where it stands, and what makes a value of it."""

    start: int
    text: str
    convert: Callable[[str], Json]

    @property
    def value(self) -> Json:
        """Return the value that the word has."""
        return self.convert(self.text)


def number(text: str) -> int:
    """Return a number as strtoull(3) reads it: hexadecimal behind 0x, octal behind a zero."""
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    if text[0] == "0" and len(text) > 1 and not set(text) - set("01234567"):
        return int(text, 8)
    return int(text)


def seconds(text: str) -> int | float:
    """Return a time in seconds: `1d2h3m`, `10s500ms`; a plain number is in seconds. libnftables' JSON has whole ones only."""
    if text.isdigit():
        return int(text)
    milliseconds = sum(
        int(count) * (1 if unit == "ms" else _SECONDS[unit] * 1000) for count, unit in _UNIT.findall(text)
    )
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def unquoted(text: str) -> str:
    """Return a name without its quotation marks. nft's strings know no escapes."""
    return text[1:-1] if text[:1] == '"' else text


def word(text: str) -> str | bool:
    """Return a symbol; `exists` and `missing` are answers."""
    return {"exists": True, "missing": False}.get(text, text)


_CONVERTERS: dict[str, Callable[[str], Json]] = {
    "NUMBER": number,
    "TIME": seconds,
    "STRING": unquoted,
    "WORD": word,
    "CLASSID": str,
    "IPV4": str,
    "COLONS": str,
    "REFERENCE": str,
    "NAT": str,
}


def leaf(token: Token, convert: Callable[[str], Json] | None = None) -> Leaf:
    """Return a token as a value that is decided later."""
    return Leaf(token.start_pos or 0, str(token), convert or _CONVERTERS[token.type])


def settled(found: Json, words: dict[int, str] | None = None) -> Json:
    """Return the JSON with every leaf decided, by the words given for some places or by its own."""
    if isinstance(found, Leaf):
        text = found.text if words is None else words.get(found.start, found.text)
        return found.convert(text)
    if isinstance(found, dict):
        return {key: settled(value, words) for key, value in found.items()}
    if isinstance(found, list):
        return [settled(value, words) for value in found]
    return found


def leaves(found: Json) -> list[Leaf]:
    """Return the open words of a result."""
    if isinstance(found, Leaf):
        return [found]
    inner: Sequence[Json] = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()  # type: ignore[assignment]
    return [item for value in inner for item in leaves(value)]
