"""Sets of interface names. The longest pattern that fits a name decides whether the name is in.

A packet that has no such interface (locally made, or no bridge port) has the empty name, which is what both iptables
and nftables compare with: `! -i eth0` holds for it, `-i eth+` does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.remembering import Hashed, remembers_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class NamePattern(NamedTuple):
    """An exact name, or every name that starts with `text`."""

    text: str
    is_prefix: bool

    def covers(self, other: NamePattern) -> bool:
        """Tell whether all that fits `other` fits this."""
        if self.is_prefix:
            return other.text.startswith(self.text)
        return self == other


_ANY = NamePattern("", is_prefix=True)


def _decide(entries: Iterable[tuple[NamePattern, bool]], pattern: NamePattern) -> bool:
    best, answer = -1, False
    for candidate, inside in entries:
        if candidate.covers(pattern):
            weight = 2 * len(candidate.text) + (not candidate.is_prefix)
            if weight > best:
                best, answer = weight, inside
    return answer


def _decider(entries: Iterable[tuple[NamePattern, bool]]) -> Callable[[NamePattern], bool]:
    """Return a function that decides about many patterns: of exact names only the same one covers anything."""
    known = dict(entries)
    prefixes = [(pattern, inside) for pattern, inside in known.items() if pattern.is_prefix]
    return lambda pattern: known[pattern] if pattern in known else _decide(prefixes, pattern)


@remembers_hash
@dataclass(frozen=True, slots=True)
class NameSet(Hashed):
    """Patterns with in or out, sorted, without those that only repeat what a wider one says."""

    entries: tuple[tuple[NamePattern, bool], ...]

    @classmethod
    def of(cls, patterns: Iterable[NamePattern]) -> NameSet:
        """Return all names that fit one of the patterns."""
        return cls._reduced(dict.fromkeys(patterns, True))

    @classmethod
    def decided(cls, answers: Mapping[NamePattern, bool]) -> NameSet:
        """Return the names for which the longest pattern that fits says yes."""
        return cls._reduced(dict(answers))

    @classmethod
    def exact(cls, *names: str) -> NameSet:
        """Return the set of exactly these names."""
        return cls.of(NamePattern(name, is_prefix=False) for name in names)

    @classmethod
    def prefix(cls, text: str) -> NameSet:
        """Return all names that start with the text."""
        return cls.of((NamePattern(text, is_prefix=True),))

    @classmethod
    def full(cls) -> NameSet:
        """Return every name, the empty one as well."""
        return cls(((_ANY, True),))

    @classmethod
    def empty(cls) -> NameSet:
        """Return no name at all."""
        return cls(((_ANY, False),))

    @classmethod
    def _reduced(cls, entries: dict[NamePattern, bool]) -> NameSet:
        """Return the set without the patterns that say what the wider ones say, which are looked at first.

        An exact name covers nothing but itself, so only prefixes are asked: sets of guests' ports are long and have none.
        """
        prefixes = [(_ANY, entries.get(_ANY, False))]
        exact: list[tuple[NamePattern, bool]] = []
        for pattern, inside in sorted(entries.items(), key=lambda item: len(item[0].text)):
            if not pattern.is_prefix:
                exact.append((pattern, inside))
            elif pattern != _ANY and _decide(prefixes, pattern) != inside:
                prefixes.append((pattern, inside))
        kept = ((pattern, inside) for pattern, inside in exact if _decide(prefixes, pattern) != inside)
        return cls(tuple(sorted((*prefixes, *kept))))

    @property
    def patterns(self) -> tuple[NamePattern, ...]:
        """Return every pattern named, the all-embracing one aside."""
        return tuple(pattern for pattern, _ in self.entries if pattern != _ANY)

    @property
    def names_one(self) -> bool:
        """Tell whether one pattern is named, the all-embracing one aside."""
        return len(self.entries) == 2  # that one is always there

    @property
    def is_empty(self) -> bool:
        """Tell whether no name is in."""
        return self.entries == ((_ANY, False),)

    @property
    def is_full(self) -> bool:
        """Tell whether every name is in."""
        return self.entries == ((_ANY, True),)

    @property
    def only(self) -> str | None:
        """Return the name where there is exactly one; the empty name is no such one."""
        if len(self.entries) != 2 or self.entries[0] != (_ANY, False):
            return None
        pattern = self.entries[1][0]
        return None if pattern.is_prefix else pattern.text

    @property
    def by_default(self) -> bool:
        """Tell whether a name that fits no pattern is in."""
        return _decide(self.entries[:2], _ANY)  # it stands first, or behind the empty name

    def __contains__(self, name: str) -> bool:
        return _decide(self.entries, NamePattern(name, is_prefix=False))

    def decides(self, pattern: NamePattern) -> bool:
        """Tell whether names of this pattern that fit no longer one are in."""
        return _decide(self.entries, pattern)

    def complement(self) -> NameSet:
        """Return all other names."""
        return NameSet(tuple((pattern, not inside) for pattern, inside in self.entries))

    def union(self, other: NameSet) -> NameSet:
        """Return names in either."""
        return self._merged(other, lambda mine, theirs: mine or theirs)

    def intersection(self, other: NameSet) -> NameSet:
        """Return names in both."""
        return self._merged(other, lambda mine, theirs: mine and theirs)

    def difference(self, other: NameSet) -> NameSet:
        """Return names here and not in the other."""
        return self._merged(other, lambda mine, theirs: mine and not theirs)

    def _merged(self, other: NameSet, combine: Callable[[bool, bool], bool]) -> NameSet:
        patterns = {pattern for pattern, _ in (*self.entries, *other.entries)}
        mine, theirs = _decider(self.entries), _decider(other.entries)
        return self._reduced({pattern: combine(mine(pattern), theirs(pattern)) for pattern in patterns})
