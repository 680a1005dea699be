"""What is left of chains where fields are known: tests decided, and rules and elements of maps that cannot match gone.

    residues = Residues(program, frozenset({known.IIFNAME}))
    left = residues.chain(number, {known.IIFNAME: "tap100i0"})

A node has hundreds of guests, and its rules find each by its port. A function of all ports together has a part for each
guest, and for each pair of guests where rules ask for two things that differ from guest to guest. So what is known is put
into the rules, and not into functions that were made for everybody. What is left is numbered like everything else: what
two guests have in common is one chain then, and is evaluated once. Rules and elements are found by the values that they
ask for, because to look at all of them for each guest takes the square of their number.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.semantics.keys import Present
from fwtrans.semantics.program import AnyTest, Call, Choice, CompiledRule, TupleTest

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.semantics.program import CompiledStep, CompiledVerdict, Program, Test

OF_GUESTS = frozenset({FieldKind.NAME, FieldKind.MAC})
"""What guests differ by. Of what else is known at a hop there are few values, and most hops have the same."""

_NOTHING: frozenset[Field] = frozenset()
_ALWAYS, _NEVER = AnyTest(((),)), AnyTest(())
# Ranges of so many values in all are listed: neighbours, as guests' hardware addresses often are, are joined to one.
_MOST_LISTED = 4096


class Members:
    """The members of a set, found without a walk through all that it names. As what is known of a field: it has one of them."""

    __slots__ = ("_exact", "_rest", "_values")

    def __init__(self, values: ValueSet) -> None:
        self._values = self._rest = values
        self._exact: dict[int | str, bool] = {}
        if isinstance(values, NameSet):
            self._exact = {pattern.text: inside for pattern, inside in values.entries if not pattern.is_prefix}
            self._rest = NameSet(tuple(entry for entry in values.entries if entry[0].is_prefix))

    def __contains__(self, value: int | str) -> bool:
        found = self._exact.get(value)
        return value in self._rest if found is None else found  # type: ignore[operator] # it is of the field's kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)


Value = int | str | Members


class _Only(NamedTuple):
    """The values of a field outside of which something never holds."""

    field: Field
    values: Collection[int | str]


class _Sorted(NamedTuple):
    """Numbered things in order: for each value those that may hold with it only, and those that have no such values."""

    by_value: Mapping[Field, Mapping[int | str, list[tuple[int, int]]]]
    others: list[tuple[int, int]]

    def at(self, known: Mapping[Field, Value]) -> Iterable[int]:
        """Return the things that may hold, in order; what is not known may be anything."""
        found = list(self.others)
        for field, by_value in self.by_value.items():
            for value in _values_of(by_value, known.get(field)):
                found += by_value.get(value, ())
        if len(found) > len(self.others):
            found = sorted(set(found))
        return (thing for _, thing in found)


class Residues:
    """What is left of a program's chains; `fields` are those that may be known. No rule may write one of them."""

    def __init__(self, program: Program, fields: frozenset[Field]) -> None:
        self._program = program
        self.fields = fields
        self._tests: dict[tuple[Hashable, ...], int] = {}
        self._rules: dict[tuple[Hashable, ...], int | None] = {}
        self._chains: dict[tuple[Hashable, ...], int] = {}
        self._choices: dict[tuple[Hashable, ...], Choice] = {}
        self._asked_by_test: dict[int, frozenset[Field]] = {}
        self._asked_by_rule: dict[int, frozenset[Field]] = {}
        self._asked_by_choice: dict[Choice, frozenset[Field]] = {}
        self._asked_by_chain: dict[int, frozenset[Field]] = {}
        self._only: dict[int, _Only | None] = {}
        self._members: dict[int, Members] = {}
        self._places: dict[int, int | None] = {}
        self._elements: dict[int, Mapping[int | str, list[tuple[int, ...]]]] = {}
        self._sorted_rules: dict[Hashable, _Sorted] = {}
        self._always, self._never = (program.tests.number(test) for test in (_ALWAYS, _NEVER))

    # --- chains and rules ---

    def chain(self, number: int, known: Mapping[Field, Value]) -> int:
        """Return the number of what is left of a chain."""
        key = self._key(number, self._asked_by_a_chain(number), known)
        if key is None:
            return number
        found = self._chains.get(key)
        if found is None:
            if number not in self._sorted_rules:
                self._sorted_rules[number] = self._sorted(self._program.chains.items[number])
            left = (self._rule(rule, known) for rule in self._sorted_rules[number].at(known))
            rules = tuple(rule for rule in left if rule is not None)
            found = self._chains[key] = self._program.chains.number(rules)
        return found

    def _rule(self, number: int, known: Mapping[Field, Value]) -> int | None:
        """Return what is left of a rule, None where it never does anything."""
        key = self._key(number, self._asked_by_a_rule(number), known)
        if key is None:
            return number
        if key not in self._rules:
            self._rules[key] = self._left(self._program.rules.items[number], known)
        return self._rules[key]

    def _left(self, rule: CompiledRule, known: Mapping[Field, Value]) -> int | None:
        tested = 0
        while tested < len(rule.steps) and isinstance(rule.steps[tested], int):
            if self._test(rule.steps[tested], known) == self._never:  # type: ignore[arg-type] # numbers, as the loop asks
                return None
            tested += 1
        steps = self._steps(rule.steps, known)
        return self._program.rules.number(CompiledRule(steps, self._verdict(rule.verdict, known)))

    def _steps(self, steps: Iterable[CompiledStep], known: Mapping[Field, Value]) -> tuple[CompiledStep, ...]:
        left = (self._step(step, known) for step in steps)
        return tuple(step for step in left if step != self._always)

    def _step(self, step: CompiledStep, known: Mapping[Field, Value]) -> CompiledStep:
        if isinstance(step, int):
            return self._test(step, known)
        return self._choice(step, known) if isinstance(step, Choice) else step

    def _verdict(self, verdict: CompiledVerdict, known: Mapping[Field, Value]) -> CompiledVerdict:
        return Call(self.chain(verdict.chain, known), verdict.returns) if isinstance(verdict, Call) else verdict

    def _choice(self, choice: Choice, known: Mapping[Field, Value]) -> Choice:
        key = self._key(choice, self._asked_by_a_choice(choice), known)
        if key is None:
            return choice
        found = self._choices.get(key)
        if found is None:
            if choice not in self._sorted_rules:
                self._sorted_rules[choice] = self._sorted(choice.rules)
            left = self._alternatives(self._sorted_rules[choice].at(known), known)
            found = self._choices[key] = Choice(tuple(left), choice.breaks)
        return found

    def _alternatives(self, rules: Iterable[int], known: Mapping[Field, Value]) -> Iterator[int]:
        """Yield elements of a map that may be hit; the first of their steps is the key."""
        for rule in map(self._program.rules.items.__getitem__, rules):
            hit = self._test(rule.steps[0], known)  # type: ignore[arg-type] # an element's first step is its key
            if hit != self._never:
                steps = (hit, *self._steps(rule.steps[1:], known))
                yield self._program.rules.number(CompiledRule(steps, self._verdict(rule.verdict, known)))
            if hit == self._always:
                return

    # --- tests ---

    def _test(self, number: int, known: Mapping[Field, Value]) -> int:
        key = self._key(number, self._asked_by_a_test(number), known)
        if key is None:
            return number
        found = self._tests.get(key)
        if found is None:
            found = self._tests[key] = self._decided(number, self._program.tests.items[number], known)
        return found

    def _decided(self, number: int, test: Test, known: Mapping[Field, Value]) -> int:
        if isinstance(test, FieldTest):
            return self._field_decided(number, test, known[test.field])
        if isinstance(test, AnyTest):
            branches = tuple(self._all_decided(test.branches, known))
            return self._always if () in branches else self._program.tests.number(AnyTest(branches))
        if isinstance(test, TupleTest):
            elements = frozenset(self._all_decided(self._elements_at(number, test, known), known))
            if test.inside and (not elements or () in elements):
                return self._always if elements else self._never
            return self._program.tests.number(TupleTest(test.fields, elements, test.inside))
        return number

    def _all_decided(
        self, groups: Iterable[tuple[int, ...]], known: Mapping[Field, Value]
    ) -> Iterator[tuple[int, ...]]:
        """Yield what is left of groups of tests all of which have to hold, without groups that never hold."""
        for group in groups:
            left = [self._test(test, known) for test in group]
            if self._never not in left:
                yield tuple(test for test in left if test != self._always)

    def _field_decided(self, number: int, test: FieldTest, value: Value) -> int:
        if isinstance(value, Members):
            only = self._only_of(number)
            is_possible = only is None or any(name in value for name in only.values)
            return number if is_possible else self._never
        if number not in self._members:
            self._members[number] = Members(test.values)
        if value not in self._members[number]:
            return self._never
        return self._program.tests.number(Present((test.field,))) if test.field.requires else self._always

    def _elements_at(self, number: int, test: TupleTest, known: Mapping[Field, Value]) -> Iterable[tuple[int, ...]]:
        """Return the elements that may be the key."""
        place = self._place_of(number, test)
        value = known.get(test.fields[place]) if place is not None else None
        if place is None or value is None or isinstance(value, Members):
            return test.elements
        if number not in self._elements:
            by_value: dict[int | str, list[tuple[int, ...]]] = {}
            for element in test.elements:
                part = self._only_of(element[place])
                for one in part.values if part is not None else ():
                    by_value.setdefault(one, []).append(element)
            self._elements[number] = by_value
        return self._elements[number].get(value, ())

    def _place_of(self, number: int, test: TupleTest) -> int | None:
        """Return the part of a key by whose values elements are found."""
        if number not in self._places:
            fitting = (place for place, field in enumerate(test.fields) if field in self.fields)
            listed = (place for place in fitting if all(self._only_of(element[place]) for element in test.elements))
            self._places[number] = next(listed, None)
        return self._places[number]

    # --- what is asked, and which values alone can hold ---

    def _key(
        self, thing: Hashable, asked: frozenset[Field], known: Mapping[Field, Value]
    ) -> tuple[Hashable, ...] | None:
        """Return what the rest of something depends on, None where it asks for nothing that is known."""
        values = [(field.name, known[field]) for field in asked if field in known]
        return (thing, *sorted(values, key=itemgetter(0))) if values else None

    def _asked_by_a_chain(self, number: int) -> frozenset[Field]:
        found = self._asked_by_chain.get(number)
        if found is None:
            rules = self._program.chains.items[number]
            found = self._asked_by_chain[number] = _NOTHING.union(*map(self._asked_by_a_rule, rules))
        return found

    def _asked_by_a_rule(self, number: int) -> frozenset[Field]:
        found = self._asked_by_rule.get(number)
        if found is None:
            rule = self._program.rules.items[number]
            tests = (self._asked_by_a_test(step) for step in rule.steps if isinstance(step, int))
            chosen = (self._asked_by_a_choice(step) for step in rule.steps if isinstance(step, Choice))
            called = self._asked_by_a_chain(rule.verdict.chain) if isinstance(rule.verdict, Call) else _NOTHING
            found = self._asked_by_rule[number] = called.union(*tests, *chosen)
        return found

    def _asked_by_a_choice(self, choice: Choice) -> frozenset[Field]:
        found = self._asked_by_choice.get(choice)
        if found is None:
            found = self._asked_by_choice[choice] = _NOTHING.union(*map(self._asked_by_a_rule, choice.rules))
        return found

    def _asked_by_a_test(self, number: int) -> frozenset[Field]:
        found = self._asked_by_test.get(number)
        if found is None:
            test = self._program.tests.items[number]
            if isinstance(test, FieldTest):
                found = self.fields & {test.field}
            elif isinstance(test, TupleTest):
                found = self.fields.intersection(test.fields)
            elif isinstance(test, AnyTest):
                found = _NOTHING.union(*(self._asked_by_a_test(part) for branch in test.branches for part in branch))
            else:
                found = _NOTHING
            self._asked_by_test[number] = found
        return found

    def _sorted(self, rules: Iterable[int]) -> _Sorted:
        by_value: dict[Field, dict[int | str, list[tuple[int, int]]]] = {}
        others: list[tuple[int, int]] = []
        for place, number in enumerate(rules):
            only = self._only_of_rule(self._program.rules.items[number])
            if only is None:
                others.append((place, number))
            else:
                values = by_value.setdefault(only.field, {})
                for value in only.values:
                    values.setdefault(value, []).append((place, number))
        return _Sorted(by_value, others)

    def _only_of_rule(self, rule: CompiledRule) -> _Only | None:
        for step in rule.steps:
            if not isinstance(step, int):
                return None
            found = self._only_of(step)
            if found is not None:
                return found
        return None

    def _only_of(self, number: int) -> _Only | None:
        if number not in self._only:
            self._only[number] = self._find_only(number, self._program.tests.items[number])
        return self._only[number]

    def _find_only(self, number: int, test: Test) -> _Only | None:
        if isinstance(test, FieldTest) and test.field in self.fields:
            values = listed(test.values)
            return None if values is None else _Only(test.field, values)
        if isinstance(test, TupleTest) and test.inside:
            place = self._place_of(number, test)
            if place is not None:
                parts = (self._only_of(part) for part in {element[place] for element in test.elements})
                return _Only(test.fields[place], frozenset(one for part in parts if part for one in part.values))
        return None


def listed(values: ValueSet) -> Collection[int | str] | None:
    """Return the values of a set that names them one by one, None of any other."""
    if isinstance(values, NameSet):
        listed = all(inside != pattern.is_prefix for pattern, inside in values.entries)
        return [pattern.text for pattern, inside in values.entries if inside] if listed else None
    if isinstance(values, IntervalSet) and values.size <= _MOST_LISTED:
        return [value for low, high in values.ranges for value in range(low, high + 1)]
    return None


def _values_of(by_value: Mapping[int | str, object], value: Value | None) -> Iterable[int | str]:
    if value is None:
        return by_value
    return [name for name in by_value if name in value] if isinstance(value, Members) else (value,)
