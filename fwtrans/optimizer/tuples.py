"""A list of rules as a few tables, each of which decides with one look-up.

    10.0.0.0/8 . tcp . 22 : drop,  10.1.0.0/16 . udp . 53 : accept, ...      first table
    10.0.0.0/8 . 0-255 . 0-65535 : accept, ...                               second table, for what the first left

Rules that no packet meets together stand in one table. One that overlaps an earlier rule goes without the part that they
share, if few pieces are left, and otherwise into a later table, where it is asked later as it was before. So rule number
k is in table k at the latest, and no packet takes more look-ups than it passed rules. Rules that may still say no stay
rules, between the tables.

A table's key holds fields that each of its rules asks for, or that are there in all packets that the rule takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.optimizer.boxes import met_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.optimizer.boxes import Range

Ranges = tuple["Range", ...]

# A rule is split into so many pieces at most, that it may stand in an earlier table.
MOST_PIECES = 3
# Fields of which a key may hold ranges beside others; of the rest it holds exact values.
RANGED = frozenset(
    {known.IP_SADDR, known.IP_DADDR, known.IP6_SADDR, known.IP6_DADDR, known.L4PROTO, known.SPORT, known.DPORT}
)


class Entry(NamedTuple):
    """One rule, or a part of it: its ranges, how it decides, and the fields of keys in which it may stand, as bits.

    `exact` are fields of which a key must hold its value, `ranged` those of which it asks for ranges, `there` all that a
    key may hold. One that is not `strong` may still say no; one that is not `direct` is no verdict that a map can hold.
    """

    number: int
    ranges: Ranges
    decides: int
    exact: int
    ranged: int
    there: int
    strong: bool
    direct: bool


@dataclass(slots=True)
class Layer:
    """One table, or where it is closed, one rule that stays a rule."""

    exact: int
    axes: int
    there: int
    closed: bool
    pieces: list[tuple[Ranges, Entry]] = field(default_factory=list)


def layers_of(entries: Iterable[Entry], most: int) -> list[Layer] | None:
    """Return the tables for a list of rules; None where there would be more than so many."""
    found: list[Layer] = []
    for place, entry in enumerate(entries, 1):
        layer, pieces = _place_for(entry, found, place)
        if layer is None:
            layer = Layer(entry.exact, entry.exact | entry.ranged, entry.there, not entry.strong)
            # what a map cannot hold takes a step more, and the first rules have none to spare
            layer.closed = layer.closed or (not entry.direct and len(found) + 1 >= place)
            found.append(layer)
            if len(found) > most:
                return None
        else:
            layer.axes |= entry.ranged | _narrowed(entry, pieces)
            layer.there &= entry.there
        layer.pieces.extend((piece, entry) for piece in pieces)
    return found


def _place_for(entry: Entry, layers: Sequence[Layer], place: int) -> tuple[Layer | None, list[Ranges]]:
    """Return the layer where the rule comes to stand in the fewest pieces, and these; a new one where it is None."""
    if not entry.strong:
        return None, [entry.ranges]
    best: Layer | None = None
    found = [entry.ranges]
    fewest = MOST_PIECES + 1
    left = [entry.ranges]
    for number in range(len(layers), 0, -1):
        layer = layers[number - 1]
        alike, others, blocked = _overlapping(entry, layer)
        if not layer.closed and not blocked and _fits(entry, layer) and (entry.direct or number < place):
            pieces = _without(left, [*alike, *others])
            if (
                pieces is not None
                and len(pieces) < fewest
                and not _narrowed(entry, pieces) & ~(layer.there & entry.there)
            ):
                best, found, fewest = layer, pieces, len(pieces)
        if blocked:
            break
        less = _without(left, others)
        if less is None:
            break
        left = less
    return best, found


def _fits(entry: Entry, layer: Layer) -> bool:
    axes = layer.axes | entry.ranged
    return entry.exact == layer.exact and not axes & ~(layer.there & entry.there)


def _overlapping(entry: Entry, layer: Layer) -> tuple[list[Ranges], list[Ranges], bool]:
    """Return what of the layer overlaps the rule: what decides alike, what does not; and whether it must stay in front.

    It must where it may say no, or asks for something that not all packets of the rule have: no part can be taken away.
    """
    alike: list[Ranges] = []
    others: list[Ranges] = []
    blocked = False
    for ranges, item in layer.pieces:
        for (low, high), (first, last) in zip(ranges, entry.ranges, strict=True):
            if low > last or first > high:
                break
        else:
            if item.decides == entry.decides:
                alike.append(ranges)
            else:
                others.append(ranges)
                asked = item.exact | item.ranged | _narrowed(item, [ranges])
                blocked = blocked or not item.strong or bool(asked & ~entry.there)
    return alike, others, blocked


def _narrowed(entry: Entry, pieces: Sequence[Ranges]) -> int:
    """Return the fields in which pieces are less than the rule, as bits."""
    found = 0
    for piece in pieces:
        for at, (part, whole) in enumerate(zip(piece, entry.ranges, strict=True)):
            if part != whole:
                found |= 1 << at
    return found


def _without(pieces: Sequence[Ranges], taken: Sequence[Ranges]) -> list[Ranges] | None:
    """Return what is left of pieces; None where those would be too many."""
    left = list(pieces)
    for other in taken:
        left = [part for piece in left for part in _minus(piece, other)]
        if len(left) > MOST_PIECES:
            return None
    return left


def _minus(piece: Ranges, other: Ranges) -> Iterator[Ranges]:
    """Yield disjoint boxes that together are one box without another."""
    shared = tuple(map(met_range, piece, other))
    if any(low > high for low, high in shared):
        yield piece
        return
    for at, ((low, high), (first, last)) in enumerate(zip(piece, shared, strict=True)):
        if low < first:
            yield (*shared[:at], (low, first - 1), *piece[at + 1 :])
        if last < high:
            yield (*shared[:at], (last + 1, high), *piece[at + 1 :])
