"""What a long list becomes: rules one after the other, and look-ups that lead to more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Return
from fwtrans.optimizer import calibration, cost
from fwtrans.optimizer.steps import rule_price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.sets import Part
    from fwtrans.source import Origin


class Leaf(NamedTuple):
    """Rules one after the other, without the tests that are settled."""

    rules: tuple[Rule, ...]

    @property
    def steps(self) -> int:
        """Return the steps of a packet that passes all."""
        return sum(rule_price(rule).steps for rule in self.rules)

    @property
    def size(self) -> int:
        """Return how many rules stand here."""
        return len(self.rules)


class Cut(NamedTuple):
    """A look-up by key. Branches of one content are one object. `steps` and `size` hold all that is below.

    A `whole` cut has in each branch all rules that can decide there: who finds nothing in it need not try the rest.
    All packets that come have the fields of the key where they are `there`; `masks` are what fields are masked with.
    """

    key: tuple[Field, ...]
    branches: tuple[tuple[tuple[Part, ...], Node], ...]
    rest: Node
    steps: int
    size: int
    whole: bool = False
    there: bool = False
    masks: tuple[int | None, ...] = ()


class Row(NamedTuple):
    """Rules, and what is tried behind them."""

    rules: tuple[Rule, ...]
    rest: Node

    @property
    def steps(self) -> int:
        """Return the steps of a packet that passes all."""
        return Leaf(self.rules).steps + self.rest.steps

    @property
    def size(self) -> int:
        """Return how many rules and elements stand here."""
        return len(self.rules) + self.rest.size


Node = Leaf | Cut | Row
NOTHING_LEFT = Leaf(())


def branch_steps(node: Node) -> int:
    """Return what a branch takes behind the look-up: nothing where the map holds its verdict."""
    if isinstance(node, Leaf) and len(node.rules) == 1 and is_verdict(node.rules[0]):
        return 0
    return node.steps


def branch_size(node: Node) -> int:
    """Return how many rules and elements a branch has besides its element."""
    return node.size if branch_steps(node) else 0


def is_verdict(rule: Rule) -> bool:
    """Tell whether a map can hold what is left of the rule."""
    return not rule.steps and isinstance(rule.verdict, (Accept, Drop, Jump, Goto, Return))


def joined(front: Node, rest: Node) -> Node:
    """Return tables with a search behind the last of them."""
    if isinstance(front, Leaf):
        return Row(front.rules, rest) if front.rules else rest
    behind = joined(front.rest, rest)
    if isinstance(front, Row):
        return Row(front.rules, behind)
    most = front.steps - 1 - front.rest.steps
    return front._replace(
        rest=behind, steps=1 + max(most, behind.steps), size=front.size - front.rest.size + behind.size
    )


def origins_of(node: Node) -> Iterator[Origin]:
    """Yield where the rules come from."""
    if isinstance(node, Leaf):
        for rule in node.rules:
            yield from rule.origins
        return
    if isinstance(node, Row):
        yield from origins_of(Leaf(node.rules))
        yield from origins_of(node.rest)
        return
    for branch in {id(branch): branch for _, branch in node.branches}.values():
        yield from origins_of(branch)
    yield from origins_of(node.rest)


def has_whole(node: Node) -> bool:
    """Tell whether a whole cut stands in the list itself."""
    if isinstance(node, Leaf):
        return False
    return (isinstance(node, Cut) and node.whole) or has_whole(node.rest)


def depth_of(node: Node) -> int:
    """Return how many jumps lead to the lowest branch."""
    if isinstance(node, Leaf):
        return 0
    if isinstance(node, Row):
        return depth_of(node.rest)
    branches = {id(branch): branch for _, branch in node.branches}.values()
    return max(1 + max(map(depth_of, branches)), depth_of(node.rest))


def time_of(node: Node) -> float:
    """Return what the worst packet takes, by the model."""
    if isinstance(node, Leaf):
        return sum(rule_price(rule).nanoseconds for rule in node.rules)
    if isinstance(node, Row):
        return time_of(Leaf(node.rules)) + time_of(node.rest)
    branches = {id(branch): branch for _, branch in node.branches}.values()
    found, rest = cost.JUMP + max(map(time_of, branches)), time_of(node.rest)
    return _look_up_time(node) + (max(found, rest) if node.whole else found + rest)


def is_test(node: Cut) -> bool:
    """Tell whether a rule that tests one field says the same as the look-up."""
    return len(node.key) == len(node.branches) == 1 and not any(node.masks)


def _look_up_time(node: Cut) -> float:
    if is_test(node):
        return calibration.RULE_OF_A_RUN
    masked = any(mask is not None for mask in node.masks)
    return look_up_time(node.key, [key for key, _ in node.branches], masked=masked)


def look_up_time(fields: Sequence[Field], keys: Sequence[Sequence[Part]], *, masked: bool) -> float:
    """Return what a look-up among these keys takes, by the model."""
    if masked:
        return calibration.MASKED_HASH
    if all(is_exact(part) for key in keys for part in key):
        return cost.hash_cost(len(fields))
    if len(fields) > 1:
        return cost.pipapo_cost(len(fields), _words_of(fields, keys))
    return cost.interval_cost(len(keys))


def is_exact(part: Part) -> bool:
    """Tell whether a part of a key is one value."""
    return isinstance(part, NamePattern) or part[0] == part[1]


def _words_of(fields: Sequence[Field], keys: Sequence[Sequence[Part]]) -> float:
    """Return how many words of bits the kernel keeps for concatenated intervals."""
    return sum(field.width / 4 / 64 * sum(_prefixes(field, key[at]) for key in keys) for at, field in enumerate(fields))


def _prefixes(field: Field, part: Part) -> int:
    return 1 if isinstance(part, NamePattern) else len(IntervalSet(field.width, (part,)).prefixes())
