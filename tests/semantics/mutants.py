"""Rulesets with one thing changed: what a careless pass, printer or person would do to them.

A change may turn out not to matter (a rule behind another that says the same). `sites` lists where each kind of change
can be made; `mutant` makes one, and names the chains that it touches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.stateful import ConnectionCount, Limit, StatefulTest
from fwtrans.ir.verify import loops
from fwtrans.ir.walk import set_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import Element


class Change(Enum):
    """What is changed."""

    REMOVE = "remove a rule"
    DUPLICATE = "duplicate a rule"
    SWAP = "swap two rules"
    NEGATE = "negate a test"
    VERDICT = "change a verdict"
    PORT = "move a port by one"
    PREFIX = "change a prefix length by one bit"
    ELEMENT = "change a set's element"
    TARGET = "change the target of a jump"
    PRIORITY = "change a base chain's priority"
    POLICY = "change a policy"
    LIMIT = "change a limit"
    MARK = "change a mark's mask or value"
    LOG = "change a log prefix"


class Site(NamedTuple):
    """A place: table, chain (or set), rule, and the way to a step: its number, or number, branch and number there."""

    table: int
    chain: int
    rule: int = -1
    step: tuple[int, ...] = ()


class Mutant(NamedTuple):
    """A changed ruleset. `chains` are those whose rules changed or ask a changed set; empty where the order of chains did."""

    change: Change
    ruleset: Ruleset
    chains: frozenset[tuple[str, str]]
    site: Site


_PORTS = {known.SPORT, known.DPORT}
_MARKS = {known.MARK, known.CT_MARK}
_ADDRESSES = {FieldKind.IPV4, FieldKind.IPV6}


def sites(ruleset: Ruleset) -> dict[Change, list[Site]]:
    """Return where each change can be made; those without a place are missing."""
    found: dict[Change, list[Site]] = defaultdict(list)
    for at, table in enumerate(ruleset.tables):
        for place, named in enumerate(table.sets):
            if named.elements:
                found[Change.ELEMENT].append(Site(at, place))
        for place, chain in enumerate(table.chains):
            if chain.base is not None:
                found[Change.PRIORITY].append(Site(at, place))
                found[Change.POLICY].append(Site(at, place))
            for number, rule in enumerate(chain.rules):
                for change in _rule_changes(table, chain, rule):
                    found[change].append(Site(at, place, number))
                for way, step in flat(rule):
                    for change in _step_changes(step):
                        found[change].append(Site(at, place, number, way))
    return found


def _rule_changes(table: Table, chain: Chain, rule: Rule) -> Iterator[Change]:
    yield from (Change.REMOVE, Change.DUPLICATE, Change.VERDICT)
    if len(chain.rules) > 1:
        yield Change.SWAP
    if isinstance(rule.verdict, (verdicts.Jump, verdicts.Goto)) and sum(c.base is None for c in table.chains) > 1:
        yield Change.TARGET


def _step_changes(step: Step) -> Iterator[Change]:
    if isinstance(step, (FieldTest, MemberTest, OpaqueTest, StatefulTest)):
        yield Change.NEGATE
    if isinstance(step, FieldTest):
        if step.field in _PORTS and not step.values.is_empty:
            yield Change.PORT
        if step.field.kind in _ADDRESSES and not step.values.is_empty:
            yield Change.PREFIX
        if step.field in _MARKS:
            yield Change.MARK
    if isinstance(step, does.Assign) and step.field in _MARKS:
        yield Change.MARK
    if isinstance(step, StatefulTest) and isinstance(step.object.kind, (Limit, ConnectionCount)):
        yield Change.LIMIT
    if isinstance(step, does.Log):
        yield Change.LOG


def flat(rule: Rule) -> Iterator[tuple[tuple[int, ...], Step]]:
    """Yield each step with the way to it."""
    for number, step in enumerate(rule.steps):
        yield (number,), step
        if isinstance(step, AnyOf):
            for branch, tests in enumerate(step.branches):
                yield from (((number, branch, at), test) for at, test in enumerate(tests))


def mutant(source: Random, ruleset: Ruleset, change: Change, site: Site) -> Mutant:
    """Return the ruleset with the change made there."""
    table = ruleset.tables[site.table]
    touched: set[str] = set()
    if change is Change.ELEMENT:
        named = table.sets[site.chain]
        changed = replace(named, elements=_elements(source, named.elements))
        table = replace(table, sets=_put(table.sets, site.chain, changed))
        touched = {chain.name for chain in table.chains if any(named.name in set_names(rule) for rule in chain.rules)}
    else:
        chain = table.chains[site.chain]
        if change not in {Change.PRIORITY, Change.POLICY}:
            touched = {chain.name}
        table = replace(
            table, chains=_put(table.chains, site.chain, _chain(source, table, chain, change, site))
        )  # fmt: skip
    names = frozenset((f"{table.family.value} {table.name}", name) for name in touched)
    return Mutant(change, Ruleset(_put(ruleset.tables, site.table, table), ruleset.assumptions), names, site)


def _put(items: tuple[object, ...], at: int, *new: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:at], *new, *items[at + 1 :])


def _chain(source: Random, table: Table, chain: Chain, change: Change, site: Site) -> Chain:
    base = chain.base
    if base is not None and change is Change.PRIORITY:
        beside = [
            item.base.priority
            for item in table.chains
            if item is not chain and item.base is not None and item.base.hook is base.hook
        ]
        wanted = source.choice(beside or [base.priority]) + source.choice((-1, 1))
        return replace(chain, base=replace(base, priority=wanted))
    if base is not None and change is Change.POLICY:
        return replace(chain, base=replace(base, accepts=not base.accepts))
    rules, at = chain.rules, site.rule
    if change is Change.REMOVE:
        return replace(chain, rules=_put(rules, at))
    if change is Change.DUPLICATE:
        where = source.randint(0, len(rules))
        return replace(chain, rules=(*rules[:where], rules[at], *rules[where:]))
    if change is Change.SWAP:
        other = source.choice(
            [number for number in (at - 1, at + 1, source.randrange(len(rules))) if 0 <= number < len(rules)]
        )
        return replace(chain, rules=_put(_put(rules, at, rules[other]), other, rules[at]))
    if change is Change.VERDICT:
        return replace(chain, rules=_put(rules, at, replace(rules[at], verdict=_verdict(source, rules[at].verdict))))
    if change is Change.TARGET:
        return replace(chain, rules=_put(rules, at, _aimed(source, table, chain, at)))
    return replace(chain, rules=_put(rules, at, _stepped(source, rules[at], change, site.step)))


def _verdict(source: Random, old: verdicts.Verdict | None) -> verdicts.Verdict | None:
    choices: list[verdicts.Verdict | None] = [
        verdicts.Accept(), verdicts.Drop(), verdicts.Return(), verdicts.Reject("tcp reset"), None,
    ]  # fmt: skip
    if isinstance(old, verdicts.Jump):
        choices.append(verdicts.Goto(old.chain))
    return source.choice([verdict for verdict in choices if verdict != old])


def _aimed(source: Random, table: Table, chain: Chain, at: int) -> Rule:
    """Return the rule with another target that makes no loop, or with the other kind of jump where there is none."""
    rule = chain.rules[at]
    old = rule.verdict
    assert isinstance(old, (verdicts.Jump, verdicts.Goto))
    others = [item.name for item in table.chains if item.base is None and item.name not in {old.chain, chain.name}]
    source.shuffle(others)
    for name in others:
        new = replace(rule, verdict=type(old)(name))
        place = table.chains.index(chain)
        changed = replace(table, chains=_put(table.chains, place, replace(chain, rules=_put(chain.rules, at, new))))
        if not any(loops(changed)):
            return new
    return replace(
        rule, verdict=verdicts.Goto(old.chain) if isinstance(old, verdicts.Jump) else verdicts.Jump(old.chain)
    )


def _stepped(source: Random, rule: Rule, change: Change, way: tuple[int, ...]) -> Rule:
    step = rule.steps[way[0]]
    if len(way) == 1:
        new = _step(source, step, change)
    else:
        assert isinstance(step, AnyOf)
        branch = step.branches[way[1]]
        new = AnyOf(_put(step.branches, way[1], _put(branch, way[2], _step(source, branch[way[2]], change))))
    return replace(rule, steps=_put(rule.steps, way[0], new))


def _step(source: Random, step: Step, change: Change) -> Step:
    if change is Change.LOG and isinstance(step, does.Log):
        return replace(step, prefix=step.prefix[:-1] if step.prefix and source.random() < 0.5 else step.prefix + "x")
    if change is Change.MARK and isinstance(step, does.Assign):
        bit = 1 << source.choice((0, 1, 2, 7, 31))
        return (
            replace(step, keep=step.keep ^ bit)
            if source.random() < 0.5
            else replace(step, constant=step.constant ^ bit)
        )
    if isinstance(step, StatefulTest):
        return _stateful(source, step, change)
    if change is Change.NEGATE:
        return _negated(step)
    assert isinstance(step, FieldTest)
    if isinstance(step.values, BitSet):
        return FieldTest(step.field, _other_bits(source, step.values))
    assert isinstance(step.values, IntervalSet)
    moved = _moved(source, step.values) if change is Change.PORT else _longer_or_shorter(source, step.values)
    return FieldTest(step.field, moved)


def _negated(step: Step) -> Step:
    if isinstance(step, FieldTest):
        return FieldTest(step.field, step.values.complement())
    if isinstance(step, OpaqueTest):
        return replace(step, holds=not step.holds)
    assert isinstance(step, MemberTest)
    return replace(step, inside=not step.inside)


def _stateful(source: Random, step: StatefulTest, change: Change) -> StatefulTest:
    kind = step.object.kind
    if change is Change.NEGATE:
        return replace(step, over=not step.over)
    if isinstance(kind, Limit):
        wanted = replace(kind, rate=kind.rate + 1) if source.random() < 0.5 else replace(kind, burst=kind.burst + 1)
        return replace(step, object=replace(step.object, kind=wanted))
    assert isinstance(kind, ConnectionCount)
    return replace(step, object=replace(step.object, kind=replace(kind, limit=kind.limit + 1)))


def _other_bits(source: Random, values: BitSet) -> BitSet:
    bit = 1 << source.randrange(min(values.width, 8))
    if not values.cubes:
        return BitSet.cube(values.width, bit, bit)
    mask, value = values.cubes[0]
    first = (mask ^ bit, value & ~bit) if source.random() < 0.5 else (mask | bit, value ^ bit)
    return BitSet.of(values.width, (first, *values.cubes[1:]))


def _moved(source: Random, values: IntervalSet) -> IntervalSet:
    """Return the set with one end of one interval moved by one, or a single value moved."""
    at, by = source.randrange(len(values.ranges)), source.choice((-1, 1))
    low, high = values.ranges[at]
    ends = [(low + by, high + by)] if low == high else [(low + by, high), (low, high + by)]
    last = (1 << values.width) - 1
    low, high = source.choice(ends)
    fitting = [(max(low, 0), min(high, last))] if max(low, 0) <= min(high, last) else []
    return IntervalSet.of(values.width, (*values.ranges[:at], *fitting, *values.ranges[at + 1 :]))


def _longer_or_shorter(source: Random, values: IntervalSet) -> IntervalSet:
    """Return the set with one of its prefixes a bit longer or shorter."""
    prefixes = values.prefixes()
    address, length = source.choice(prefixes)
    lengths = [number for number in (length - 1, length + 1) if 0 <= number <= values.width]
    rest = values.difference(IntervalSet.prefix(values.width, address, length))
    return rest.union(IntervalSet.prefix(values.width, address, source.choice(lengths)))


def _elements(source: Random, elements: tuple[Element, ...]) -> tuple[Element, ...]:
    """Return the elements without one, or with one interval of one made a value longer where that meets no other."""
    at = source.randrange(len(elements))
    if source.random() < 0.4:
        return _put(elements, at)
    element = elements[at]
    place = source.randrange(len(element.key))
    part = element.key[place]
    if not isinstance(part[0], int) or len(element.key) > 1:
        return _put(elements, at)
    low, high = part
    taken = {value for other in elements if other != element for value in other.key[0]}
    grown = (low - 1, high) if low and low - 1 not in taken else (low, high)
    return _put(elements, at, element._replace(key=(grown,)) if grown != part else elements[at - 1])
