"""One IR rule to the flat rules that nftables can hold.

nftables has no "or" inside a rule, so an any-of becomes one copy of the rule for each branch. Copies of a rule that goes
on after it matched (a log, a jump) must be disjoint, or a packet would be logged twice. Where a stateful step stands in
front of the any-of, every packet must still be charged exactly once: the branches and what none of them takes become a
partition, tested in front of the stateful step, and the rest of the partition charges without a verdict.

What the family settles (`nfproto` in an ip table) is folded away, and copies that ask for the impossible are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import SetUpdate
from fwtrans.ir.fields import FIELDS, HAS_ETHERNET, HAS_TRANSPORT, NFPROTO, Family, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, absent, negated, opposite, opposite_of_all
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import TERMINAL, Goto, Return

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.verdict import Verdict

FlatRule = tuple[tuple["Step", ...], "Verdict | None"]
Branch = tuple[PureTest, ...]

# A rule with more copies than this is a design fault of the input's translation, not a ruleset anyone wants to load.
MOST_COPIES = 512


class TooManyCopies(Exception):  # noqa: N818 -- an answer that the caller turns into FWT200
    """The rule's alternatives multiply beyond bearing."""


def settled_by(family: Family, *, conntrack: bool) -> dict[Field, ValueSet]:
    """Return the fields whose value is the same for every packet that a table of the family sees."""
    settled: dict[Field, ValueSet] = {}
    if family in {Family.IP, Family.IP6}:
        settled[NFPROTO] = IntervalSet.single(8, 2 if family is Family.IP else 10)
    if conntrack and family in {Family.IP, Family.IP6, Family.INET, Family.BRIDGE}:
        # Connection tracking puts fragments together before any of our hooks (priority -400, on a bridge -200).
        settled[HAS_TRANSPORT] = IntervalSet.single(1, 1)
    if family is Family.BRIDGE:
        settled[HAS_ETHERNET] = IntervalSet.single(1, 1)
    return settled


def expand(rule: Rule, settled: Mapping[Field, ValueSet]) -> tuple[FlatRule, ...]:
    """Return the flat rules, in order; none where the rule can never match."""
    if not any(map(needs_copies, rule.steps)):
        folded = _folded(rule.steps, settled)
        return () if folded is None else ((folded, rule.verdict),)
    leaves = isinstance(rule.verdict, (*TERMINAL, Return, Goto))
    done: list[FlatRule] = []
    waiting: list[FlatRule] = [(tuple(one for step in rule.steps for one in _printable(step)), rule.verdict)]
    while waiting:
        steps, verdict = waiting.pop(0)
        index = next((i for i, step in enumerate(steps) if isinstance(step, AnyOf)), None)
        if index is None:
            folded = _folded(steps, settled)
            if folded is not None:
                done.append((folded, verdict))
            continue
        waiting[:0] = _without_any_of(steps, verdict, index, settled, leaves=leaves)
        if len(waiting) + len(done) > MOST_COPIES:
            raise TooManyCopies
    return tuple(done)


def needs_copies(step: Step) -> bool:
    """Tell whether a rule with the step is several flat ones."""
    if type(step) is FieldTest:
        return type(step.values) is not IntervalSet and not is_plain(step)
    return type(step) is AnyOf


def _without_any_of(
    steps: tuple[Step, ...], verdict: Verdict | None, index: int, settled: Mapping[Field, ValueSet], *, leaves: bool
) -> list[FlatRule]:
    choice = steps[index]
    assert isinstance(choice, AnyOf)  # noqa: S101 -- the caller looked
    before, after = steps[:index], steps[index + 1 :]
    state = next((i for i, step in enumerate(before) if not is_pure(step)), None)
    if state is None:
        # A packet that a bucket behind the branch turns away goes on to the next copy, so those must be disjoint as well.
        charged = any(isinstance(step, (StatefulTest, StatefulFromMap, SetUpdate)) for step in after)
        branches = choice.branches if leaves and not charged else disjoint(choice, settled)
        return [((*before, *_printable_all(branch), *after), verdict) for branch in branches]
    taken = [
        ((*before[:state], *_printable_all(branch), *before[state:], *after), verdict)
        for branch in disjoint(choice, settled)
    ]
    left: list[FlatRule] = [
        ((*before[:state], *_printable_all(branch), *before[state:]), None)
        for branch in opposite(choice)
        if _folded(_printable_all(branch), settled) is not None
    ]
    return [*taken, *left]


def disjoint(choice: AnyOf, settled: Mapping[Field, ValueSet]) -> list[Branch]:
    """Return branches that hold for the same packets, no two of them for the same one."""
    found: list[Branch] = []
    earlier: list[Branch] = [()]
    for branch in choice.branches:
        found.extend((*not_before, *branch) for not_before in earlier)
        earlier = [
            (*not_before, *other)
            for not_before in earlier
            for other in opposite_of_all(branch)
            if _folded((*not_before, *other), settled) is not None
        ]
        if len(found) + len(earlier) > MOST_COPIES:
            raise TooManyCopies
    return [branch for branch in found if _folded(branch, settled) is not None]


def _folded(steps: tuple[Step, ...], settled: Mapping[Field, ValueSet]) -> tuple[Step, ...] | None:
    """Drop tests that always hold; None where one never does. Tests of one field in a pure run are put together."""
    known: dict[Field, int] = {}
    kept: list[Step | None] = []
    first = 0
    for step in steps:
        if not isinstance(step, FieldTest):
            kept.append(step)
            if not is_pure(step):
                known, first = {}, len(kept)
            continue
        fixed = settled.get(step.field)
        if fixed is not None:
            if _met(fixed, step.values).is_empty:
                return None
            continue
        if step.values.is_empty:
            return None
        if always_holds(step, settled):
            continue
        position = known.get(step.field)
        if step in kept[first:]:
            continue
        earlier = kept[position] if position is not None else None
        if isinstance(earlier, FieldTest) and isinstance(step.values, (IntervalSet, NameSet)):
            both = FieldTest(step.field, _met(earlier.values, step.values))
            if both.values.is_empty:
                return None
            if is_plain(both):
                assert position is not None  # noqa: S101 -- earlier came from it
                kept[position] = both
                continue
        known[step.field] = len(kept)
        kept.append(step)
    found = tuple(step for step in kept if step is not None)
    return None if _asks_of_the_missing(found) else found


def _asks_of_the_missing(steps: tuple[Step, ...]) -> bool:
    """Tell whether one test wants a thing not to be there, and another a value that only the thing has."""
    missing = {
        step.field.name
        for step in steps
        if isinstance(step, FieldTest) and step.field.spelling[0] == "presence" and step == absent(step.field)
    }
    if not missing:
        return False
    return any(
        isinstance(step, FieldTest) and any(value and name in missing for name, value in step.field.requires)
        for step in steps
    )


def always_holds(test: FieldTest, settled: Mapping[Field, ValueSet]) -> bool:
    """Tell whether every packet passes a test: it takes all values, and what has them is there wherever packets come by."""
    return test.values.is_full and not _needs_presence(test.field, settled)


def _needs_presence(field: Field, settled: Mapping[Field, ValueSet]) -> bool:
    return any(settled.get(need) is None for need in _requirements(field))


def _requirements(field: Field) -> tuple[Field, ...]:
    return tuple(FIELDS[name] for name, _ in field.requires)


def _met(left: ValueSet, right: ValueSet) -> ValueSet:
    if isinstance(left, IntervalSet) and isinstance(right, IntervalSet):
        return left.intersection(right)
    if isinstance(left, NameSet) and isinstance(right, NameSet):
        return left.intersection(right)
    assert isinstance(left, BitSet)  # noqa: S101 -- one field has one kind of values
    assert isinstance(right, BitSet)  # noqa: S101 -- same
    return left.intersection(right)


# --- value sets that need more than one nft match ---


def is_plain(test: FieldTest) -> bool:
    """Tell whether one nft match says the test."""
    values = test.values
    if isinstance(values, IntervalSet):
        return True
    if isinstance(values, BitSet):
        return bits_are_plain(values)
    return names_are_plain(values)


def bits_are_plain(values: BitSet) -> bool:
    """Tell whether `& mask ==`, `& mask !=`, `& mask { ... }` or intervals say the set."""
    others = values.complement()
    if len(values.cubes) <= 1 or len(others.cubes) <= 1:
        return True
    return values.listed is not None or values.intervals is not None or others.listed is not None


def names_are_plain(values: NameSet) -> bool:
    """Tell whether one comparison says the set: one pattern, several exact names, or all but these."""
    named = [(pattern, inside) for pattern, inside in values.entries if pattern.text or not pattern.is_prefix]
    if len({inside for _, inside in named}) > 1:
        return False
    if len(named) <= 1:
        return True
    return all(not pattern.is_prefix for pattern, _ in named)


def _printable_all(steps: tuple[PureTest, ...]) -> tuple[PureTest, ...]:
    return tuple(one for step in steps for one in _printable_tests(step))


def _printable(step: Step) -> tuple[Step, ...]:
    return _printable_tests(step) if isinstance(step, (FieldTest, AnyOf)) else (step,)


def _printable_tests(test: PureTest) -> tuple[PureTest, ...]:
    """Turn a test that no single match can say into an any-of that can, or into several matches that leave values out."""
    if not isinstance(test, FieldTest) or is_plain(test):
        return (test,)
    values = test.values
    if isinstance(values, BitSet):
        others = values.complement()
        if len(others.cubes) < len(values.cubes):
            left_out = (BitSet(values.width, (cube,)) for cube in others.cubes)
            return tuple(FieldTest(test.field, cube.complement()) for cube in left_out)
        return (AnyOf(tuple((FieldTest(test.field, BitSet(values.width, (cube,))),) for cube in values.cubes)),)
    assert isinstance(values, NameSet)  # noqa: S101 -- interval sets are always plain
    return (AnyOf(tuple(_name_branch(test.field, pattern, values) for pattern, inside in values.entries if inside)),)


def _name_branch(field: Field, pattern: NamePattern, values: NameSet) -> Branch:
    """Return: fits the pattern, and none of the longer patterns directly under it that are out."""
    own: list[PureTest] = []
    if pattern.text or not pattern.is_prefix:
        own.append(FieldTest(field, NameSet.of((pattern,))))
    for other, inside in values.entries:
        if not inside and other != pattern and pattern.covers(other):
            own.append(negated(FieldTest(field, NameSet.of((other,)))))
    return tuple(own)
