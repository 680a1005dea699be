"""How many steps a packet takes: each rule looked at counts the look-ups in sets and maps that it does, and at least one.

For a packet that is known, `fwtrans.semantics.concrete` counts them exactly. Here is the bound for all packets, from the
rules alone: the longest way through a chain, with jumps that no packet takes together counted once (those that ask one
field for different values). It is never less than what a packet takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir.fields import CT_STATE
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump, Return
from fwtrans.optimizer import cost
from fwtrans.optimizer.clauses import clauses_of, touches
from fwtrans.optimizer.keys import RANK, exact_values

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Hook, Ruleset, Table
    from fwtrans.ir.sets import NamedMap, Part


class Price(NamedTuple):
    """Steps, and what the model takes for their time in nanoseconds."""

    steps: int
    nanoseconds: float

    def plus(self, other: Price) -> Price:
        """Return both together."""
        return Price(self.steps + other.steps, self.nanoseconds + other.nanoseconds)


NOTHING = Price(0, 0)


class Worst(NamedTuple):
    """The dearest way that comes back from a chain, and the dearest that ends there; None where there is none."""

    through: Price | None
    ending: Price | None

    @property
    def any(self) -> Price:
        """Return the dearest way of both kinds."""
        return max((price for price in self if price is not None), default=NOTHING)


class HookCost(NamedTuple):
    """The dearest way through a base chain."""

    table: str
    chain: str
    hook: Hook
    worst: Price


def look_ups(step: Step) -> int:
    """Return how many look-ups a step does at most."""
    if isinstance(step, FieldTest):
        return int(is_set(step))
    if isinstance(step, AnyOf):
        return sum(look_ups(test) for branch in step.branches for test in branch)
    if isinstance(step, StatefulTest):
        return int(bool(step.key))
    if isinstance(step, does.Nat):
        return int(bool(step.map_name))
    return int(isinstance(step, (MemberTest, does.AssignFromMap, does.SetUpdate)))


def is_set(test: FieldTest) -> bool:
    """Tell whether nftables needs a set for the values, as it does for more than one interval on both sides."""
    values = test.values
    if isinstance(values, IntervalSet):
        return test.field is not CT_STATE and len(values.ranges) > 1 and len(values.complement().ranges) > 1
    if isinstance(values, NameSet):
        return len(values.patterns) > 1
    return len(values.cubes) > 1 and len(values.complement().cubes) > 1


@once
def rule_price(rule: Rule) -> Price:
    """Return what a rule costs at most, the chain aside that it leads to."""
    found = sum(map(look_ups, rule.steps)) + isinstance(rule.verdict, Dispatch)
    tests = sum(cost.test_cost(step.field) for step in rule.steps if isinstance(step, FieldTest) and not is_set(step))
    leads = cost.JUMP if isinstance(rule.verdict, (Jump, Goto, Dispatch)) else 0
    return Price(max(found, 1), cost.VERDICT + tests + found * cost.HASH + leads)


def hook_costs(ruleset: Ruleset) -> tuple[HookCost, ...]:
    """Return the dearest way through every base chain."""
    found: list[HookCost] = []
    for table in ruleset.tables:
        costs = chain_costs(table)
        name = f"{table.family.value} {table.name}"
        found.extend(
            HookCost(name, chain.name, chain.base.hook, costs.worst(chain.name).any)
            for chain in table.chains
            if chain.base is not None
        )
    return tuple(found)


@once
def chain_costs(table: Table) -> ChainCosts:
    """Return the dearest ways through a table's chains."""
    return ChainCosts(table)


class ChainCosts:
    """The dearest ways through the chains of one table."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: item for item in table.maps}
        self._clauses = clauses_of(table)
        self._known: dict[str, Worst] = {}

    def worst(self, name: str) -> Worst:
        """Return the dearest ways through a chain."""
        if name not in self._known:
            self._known[name] = Worst(NOTHING, None)  # a loop of jumps does not load anyway
            chain = self._chains.get(name)
            if chain is not None:
                self._known[name] = self.worst_of(chain)
        return self._known[name]

    def worst_of(self, chain: Chain) -> Worst:
        """Return the dearest ways through a list of rules that may call chains of the table."""
        way = _Way(self._clauses.chain_writes(chain.name))
        for rule in chain.rules:
            price = rule_price(rule)
            way.plain = way.plain.plus(price)
            verdict = rule.verdict
            always = not any(map(_may_fail, rule.steps))
            if isinstance(verdict, TERMINAL):
                way.end()
            elif isinstance(verdict, Return):
                way.leave()
            elif isinstance(verdict, Goto):
                self._goto(way, rule, verdict.chain)
            elif isinstance(verdict, Jump):
                self._jump(way, rule, verdict.chain)
                always = always and self.worst(verdict.chain).through is None
            elif isinstance(verdict, Dispatch):
                self._dispatch(way, verdict, self._maps[verdict.map_name])
                always = False
            else:
                always = False
            if always:
                return Worst(way.returning, way.ending)
        way.leave()
        return Worst(way.returning, way.ending)

    def _jump(self, way: _Way, rule: Rule, target: str) -> None:
        found = self.worst(target)
        field, parts = self._choice(rule, way.written)
        if found.ending is not None:
            way.end(found.ending, field, parts)
        if found.through is not None:
            way.call(found.through, field, parts)

    def _goto(self, way: _Way, rule: Rule, target: str) -> None:
        found = self.worst(target)
        field, parts = self._choice(rule, way.written)
        if found.ending is not None:
            way.end(found.ending, field, parts)
        if found.through is not None:
            way.leave(found.through, field, parts)

    def _dispatch(self, way: _Way, verdict: Dispatch, mapping: NamedMap) -> None:
        first = verdict.key[0]
        plain = len(verdict.key) == 1 and first.mask is None and not touches(first.field, way.written)
        plain = plain and all(_is_exact(element.key[0]) for element in mapping.elements)
        field = first.field if plain else None
        dearest = NOTHING
        for element in mapping.elements:
            value = element.value
            parts = element.key if field is not None else ()
            if isinstance(value, (Jump, Goto)):
                found = self.worst(value.chain)
                if found.ending is not None:
                    way.end(found.ending, field, parts)
                if found.through is not None and isinstance(value, Goto):
                    way.leave(found.through, field, parts)
                elif found.through is not None and field is not None:
                    way.call(found.through, field, parts)
                elif found.through is not None:
                    dearest = max(dearest, found.through)
            elif isinstance(value, TERMINAL):
                way.end()
            elif isinstance(value, Return):
                way.leave()
        way.plain = way.plain.plus(dearest)

    def _choice(self, rule: Rule, written: frozenset[Field]) -> tuple[Field | None, tuple[Part, ...]]:
        """Return the field by whose value the rule is reached, if it asks one for exact values."""
        clause = self._clauses.of(rule)
        for asked in sorted(clause.tests, key=lambda item: RANK.get(item, len(RANK))):
            parts = exact_values(asked, clause.tests[asked])
            if parts is not None and not touches(asked, written):
                return asked, parts
        return None, ()


@dataclass(slots=True)
class _Way:
    """The dearest way to a point of a chain: rules passed, and calls that came back, by the values that they ask for."""

    written: frozenset[Field]
    plain: Price = NOTHING
    returning: Price | None = None
    ending: Price | None = None
    _calls: dict[Field, dict[Part, Price]] = field(default_factory=dict)
    _most: dict[Field, Price] = field(default_factory=dict)

    def _so_far(self, asked: Field | None, parts: tuple[Part, ...]) -> Price:
        found = self.plain
        for other, price in self._most.items():
            if other is asked:
                mine = (self._calls[other].get(part, NOTHING) for part in parts)
                found = found.plus(max(mine, default=NOTHING))
            else:
                found = found.plus(price)
        return found

    def end(self, price: Price = NOTHING, asked: Field | None = None, parts: tuple[Part, ...] = ()) -> None:
        """A packet may end here, behind as much more."""
        found = self._so_far(asked, parts).plus(price)
        self.ending = found if self.ending is None else max(self.ending, found)

    def leave(self, price: Price = NOTHING, asked: Field | None = None, parts: tuple[Part, ...] = ()) -> None:
        """A packet may go back to the calling chain from here."""
        found = self._so_far(asked, parts).plus(price)
        self.returning = found if self.returning is None else max(self.returning, found)

    def call(self, price: Price, asked: Field | None, parts: tuple[Part, ...]) -> None:
        """A packet with one of the values may come back from a call."""
        if asked is None or not all(_is_exact(part) for part in parts):
            self.plain = self.plain.plus(price)
            return
        calls = self._calls.setdefault(asked, {})
        for part in parts:
            calls[part] = calls.get(part, NOTHING).plus(price)
            self._most[asked] = max(self._most.get(asked, NOTHING), calls[part])


def _is_exact(part: Part) -> bool:
    return not part[1] if isinstance(part[1], bool) else part[0] == part[1]


def _may_fail(step: Step) -> bool:
    return is_pure(step) or isinstance(step, (StatefulTest, does.AssignFromMap, does.Nat, does.SetUpdate, does.Assign))
