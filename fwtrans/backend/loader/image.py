"""What a table looks like to the loader: names, declarations, elements and rules as nft writes them.

The loader does not need to know what a rule means; it has to know which object it belongs to and whether it is the same
as before. So an image holds texts: it is made from our printed output or from a listing (`image_text.py`), is kept in the
state file, and two of them are compared to find what has to be sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class TableName(NamedTuple):
    """A table's family and name, `inet fwtrans`."""

    family: str
    name: str

    def __str__(self) -> str:
        """Return it as nft writes it."""
        return f"{self.family} {self.name}"


class Kind(Enum):
    """Kinds of objects that stand beside chains; the value is nft's word."""

    SET = "set"
    MAP = "map"
    FLOWTABLE = "flowtable"
    COUNTER = "counter"
    QUOTA = "quota"
    LIMIT = "limit"
    CT_HELPER = "ct helper"
    CT_TIMEOUT = "ct timeout"
    CT_EXPECTATION = "ct expectation"
    SYNPROXY = "synproxy"
    SECMARK = "secmark"


HOLDERS = frozenset({Kind.SET, Kind.MAP})
"""Kinds that have elements."""


@dataclass(frozen=True, slots=True)
class ObjectImage:
    """A set, map, flowtable or named object: what stands in its braces, line by line, and its elements."""

    kind: Kind
    name: str
    body: tuple[str, ...]
    elements: tuple[str, ...] = ()

    @property
    def is_dynamic(self) -> bool:
        """Tell whether packets put elements into it: those belong to the kernel, not to a ruleset."""
        return any(line.startswith("flags ") and "dynamic" in line for line in self.body)


@dataclass(frozen=True, slots=True)
class ChainImage:
    """A chain: its `type ... hook ...` line and comment, if any, and its rules."""

    name: str
    head: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    said: str = field(init=False, repr=False, compare=False)
    """What the rules say, a line each, without counts and comments: two chains of which it is the same do the same."""

    def __post_init__(self) -> None:
        """Keep what is said: a change of one rule asks it of thousands of chains."""
        said = "\n".join(self.rules)
        if ' comment "' in said:
            said = _COMMENT.sub("", said)
        object.__setattr__(self, "said", _without_counts(said))

    @property
    def is_base(self) -> bool:
        """Tell whether the kernel calls it."""
        return any(line.startswith("type ") for line in self.head)


@dataclass(frozen=True, slots=True)
class TableImage:
    """A table. `head` is its comment and flags."""

    name: TableName
    head: tuple[str, ...] = ()
    objects: tuple[ObjectImage, ...] = ()
    chains: tuple[ChainImage, ...] = ()

    @property
    def size(self) -> int:
        """Return how many rules and elements there are."""
        return sum(len(chain.rules) for chain in self.chains) + sum(len(item.elements) for item in self.objects)


Image = tuple[TableImage, ...]

_QUOTED = re.compile(r'("[^"]*")')
_COUNTER = re.compile(r"\bcounter packets \d+ bytes \d+")
_USED = re.compile(r" used \d+ \w+")
_EXPIRES = re.compile(r" expires \S+")
_COMMENT = re.compile(r' comment "[^"\n]*"$', re.MULTILINE)
_END_OF_KEY = re.compile(r" (?:timeout|expires|counter|limit|quota|ct count|comment|last|:)(?: |$)")


def added_and_gone(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Return the elements that only the new has, and those that only the old has. In neither is one twice.

    What is new mostly stands together: what is the same on both sides of it is not looked at one by one.
    """
    start = _common_start(old, new)
    end = _common_end(old, new, min(len(old), len(new)) - start)
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    added = set(after).difference(before)
    return added, set() if len(added) == len(new) - len(old) else set(before).difference(after)


def _common_start(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: tuple[str, ...], other: tuple[str, ...], most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=1 << 17)
def without_counts(text: str) -> str:
    """Return a rule or element as it is when nothing was counted: what packets change is no difference."""
    return _without_counts(text)


def _without_counts(text: str) -> str:
    if "counter" not in text and " used " not in text and " expires " not in text:
        return text
    parts = _QUOTED.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = _EXPIRES.sub("", _USED.sub("", _COUNTER.sub("counter", parts[index])))
    return "".join(parts)


@lru_cache(maxsize=1 << 17)
def same_rule_key(text: str) -> str:
    """Return what two rules that do the same share: their text without counts and without the comment.

    The comment holds the line of the source. One more line in front moves all others, and a rule whose only news is its
    line keeps its counters and buckets.
    """
    return without_counts(_COMMENT.sub("", text))


def rule_comment(text: str) -> str:
    """Return a rule's comment."""
    found = _COMMENT.search(text)
    return found[0][len(' comment "') : -1] if found else ""


@lru_cache(maxsize=1 << 17)
def element_key(text: str) -> str:
    """Return the key of an element: what `delete element` names it by."""
    parts = _QUOTED.split(text)
    length = 0
    for index, part in enumerate(parts):
        if index % 2 == 0 and (found := _END_OF_KEY.search(part)):
            return text[: length + found.start()]
        length += len(part)
    return text
