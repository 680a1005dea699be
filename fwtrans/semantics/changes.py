"""Which rules of two rulesets are not the same: matched by meaning, chain by chain, not by line or number.

    found = changes(old, new)
    found.rules[0].old, .new      a rule that was there, one that is there now, or both where one became the other

A rule that uses a set with other elements is a changed rule too, though its own words are the same: `sets` names them. A
packet that meets none of the changed rules, on neither side, is treated alike by both, because it meets the same rules in
the same order; that is what `regions` rests on, and checks.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import SequenceMatcher
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Assign, Count, Log
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.walk import flat_steps
from fwtrans.semantics.compiler import Spot
from fwtrans.semantics.side import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap, NamedSet


class Nature(Enum):
    """What a rule can bring about: a decision, a log line, or something else that goes with the packet."""

    DECIDES = "decides"
    LOGS = "logs"
    MARKS = "marks"


class Sited(NamedTuple):
    """A rule where it stands. Number -1 is the policy of a base chain, and has no rule."""

    table: Table
    chain: Chain
    number: int

    @property
    def spot(self) -> Spot:
        """Return the place as proofs name it."""
        return Spot(table_name(self.table), self.chain.name, self.number)

    @property
    def rule(self) -> Rule | None:
        """Return the rule, None for a policy."""
        return self.chain.rules[self.number] if self.number >= 0 else None


class RuleChange(NamedTuple):
    """A rule that is not the same on both sides. `whole` says that its chain is on one side only."""

    old: Sited | None
    new: Sited | None
    sets: tuple[str, ...] = ()
    whole: bool = False
    moved: bool = False

    @property
    def sited(self) -> Sited:
        """Return where it stands, on the new side if it is there."""
        found = self.new or self.old
        assert found is not None  # noqa: S101 -- a change is of something
        return found

    @property
    def nature(self) -> Nature:
        """Return the most that the rule can bring about, on either side."""
        found = {_nature(sited) for sited in (self.old, self.new) if sited is not None}
        return next(nature for nature in Nature if nature in found)


class SetChange(NamedTuple):
    """A named set or map that is not the same: None on a side where it is not there."""

    table: str
    name: str
    old: NamedSet | NamedMap | None
    new: NamedSet | NamedMap | None

    @property
    def added(self) -> tuple[object, ...]:
        """Return the elements that only the new side has, in its order."""
        return _without(self.new, self.old)

    @property
    def removed(self) -> tuple[object, ...]:
        """Return the elements that only the old side has, in its order."""
        return _without(self.old, self.new)


class ChainChange(NamedTuple):
    """A chain that only one side has."""

    table: str
    name: str
    is_new: bool
    rules: int


class Changes(NamedTuple):
    """All that is not the same. `alike` is the share of the `total` rules that both sides have, changed or not, 0 to 1."""

    rules: tuple[RuleChange, ...]
    sets: tuple[SetChange, ...]
    chains: tuple[ChainChange, ...]
    tables: tuple[tuple[str, bool], ...]
    alike: float
    total: int


def changes(old: Ruleset, new: Ruleset) -> Changes:
    """Return how the rules of two rulesets differ."""
    before = {table_name(table): table for table in old.tables}
    after = {table_name(table): table for table in new.tables}
    rules: list[RuleChange] = []
    sets: list[SetChange] = []
    chains: list[ChainChange] = []
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        changed = list(_sets(name, one, other))
        sets.extend(changed)
        rules.extend(_rules(one, other, {item.name for item in changed}))
        chains.extend(_chains(name, one, other))
    tables = tuple(
        (name, name in after) for name in dict.fromkeys((*before, *after)) if (name in before) != (name in after)
    )
    total = _count(old) + _count(new)
    apart = sum(item.old is None or item.new is None for item in rules)
    return Changes(tuple(rules), tuple(sets), tuple(chains), tables, 1 - apart / total if total else 1.0, total)


def _count(ruleset: Ruleset) -> int:
    return sum(matters(rule) for table in ruleset.tables for chain in table.chains for rule in chain.rules)


def matters(rule: Rule) -> bool:
    """Tell whether a rule does something: one that only counts or holds a comment does not."""
    return rule.verdict is not None or any(not isinstance(step, (FieldTest, MemberTest, Count)) for step in rule.steps)


def _nature(sited: Sited) -> Nature:
    rule = sited.rule
    if rule is None or rule.verdict is not None:
        return Nature.DECIDES
    steps = list(flat_steps(rule.steps))
    if any(isinstance(step, Assign) and step.field.name == "mark" for step in steps):
        return Nature.DECIDES  # by a mark that later rules ask for
    return Nature.LOGS if any(isinstance(step, Log) for step in steps) else Nature.MARKS


# --- stateful objects ---


def with_same_objects(old: Ruleset, new: Ruleset) -> Ruleset:
    """Return the new ruleset with its limits called as the old one calls them, where the rules around them are the same.

    A limit that has no name of its own is called by its rule's place, which is another one as soon as a rule before it goes.
    """
    names = dict(_same_objects(old, new))
    taken = {name for table in old.tables for chain in table.chains for rule in chain.rules for name in _objects(rule)}
    return with_objects_called(new, {name: f"new {name}" for name in taken} | names)


def with_objects_called(ruleset: Ruleset, names: Mapping[str, str]) -> Ruleset:
    """Return the ruleset with other names for its limits."""

    def called(name: str) -> str:
        return names.get(name, name)

    def changed(rule: Rule) -> Rule:
        if not any(called(name) != name for name in _objects(rule)):
            return rule
        return replace(rule, steps=tuple(_renamed(step, called) for step in rule.steps))

    tables = (
        replace(table, chains=tuple(replace(chain, rules=tuple(map(changed, chain.rules))) for chain in table.chains))
        for table in ruleset.tables
    )
    return replace(ruleset, tables=tuple(tables)) if names else ruleset


def _renamed(step: Step, called: Callable[[str], str]) -> Step:
    if not isinstance(step, StatefulTest):
        return step
    return replace(step, object=replace(step.object, identity=called(step.object.identity)))


def _objects(rule: Rule) -> Iterator[str]:
    return (step.object.identity for step in rule.steps if isinstance(step, StatefulTest))


def _nameless(rule: Rule) -> Rule:
    if not any(True for _ in _objects(rule)):
        return rule
    return replace(rule, steps=tuple(_renamed(step, lambda _: "") for step in rule.steps))


def _same_objects(old: Ruleset, new: Ruleset) -> Iterator[tuple[str, str]]:
    """Yield new names with the old ones, each old one once: rules that share a limit share it on both sides."""
    used: dict[str, str] = {}
    given: dict[str, str] = {}
    for one, other in _same_rules(old, new):
        for before, after in zip(_objects(one), _objects(other), strict=False):
            if after not in given and before not in used:
                given[after], used[before] = before, after
    yield from given.items()


def _same_rules(old: Ruleset, new: Ruleset) -> Iterator[tuple[Rule, Rule]]:
    before = {(table_name(table), chain.name): chain for table in old.tables for chain in table.chains}
    for table in new.tables:
        for chain in table.chains:
            was = before.get((table_name(table), chain.name))
            if was is None or not any(True for rule in chain.rules for _ in _objects(rule)):
                continue
            ones, others = ([_nameless(rule) for rule in side.rules] for side in (was, chain))
            gone: list[int] = []
            come: list[int] = []
            for kind, first, last, at, end in SequenceMatcher(None, ones, others, autojunk=False).get_opcodes():
                if kind == "equal" or last - first == end - at:
                    yield from zip(was.rules[first:last], chain.rules[at:end], strict=True)
                else:
                    gone.extend(range(first, last))
                    come.extend(range(at, end))
            for at in gone:  # a rule that was moved keeps its limit
                to = next((other for other in come if others[other] == ones[at]), None)
                if to is not None:
                    come.remove(to)
                    yield was.rules[at], chain.rules[to]


# --- sets and chains ---


def _without(one: NamedSet | NamedMap | None, other: NamedSet | NamedMap | None) -> tuple[object, ...]:
    if one is None:
        return ()
    there = {_said(item) for item in other.elements} if other is not None else set()
    return tuple(item for item in one.elements if _said(item) not in there)


def _said(element: object) -> Hashable:
    """Return what an element says: its key and its value; times that pass and counters say nothing."""
    return (element.key, getattr(element, "value", None), getattr(element, "timeout", None))  # type: ignore[attr-defined]


def _sets(name: str, old: Table | None, new: Table | None) -> Iterator[SetChange]:
    before = {item.name: item for item in old.keyed} if old is not None else {}
    after = {item.name: item for item in new.keyed} if new is not None else {}
    for own in dict.fromkeys((*before, *after)):
        found = SetChange(name, own, before.get(own), after.get(own))
        if (
            found.old is None
            or found.new is None
            or found.added
            or found.removed
            or _kind(found.old) != _kind(found.new)
        ):
            yield found


def _kind(item: NamedSet | NamedMap) -> Hashable:
    return type(item), item.fields, getattr(item, "timeout", None), getattr(item, "dynamic", None)


def _chains(name: str, old: Table | None, new: Table | None) -> Iterator[ChainChange]:
    before = {chain.name: chain for chain in old.chains} if old is not None else {}
    after = {chain.name: chain for chain in new.chains} if new is not None else {}
    for own in dict.fromkeys((*before, *after)):
        if (own in before) != (own in after):
            chain = before.get(own) or after[own]
            yield ChainChange(name, own, own in after, sum(map(matters, chain.rules)))


# --- rules ---


def _rules(old: Table | None, new: Table | None, sets: set[str]) -> Iterator[RuleChange]:
    before = {chain.name: chain for chain in old.chains} if old is not None else {}
    after = {chain.name: chain for chain in new.chains} if new is not None else {}
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        if old is not None and one is not None and new is not None and other is not None:
            yield from _of_chain((old, one), (new, other), sets)
        elif new is not None and other is not None:
            yield from (RuleChange(None, Sited(new, other, at), whole=True) for at in _numbers(other))
        elif old is not None and one is not None:
            yield from (RuleChange(Sited(old, one, at), None, whole=True) for at in _numbers(one))


def _numbers(chain: Chain) -> list[int]:
    found = [at for at, rule in enumerate(chain.rules) if matters(rule)]
    return [*found, -1] if chain.base is not None and not chain.base.accepts else found


def _of_chain(old: tuple[Table, Chain], new: tuple[Table, Chain], sets: set[str]) -> Iterator[RuleChange]:
    before = [at for at, rule in enumerate(old[1].rules) if matters(rule)]
    after = [at for at, rule in enumerate(new[1].rules) if matters(rule)]
    matcher = SequenceMatcher(
        None, [meaning(old[1].rules[at]) for at in before], [meaning(new[1].rules[at]) for at in after], autojunk=False
    )
    removed: list[int] = []
    added: list[int] = []
    for kind, first, last, other_first, other_last in matcher.get_opcodes():
        if kind == "equal":
            for at, other in zip(before[first:last], after[other_first:other_last], strict=True):
                used = tuple(sorted(_sets_of(new[1].rules[other]) & sets))
                if used:
                    yield RuleChange(Sited(*old, at), Sited(*new, other), used)
            continue
        gone, come = before[first:last], after[other_first:other_last]
        for at, other in _paired(old[1], new[1], gone, come):
            gone.remove(at)
            come.remove(other)
            yield RuleChange(Sited(*old, at), Sited(*new, other))
        removed.extend(gone)
        added.extend(come)
    yield from _single(old, new, removed, added)
    if _policy(old[1]) != _policy(new[1]):
        yield RuleChange(Sited(*old, -1), Sited(*new, -1))


def meaning(rule: Rule) -> Hashable:
    """Return what a rule does, whatever the order of tests that change nothing is."""
    found: list[Hashable] = []
    run: set[Hashable] = set()
    for step in rule.steps:
        if is_pure(step):
            run.add(step)
            continue
        found.extend((frozenset(run), step))
        run = set()
    return (*found, frozenset(run), rule.verdict)


def _policy(chain: Chain) -> Hashable:
    return chain.base and (chain.base.hook, chain.base.priority, chain.base.kind, chain.base.accepts)


def _single(
    old: tuple[Table, Chain], new: tuple[Table, Chain], removed: Sequence[int], added: Sequence[int]
) -> Iterator[RuleChange]:
    """Yield what stands alone; a rule that went in one place and came in another has moved."""
    gone = {meaning(old[1].rules[at]) for at in removed}
    come = {meaning(new[1].rules[at]) for at in added}
    yield from (RuleChange(Sited(*old, at), None, moved=meaning(old[1].rules[at]) in come) for at in removed)
    yield from (RuleChange(None, Sited(*new, at), moved=meaning(new[1].rules[at]) in gone) for at in added)


def _paired(old: Chain, new: Chain, gone: Sequence[int], come: Sequence[int]) -> list[tuple[int, int]]:
    """Return which of the rules that went became which that came: those that ask the same fields, and end alike first."""
    found: list[tuple[int, int]] = []
    for alike in (_shape, _fields):
        left = [at for at in gone if at not in {one for one, _ in found}]
        free = [at for at in come if at not in {other for _, other in found}]
        for at in left:
            match = next((other for other in free if alike(new.rules[other]) == alike(old.rules[at])), None)
            if match is not None:
                free.remove(match)
                found.append((at, match))
    return found


def _fields(rule: Rule) -> Hashable:
    steps = flat_steps(rule.steps)
    return tuple(sorted(step.field.name if isinstance(step, FieldTest) else type(step).__name__ for step in steps))


def _shape(rule: Rule) -> Hashable:
    return _fields(rule), rule.verdict


def _sets_of(rule: Rule) -> set[str]:
    found = {step.set_name for step in flat_steps(rule.steps) if isinstance(step, MemberTest)}
    for thing in (*rule.steps, rule.verdict):
        name = getattr(thing, "map_name", "")
        if name:
            found.add(name)
    return found
