"""Where two summaries of one visit differ: the packets, for each thing that can differ.

What nobody can see does not count: the mark of a packet that is dropped, a translation set up for it, the conntrack mark
of a connection that never comes to be. Packets with another verdict are not looked at further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import CT_STATE, Field
from fwtrans.ir.match import number
from fwtrans.semantics.outcome import DifferenceKind
from fwtrans.semantics.program import LOG, QUEUE, Stream
from fwtrans.semantics.summary import Bits, Events, Summary
from fwtrans.semantics.variables import Slot
from fwtrans.semantics.visible import ALWAYS_SEEN, is_of_connection

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fwtrans.semantics.bdd import Bdd, Node
    from fwtrans.semantics.packetset import PacketSets
    from fwtrans.semantics.variables import Variables

_NO_EVENTS = Events((), ())

# Collected with the rulesets' own tests where they write fields of the connection.
IS_NEW = number(CT_STATE, 3)


class Aspect(NamedTuple):
    """Packets that are treated differently in one respect."""

    kind: DifferenceKind
    subject: Hashable
    packets: Node


class Comparer:
    """Compares summaries of one visit. `ignored` bits of fields are not looked at."""

    def __init__(self, sets: PacketSets, possible: Node, ignored: Mapping[Field, int]) -> None:
        self._sets = sets
        self._bdd: Bdd = sets.bdd
        self._variables: Variables = sets.variables
        self._possible = possible
        self._ignored = ignored

    def aspects(self, old: Summary, new: Summary) -> Iterator[Aspect]:
        """Yield what differs, for possible packets only; verdicts first."""
        verdict = self._unlike(old.exits, new.exits) & self._possible
        if verdict != self._bdd.false:
            yield Aspect(DifferenceKind.VERDICT, "verdict", verdict)
        same = self._possible & ~verdict
        for aspect in self._further(old, new):
            packets = aspect.packets & same
            if packets != self._bdd.false:
                yield aspect._replace(packets=packets)

    def _further(self, old: Summary, new: Summary) -> Iterator[Aspect]:
        for field in dict.fromkeys((*old.writes, *new.writes)):
            packets = self._written(field, old.writes.get(field, ()), new.writes.get(field, ()))
            yield Aspect(DifferenceKind.FIELD, field, packets & self._seen(field, old))
        for stream in dict.fromkeys((*old.events, *new.events)):
            before, after = old.events.get(stream, _NO_EVENTS), new.events.get(stream, _NO_EVENTS)
            if before == after:
                continue
            if stream == LOG:
                yield from self._logs(before, after)
                continue
            packets = self._sequence(before, after)
            kind = DifferenceKind.STATEFUL if stream.object >= 0 else DifferenceKind.EFFECT
            yield Aspect(kind, stream, packets if stream.kind in ALWAYS_SEEN else packets & old.through)

    def _unlike(self, old: Mapping[Hashable, Node], new: Mapping[Hashable, Node]) -> Node:
        false = self._bdd.false
        parts = (old.get(key, false) ^ new.get(key, false) for key in dict.fromkeys((*old, *new)))
        return self._bdd.any_of([part for part in parts if part != false])

    # --- fields ---

    def _seen(self, field: Field, old: Summary) -> Node:
        """Return the packets with which the field's value goes on to where somebody can read it."""
        if not is_of_connection(field):
            return old.through
        answered = [packets for leaving, packets in old.exits.items() if isinstance(leaving, verdicts.Reject)]
        return self._bdd.any_of([old.through, ~self._sets.pure(IS_NEW), *answered])

    def _written(self, field: Field, old: Sequence[Bits], new: Sequence[Bits]) -> Node:
        ones = (1 << field.width) - 1
        wanted = ones & ~self._ignored.get(field, 0)
        found: list[Node] = []
        for mask, written, value in self._whole(old, ones):
            for other, also_written, other_value in self._whole(new, ones):
                common = mask & other & wanted
                if common and (written, value) != (also_written, other_value):
                    found.append(self._bits(field, common, (written, value), (also_written, other_value)))
        return self._bdd.any_of(found)

    def _whole(self, groups: Sequence[Bits], ones: int) -> list[Bits]:
        rest = ones
        for bits in groups:
            rest &= ~bits.mask
        return [*groups, Bits(rest, self._bdd.false, self._bdd.false)]

    def _bits(self, field: Field, mask: int, old: tuple[Node, Node], new: tuple[Node, Node]) -> Node:
        """Return the packets for which a bit ends up different: as written, or as it came in."""
        entries = (self._variables.slots[Slot(field, bit)] for bit in range(mask.bit_length()) if mask >> bit & 1)
        return self._bdd.any_of(
            [
                old[0].ite(old[1], entry) ^ new[0].ite(new[1], entry)
                for entry in map(self._bdd.variables.__getitem__, entries)
            ]
        )

    # --- streams ---

    def _sequence(self, old: Events, new: Events) -> Node:
        longest = max(len(old.contents), len(new.contents))
        parts = [
            self._unlike(
                old.contents[place] if place < len(old.contents) else {},
                new.contents[place] if place < len(new.contents) else {},
            )
            for place in range(longest)
        ]
        return self._bdd.any_of(parts)

    def _logs(self, old: Events, new: Events) -> Iterator[Aspect]:
        told: list[Node] = []
        before, after = self._counted(old), self._counted(new)
        for content in dict.fromkeys((*before, *after)):
            packets = self._unlike(dict(enumerate(before.get(content, ()))), dict(enumerate(after.get(content, ()))))
            if packets != self._bdd.false:
                told.append(packets)
                yield Aspect(DifferenceKind.LOG, content, packets)
        yield Aspect(DifferenceKind.LOG_ORDER, "log order", self._sequence(old, new) & ~self._bdd.any_of(told))

    def _counted(self, events: Events) -> dict[Hashable, list[Node]]:
        """Return for each content the packets that have it at least once, twice and so on, wherever in the sequence."""
        counts: dict[Hashable, list[Node]] = {}
        for by_content in events.contents:
            for content, packets in by_content.items():
                known = counts.setdefault(content, [])
                carried = packets
                for place, having in enumerate(known):
                    known[place], carried = having | carried, having & carried
                    if carried == self._bdd.false:
                        break
                if carried != self._bdd.false:
                    known.append(carried)
        return counts


def without_answers(summary: Summary) -> Summary:
    """Return a summary in which every REJECT is a drop."""
    exits: dict[Hashable, Node] = {}
    for leaving, packets in summary.exits.items():
        ending = verdicts.Drop() if isinstance(leaving, verdicts.Reject) else leaving
        known = exits.get(ending)
        exits[ending] = packets if known is None else known | packets
    return Summary(summary.through, exits, summary.writes, summary.events, summary.reads)


def describe(subject: Hashable, names: Sequence[str]) -> str:
    """Return a subject for people; `names` are the objects' identities."""
    if isinstance(subject, Field):
        return subject.name
    if isinstance(subject, Stream):
        return names[subject.object] if subject.object >= 0 else "queue" if subject == QUEUE else subject.kind
    return str(getattr(subject, "prefix", subject))
