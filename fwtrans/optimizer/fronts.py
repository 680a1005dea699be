"""First rules of a list, said in fewer steps than they are rules: so that the look-ups behind them take no packet more steps.

    ip saddr 10.0.0.0/24 ip daddr 10.1.0.7 tcp dport 22 accept      ip saddr & 255.255.255.0 . ip daddr . ... vmap @first
    ip saddr 10.9.0.0/16 tcp dport 443 drop                    ->   ip saddr 10.9.0.0/16 tcp dport 443 drop
    ip saddr 10.7.3.0/24 ip daddr 10.1.0.9 udp dport 53 drop

Two rules that ask for the same fields under masks of the same length are found in one hash. Where there are none, rules
become tables of concatenated intervals (`fwtrans.optimizer.tuples`), which take the kernel longer.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.leaves import Leaves
from fwtrans.optimizer.search_nodes import NOTHING_LEFT, Cut, Leaf, Node, Row, is_verdict, joined, time_of
from fwtrans.optimizer.tuples import RANGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.optimizer.boxes import Box
    from fwtrans.optimizer.clauses import Clause

# How far behind the first rule the second of a pair may stand: every packet passes the rules between.
MOST_FIRST = 8
# Masks of two rules are made the same by so many elements at most.
MOST_ELEMENTS = 16
# So many rules are tried as tables.
TABLED = (1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 24)

Masks = tuple[tuple[int, int], ...]


def front(run: Sequence[Clause], always: Mapping[Field, ValueSet], saved: int) -> tuple[int, Node] | None:
    """Return how many first rules to take and what they become, so that at least so many steps are saved; the quickest."""
    found: list[tuple[float, int, Node]] = []
    if saved == 1:
        found.extend((time_of(node), count, node) for count, node in _pairs(run[:MOST_FIRST], always))
    for count in TABLED:
        if 2 * count > len(run):
            break
        tables = tables_of(run[:count], always)
        if tables is not None and count - tables.steps >= saved:
            found.append((time_of(tables), count, tables))
            break
    if not found:
        return None
    _, count, node = min(found, key=lambda item: item[:2])
    return count, node


def tables_of(first: Sequence[Clause], always: Mapping[Field, ValueSet]) -> Node | None:
    """Return first rules as tables, of which there are no more than rules."""
    return Leaves(Boxes.of(first, always)).tables(len(first)) if first else NOTHING_LEFT


def _pairs(first: Sequence[Clause], always: Mapping[Field, ValueSet]) -> Iterator[tuple[int, Node]]:
    """Yield the rules up to the second of a pair, with the pair as one look-up."""
    boxes = Boxes.of(first, always)
    leaves = _Masked(boxes)
    masks = [leaves.masks(number) for number in range(len(first))]
    for one, other in combinations(range(len(first)), 2):
        if not masks[one] or not masks[other] or not leaves.may_come_forward(other, one):
            continue
        cut = leaves.pair(one, other, masks[one], masks[other])
        if cut is not None:
            between = tuple(clause.rule for clause in first[one + 1 : other])
            rest: Node = Leaf(between) if between else NOTHING_LEFT
            before = tuple(clause.rule for clause in first[:one])
            node = joined(cut, rest)
            yield other + 1, Row(before, node) if before else node


class _Masked(Leaves):
    """Says which rules can be found under a mask."""

    def masks(self, number: int) -> Masks:
        """Return the axes that a rule asks for, each with a mask; nothing where it is more than that, or may say no."""
        box = self._single(number)
        if box is None or not self._only_axes(number, box.asked | self._there(0)):
            return ()
        if not is_verdict(self._deciding(box, self.boxes.full, self._there(0))):
            return ()
        found: list[tuple[int, int]] = []
        for at, wanted in enumerate(self.boxes.fields):
            if box.asked >> at & 1:
                low, high = box.ranges[at]
                size = high - low + 1
                if wanted not in RANGED or size & (size - 1) or low & (size - 1):
                    return ()
                found.append((at, self.boxes.full[at][1] & ~(size - 1)))
        return tuple(found)

    def may_come_forward(self, number: int, to: int) -> bool:
        """Tell whether a rule may be asked as early as another: none between decides otherwise for a packet of both."""
        mine = self._single(number)
        return mine is not None and all(
            self.boxes.classes[box.rule] == self.boxes.classes[number] or box.within(mine) is None
            for box in self.boxes.boxes
            if to <= box.rule < number
        )

    def pair(self, one: int, other: int, masks: Masks, others: Masks) -> Cut | None:
        """Return the look-up for two rules; None where their masks cannot be made the same."""
        if [at for at, _ in masks] != [at for at, _ in others]:
            return None
        narrow = tuple(mask | more for (_, mask), (_, more) in zip(masks, others, strict=True))
        axes = tuple(at for at, _ in masks)
        branches: dict[tuple[tuple[int, int], ...], Node] = {}
        for number in (one, other):
            (box,) = self._of_rule[number]  # a rule that has masks is one box
            keys = _under(box, axes, [(mask, self.boxes.full[at][1]) for at, mask in zip(axes, narrow, strict=True)])
            if keys is None or len(keys) + len(branches) > MOST_ELEMENTS:
                return None
            verdict = Leaf((self._deciding(box, self.boxes.full, self._there(0)),))
            for key in keys:
                branches.setdefault(key, verdict)
        cut = self._made(axes, tuple(sorted(branches.items(), key=lambda item: item[0])), NOTHING_LEFT, whole=False)
        full = tuple(self.boxes.full[at][1] for at in axes)
        return cut._replace(
            masks=tuple(None if mask == all_ else mask for mask, all_ in zip(narrow, full, strict=True))
        )

    def _single(self, number: int) -> Box | None:
        boxes = self._of_rule[number]
        return boxes[0] if len(boxes) == 1 and number not in self.boxes.split else None


def _under(box: Box, axes: Sequence[int], masks: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]] | None:
    """Return the masked values that together are a box; None where they are too many."""
    keys: list[tuple[tuple[int, int], ...]] = [()]
    for at, (mask, full) in zip(axes, masks, strict=True):
        low, high = box.ranges[at]
        step = (full & ~mask) + 1
        values = range(low, high + 1, step)
        if len(values) * len(keys) > MOST_ELEMENTS:
            return None
        keys = [(*key, (value, value)) for key in keys for value in values]
    return keys
