"""Rules that are equal but for the values of one field become one rule that asks for all of them.

    before   ip saddr 10.0.0.1 tcp dport 22 accept        after   ip saddr { 10.0.0.1, 10.0.0.7 } tcp dport 22 accept
             ip saddr 10.0.0.7 tcp dport 22 accept

Sets of values are joined as sets: overlaps fall together, neighbours become one range, so that what is printed always
loads. Flags are joined bit by bit and never by their spelling: `syn` and `ack` together still take SYN+ACK.

Why it is safe: a packet passes the joined rule exactly if it passes one of the rules. Where a rule does more than decide,
the values must not overlap, or a packet would have been counted or logged twice, and the rule must not change the field.
A rule is taken across others only where it may swap places with them.

It declines where a set is dearer than the rules (up to about four, two for narrow fields), unless the values are one range.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.rule import Rule, is_pure, joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.verdict import TERMINAL, Goto, Return
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.clauses import Clause, Clauses, clauses_of, may_swap, met, touches
from fwtrans.optimizer.steps import is_set

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Ruleset, Table

# How many rules a rule may be taken across: a bound on the time.
MOST_SKIPPED = 24
# The kernel keeps sets of single values that are no wider as a map of bits (nft_set_bitmap): no hash to be computed.
WIDEST_BITMAP = 16


class _Joined(NamedTuple):
    """Rules, by number, that become one at the place of the first, asking the field for all the values."""

    field: Field
    rules: tuple[int, ...]
    values: ValueSet


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with alike rules joined."""
    return each_table(ruleset, _table)


PASS = Pass("sets", "rules that differ in one field's values become one rule for all of them", run)


def _table(table: Table, declined: list[str]) -> Table:
    clauses = clauses_of(table)
    chains = tuple(_chain(chain, clauses, declined) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def joined(rules: tuple[Rule, ...], clauses: Clauses) -> tuple[Rule, ...]:
    """Return a list of rules with those joined that differ in one field's values."""
    return _chain(Chain("", rules), clauses, []).rules


def _chain(chain: Chain, clauses: Clauses, declined: list[str]) -> Chain:
    while len(chain.rules) > 1:
        found = _join(chain, [clauses.of(rule) for rule in chain.rules], declined)
        if found is None:
            break
        chain = found
    return chain


def _join(chain: Chain, found: Sequence[Clause], declined: list[str]) -> Chain | None:
    """Return the chain with all groups joined that do not share a rule; None where there is none that pays."""
    taken: set[int] = set()
    made: dict[int, Rule] = {}
    gone: set[int] = set()
    for group in _groups(found):
        if taken & {*range(group.rules[0], group.rules[-1] + 1)}:
            continue
        if not _pays(group):
            where = f"chain {chain.name}: {len(group.rules)} rules that differ in {group.field.name}"
            declined.append(f"{where} are cheaper than a set")
            continue
        taken |= {*range(group.rules[0], group.rules[-1] + 1)}
        first = chain.rules[group.rules[0]]
        made[group.rules[0]] = _with_values(first, group, [chain.rules[number] for number in group.rules])
        gone |= set(group.rules[1:])
    if not made:
        return None
    rules = tuple(made.get(number, rule) for number, rule in enumerate(chain.rules) if number not in gone)
    return replace(chain, rules=rules)


def _groups(found: Sequence[Clause]) -> Iterator[_Joined]:
    """Yield groups of rules that could be joined, the ones with most rules first."""
    by_signature: dict[tuple[Hashable, ...], list[int]] = {}
    fields: dict[tuple[Hashable, ...], Field] = {}
    for number, clause in enumerate(found):
        for field in clause.tests:
            if touches(field, clause.writes):
                continue
            others = frozenset((other, values) for other, values in clause.tests.items() if other is not field)
            signature = (field, others, clause.rest, clause.verdict)
            by_signature.setdefault(signature, []).append(number)
            fields[signature] = field
    joined = [
        group
        for signature, numbers in by_signature.items()
        if len(numbers) > 1
        for group in _split(fields[signature], numbers, found)
    ]
    yield from sorted(joined, key=lambda group: (-len(group.rules), group.rules))


def _split(field: Field, numbers: Sequence[int], found: Sequence[Clause]) -> Iterator[_Joined]:
    """Yield the rules of one signature in groups that can stand together at their first one's place."""
    left = list(numbers)
    while len(left) > 1:
        rules = [left[0]]
        values = found[left[0]].tests[field]
        between: list[int] = []
        for last, number in pairwise(left):
            if last != rules[-1]:
                between.append(last)
            between.extend(range(last + 1, number))
            if len(between) > MOST_SKIPPED:
                break
            clause = found[number]
            if not _only_leaves(clause) and not met(values, clause.tests[field]).is_empty:
                continue
            both = _union(values, clause.tests[field])
            if both is not None and all(may_swap(found[other], clause) for other in between):
                rules.append(number)
                values = both
        if len(rules) > 1:
            yield _Joined(field, tuple(rules), values)
        taken = set(rules)
        left = [number for number in left if number not in taken]


def _only_leaves(clause: Clause) -> bool:
    """Tell whether the rule only tests and then takes the packet away, so that no packet can pass two of its kind."""
    leaves = clause.is_plain or isinstance(clause.verdict, (*TERMINAL, Goto, Return))
    return leaves and all(map(is_pure, clause.rest))


def _union(left: ValueSet, right: ValueSet) -> ValueSet | None:
    """Return both sets of values together; None where one comparison could not say them."""
    if isinstance(left, IntervalSet) and isinstance(right, IntervalSet):
        return left.union(right)
    if isinstance(left, NameSet) and isinstance(right, NameSet):
        names = left.union(right)
        plain = not names.by_default and not any(pattern.is_prefix for pattern in names.patterns)
        return names if plain else None
    if isinstance(left, BitSet) and isinstance(right, BitSet):
        bits = left.union(right)
        return bits if len(bits.cubes) == 1 or len(bits.complement().cubes) == 1 or bits.listed else None
    return None


def _pays(group: _Joined) -> bool:
    if not is_set(FieldTest(group.field, group.values)):
        return True
    if group.field.width <= WIDEST_BITMAP:
        return len(group.rules) > 2
    return len(group.rules) * cost.test_cost(group.field) > cost.HASH


def _with_values(rule: Rule, group: _Joined, joined: Sequence[Rule]) -> Rule:
    test = FieldTest(group.field, group.values)
    steps: list[Step] = []
    done = False
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field is group.field and not done:
            steps.append(test)
            done = True
        elif not (isinstance(step, FieldTest) and step.field is group.field):
            steps.append(step)
    origins = joined_origins(joined)
    return Rule(tuple(steps), rule.verdict, origins, None, rule.comment)
