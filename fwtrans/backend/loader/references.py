"""Where rules and elements name chains, sets and maps, and how those names are told apart and changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAME = re.compile(r'"[^"]*"|\b(?P<chain>jump|goto) ([^\s,;}]+)|(?P<set>@[\w./\\-]++)(?!,)')
"""A place that names one; not in strings, and `@th,0,16` is no set."""
_DIGIT = re.compile(r"\d")

Part: TypeAlias = str
"""A chain by its name, a set or map by its name behind an @: one of each may have the same name."""


def is_made(name: str) -> bool:
    """Tell whether a name can be one that was made: of a number or of a hash."""
    return _DIGIT.search(name) is not None


def names_in(text: str) -> Iterator[Part]:
    """Yield what rules or elements name, in order."""
    if "jump " in text or "goto " in text or "@" in text:
        for found in NAME.finditer(text):
            if found["chain"]:
                yield found[2]
            elif found["set"]:
                yield found["set"]


def changing(names: Mapping[Part, Part]) -> Callable[[str], str]:
    """Return what puts names in the place of names in a rule or element."""

    def place(found: re.Match[str]) -> str:
        if found["chain"]:
            name = names.get(found[2])
            return found[0] if name is None else f"{found['chain']} {name}"
        return names.get(found["set"], found[0]) if found["set"] else found[0]

    def change(text: str) -> str:
        if "jump " in text or "goto " in text or "@" in text:
            return NAME.sub(place, text)
        return text

    return change
