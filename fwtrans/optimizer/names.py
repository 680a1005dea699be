"""Names for chains and maps that passes make: told from what they are for, so that they stay from run to run."""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.ruleset import Table

_LONGEST = 80
DIGEST_BYTES = 5
_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
# What chains and maps are called after that a long list became.
CUT = "cut"
# What stands between what a map is for and what it is asked by.
BY = "-by-"
_OF_A_CUT = re.compile(rf"-{CUT}(-|$)")
_HASHED = re.compile(r"-[0-9a-fA-F]{6,10}\b")
_NUMBERS = re.compile(r"[0-9]+|[^0-9]+")


class Names:
    """The names that are taken in a table."""

    def __init__(self, table: Table) -> None:
        self._taken = {item.name for kind in (table.chains, table.sets, table.maps) for item in kind}

    def new(self, *parts: str) -> str:
        """Return a free name made of the parts, and take it."""
        wanted = "-".join("".join(letter if letter in _WORDS else "_" for letter in part) for part in parts)
        if len(wanted) > _LONGEST:
            wanted = f"{wanted[:_LONGEST]}-{digest((wanted,))}"
        given, number = wanted, 1
        while given in self._taken:
            number += 1
            given = f"{wanted}-{number}"
        self._taken.add(given)
        return given


def is_made(map_name: str) -> bool:
    """Tell whether a verdict map's name is one that passes give, or that stands for none: nobody else knows such a map."""
    return BY in map_name or map_name.startswith("__")


def is_cut(name: str) -> bool:
    """Tell whether a chain or map is called part of a long list, which was weighed as a whole: steps against size."""
    return _OF_A_CUT.search(name) is not None


def name_order(name: str) -> tuple[bool, tuple[tuple[int, str], ...]]:
    """Return by what names are ordered: hashes last, numbers by their size, so that those of new guests mostly come late."""
    words = ((int(word), "") if word.isdigit() else (-1, word) for word in _NUMBERS.findall(name))
    return _HASHED.search(name) is not None, tuple(words)


def digest(texts: Iterable[str]) -> str:
    """Return a short sign that stands for the texts."""
    found = blake2s(digest_size=DIGEST_BYTES)
    for text in texts:
        found.update(text.encode())
        found.update(b"\0")
    return with_figure(found.hexdigest(), 2 * DIGEST_BYTES)


def with_figure(hexadecimal: str, length: int) -> str:
    """Return the first part of a hash, of a length, with a figure in it: `facade` may be a word, which people give as a name."""
    parts = (hexadecimal[at : at + length] for at in range(len(hexadecimal) - length + 1))
    return next((part for part in parts if not part.isalpha()), hexadecimal[: length - 1] + "0")
