"""Which limit, quota or changing set of one ruleset is which of the other: by what they are and which packets touch them.

Objects of the same identity and parameters have one number on both sides already. The others are matched by their
parameters and by the packets that touch them, whatever any of the still unmatched objects answers; where several look
the same, in the order in which the rulesets name them. That guess needs no defence: if all outcomes are equal under it,
it is the bijection that was asked for. If they are not, the other ways to pair those that look alike are tried.

What is left over on both sides is paired by its parameters alone. That is never equal, but the packet that shows it is then
one that touches the one object and not the other.
"""

from __future__ import annotations

from itertools import islice, permutations, product
from typing import TYPE_CHECKING

from fwtrans.semantics.packet import UnknownKind
from fwtrans.semantics.program import Stream
from fwtrans.semantics.summary import Summary, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.session import Evaluation
    from fwtrans.semantics.summary import Events

_KINDS = {"touch": UnknownKind.STATEFUL, "set": UnknownKind.MEMBER}
_MOST_TRIES = 24

Pairing = dict[int, int]


def pairings(session: Evaluation) -> Iterator[Pairing]:
    """Yield ways to pair objects of the new side with those of the old, the likeliest first. At least one."""
    old, new = session.old.objects, session.new.objects
    only_old, only_new = sorted(old - new), sorted(new - old)
    if not only_old or not only_new:
        yield {}
        return
    private = session.bdd.cube(
        number
        for thing in (*only_old, *only_new)
        for kind in _KINDS.values()
        for _, number in session.variables.questions(kind, thing)
    )
    alike: dict[Hashable, tuple[list[int], list[int]]] = {}
    for side, things in enumerate((only_old, only_new)):
        for thing, look in _looks(session, side, things, private).items():
            alike.setdefault(look, ([], []))[side].append(thing)
    groups = [group for group in alike.values() if group[0] and group[1]]
    ways = (_ways(before, after) for before, after in groups)
    for choice in islice(product(*ways), _MOST_TRIES):
        pairing = {later: earlier for pairs in choice for later, earlier in pairs}
        yield pairing | _leftovers(session, pairing, only_old, only_new)


def _leftovers(session: Evaluation, pairing: Pairing, only_old: Sequence[int], only_new: Sequence[int]) -> Pairing:
    """Return pairs of those that have the same parameters and no partner yet, in their order."""
    items = session.program.objects.items
    taken = set(pairing.values())
    free: dict[Hashable, list[int]] = {}
    for thing in reversed([thing for thing in only_old if thing not in taken]):
        free.setdefault(items[thing].shape, []).append(thing)
    left = (thing for thing in only_new if thing not in pairing)
    return {thing: free[items[thing].shape].pop() for thing in left if free.get(items[thing].shape)}


def _ways(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    if len(before) > 4 or len(after) > 4:
        yield tuple(zip(after, before, strict=False))
        return
    for order in permutations(before, min(len(before), len(after))):
        yield tuple(zip(after, order, strict=False))


def _looks(session: Evaluation, side: int, things: Sequence[int], private: Node) -> dict[int, Hashable]:
    """Return for each object all that two matching ones have in common: what they are, and who touches them where."""
    found: dict[int, list[Hashable]] = {thing: [session.program.objects.items[thing].shape] for thing in things}
    for place, compared in enumerate(session.compared):
        summary = compared.new if side else compared.old
        for stream, events in sorted(summary.events.items()):
            if stream.kind in _KINDS and stream.object in found:
                touches = tuple(_touches(session, events, compared.possible, private))
                found[stream.object].extend([(place, stream.kind, touches)] if touches else [])
    return {thing: tuple(seen) for thing, seen in found.items()}


def _touches(session: Evaluation, events: Events, possible: Node, private: Node) -> Iterator[Hashable]:
    for packets, by_content in zip(events.reached, events.contents, strict=True):
        met = (packets & possible).exists(private)
        if met == session.bdd.false:
            return
        parts = ((what, (node & possible).exists(private)) for what, node in by_content.items())
        yield met, frozenset(part for part in parts if part[1] != session.bdd.false)


def renaming(session: Evaluation, pairing: Mapping[int, int]) -> Callable[[Summary], Summary]:
    """Return the operation that makes the new side's summaries speak of the old side's objects."""
    changes: dict[frozenset[int], Callable[[Node], Node] | None] = {}

    def renamed(summary: Summary) -> Summary:
        # a substitution takes time for all that it replaces, and a summary speaks of few objects
        there = objects_of(summary).intersection(pairing)
        if not there:
            return summary
        if there not in changes:
            changes[there] = _change(session, {thing: pairing[thing] for thing in sorted(there)})
        return _renamed(summary, pairing, changes[there])

    return renamed


def objects_of(summary: Summary) -> frozenset[int]:
    """Return the objects that a summary speaks of."""
    streams = (*summary.events, *summary.reads)
    return frozenset(stream.object for stream in streams if isinstance(stream, Stream) and stream.kind in _KINDS)


def _change(session: Evaluation, pairing: Mapping[int, int]) -> Callable[[Node], Node] | None:
    replaced = {}
    for later, earlier in pairing.items():
        for kind in _KINDS.values():
            for unknown, number in session.variables.questions(kind, later):
                same = session.variables.unknown(unknown._replace(identity=str(earlier)))
                replaced[number] = session.bdd.variables[same]
    return session.bdd.substitution(replaced) if replaced else None


def _renamed(summary: Summary, pairing: Mapping[int, int], change: Callable[[Node], Node] | None) -> Summary:
    changed = summary if change is None else mapped(summary, change)
    events = {
        stream._replace(object=pairing.get(stream.object, stream.object)): found
        for stream, found in changed.events.items()
    }
    return Summary(changed.through, changed.exits, changed.writes, events, changed.reads)
