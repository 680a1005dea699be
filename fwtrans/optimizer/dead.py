"""Rules that no packet comes to or that change nothing, as far as that can be seen from the rules' own text.

    tcp dport 22 saddr 1 drop;  saddr 1 tcp dport 22 accept      the second asks for no less than the first has taken
    meta l4proto icmp drop;  icmp type 8 accept                  the second is for ICMP, all of which the first has taken
    tcp dport 22 drop;  udp drop;  drop                          drop
    tcp dport 22 return                                          nothing, as the last rule of a chain
    drop;  accept                                                drop

Why it is safe: a rule that only tests and then ends a packet's way in the chain takes all packets that pass its tests; a
later rule that asks for all of that, and for more perhaps, gets none, as long as nothing in between writes what is asked.
A rule that only tests and then ends as all the rules behind it do, or as the chain itself, decides nothing.

It declines wherever a rule does something beside deciding (logs, limits, marks, counters), and for tests that are implied
without being the same, but for what a field needs to be there at all: `shadowed.py` proves those.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.ending import always_goes_on
from fwtrans.ir.fields import FIELDS
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure, never_matches, pure_front
from fwtrans.ir.verdict import TERMINAL, Accept, Drop, Goto, Jump, Return
from fwtrans.ir.walk import fields_of
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.clauses import Clauses, clauses_of, touches, written_by
from fwtrans.optimizer.reached import distinct_ways, reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

# Rules that ask for more than this are compared with rules of the same tests only: subsets grow as powers of two.
_MOST_TESTS = 6
_LEAVES = (*TERMINAL, Return, Goto)


def without_dead_rules(table: Table) -> Table:
    """Return the table without rules and chains that can be seen to do nothing."""
    before = None
    while table != before:
        before = table
        table = _once(table)
    return table


def _once(table: Table) -> Table:
    empty = {chain.name for chain in table.chains if not chain.rules and chain.base is None}
    clauses = clauses_of(table)
    maps = {item.name: item for item in table.maps}
    chains: list[Chain] = []
    for chain in table.chains:
        kept = _left_of_leaf(chain) if _is_like_leaf(chain, maps, empty, clauses) else _left(chain, empty, clauses)
        chains.append(chain if kept == chain.rules else replace(chain, rules=kept))
    entries = [chain.name for chain in chains if chain.base is not None]
    return reached(replace(table, chains=tuple(chains)), entries) if entries else table


def _left(chain: Chain, empty: AbstractSet[str], clauses: Clauses) -> tuple[Rule, ...]:
    rules = [left for rule in chain.rules if (left := _without_empty(rule, empty)) is not None]
    return _that_decide(chain, _that_are_reached(rules, clauses.writes))


def _is_like_leaf(chain: Chain, maps: Mapping[str, NamedMap], empty: AbstractSet[str], clauses: Clauses) -> bool:
    """Tell whether all that a chain leads to is there, and writes nothing: so that its own rules decide what is left."""
    return not any(name in empty or clauses.chain_writes(name) for name in distinct_ways(chain, maps))


@once
def _left_of_leaf(chain: Chain) -> tuple[Rule, ...]:
    """Return what is left of a chain that nothing but its own rules decides."""
    rules = [left for rule in chain.rules if (left := _without_empty(rule, frozenset())) is not None]
    return _that_decide(chain, _that_are_reached(rules, written_by))


def _without_empty(rule: Rule, empty: AbstractSet[str]) -> Rule | None:
    """Return a rule without a call of an empty chain; nothing where no more is left of it than tests."""
    if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain in empty:
        rule = replace(rule, verdict=Return() if isinstance(rule.verdict, Goto) else None)
    does_nothing = rule.verdict is None or never_matches(rule)
    return None if does_nothing and all(map(is_pure, rule.steps)) else rule


# --- rules that no packet comes to ---


class _Front(NamedTuple):
    """The tests that a rule begins with, what they ask for, and whether all packets that pass them end there."""

    tests: tuple[Step, ...]
    fields: tuple[Field, ...]
    ends: bool
    implied: tuple[FieldTest, ...]
    """What packets that pass the tests pass as well, because a field that is tested is there."""


@once
def _front(rule: Rule) -> _Front:
    tests = pure_front(rule)
    ends = isinstance(rule.verdict, _LEAVES) and all(map(always_goes_on, rule.steps[len(tests) :]))
    asked = dict.fromkeys(step.field for step in tests if isinstance(step, FieldTest))
    implied = dict.fromkeys(need for field in asked for need in _needs(field))
    return _Front(tests, tuple(fields_of(tests)), ends, tuple(need for need in implied if need not in tests))


@cache  # as many as there are fields
def _needs(field: Field) -> tuple[FieldTest, ...]:
    """Return the tests that each packet passes that has the field."""
    needed = [(FIELDS[name], value) for name, value in field.requires]
    own = [FieldTest(other, IntervalSet.single(other.width, value)) for other, value in needed]
    return (*own, *(test for other, _ in needed for test in _needs(other)))


def _that_are_reached(rules: Sequence[Rule], writes: Callable[[Rule], frozenset[Field]]) -> list[Rule]:
    found: list[Rule] = []
    taken: dict[frozenset[int], tuple[Field, ...]] = {}
    numbers: dict[Step, int] = {}
    for rule in rules:
        front = _front(rule)
        tests = frozenset(numbers.setdefault(step, len(numbers)) for step in front.tests)
        asked = tests.union(numbers[need] for need in front.implied if need in numbers)
        if _is_taken(asked if len(asked) <= _MOST_TESTS else tests, taken):
            continue
        found.append(rule)
        if front.ends:
            if not tests:
                break
            taken[tests] = front.fields
        elif written := writes(rule):
            taken = {
                asked: fields for asked, fields in taken.items() if not any(touches(field, written) for field in fields)
            }
    return found


def _is_taken(tests: frozenset[int], taken: Mapping[frozenset[int], object]) -> bool:
    if not taken:
        return False
    if len(tests) > _MOST_TESTS:
        return tests in taken
    return any(frozenset(some) in taken for size in range(1, len(tests) + 1) for some in combinations(tests, size))


# --- rules that decide nothing ---


def _that_decide(chain: Chain, rules: list[Rule]) -> tuple[Rule, ...]:
    """Return the rules without those that end a packet's way as it would end behind them."""
    found = list(rules)
    ends: set[Verdict | None] = {Return()}
    if chain.base is not None:
        ends.add(Accept() if chain.base.accepts else Drop())
    while found and _only_says(found[-1], ends):
        found.pop()
    if not found or found[-1].steps or not isinstance(found[-1].verdict, TERMINAL):
        return tuple(found)
    last = found.pop()
    while found and _only_says(found[-1], {last.verdict}):
        found.pop()
    return (*found, last)


def _only_says(rule: Rule, ends: set[Verdict | None]) -> bool:
    return rule.verdict in ends and all(map(is_pure, rule.steps))


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_dead_rules(table)))


PASS = Pass("dead-rules", "leave out rules that no packet comes to, or that end its way as it would end anyway", _run)
