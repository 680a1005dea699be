"""What a review says, as plain values: every form of output is made of these and of nothing else."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Category(Enum):
    """What has become of packets. The order is that of risk: what is let in comes first."""

    ALLOWED = "newly allowed"
    DENIED = "newly denied"
    ANSWERED = "denied with another answer"
    TRANSLATED = "translated differently"
    EFFECT = "treated differently"
    LIMITED = "limited differently"
    MARKED = "marked differently"
    LOGGED = "logged differently"
    LOG_ORDER = "logged in another order"

    @property
    def severity(self) -> str:
        """Return high, medium or low."""
        if self is Category.ALLOWED:
            return "high"
        return "medium" if self in _MEDIUM else "low"


_MEDIUM = (Category.DENIED, Category.ANSWERED, Category.TRANSLATED, Category.EFFECT, Category.LIMITED)


class RuleText(NamedTuple):
    """A rule as it is written: its text, file:line, and the chain it stands in."""

    text: str
    location: str
    chain: str


class Step(NamedTuple):
    """A rule that a witness was asked about: the chain, the rule's own text, whether it held, and file:line."""

    chain: str
    text: str
    held: bool
    location: str


class Witness(NamedTuple):
    """A packet and what each side does with it. `values` are the keys of `fwtrans simulate`."""

    hook: str
    packet: str
    values: Mapping[str, str]
    old: str
    new: str
    old_trace: tuple[Step, ...]
    new_trace: tuple[Step, ...]
    confirmed: bool


class Cut(NamedTuple):
    """Exact, disjoint boxes of one hook's packets: values by field. `complete` unless there were too many to list."""

    hook: str
    boxes: tuple[Mapping[str, str], ...]
    complete: bool


class Entry(NamedTuple):
    """One line of the review: one cause, one way; for all guests with whom it is the same.

    `also` are lesser consequences of the same cause on the same way, which are no lines of their own.
    """

    category: Category
    way: str
    guests: tuple[str, ...]
    what: tuple[str, ...]
    cause: str
    before: tuple[RuleText, ...]
    now: tuple[RuleText, ...]
    context: tuple[str, ...]
    size: str
    families: tuple[str, ...]
    witnesses: tuple[Witness, ...]
    cuts: tuple[Cut, ...] = ()
    group: str = ""
    explained: str = ""
    also: tuple[Entry, ...] = ()

    @property
    def region(self) -> str:
        """Return what packets they are, in one line."""
        if all(text.endswith(_NEW) for text in self.what):
            return "; ".join(text.removesuffix(_NEW) for text in self.what) + _NEW
        return "; ".join(self.what)

    @property
    def where(self) -> str:
        """Return which way the packets go: `to guests 100 and 102`."""
        if not self.guests:
            return self.way
        with_group = f" with group {self.group}" if self.group else ""
        if len(self.guests) == 1:
            return f"{self.way} {self.guests[0]}{with_group}"
        if len(self.guests) <= _MOST_NAMED:
            return f"{self.way}s {', '.join(self.guests[:-1])} and {self.guests[-1]}{with_group}"
        return f"{self.way.removesuffix('guest')}{len(self.guests)} guests{with_group}"


_MOST_NAMED = 5
_NEW = ", new connections"


class StructureItem(NamedTuple):
    """A rule, set, chain or table that was added, removed, changed or moved."""

    kind: str
    action: str
    name: str
    before: tuple[str, ...] = ()
    now: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()


class Review(NamedTuple):
    """The whole review. `by_rule` says that rules were matched; else the causes are what decided before and decides now.

    `exact` says that the regions were proved to be exactly the difference.
    """

    entries: tuple[Entry, ...]
    structure: tuple[StructureItem, ...]
    by_rule: bool
    exact: bool
    equal: bool
    undecided: tuple[tuple[str, str], ...]
    assumptions: tuple[str, ...]
    intended: tuple[tuple[str, str], ...]
    omitted: int = 0

    def of(self, *categories: Category) -> tuple[Entry, ...]:
        """Return the entries of some categories."""
        return tuple(entry for entry in self.entries if entry.category in categories)

    def has(self, *categories: Category) -> bool:
        """Tell whether some packets have such a consequence, be it a lesser one of its line."""
        return any(entry.category in categories for line in self.entries for entry in (line, *line.also))


def counted(number: int, thing: str, things: str = "") -> str:
    """Return `1 guest`, `2 guests`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def listed(items: tuple[str, ...] | list[str], most: int = 6) -> str:
    """Return `a, b and c`, or `a, b and 5 more`."""
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} more"
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def plain(text: str) -> str:
    """Return a text from a file without what a terminal or a page might take for more than text."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
