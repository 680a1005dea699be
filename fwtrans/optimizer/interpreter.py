"""Chains under facts: which rules are left, what is left of each, and what is known where a chain ends.

Chains are walked once for each set of facts that matters to them: the facts about fields that they, or chains they lead
to, read or write. What comes out equal is one chain, so a chain is cloned only where facts make two of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import MARK
from fwtrans.ir.walk import fields_read, flat_steps, map_names, set_names
from fwtrans.optimizer.facts import Decider, meet, values_of
from fwtrans.optimizer.rule_walk import walk_steps, without_last_tests
from fwtrans.optimizer.state import State, joined_states, key_of, written_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap


@dataclass(frozen=True, slots=True)
class Visited:
    """A chain that has been walked: its new name (None where nothing is left of it), and the state at its end or return.

    `after` is None where no packet comes back.
    """

    name: str | None
    after: State | None


class _Touched(NamedTuple):
    """The fields that matter to a chain, and those that it or chains behind it may write."""

    relevant: frozenset[Field]
    written: frozenset[Field]


class Interpreter:
    """Walks chains of one table and collects what is left of them."""

    def __init__(self, table: Table, *, learn: bool, names: Iterable[str] = ()) -> None:
        self.table = table
        self.learn = learn
        self.decider = Decider(table)
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._touched: dict[str, _Touched] = {}
        self._visited: dict[object, Visited] = {}
        self._taken = set(names)
        self._callers = _callers(table)
        self._by_content: dict[tuple[str, tuple[Rule, ...]], str] = {}
        self._new: dict[str, list[Chain]] = {}
        self._new_maps: dict[str, list[NamedMap]] = {}
        self._map_names = {*(item.name for item in table.maps), *(item.name for item in table.sets)}

    # --- chains ---

    def entry(self, name: str, state: State, new_name: str) -> None:
        """Walk a chain where packets come in; it keeps its hook, and stays a chain of its own."""
        walked = ChainWalk(self, self._chains[name], state.restricted(self.touched(name).relevant))
        chain = replace(self._chains[name], name=new_name, rules=walked.run())
        self._new.setdefault(name, []).append(chain)

    def visit(self, name: str, state: State) -> Visited:
        """Return what a chain is for packets of a state; what only single callers may hand over is for them alone."""
        if self._callers[name] > 1:
            state = State(state.given, state.given)
        state = state.restricted(self.touched(name).relevant)
        key = (name, key_of(state))
        if key not in self._visited:
            walk = ChainWalk(self, self._chains[name], state)
            rules = walk.run()
            self._visited[key] = Visited(self._named(name, rules) if rules else None, walk.after)
        return self._visited[key]

    def called(self, name: str, state: State) -> Visited:
        """Return the same, with all that is known where the call comes back."""
        found = self.visit(name, state)
        after = found.after
        return found if after is None else Visited(found.name, state.returning(self.touched(name).written, after))

    def materialised(self, name: str) -> str:
        """Return the name of an empty chain that stands for the one of that name, for maps that must lead somewhere."""
        return self._named(name, ())

    def _named(self, original: str, rules: tuple[Rule, ...]) -> str:
        found = self._by_content.get((original, rules))
        if found is None:
            found, number = original, 2
            while found in self._taken:
                found, number = f"{original}-{number}", number + 1
            self._taken.add(found)
            self._by_content[original, rules] = found
            self._new.setdefault(original, []).append(replace(self._chains[original], name=found, rules=rules))
        return found

    def chains(self) -> tuple[Chain, ...]:
        """Return all that is left, each behind the chain it was made of."""
        return tuple(new for chain in self.table.chains for new in self._new.get(chain.name, ()))

    def touched(self, name: str) -> _Touched:
        """Return which fields matter to a chain and all it leads to."""
        if name not in self._touched:
            relevant: set[Field] = set()
            written: set[Field] = set()
            for rule in self._chains[name].rules:
                relevant.update(fields_read(rule))
                for step in flat_steps(rule.steps):
                    written.update(written_fields(step))
                if isinstance(rule.verdict, verdicts.TransparentProxy):
                    written.add(MARK)
                for target in self.targets(rule):
                    more = self.touched(target)
                    relevant |= more.relevant
                    written |= more.written
            needed = {test.field for field in (*relevant, *written) for test in self.decider.needs(field) or ()}
            self._touched[name] = _Touched(frozenset(relevant | written | needed), frozenset(written))
        return self._touched[name]

    def targets(self, rule: Rule) -> Iterator[str]:
        """Yield the chains that a rule may lead to, by itself or by a map."""
        yield from _targets(rule, self._maps)

    # --- maps ---

    def dispatched(self, verdict: verdicts.Dispatch, state: State) -> tuple[verdicts.Dispatch | None, list[Visited]]:
        """Return a dispatch whose map holds what is left of its elements, and the chains these lead to."""
        mapping = self._maps[verdict.map_name]
        elements: list[MapElement] = []
        visited: list[Visited] = []
        for element in mapping.elements:
            if not self._may_fit(verdict.key, element, state):
                continue
            value = element.value
            if isinstance(value, (verdicts.Jump, verdicts.Goto)):
                found = self.called(value.chain, state)
                visited.append(found)
                value = replace(value, chain=found.name or self.materialised(value.chain))
            elements.append(element._replace(value=value))
        if not elements:
            return None, visited
        name = self._named_map(mapping, tuple(elements))
        return (verdict if name == verdict.map_name else replace(verdict, map_name=name)), visited

    def _may_fit(self, key: tuple[KeyPart, ...], element: MapElement, state: State) -> bool:
        for part, wanted in zip(key, element.key, strict=True):
            fact = state.facts.get(part.field)
            if fact is None or part.mask is not None:
                continue
            values = values_of((wanted,), part.field)
            if values is not None and meet(values, fact).is_empty:
                return False
        return True

    def _named_map(self, mapping: NamedMap, elements: tuple[MapElement, ...]) -> str:
        made = self._new_maps.setdefault(mapping.name, [])
        for found in made:
            if found.elements == elements:
                return found.name
        name, number = mapping.name, 2
        taken = bool(made)
        while taken or (name != mapping.name and name in self._map_names):
            name, number, taken = f"{mapping.name}-{number}", number + 1, False
        self._map_names.add(name)
        made.append(replace(mapping, name=name, elements=elements))
        return name

    def result(self) -> Table:
        """Return the table of what is left, with the sets and maps that it names."""
        chains = self.chains()
        rules = [rule for chain in chains for rule in chain.rules]
        wanted = {name for rule in rules for name in map_names(rule)}
        made = [new for mapping in self.table.maps for new in (self._new_maps.get(mapping.name) or [mapping])]
        maps = tuple(mapping for mapping in made if mapping.name in wanted)
        return pruned(replace(self.table, chains=chains, maps=maps))


class ChainWalk:
    """Goes through the rules of one chain for packets of one state."""

    def __init__(self, interpreter: Interpreter, chain: Chain, state: State) -> None:
        self._interpreter = interpreter
        self._chain = chain
        self._state: State | None = state
        self.after: State | None = None

    def run(self) -> tuple[Rule, ...]:
        """Return what is left of the rules."""
        rules: list[Rule] = []
        for rule in self._chain.rules:
            if self._state is None:
                break
            left = self._rule(rule, self._state)
            if left is not None:
                rules.append(left)
        self._leave(self._state)
        return tuple(rules)

    def _leave(self, state: State | None) -> None:
        self.after = joined_states(self.after, state)

    def _rule(self, rule: Rule, state: State) -> Rule | None:
        walked = walk_steps(self._interpreter.decider, rule, state, learn=self._interpreter.learn)
        verdict, onward = None, None
        if walked.held is not None:
            verdict, onward = self._verdict(rule.verdict, walked.held)
        self._state = joined_states(walked.failed, onward)
        steps = walked.steps if verdict is not None else without_last_tests(walked.steps)
        if verdict is None and not steps:
            return None
        return rule if steps == rule.steps and verdict == rule.verdict else replace(rule, steps=steps, verdict=verdict)

    def _verdict(self, verdict: verdicts.Verdict | None, held: State) -> tuple[verdicts.Verdict | None, State | None]:
        """Return what is left of a verdict, and the state of packets that go on with the next rule."""
        if verdict is None:
            return None, held
        if isinstance(verdict, verdicts.Return):
            self._leave(held)
            return verdict, None
        if isinstance(verdict, verdicts.Jump):
            found = self._interpreter.called(verdict.chain, held)
            return (None if found.name is None else replace(verdict, chain=found.name)), found.after
        if isinstance(verdict, verdicts.Goto):
            found = self._interpreter.called(verdict.chain, held)
            self._leave(found.after)
            return (verdicts.Return() if found.name is None else replace(verdict, chain=found.name)), None
        if isinstance(verdict, verdicts.Dispatch):
            return self._dispatch(verdict, held)
        return verdict, None

    def _dispatch(self, verdict: verdicts.Dispatch, held: State) -> tuple[verdicts.Verdict | None, State | None]:
        left, visited = self._interpreter.dispatched(verdict, held)
        onward: State | None = held
        for found in visited:
            onward = joined_states(onward, found.after)
        self._leave(onward)
        return left, onward


def pruned(table: Table) -> Table:
    """Return the table without sets that no rule names."""
    rules = [rule for chain in table.chains for rule in chain.rules]
    wanted = {name for rule in rules for name in set_names(rule)}
    return replace(table, sets=tuple(named for named in table.sets if named.name in wanted))


def _callers(table: Table) -> Counter[str]:
    maps = {mapping.name: mapping for mapping in table.maps}
    return Counter(target for chain in table.chains for rule in chain.rules for target in _targets(rule, maps))


def _targets(rule: Rule, maps: Mapping[str, NamedMap]) -> Iterator[str]:
    if isinstance(rule.verdict, (verdicts.Jump, verdicts.Goto)):
        yield rule.verdict.chain
    elif isinstance(rule.verdict, verdicts.Dispatch):
        for element in maps[rule.verdict.map_name].elements:
            if isinstance(element.value, (verdicts.Jump, verdicts.Goto)):
                yield element.value.chain
