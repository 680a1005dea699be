"""A rule seen as a clause: what its pure front asks of each field, and what is left to do then.

Passes that move, merge or sort rules ask two things of a pair: can one packet match both, and does their order matter.
Both are answered here, on the safe side: "maybe" counts as "yes".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import CT_STATE, FIELDS, HAS_CONNTRACK, L4PROTO, MARK, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure, pure_front
from fwtrans.ir.verdict import TERMINAL, Accept, Dispatch, Drop, Goto, Jump, Reject, SynProxy, TransparentProxy
from fwtrans.ir.walk import chain_ways
from fwtrans.optimizer.reached import distinct_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.verdict import Verdict

# Verdicts that decide for good and do nothing beside it: rules that end so may swap places.
_PLAIN_ENDS = (Accept, Drop, Reject)


@dataclass(slots=True)
class Clause:
    """A rule taken apart; nobody changes one, but there are too many for freezing each. `tests` are field tests at its pure front, one for each field; `rest` are all other steps."""

    rule: Rule
    tests: Mapping[Field, ValueSet]
    rest: tuple[Step, ...]
    writes: frozenset[Field]

    @property
    def verdict(self) -> Verdict | None:
        """Return the rule's verdict."""
        return self.rule.verdict

    @property
    def is_plain(self) -> bool:
        """Tell whether the rule only tests, and then decides for good."""
        return isinstance(self.rule.verdict, _PLAIN_ENDS) and all(map(is_pure, self.rest))


class Clauses:
    """The clauses of one table's rules."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: item for item in table.maps}
        self._written: dict[str, frozenset[Field]] = {}

    def of(self, rule: Rule) -> Clause:
        """Return a rule's clause."""
        found = _parts(rule)
        return Clause(rule, found.tests, found.rest, self.writes(rule) if found.leads else found.writes)

    def writes(self, rule: Rule) -> frozenset[Field]:
        """Return the fields that the rule may write, by itself or in chains that it leads to."""
        own = written_by(rule)
        if not isinstance(rule.verdict, (Jump, Goto, Dispatch)):
            return own
        return own.union(*map(self.chain_writes, self._targets(rule)))

    def chain_writes(self, name: str) -> frozenset[Field]:
        """Return the fields that a chain and those below it may write."""
        if name not in self._written:
            self._written[name] = frozenset()  # a loop of jumps does not load anyway
            chain = self._chains.get(name)
            if chain is not None:
                behind = (self.chain_writes(target) for way in chain_ways(chain) for target in self._led_to(*way))
                self._written[name] = _written_in(chain).union(*behind)
        return self._written[name]

    def _targets(self, rule: Rule) -> Iterable[str]:
        if isinstance(rule.verdict, (Jump, Goto)):
            return (rule.verdict.chain,)
        return self._led_to(rule.verdict.map_name, True) if isinstance(rule.verdict, Dispatch) else ()

    def _led_to(self, name: str, is_map: bool) -> Iterable[str]:
        """Return the chains that a way out of a chain leads to: that of the name, or those of the map of the name."""
        if not is_map:
            return (name,)
        return distinct_targets(self._maps[name]) if name in self._maps else ()


@once
def clauses_of(table: Table) -> Clauses:
    """Return the clauses of a table's rules."""
    return Clauses(table)


class _Parts(NamedTuple):
    """The tests at a rule's pure front by field, all other steps, what the rule itself writes, and whether it leads on."""

    tests: Mapping[Field, ValueSet]
    rest: tuple[Step, ...]
    writes: frozenset[Field]
    leads: bool


def tests_of(rule: Rule) -> Mapping[Field, ValueSet]:
    """Return the tests at a rule's pure front by field."""
    return _parts(rule).tests


@once
def _parts(rule: Rule) -> _Parts:
    tests: dict[Field, ValueSet] = {}
    rest: list[Step] = []
    at_front = True
    for step in rule.steps:
        at_front = at_front and is_pure(step)
        if at_front and isinstance(step, FieldTest):
            known = tests.get(step.field)
            tests[step.field] = step.values if known is None else met(known, step.values)
        else:
            rest.append(step)
    return _Parts(tests, tuple(rest), written_by(rule), isinstance(rule.verdict, (Jump, Goto, Dispatch)))


@once
def written_by(rule: Rule) -> frozenset[Field]:
    """Return the fields that a rule itself writes."""
    found: set[Field] = set()
    for step in rule.steps:
        if isinstance(step, (does.Assign, does.AssignFromMap, does.AssignFromTable)):
            found.add(step.field)
        elif isinstance(step, does.NoTrack):
            found |= {CT_STATE, HAS_CONNTRACK}
    if isinstance(rule.verdict, TransparentProxy):
        found.add(MARK)
    return frozenset(found)


@once
def _written_in(chain: Chain) -> frozenset[Field]:
    """Return the fields that a chain's own rules write."""
    return frozenset().union(*map(written_by, chain.rules))


def met(left: ValueSet, right: ValueSet) -> ValueSet:
    """Return the values in both sets, which are of one kind because they are of one field."""
    return left.intersection(right)  # type: ignore[arg-type]


def within(inner: ValueSet, outer: ValueSet) -> bool:
    """Tell whether all of the first set is in the second."""
    return inner == outer or outer.is_full or met(inner, outer) == inner


def needs(field: Field) -> Iterator[Field]:
    """Yield all fields whose values decide whether the field is there."""
    for name, _ in field.requires:
        yield FIELDS[name]
        yield from needs(FIELDS[name])


def touches(field: Field, written: frozenset[Field]) -> bool:
    """Tell whether one of the written fields decides about the field's value or presence."""
    return bool(written) and (field in written or any(need in written for need in needs(field)))


def disjoint(left: Clause, right: Clause) -> bool:
    """Tell whether no packet does something in both rules: they ask one field, which neither changes, for other values."""
    fewer, more = (left, right) if len(left.tests) <= len(right.tests) else (right, left)
    for field, values in fewer.tests.items():
        other = more.tests.get(field)
        if other is None or values is other or touches(field, left.writes) or touches(field, right.writes):
            continue
        if met(values, other).is_empty:
            return True
    return False


def may_swap(left: Clause, right: Clause) -> bool:
    """Tell whether the order of two neighbours is all the same: nothing reaches both, or both decide alike."""
    if left.is_plain and right.is_plain and left.verdict == right.verdict:
        return True
    return disjoint(left, right)


def without(clause: Clause, known: Mapping[Field, ValueSet]) -> Rule:
    """Return the rule for packets of which is known that each field is there and has one of the values."""
    return without_settled(clause, settled_by(known))


def without_settled(clause: Clause, settled: Mapping[Field, ValueSet]) -> Rule:
    """Return the rule without the tests that every packet passes of which so much is known."""
    front = len(pure_front(clause.rule))
    named = names_protocol(clause.rule)
    kept = [step for step in clause.rule.steps[:front] if not _holds(step, settled) or (named and is_protocol(step))]
    if len(kept) == front:
        return clause.rule
    return replace(clause.rule, steps=(*kept, *clause.rule.steps[front:]))


@once
def names_protocol(rule: Rule) -> bool:
    """Tell whether nftables wants the transport protocol tested in the same rule: `dnat to 10.0.0.1:80` is refused without."""
    if isinstance(rule.verdict, (TransparentProxy, SynProxy)):
        return True
    return any(isinstance(step, does.Nat) and step.ports is not None for step in rule.steps)


def is_protocol(step: Step) -> bool:
    """Tell whether a step asks for the transport protocol."""
    return isinstance(step, FieldTest) and step.field is L4PROTO


def narrowed(clause: Clause, tests: Mapping[Field, ValueSet]) -> Clause:
    """Return the clause of a rule that asks for more: some fields for fewer values."""
    front = len(pure_front(clause.rule))
    kept = [step for step in clause.rule.steps[:front] if not isinstance(step, FieldTest) or step.field not in tests]
    more = [FieldTest(field, met(clause.tests.get(field, values), values)) for field, values in tests.items()]
    rule = replace(clause.rule, steps=(*more, *kept, *clause.rule.steps[front:]))
    return Clause(rule, {**clause.tests, **{test.field: test.values for test in more}}, clause.rest, clause.writes)


def settled_by(known: Mapping[Field, ValueSet]) -> dict[Field, ValueSet]:
    """Return what is known, and what must be so for the known fields to be there."""
    settled: dict[Field, ValueSet] = {}
    for field, values in known.items():
        for name, value in _all_requirements(field):
            settled[FIELDS[name]] = _single(FIELDS[name], value)
        settled[field] = values
    return settled


def _all_requirements(field: Field) -> Iterator[tuple[str, int]]:
    for name, value in field.requires:
        yield from _all_requirements(FIELDS[name])
        yield name, value


def _holds(step: Step, settled: Mapping[Field, ValueSet]) -> bool:
    if not isinstance(step, FieldTest):
        return False
    values = settled.get(step.field)
    return values is not None and within(values, step.values)


def _single(field: Field, value: int) -> ValueSet:
    if field.kind is FieldKind.BITS:
        return BitSet.exact(field.width, value)
    return IntervalSet.single(field.width, value)


def decides(rule: Rule) -> bool:
    """Tell whether the rule ends every packet that comes to it."""
    return not rule.steps and isinstance(rule.verdict, TERMINAL)
