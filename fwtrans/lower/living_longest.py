"""Overlapping entries with times of their own, as elements that do not overlap: a value stays while any entry holds it.

    2.0.0.0/24 for 60 s, 2.0.0.1 for 300 s         2.0.0.0 60 s, 2.0.0.1 300 s, 2.0.0.2-2.0.0.255 60 s

An entry without a time stays for ever. One that overlaps with no other stays as it is, with its comment.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Element
from fwtrans.lower.longest_prefix import Box, Entry, resolve, touching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class _Timed(NamedTuple):
    box: Box
    time: float
    element: Element


def living_longest(elements: Iterable[Element]) -> Iterator[Element]:
    """Yield disjoint elements, each with the longest of the times of those that it lies in."""
    for group in touching(map(_timed, elements), lambda timed: timed.box):
        if len(group) == 1:
            yield group[0].element
            continue
        for time in sorted({timed.time for timed in group}, reverse=True):
            here = [Entry(box, own == time, (int(own > time),)) for box, own, _ in group if own >= time]
            yield from (Element(box, timeout=None if time == inf else int(time)) for box in resolve(here))


def _timed(element: Element) -> _Timed:
    box = tuple(part for part in element.key if not isinstance(part, NamePattern))
    return _Timed(box, inf if element.timeout is None else element.timeout, element)
