"""IR -> `Program`: numbers for tests, rules and chains, for one of the rulesets that share the table."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import CT_STATE, HAS_CONNTRACK, MARK
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.ir.names import NamePattern
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.semantics.keys import Present, part_test
from fwtrans.semantics.packet import set_identity
from fwtrans.semantics.program import (
    CAUSE,
    LOG,
    NAT,
    QUEUE,
    AnyTest,
    Call,
    Charge,
    Choice,
    CompiledRule,
    DynamicTest,
    Emit,
    ObjectKey,
    Program,
    Stream,
    TupleTest,
    Undecidable,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fwtrans.ir.match import KeyPart, PureTest
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap, NamedSet, Part
    from fwtrans.semantics.program import CompiledStep, CompiledVerdict

_UNTRACKED = 4


class Spot(NamedTuple):
    """A rule, by table (with its family), chain and number; number -1 is a base chain's policy."""

    table: str
    chain: str
    number: int


class Mark(NamedTuple):
    """What a marked rule records: in which stream, and by which name.

    An `early` mark also records packets that pass the tests and are stopped by a limit behind them, which they have charged.
    """

    stream: Stream
    content: Hashable
    early: bool = False


USED = Mark(CAUSE, "used")


class Compiler:
    """Compiles the chains of one table, each once, callees first. A rule at a marked place also records that it was used.

    `alias` distinguishes objects of the two sides that must not be taken for the same because of their names.
    """

    def __init__(self, program: Program, table: Table, *, alias: str = "") -> None:
        self._program = program
        self._table = table
        self._alias = alias
        self._marked: Mapping[Spot, Mark] = {}
        self.tests: set[int] = set()
        self.objects: set[int] = set()
        self.assumptions: dict[str, None] = {}
        self._chains = {chain.name: chain for chain in table.chains}
        self._sets = {item.name: item for item in table.sets}
        self._maps = {item.name: item for item in table.maps}
        self._numbers: dict[str, int] = {}
        self._open: list[str] = []
        self._callers: dict[str, set[str]] = {}
        self._members: dict[MemberTest, int] = {}
        self._choices: dict[Hashable, Choice] = {}
        self._assigned: dict[does.AssignFromMap, Choice] = {}

    def marked(self, marks: Mapping[Spot, Mark]) -> Compiler:
        """Return a compiler for the same table in which the rules at some of its places also record that they were used."""
        found = Compiler(self._program, self._table, alias=self._alias)
        found._marked = marks
        leading = {spot.chain for spot in marks}
        waiting = list(leading)
        while waiting:
            callers = self._callers.get(waiting.pop(), set()) - leading
            leading |= callers
            waiting.extend(callers)
        found._numbers = {name: number for name, number in self._numbers.items() if name not in leading}
        return found

    def number_of(self, name: str) -> int | None:
        """Return the number of a chain, if it has been compiled."""
        return self._numbers.get(name)

    def chain(self, name: str) -> int:
        """Return the number of a chain."""
        if self._open:
            self._callers.setdefault(name, set()).add(self._open[-1])
        if name in self._numbers:
            return self._numbers[name]
        if name not in self._chains:
            raise Undecidable(f"there is no chain {name}", self._open[-1] if self._open else name)
        if name in self._open:
            raise Undecidable(f"a jump loop leads through chain {name}", name)
        self._open.append(name)
        try:
            rules = tuple(self._numbered_rules(self._chains[name]))
        finally:
            self._open.pop()
        number = self._numbers[name] = self._program.chains.number(rules)
        return number

    def _numbered_rules(self, chain: Chain) -> Iterable[int]:
        if not any(spot.chain == chain.name for spot in self._marked):
            return [self._rule(rule) for rule in chain.rules]
        table = f"{self._table.family.value} {self._table.name}"
        marks = (self._marked.get(Spot(table, chain.name, at)) for at in range(len(chain.rules)))
        return [self._rule(rule, marked=mark) for rule, mark in zip(chain.rules, marks, strict=True)]

    def _rule(self, rule: Rule, *, marked: Mark | None = None) -> int:
        steps: list[CompiledStep] = []
        for step in rule.steps:
            if isinstance(step, FieldTest):
                number = self._program.tests.number(step)
                self.tests.add(number)
                steps.append(number)
            elif not isinstance(step, does.Count):
                steps.extend(self._step(step))
        mark = (Emit(marked.stream, marked.content),) if marked is not None else ()
        if marked is not None and marked.early:
            tested = next((at for at, step in enumerate(steps) if not isinstance(step, int)), len(steps))
            steps, mark = [*steps[:tested], *mark, *steps[tested:]], ()
        if isinstance(rule.verdict, verdicts.Dispatch):
            return self._program.rules.number(CompiledRule((*steps, self._dispatch(rule.verdict, mark))))
        more, verdict = self._verdict(rule.verdict)
        return self._program.rules.number(CompiledRule((*steps, *mark, *more), verdict))

    def _verdict(self, verdict: verdicts.Verdict | None) -> tuple[tuple[CompiledStep, ...], CompiledVerdict]:
        if isinstance(verdict, verdicts.Jump):
            return (), Call(self.chain(verdict.chain), returns=True)
        if isinstance(verdict, verdicts.Goto):
            return (), Call(self.chain(verdict.chain), returns=False)
        if isinstance(verdict, verdicts.Dispatch):
            raise Undecidable(f"map {verdict.map_name} is named by an element of a map", self._open[-1])
        if isinstance(verdict, verdicts.Queue):
            self.assumptions["user space lets every packet go on that is queued for it"] = None
            return (Emit(QUEUE, verdict),), verdicts.Accept()
        if isinstance(verdict, verdicts.TransparentProxy):
            mark = does.Assign(MARK, verdict.mark_keep, verdict.mark_constant)
            return (Emit(QUEUE, verdict), mark), verdicts.Accept()
        return (), verdict

    # --- steps ---

    def _step(self, step: Step) -> tuple[CompiledStep, ...]:
        if isinstance(step, (MemberTest, OpaqueTest, AnyOf)):
            number = self._test(step)
            self.tests.add(number)
            return (number,)
        if isinstance(step, StatefulTest):
            return (*self._presence(step.key), self._charge(step))
        if isinstance(step, StatefulFromMap):
            return (self._charge_from_map(step),)
        if isinstance(step, does.NoTrack):
            return does.Assign(CT_STATE, 0, _UNTRACKED), does.Assign(HAS_CONNTRACK, 0, 0)
        if isinstance(step, (does.Assign, does.AssignFromTable)):
            return (step,)
        if isinstance(step, does.AssignFromMap):
            return (self._assign_from_map(step),)
        if isinstance(step, does.Nat):
            return (self._nat(step),)
        if isinstance(step, does.SetUpdate):
            updated = self._set_object(step.set_name)
            content = (step.key, step.operation, step.timeout)
            return (*self._presence(step.key), Emit(Stream("set", updated), content))
        return (_plain_effect(step),)

    def _charge(self, step: StatefulTest) -> Charge:
        thing = step.object
        return Charge(
            self._object(thing.identity, (thing.kind, thing.timeout, thing.size, thing.refreshed)), step.key, step.over
        )

    def _presence(self, key: tuple[KeyPart, ...]) -> tuple[int, ...]:
        return (self._program.tests.number(Present(tuple(part.field for part in key))),) if key else ()

    def _object(self, identity: str, shape: Hashable) -> int:
        number = self._program.objects.number(ObjectKey(self._alias + identity, shape))
        self.objects.add(number)
        return number

    def _set_object(self, name: str) -> int:
        found = self._named_set(name)
        elements = frozenset(element.key for element in found.elements)
        shape = (tuple((item.kind, item.width) for item in found.fields), elements, found.timeout, found.size)
        return self._object(set_identity(self._table.family, self._table.name, name), shape)

    # --- tests ---

    def _test(self, test: PureTest) -> int:
        if isinstance(test, MemberTest):
            if test not in self._members:
                self._members[test] = self._member(test)
            return self._members[test]
        if isinstance(test, AnyOf):
            return self._program.tests.number(
                AnyTest(tuple(tuple(self._test(part) for part in branch) for branch in test.branches))
            )
        if isinstance(test, OpaqueTest):
            return self._program.tests.number(OpaqueTest(test.identity, "", test.holds))
        return self._program.tests.number(test)

    def _member(self, test: MemberTest) -> int:
        named = self._named_set(test.set_name)
        if test.dynamic or named.dynamic:
            return self._program.tests.number(DynamicTest(self._set_object(test.set_name), test.key, test.inside))
        if named.timeout is not None or any(element.timeout is not None for element in named.elements):
            self.assumptions["elements of sets that have a timeout are taken to stay"] = None
        return self._among(test.key, [element.key for element in named.elements], inside=test.inside)

    def _among(self, key: tuple[KeyPart, ...], elements: list[tuple[Part, ...]], *, inside: bool = True) -> int:
        if len(key) == 1:
            return self._program.tests.number(part_test(key[0], [parts[0] for parts in elements], inside=inside))
        known: dict[tuple[int, Part], int] = {}
        found: list[tuple[int, ...]] = []
        for parts in elements:
            numbers: list[int] = []
            for position, part in enumerate(parts):
                number = known.get((position, part))
                if number is None:
                    number = self._program.tests.number(part_test(key[position], (part,)))
                    known[position, part] = number
                numbers.append(number)
            found.append(tuple(numbers))
        fields = tuple(part.field for part in key)
        return self._program.tests.number(TupleTest(fields, frozenset(found), inside))

    def _named_set(self, name: str) -> NamedSet:
        if name not in self._sets:
            raise Undecidable(f"there is no set {name}", self._open[-1])
        return self._sets[name]

    def _named_map(self, name: str) -> NamedMap:
        if name not in self._maps:
            raise Undecidable(f"there is no map {name}", self._open[-1])
        return self._maps[name]

    # --- maps ---

    def _dispatch(self, verdict: verdicts.Dispatch, mark: tuple[CompiledStep, ...]) -> Choice:
        if (verdict, mark) not in self._choices:
            rules: dict[Hashable, CompiledRule] = {}
            for value in self._grouped(verdict.map_name):
                steps, ending = self._verdict(value)  # type: ignore[arg-type]
                rules[value] = CompiledRule((*mark, *steps), ending)
            self._choices[verdict, mark] = self._choice(verdict.key, verdict.map_name, rules, breaks=False)
        return self._choices[verdict, mark]

    def _assign_from_map(self, step: does.AssignFromMap) -> Choice:
        if step not in self._assigned:
            rules: dict[Hashable, CompiledRule] = {}
            for value in self._grouped(step.map_name):
                if not isinstance(value, int):
                    raise Undecidable(f"{step.field.name} is written with {value!r}", self._open[-1])
                rules[value] = CompiledRule((does.Assign(step.field, 0, value),))
            self._assigned[step] = self._choice(step.key, step.map_name, rules, breaks=True)
        return self._assigned[step]

    def _charge_from_map(self, step: StatefulFromMap) -> Choice:
        rules: dict[Hashable, CompiledRule] = {}
        for value in self._grouped(step.map_name):
            if not isinstance(value, StatefulTest):
                raise Undecidable(f"map {step.map_name} holds no limits", self._open[-1])
            rules[value] = CompiledRule((self._charge(value),))
        return self._choice(step.key, step.map_name, rules, breaks=True)

    def _nat(self, step: does.Nat) -> CompiledStep:
        if not step.map_name:
            return Emit(NAT, step)
        plain = does.Nat(step.kind, step.addresses, step.ports, step.flags, step.prefix)
        rules = {
            value: CompiledRule((Emit(NAT, _translation(plain, value)),)) for value in self._grouped(step.map_name)
        }
        return self._choice(step.key, step.map_name, rules, breaks=True)

    def _grouped(self, map_name: str) -> Mapping[Hashable, list[MapElement]]:
        grouped: dict[Hashable, list[MapElement]] = {}
        for element in self._named_map(map_name).elements:
            grouped.setdefault(element.value, []).append(element)
        return grouped

    def _choice(
        self, key: tuple[KeyPart, ...], map_name: str, rules: Mapping[Hashable, CompiledRule], *, breaks: bool
    ) -> Choice:
        elements = self._named_map(map_name).elements
        groups: list[tuple[Hashable, list[tuple[Part, ...]]]] = []
        if _may_overlap(elements):
            # the first element that fits decides, so that only neighbours may be taken together
            groups.extend(
                (value, [item.key for item in run]) for value, run in groupby(elements, lambda item: item.value)
            )
        else:
            groups.extend((value, [item.key for item in alike]) for value, alike in self._grouped(map_name).items())
        numbers: list[int] = []
        for value, keys in groups:
            rule = rules[value]
            steps = (self._among(key, keys), *rule.steps)
            numbers.append(self._program.rules.number(CompiledRule(steps, rule.verdict)))
        return Choice(tuple(numbers), breaks)


def _may_overlap(elements: Sequence[MapElement]) -> bool:
    return not all(
        not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1]
        for element in elements
        for part in element.key
    )


def _translation(plain: does.Nat, value: Hashable) -> Hashable:
    """Return the translation to what a map holds: to one address it is the same as where the rule names it."""
    return replace(plain, addresses=(value, value)) if isinstance(value, int) else (plain, value)


def _plain_effect(step: Step) -> Emit:
    if isinstance(step, does.Log):
        return Emit(LOG, step)
    if isinstance(step, does.OpaqueEffect):
        return Emit(Stream("opaque"), step.identity)
    return Emit(Stream(type(step).__name__), step)
