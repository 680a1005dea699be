"""What an ipset with prefixes means as plain, disjoint boxes.

The kernel tries prefix lengths from the longest to the shortest, the first dimension before the second, and the first
entry that fits decides: in, or with `nomatch` out (net/netfilter/ipset/ip_set_hash_gen.h, mtype_test_cidrs). Here
each entry is a box (one interval a dimension) with its lengths; the result are boxes that do not overlap.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwtrans.ir.intervals import Interval

Box = tuple["Interval", ...]
_Item = TypeVar("_Item")


class Entry(NamedTuple):
    """One entry. `inside` is False for nomatch. Larger `weight` is tried first."""

    box: Box
    inside: bool
    weight: tuple[int, ...]


def touching(items: Iterable[_Item], box_of: Callable[[_Item], Box]) -> Iterator[list[_Item]]:
    """Divide what has boxes into groups that share nothing in the first dimension, so that few are held against each other."""
    group: list[_Item] = []
    end = -1
    for item in sorted(items, key=box_of):
        low, high = box_of(item)[0]
        if low > end and group:
            yield group
            group = []
        group.append(item)
        end = max(end, high)
    if group:
        yield group


def resolve(entries: Iterable[Entry]) -> tuple[Box, ...]:
    """Return disjoint boxes, in order, that together are what the entries let in."""
    found = list(entries)
    if not found:
        return ()
    return tuple(_joined(_resolved(found, len(found[0].box))))


def _resolved(entries: list[Entry], dimensions: int) -> list[Box]:
    """Cut the first dimension where any entry begins or ends; inside a piece the rest is a smaller problem."""
    if dimensions == 0:
        best = max(entries, key=lambda entry: entry.weight)
        return [()] if best.inside else []
    if dimensions == 1:
        return [(piece,) for piece in _one_dimension(entries)]
    groups = _same_first(entries)
    if groups is not None:
        return [
            (first, *rest)
            for first, group in groups
            for rest in _resolved([entry._replace(box=entry.box[1:]) for entry in group], dimensions - 1)
        ]
    return _cut(entries, dimensions)


def _same_first(entries: list[Entry]) -> list[tuple[Interval, list[Entry]]] | None:
    """Group entries by their first interval; None where two different ones overlap."""
    groups: defaultdict[Interval, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.box[0]].append(entry)
    ordered = sorted(groups.items())
    for (left, _), (right, _) in itertools.pairwise(ordered):
        if right[0] <= left[1]:
            return None
    return ordered


def _cut(entries: list[Entry], dimensions: int) -> list[Box]:
    edges = sorted({entry.box[0][0] for entry in entries} | {entry.box[0][1] + 1 for entry in entries})
    starts: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        starts[entry.box[0][0]].append(entry)
    active: list[Entry] = []
    found: list[Box] = []
    for low, after in itertools.pairwise(edges):
        active = [entry for entry in active if entry.box[0][1] >= low] + starts.get(low, [])
        if active:
            rest = [entry._replace(box=entry.box[1:]) for entry in active]
            found.extend(((low, after - 1), *box) for box in _resolved(rest, dimensions - 1))
    return found


def _one_dimension(entries: list[Entry]) -> list[Interval]:
    """Walk along one dimension with the entries that cover the current place; the heaviest decides.

    Prefixes nest, so the heaviest is the one opened last; ranges may overlap freely, so it is looked for.
    """
    ordered = sorted(entries, key=lambda entry: (entry.box[0][0], -entry.box[0][1]))
    if all(entry.inside for entry in ordered):
        return _union(entry.box[0] for entry in ordered)
    edges = sorted({entry.box[0][0] for entry in ordered} | {entry.box[0][1] + 1 for entry in ordered})
    found: list[Interval] = []
    active: list[Entry] = []
    position = 0
    for low, after in itertools.pairwise(edges):
        active = [entry for entry in active if entry.box[0][1] >= low]
        while position < len(ordered) and ordered[position].box[0][0] == low:
            active.append(ordered[position])
            position += 1
        if active and max(active, key=lambda entry: entry.weight).inside:
            found.append((low, after - 1))
    return _union(found)


def _union(pieces: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for low, high in pieces:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _joined(boxes: list[Box]) -> list[Box]:
    """Join neighbours along the first dimension that are the same in all others."""
    found: list[Box] = []
    open_boxes: dict[tuple[Interval, ...], int] = {}
    for box in boxes:
        index = open_boxes.get(box[1:])
        if index is not None and len(box) > 1 and found[index][0][1] + 1 == box[0][0]:
            found[index] = ((found[index][0][0], box[0][1]), *box[1:])
        else:
            open_boxes[box[1:]] = len(found)
            found.append(box)
    return found
