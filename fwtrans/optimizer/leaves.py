"""What is left of a list of boxes in a region: the rules that can still decide there, or tables of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from fwtrans.ir.fields import L4PROTO, NFPROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import full_values
from fwtrans.ir.names import NameSet
from fwtrans.ir.rule import is_pure
from fwtrans.optimizer.boxes import Covering, met_range, numbers_of
from fwtrans.optimizer.clauses import narrowed, settled_by, within, without_settled
from fwtrans.optimizer.search_nodes import NOTHING_LEFT, Cut, Leaf, Row, branch_size, branch_steps, is_verdict
from fwtrans.optimizer.tuples import RANGED, Entry, layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.sets import Part
    from fwtrans.optimizer.boxes import Box, Boxes, Range
    from fwtrans.optimizer.clauses import Clause
    from fwtrans.optimizer.search_nodes import Node
    from fwtrans.optimizer.tuples import Layer

Region = tuple["Range", ...]

# In lists of no more rules than this each is held against all before it, in longer ones against those that cover it.
MOST_COMPARED = 64
# In longer lists needless rules are not looked for; they are short before long.
MOST_NEEDLESS = 128
# Longer lists are not tried as tables, and of more tables than this a search is made.
MOST_IN_TABLES = 256
MOST_TABLES = 24


@dataclass(slots=True)
class Leaves:
    """Says what is left of one list of boxes."""

    boxes: Boxes
    _present: dict[int, int] = field(default_factory=dict, init=False)
    _plain: dict[tuple[int, int], bool] = field(default_factory=dict, init=False)
    _of_rule: dict[int, tuple[Box, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Sort the boxes by their rules."""
        for number, group in groupby(self.boxes.boxes, key=lambda box: box.rule):
            self._of_rule[number] = tuple(group)

    def tables(self, most: int) -> Node | None:
        """Return the whole list as tables, no more than so many."""
        return self._tables(self.boxes.boxes, self.boxes.full, 0, most)

    def _tables(self, boxes: Sequence[Box], region: Region, known: int, most: int = MOST_TABLES) -> Node | None:
        if len(boxes) > MOST_IN_TABLES:
            return None
        there = {known: self._there(known)}
        entries: list[Entry] = []
        for place, box in enumerate(boxes):
            asked = box.asked | known
            if asked not in there:
                there[asked] = self._there(asked)
            entries.append(self._entry(place, box, region, known, there[asked]))
        layers = layers_of(entries, most)
        if layers is None:
            return None
        node: Node = NOTHING_LEFT
        for layer in reversed(layers):
            node = self._layer(layer, boxes, region, known, node)
        return node

    def _there(self, asked: int) -> int:
        """Return the axes of which every packet has a value that has one in the asked axes."""
        found = self._present.get(asked)
        if found is None:
            found = self._present[asked] = self._present_with(asked)
        return found

    def _present_with(self, asked: int) -> int:
        settled = settled_by({self.boxes.fields[at]: full_values(self.boxes.fields[at]) for at in numbers_of(asked)})
        settled = {**self.boxes.always, **settled}
        found = asked
        network = settled.get(NFPROTO)
        is_ip = network is not None and within(network, IntervalSet.values(8, (2, 10)))
        for at, wanted in enumerate(self.boxes.fields):
            if wanted is L4PROTO and not is_ip:
                continue
            needed = settled_by({wanted: full_values(wanted)})
            if wanted in RANGED and all(
                item in settled and within(settled[item], values)
                for item, values in needed.items()
                if item is not wanted
            ):
                found |= 1 << at
        return found

    def _entry(self, place: int, box: Box, region: Region, known: int, there: int) -> Entry:
        ranges = tuple(map(met_range, box.ranges, region))
        exact = ranged = 0
        for at in numbers_of(box.asked):
            if known >> at & 1 and ranges[at] == region[at]:
                continue
            if self.boxes.fields[at] in RANGED:
                ranged |= 1 << at
            else:
                exact |= 1 << at
        strong = self._only_axes(box.rule, known | box.asked) and all(
            ranges[at][0] == ranges[at][1] for at in numbers_of(exact)
        )
        direct = strong and is_verdict(self._deciding(box, region, known))
        return Entry(place, ranges, self.boxes.classes[box.rule], exact, ranged, there, strong, direct)

    def _deciding(self, box: Box, region: Region, known: int) -> Rule:
        """Return what is left of a rule for packets that are in its box."""
        asked = known | box.asked
        ranges = tuple(map(met_range, box.ranges, region))
        facts = {self.boxes.fields[at]: self._values(at, ranges[at]) for at in range(len(region)) if asked >> at & 1}
        return without_settled(self.boxes.clauses[box.rule], settled_by(facts))

    def _layer(self, layer: Layer, boxes: Sequence[Box], region: Region, known: int, rest: Node) -> Node:
        if not layer.pieces:
            return rest
        if layer.closed or (len(layer.pieces) == 1 and layer.axes):
            rules = self._leaf([boxes[layer.pieces[0][1].number]], region, known).rules
            return Row((*rules, *rest.rules), rest.rest) if isinstance(rest, Row) else Row(rules, rest)
        axes = tuple(numbers_of(layer.axes))
        if not axes:
            return self._leaf([boxes[layer.pieces[0][1].number]], region, known)
        branches = [
            (tuple(ranges[at] for at in axes), Leaf((self._deciding(boxes[entry.number], region, known),)))
            for ranges, entry in sorted(layer.pieces)
        ]
        most = max(branch_steps(node) for _, node in branches)
        return Cut(
            tuple(self.boxes.fields[at] for at in axes),
            tuple((self._parts_of(axes, key), node) for key, node in branches),
            rest,
            1 + max(most, rest.steps),
            1 + len(branches) + sum({node: branch_size(node) for _, node in branches}.values()) + rest.size,
        )

    def _leaf(self, boxes: Sequence[Box], region: Region, known: int) -> Leaf:
        settled = settled_by(
            {self.boxes.fields[at]: self._values(at, region[at]) for at in range(len(region)) if known >> at & 1}
        )
        found: list[Rule] = []
        for number, group in groupby(boxes, key=lambda box: box.rule):
            found.extend(without_settled(clause, settled) for clause in self._clauses_of(number, tuple(group), region))
        return Leaf(tuple(dict.fromkeys(found)))

    def _clauses_of(self, number: int, boxes: tuple[Box, ...], region: Region) -> Iterator[Clause]:
        """Yield clauses that say boxes of one rule: the rule itself, where all of it that is in the region is there."""
        if set(self._here(self._of_rule[number], region)) <= set(boxes):
            yield self.boxes.clauses[number]
        else:
            yield from map(self._clause, boxes)

    def _clause(self, box: Box) -> Clause:
        clause = self.boxes.clauses[box.rule]
        if not box.added:
            return clause
        tests = {self.boxes.fields[at]: self._values(at, box.ranges[at]) for at in numbers_of(box.added)}
        return narrowed(clause, tests)

    def _values(self, at: int, values: Range) -> ValueSet:
        wanted = self.boxes.fields[at]
        names = self.boxes.names.get(wanted)
        if names is None:
            return IntervalSet(wanted.width, (values,))
        if values == self.boxes.full[at]:
            return NameSet.full()
        return NameSet.of((names[values[0]],))

    def _reduced(self, boxes: Sequence[Box], region: Region, known: int) -> Sequence[Box]:
        """Leave out what cannot decide: behind a rule that takes every packet, or one that takes all of a rule's own."""
        kept: list[Box] = []
        earlier = Covering(boxes, region) if len(boxes) > MOST_COMPARED else None
        for place, box in enumerate(boxes):
            mine = tuple(map(met_range, box.ranges, region))
            others = kept if earlier is None else earlier.before(place, mine)
            if any(self._covers(other, box.asked, mine, known) for other in others):
                continue
            kept.append(box)
            if mine == region and self._covers(box, 0, region, known):
                break
        return kept

    def _covers(self, box: Box, asked: int, ranges: Sequence[Range], known: int) -> bool:
        """Tell whether a box takes all packets of the ranges, in which `asked` and known fields are there."""
        if box.asked & ~(known | asked):
            return False
        for (low, high), (first, last) in zip(box.ranges, ranges, strict=True):
            if low > first or last > high:
                return False
        return self._only_axes(box.rule, known | asked)

    def _only_axes(self, rule: int, there: int) -> bool:
        """Tell whether a rule asks only for ranges of fields that are there, and for what follows from that."""
        key = (rule, there)
        found = self._plain.get(key)
        if found is None:
            clause = self.boxes.clauses[rule]
            facts = {
                wanted: clause.tests.get(wanted, full_values(wanted))
                for at, wanted in enumerate(self.boxes.fields)
                if there >> at & 1
            }
            plain = without_settled(clause, settled_by(facts))
            found = rule not in self.boxes.split and not any(map(is_pure, plain.steps))
            self._plain[key] = found
        return found

    def _made(
        self, axes: tuple[int, ...], branches: tuple[tuple[tuple[Range, ...], Node], ...], rest: Node, *, whole: bool
    ) -> Cut:
        distinct = {id(node): node for _, node in branches}.values()
        most = max(map(branch_steps, distinct), default=0)
        return Cut(
            tuple(self.boxes.fields[at] for at in axes),
            tuple((self._parts_of(axes, key), node) for key, node in branches),
            rest,
            1 + (max(most, rest.steps) if whole else most + rest.steps),
            1 + len(branches) + sum(map(branch_size, distinct)) + rest.size,
            whole,
        )

    def _here(self, boxes: Sequence[Box], region: Region) -> Iterator[Box]:
        for box in boxes:
            if all(
                low <= last and first <= high for (low, high), (first, last) in zip(box.ranges, region, strict=True)
            ):
                yield box

    def _parts_of(self, axes: tuple[int, ...], key: tuple[Range, ...]) -> tuple[Part, ...]:
        names = [self.boxes.names.get(self.boxes.fields[at]) for at in axes]
        return tuple(range_ if known is None else known[range_[0]] for known, range_ in zip(names, key, strict=True))

    def _whole_rules(self, boxes: Sequence[Box], region: Region, known: int, passed: int) -> tuple[Box, ...]:
        """Return what can decide in a region, to which so many steps lead; of a rule all boxes or none, so that it stays one rule."""
        # each on whole rules: what stays of a rule comes back whole, and must not come before one that was left out for it
        left = of_rules(boxes, self._reduced(boxes, region, known))
        return of_rules(left, self._without_needless(left, region, known, passed))

    def _without_needless(self, boxes: Sequence[Box], region: Region, known: int, passed: int) -> Sequence[Box]:
        """Leave out rules that decide as the last does, which takes every packet, if none between decides otherwise.

        Their packets then pass the whole cell: so it must be shorter than what they passed before, look-ups included.
        """
        if not boxes or len(boxes) > MOST_NEEDLESS or not self._covers(boxes[-1], 0, region, known):
            return boxes
        classes = self.boxes.classes
        of = classes[boxes[-1].rule]
        others: list[Box] = []
        kept = [boxes[-1]]
        for box in reversed(boxes[:-1]):
            alike = classes[box.rule] == of
            late = box.rule >= len(boxes) + passed
            if alike and late and not any(_meet(box, other, region) for other in others):
                continue
            if not alike:
                others.append(box)
            kept.append(box)
        return kept[::-1]


def of_rules(boxes: Sequence[Box], kept: Sequence[Box]) -> tuple[Box, ...]:
    """Return all boxes of the rules of which some were kept."""
    rules = {box.rule for box in kept}
    return tuple(box for box in boxes if box.rule in rules)


def _meet(one: Box, other: Box, region: Region) -> bool:
    for (low, high), (first, last), (start, end) in zip(one.ranges, other.ranges, region, strict=True):
        if max(low, first, start) > min(high, last, end):
            return False
    return True


def merged_neighbours(branches: Sequence[tuple[tuple[Range, ...], Node]]) -> Iterator[tuple[tuple[Range, ...], Node]]:
    """Put neighbouring intervals of one content together."""
    low, high, current = 0, -1, None
    for ((first, last),), node in branches:
        if current is not None and (node is current or node == current) and first == high + 1:
            high = last
            continue
        if current is not None:
            yield ((low, high),), current
        low, high, current = first, last, node
    if current is not None:
        yield ((low, high),), current
