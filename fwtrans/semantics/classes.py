"""How the values of a field are written in Boolean variables: numbered classes instead of bits.

The constants of both rulesets cut a field's values into intervals; intervals that no test tells apart are one class, and
the classes are numbered in the order in which they first occur. A field that 50,000 prefixes of one set ask for has two
classes, and one variable. Every set that was collected is a union of classes, and one that is an interval is a run of
class numbers, because a class that first occurs inside it lies wholly inside it.

Numbers above the last class mean the last class too, so that no number is unused and no function has to exclude any.
Fields that rules write, or copy bits from, and flags and marks have a variable for each bit that matters instead.
"""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import TYPE_CHECKING

from fwtrans.ir.names import NamePattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.ir.intervals import Interval, IntervalSet
    from fwtrans.ir.names import NameSet
    from fwtrans.semantics.bdd import Bdd, Node

_SIGNATURE_BITS = 128
_ANY = NamePattern("", is_prefix=True)
NO_NAME = NamePattern("", is_prefix=False)


def signatures() -> Iterator[int]:
    """Yield a number for each test; classes are told apart by the exclusive or of the numbers of the tests they pass.

    Two different sets of n tests have the same one with a chance below n * n / 2**129: never.
    """
    source = Random(0)  # noqa: S311 -- the same classes in every run
    while True:
        yield source.getrandbits(_SIGNATURE_BITS)


class NumberClasses:
    """The classes of a number field, from the sets that tests ask for; values that are not `possible` have none."""

    __slots__ = ("_classes", "_cuts", "_seen", "count", "width")

    def __init__(self, width: int, sets: Iterable[IntervalSet], possible: IntervalSet | None = None) -> None:
        self.width = width
        changes: dict[int, int] = {0: 0}
        numbers = signatures()
        for values in sets if possible is None else (*sets, possible):
            number = next(numbers)
            for low, high in values.ranges:
                changes[low] = changes.get(low, 0) ^ number
                changes[high + 1] = changes.get(high + 1, 0) ^ number
        changes.pop(1 << width, None)
        self._cuts = sorted(changes)
        self._number_classes(changes, possible)

    def _number_classes(self, changes: dict[int, int], possible: IntervalSet | None) -> None:
        signature, known = 0, dict[int, int]()
        self._seen: list[int] = []
        self._classes: list[int] = []
        for cut in self._cuts:
            signature ^= changes[cut]
            self._seen.append(len(known))
            inside = possible is None or cut in possible
            self._classes.append(known.setdefault(signature, len(known)) if inside else -1)
        self.count = len(known)
        self._seen.append(self.count)

    def runs(self, values: IntervalSet) -> list[Interval]:
        """Return the class numbers of a collected set, or of a union or complement of such sets, as sorted runs."""
        found: list[Interval] = []
        for low, high in values.ranges:
            first = self._seen[bisect_left(self._cuts, low)]
            last = self._seen[bisect_left(self._cuts, high + 1)] - 1
            if first > last:
                continue
            if found and found[-1][1] == first - 1:
                first = found.pop()[0]
            found.append((first, last))
        return found

    def members(self, number: int) -> Iterator[Interval]:
        """Yield the intervals of a class; a number above the last means the last."""
        wanted = min(number, self.count - 1)
        ends = [*self._cuts[1:], 1 << self.width]
        for position, found in enumerate(self._classes):
            if found == wanted:
                yield self._cuts[position], ends[position] - 1

    def class_of(self, value: int) -> int:
        """Return the class of a value, -1 for an impossible one."""
        at = bisect_left(self._cuts, value)
        return self._classes[at if at < len(self._cuts) and self._cuts[at] == value else at - 1]


class NameClasses:
    """The classes of a name field: names that were seen, the other names of each prefix, all others, and no name."""

    __slots__ = ("_classes", "_patterns", "_places", "_texts", "count")

    def __init__(self, sets: Iterable[NameSet]) -> None:
        sets = list(sets)
        patterns = {_ANY, NO_NAME, *(pattern for names in sets for pattern, _ in names.entries)}
        self._patterns = sorted(patterns)
        self._texts = [pattern.text for pattern in self._patterns]
        self._places = {pattern: place for place, pattern in enumerate(self._patterns)}
        marks = [0] * len(self._patterns)
        numbers = signatures()
        marks[self._places[NO_NAME]] = next(numbers)
        for names in sets:
            number = next(numbers)
            for place in self._exceptions(names):
                marks[place] ^= number
        known: dict[int, int] = {}
        self._classes = [known.setdefault(mark, len(known)) for mark in marks]
        self.count = len(known)

    def _exceptions(self, names: NameSet) -> list[int]:
        """Return the places of the patterns that the set decides unlike a name that fits none."""
        default = names.by_default
        answers: dict[int, bool] = {}
        for pattern, inside in sorted(names.entries, key=lambda entry: (len(entry[0].text), not entry[0].is_prefix)):
            if not pattern.is_prefix:
                answers[self._places[pattern]] = inside
            elif pattern != _ANY:
                first = bisect_left(self._texts, pattern.text)
                last = bisect_left(self._texts, pattern.text + chr(0x10FFFF))
                answers.update(dict.fromkeys(range(first, last), inside))
        return [place for place, inside in answers.items() if inside != default]

    def runs(self, names: NameSet) -> list[Interval]:
        """Return the class numbers of a collected set as sorted runs."""
        exceptions = sorted({self._classes[place] for place in self._exceptions(names)})
        if not names.by_default:
            return [(number, number) for number in exceptions]
        found: list[Interval] = []
        start = 0
        for number in exceptions:
            if number > start:
                found.append((start, number - 1))
            start = number + 1
        if start < self.count:
            found.append((start, self.count - 1))
        return found

    def members(self, number: int) -> Iterator[NamePattern]:
        """Yield the patterns of a class, each without what longer patterns take out of it."""
        wanted = min(number, self.count - 1)
        return (pattern for pattern, found in zip(self._patterns, self._classes, strict=True) if found == wanted)

    def class_of(self, name: str) -> int:
        """Return the class of a name: that of the longest pattern that fits."""
        longest = NamePattern(name, is_prefix=False)
        shorter = (NamePattern(name[:length], is_prefix=True) for length in range(len(name), -1, -1))
        while longest not in self._places:
            longest = next(shorter)
        return self._classes[self._places[longest]]

    def is_taken(self, name: str, pattern: NamePattern) -> bool:
        """Tell whether a name that fits the pattern also fits a longer one."""
        return any(
            other.covers(NamePattern(name, is_prefix=False)) and len(other.text) >= len(pattern.text)
            for other in self._patterns
            if other != pattern and (len(other.text), not other.is_prefix) > (len(pattern.text), not pattern.is_prefix)
        )


def run_node(bdd: Bdd, variables: Sequence[Node], count: int, runs: list[Interval]) -> Node:
    """Return the function of the variables (highest bit first) that holds for the numbers in the runs.

    Numbers from `count` up stand for the last one.
    """
    if runs and runs[-1][1] == count - 1:
        runs = [*runs[:-1], (runs[-1][0], (1 << len(variables)) - 1)]
    starts = [low for low, _ in runs]

    def build(level: int, base: int, first: int, end: int) -> Node:
        if first == end:
            return bdd.false
        size = 1 << (len(variables) - level)
        low, high = runs[first]
        if low <= base and high >= base + size - 1:
            return bdd.true
        middle = base + size // 2
        split = bisect_left(starts, middle, first, end)
        upper = split - 1 if split > first and runs[split - 1][1] >= middle else split
        return variables[level].ite(build(level + 1, middle, upper, end), build(level + 1, base, first, split))

    return build(0, 0, 0, len(runs))
