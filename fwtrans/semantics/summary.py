"""What a step, a rule, a run of rules or a chain does, as functions of the packet that enters it.

A `Summary` says which packets come through, which leave and how, what they carry in written fields, and what they have
set off on the way. `Algebra.then` puts one behind another: the second is read with the fields as the first leaves them
(a variable of a written field is replaced by the function that was written). It is associative, so that a chain is
put together by halves, and big functions meet only near the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.semantics.packet import UnknownKind
from fwtrans.semantics.packetset import NOTHING, Reads
from fwtrans.semantics.program import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.semantics.bdd import Bdd, Node
    from fwtrans.semantics.variables import Variables


class Bits(NamedTuple):
    """Bits of a field that are written alike: for which packets, and for which of these to one."""

    mask: int
    written: Node
    ones: Node


class Events(NamedTuple):
    """A stream: for each place in the sequence the packets that have something there, and what by its content.

    `reached[n]` are the packets with more than n entries.
    """

    reached: tuple[Node, ...]
    contents: tuple[dict[Hashable, Node], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The packets that come through, those that leave by each exit, written bits, events, and what is read on entry."""

    through: Node
    exits: Mapping[Hashable, Node] = field(default_factory=dict)
    writes: Mapping[Field, tuple[Bits, ...]] = field(default_factory=dict)
    events: Mapping[Stream, Events] = field(default_factory=dict)
    reads: Reads = NOTHING

    @property
    def changes(self) -> bool:
        """Tell whether what comes behind may have to be read differently."""
        return bool(self.writes or self.events)


class Algebra:
    """Sequence and choice of summaries."""

    def __init__(self, variables: Variables) -> None:
        self.bdd: Bdd = variables.bdd
        self._variables = variables
        self.identity = Summary(self.bdd.true)

    # --- sequence ---

    def then(self, first: Summary, second: Summary) -> Summary:
        """Return what the two do one behind the other."""
        entered = first.through
        if entered == self.bdd.false or second is self.identity:
            return first
        if first is self.identity:
            return second
        if second.reads and first.changes:
            second = self._behind(first, second)
        return Summary(
            entered & second.through,
            self._joined(first.exits, second.exits, entered),
            self._written(first.writes, second.writes, entered),
            self._sequence(first.events, second.events, entered),
            first.reads | second.reads,
        )

    def _joined(
        self, first: Mapping[Hashable, Node], second: Mapping[Hashable, Node], entered: Node
    ) -> Mapping[Hashable, Node]:
        if not second:
            return first
        exits = dict(first)
        for leaving, packets in second.items():
            more = entered & packets
            if more != self.bdd.false:
                known = exits.get(leaving)
                exits[leaving] = more if known is None else known | more
        return exits

    def _written(
        self, first: Mapping[Field, tuple[Bits, ...]], second: Mapping[Field, tuple[Bits, ...]], entered: Node
    ) -> Mapping[Field, tuple[Bits, ...]]:
        if not second:
            return first
        writes = dict(first)
        for target, groups in second.items():
            later = [Bits(mask, entered & written, entered & ones) for mask, written, ones in groups]
            known = writes.get(target)
            writes[target] = tuple(later) if known is None else _overwritten(known, later)
        return writes

    def _sequence(
        self, first: Mapping[Stream, Events], second: Mapping[Stream, Events], entered: Node
    ) -> Mapping[Stream, Events]:
        if not second:
            return first
        events = dict(first)
        for stream, later in second.items():
            known = events.get(stream)
            restricted = self._restricted(later, entered)
            if restricted.reached:
                events[stream] = restricted if known is None else self.appended(known, restricted)
        return events

    def _restricted(self, events: Events, entered: Node) -> Events:
        if entered == self.bdd.true:
            return events
        reached: list[Node] = []
        contents: list[dict[Hashable, Node]] = []
        for packets, by_content in zip(events.reached, events.contents, strict=True):
            some = entered & packets
            if some == self.bdd.false:
                break
            reached.append(some)
            parts = ((content, entered & node) for content, node in by_content.items())
            contents.append({content: node for content, node in parts if node != self.bdd.false})
        return Events(tuple(reached), tuple(contents))

    def appended(self, first: Events, second: Events) -> Events:
        """Return the second sequence behind the first, for each packet from the place where its first one ends."""
        if first.reached[0] & second.reached[0] == self.bdd.false:
            return self.side_by_side(first, second)
        joined = first
        for length in range(len(first.reached) + 1):
            having = self.bdd.true if length == 0 else first.reached[length - 1]
            exactly = having & ~first.reached[length] if length < len(first.reached) else having
            shifted = self._restricted(second, exactly)
            if shifted.reached:
                # places before the shift are held by the first sequence, for the same packets
                padding = Events((self.bdd.false,) * length, tuple({} for _ in range(length)))
                joined = self.side_by_side(
                    joined, Events(padding.reached + shifted.reached, padding.contents + shifted.contents)
                )
        return joined

    def side_by_side(self, first: Events, second: Events) -> Events:
        """Return both, where no packet has something in both at one place."""
        if len(first.reached) < len(second.reached):
            first, second = second, first
        reached, contents = list(first.reached), list(first.contents)
        for place, (packets, by_content) in enumerate(zip(second.reached, second.contents, strict=True)):
            reached[place] = reached[place] | packets
            contents[place] = _united(contents[place], by_content)
        return Events(tuple(reached), tuple(contents))

    # --- reading what was written ---

    def _behind(self, first: Summary, second: Summary) -> Summary:
        """Return the second with its variables replaced by what the first has made of them."""
        replaced: dict[int, Node] = {}
        for thing in second.reads:
            if isinstance(thing, Stream):
                if thing in first.events:
                    self._shift_questions(thing, first.events[thing], replaced)
            elif thing in first.writes:
                replaced.update(self._current(thing, first.writes[thing]))
        if not replaced:
            return second
        substitute = self.bdd.substitution(replaced)
        rewritten = mapped(second, substitute)
        return Summary(rewritten.through, rewritten.exits, rewritten.writes, rewritten.events, second.reads)

    def _current(self, target: Field, groups: Sequence[Bits]) -> Iterable[tuple[int, Node]]:
        for slot, number in self._variables.writable[target]:
            for mask, written, ones in groups:
                if mask >> slot.bit & 1:
                    yield number, written.ite(ones, self.bdd.variables[number])

    def _shift_questions(self, stream: Stream, before: Events, replaced: dict[int, Node]) -> None:
        """The n-th question about an object, asked behind k touches of it, is the n+k-th one."""
        kind = UnknownKind.STATEFUL if stream.kind == "touch" else UnknownKind.MEMBER
        for unknown, number in self._variables.questions(kind, stream.object):
            answer = self.bdd.variables[number]
            for touched, packets in enumerate(before.reached, start=1):
                later = self._variables.unknown(unknown._replace(nth=unknown.nth + touched))
                answer = packets.ite(self.bdd.variables[later], answer)
            replaced[number] = answer

    # --- choice ---

    def restricted(self, summary: Summary, entering: Node) -> Summary:
        """Return what happens to some of the packets only; the others neither come through nor leave."""
        return self.then(Summary(entering), summary)

    def either(self, first: Summary, second: Summary) -> Summary:
        """Return both, each restricted to packets that the other does not get."""
        events = dict(first.events)
        for stream, later in second.events.items():
            events[stream] = self.side_by_side(events[stream], later) if stream in events else later
        writes = dict(first.writes)
        for target, groups in second.writes.items():
            writes[target] = _overwritten(writes[target], groups) if target in writes else groups
        return Summary(
            first.through | second.through,
            _united(first.exits, second.exits),
            writes,
            events,
            first.reads | second.reads,
        )


def _united(first: Mapping[Hashable, Node], second: Mapping[Hashable, Node]) -> dict[Hashable, Node]:
    joined = dict(first)
    for content, packets in second.items():
        known = joined.get(content)
        joined[content] = packets if known is None else known | packets
    return joined


def _overwritten(first: Sequence[Bits], second: Sequence[Bits]) -> tuple[Bits, ...]:
    """Return the bits after both writes, the second on top."""
    found: dict[tuple[Node, Node], int] = {}

    def add(mask: int, written: Node, ones: Node) -> None:
        if mask:
            found[written, ones] = found.get((written, ones), 0) | mask

    unseen = 0
    for mask, written, ones in second:
        unseen |= mask
        rest = mask
        for known, before, before_ones in first:
            add(mask & known, before | written, (before_ones & ~written) | ones)
            rest &= ~known
        add(rest, written, ones)
    for mask, written, ones in first:
        add(mask & ~unseen, written, ones)
    return tuple(Bits(mask, written, ones) for (written, ones), mask in found.items())


def without_empty(summary: Summary, false: Node) -> Summary:
    """Return the summary without what happens to no packet."""
    writes = (
        (target, tuple(bits for bits in groups if bits.written != false)) for target, groups in summary.writes.items()
    )
    events: dict[Stream, Events] = {}
    for stream, (reached, contents) in summary.events.items():
        length = next((place for place, packets in enumerate(reached) if packets == false), len(reached))
        if length:
            kept = ({what: node for what, node in place.items() if node != false} for place in contents[:length])
            events[stream] = Events(reached[:length], tuple(kept))
    return Summary(
        summary.through,
        {leaving: packets for leaving, packets in summary.exits.items() if packets != false},
        {target: groups for target, groups in writes if groups},
        events,
        summary.reads,
    )


def mapped(summary: Summary, change: Callable[[Node], Node]) -> Summary:
    """Return the summary with all its functions changed, each once."""
    done: dict[Node, Node] = {}

    def once(node: Node) -> Node:
        found = done.get(node)
        if found is None:
            found = done[node] = change(node)
        return found

    return Summary(
        once(summary.through),
        {leaving: once(node) for leaving, node in summary.exits.items()},
        {
            target: tuple(Bits(mask, once(written), once(ones)) for mask, written, ones in groups)
            for target, groups in summary.writes.items()
        },
        {
            stream: Events(
                tuple(once(node) for node in events.reached),
                tuple({content: once(node) for content, node in place.items()} for place in events.contents),
            )
            for stream, events in summary.events.items()
        },
        summary.reads,
    )
