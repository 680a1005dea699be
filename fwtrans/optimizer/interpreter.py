"""Chains under facts: which rules are left, what is left of each, and what is known where a chain ends.

Chains are walked once for each set of facts that matters to them: the facts about fields that they, or chains they lead
to, read or write. What comes out equal is one chain, so a chain is cloned only where facts make two of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.remembering import once
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement
from fwtrans.optimizer.chain_walk import ChainWalk, Exits, Visited
from fwtrans.optimizer.facts import decider_of, meet, values_of
from fwtrans.optimizer.leaving import Leaving
from fwtrans.optimizer.reached import (
    all_targets,
    distinct_targets,
    reached,
    renamed_chains,
    rule_targets,
)
from fwtrans.optimizer.settled import Contents, Settled, keep_walk, known_walk
from fwtrans.optimizer.state import State, key_of
from fwtrans.optimizer.touched import Touched, touching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart, ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import MapValue, NamedMap, Part
    from fwtrans.optimizer.facts import Facts
    from fwtrans.source import Origin

    Origins = tuple[Origin, ...]


_NOTHING: Facts = {}


class Interpreter:
    """Walks chains of one table and collects what is left of them."""

    def __init__(
        self, table: Table, *, learn: bool, names: Iterable[str] = (), mask: int = 0, clones_counting: bool = True
    ) -> None:
        self.table = table
        self.learn = learn
        self.mask = mask
        self.clones_counting = clones_counting
        self.decider = decider_of(table)
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._touching = touching(table)
        self._visited: dict[object, Visited] = {}
        self._given: dict[object, tuple[Facts, Visited, Settled[Exits] | None]] = {}
        self._free = _FreeNames(names)
        self._callers = _callers(table)
        self._wanted: dict[str, str] = {}
        self._by_content: dict[tuple[str, tuple[Rule, ...]], str] = {}
        self._new: dict[str, list[Chain]] = {}
        self._new_maps: dict[str, list[NamedMap]] = {}
        self._contents = _contents(table) if not mask else None
        # the walks that have begun: those that each of them called, None once it is known to change something
        self._calls: list[list[Settled[Exits]] | None] = []
        self._settled: dict[object, Settled[Exits]] = {}
        self._last: Settled[Exits] | None = None
        self._replayed: dict[int, Settled[Exits]] = {}
        self._map_names = {*(item.name for item in table.maps), *(item.name for item in table.sets)}

    # --- chains ---

    def entry(self, name: str, state: State, new_name: str, leaving: Leaving | None = None) -> None:
        """Walk a chain where packets come in; it keeps its hook, and stays a chain of its own."""
        state = state.restricted(self.touched(name).relevant)
        rules, _ = self._walk(self.original(name), state, leaving)
        self._new.setdefault(name, []).append(replace(self.original(name), name=new_name, rules=rules))

    def visit(self, name: str, state: State, leaving: Leaving | None = None) -> Visited:
        """Return what a chain is for packets of a state; what only single callers may hand over is for them alone."""
        if self._callers[name] <= 1:
            return self._visit(name, state, leaving)
        # calls by the hundred are made with one and the same dictionary, which is never changed
        given = state.given if self.clones_counting or not self.touched(name).counts else _NOTHING
        short = (name, id(given), leaving)
        known = self._given.get(short)
        if known is None:
            found = self._visit(name, State(given, given), leaving)
            self._given[short] = given, found, self._last
            return found
        self._note(known[2])
        return known[1]

    def _visit(self, name: str, state: State, leaving: Leaving | None) -> Visited:
        state = state.restricted(self.touched(name).relevant)
        key = (name, key_of(state), leaving)
        found = self._visited.get(key)
        if found is None:
            found = self._visited[key] = self._known_or_walked(key, name, state, leaving)
        self._last = self._settled.get(key)
        self._note(self._last)
        return found

    def _known_or_walked(self, key: object, name: str, state: State, leaving: Leaving | None) -> Visited:
        number = None if self._contents is None or leaving is not None else self._contents.number(name)
        lasting = (number, self.learn, key)
        settled = known_walk(lasting) if number is not None else None
        if settled is not None and self._replays(settled):
            self._settled[key] = settled
            return Visited(name, settled.exits)
        original = self.original(name)
        self._calls.append([] if number is not None else None)
        rules, exits = self._walk(original, state, leaving)
        calls = self._calls.pop()
        found = Visited(self.named(name, name, rules) if rules else None, exits)
        if calls is not None and rules and rules is original.rules and found.name == name:
            maps = (rule.verdict.map_name for rule in rules if isinstance(rule.verdict, verdicts.Dispatch))
            settled = self._settled[key] = Settled(name, exits, tuple(maps), tuple(calls))
            keep_walk(lasting, settled)
        return found

    def _note(self, settled: Settled[Exits] | None) -> None:
        """Note a call for the walk that made it."""
        if self._calls and (calls := self._calls[-1]) is not None:
            if settled is None:
                self._calls[-1] = None
            else:
                calls.append(settled)

    def _replays(self, settled: Settled[Exits]) -> bool:
        """Take over the chains of a walk that changed nothing; tell whether they can all keep their names."""
        if id(settled) in self._replayed:
            return True
        if not all(map(self._replays, settled.calls)):
            return False
        if self.named(settled.chain, settled.chain, self.original(settled.chain).rules) != settled.chain:
            return False
        for mapping in map(self._maps.__getitem__, settled.maps):
            if self._named_map(mapping, mapping.elements) != mapping.name:
                return False
        self._replayed[id(settled)] = settled
        return True

    def called(self, name: str, state: State, leaving: Leaving | None = None) -> Visited:
        """Return the same, with all that is known where the call comes back."""
        found = self.visit(name, state, leaving)
        written = self.touched(name).written
        exits = found.exits
        states = tuple([(bits, state.returning(written, after)) for bits, after in exits.states])
        return Visited(found.name, Exits(states, exits.falls, exits.lacks))

    def _walk(self, chain: Chain, state: State, leaving: Leaving | None) -> tuple[tuple[Rule, ...], Exits]:
        return ChainWalk(self, chain, state, leaving).run()

    def original(self, name: str) -> Chain:
        """Return a chain as it was."""
        return self._chains[name]

    def named(self, original: str, wanted: str, rules: tuple[Rule, ...]) -> str:
        """Return the name of a chain with these rules, made of an original one; a new one where there is none yet."""
        found = self._by_content.get((wanted, rules))
        if found is None:
            found = self._free.take(wanted)
            self._wanted[found] = wanted
            self._by_content[wanted, rules] = found
            chain = self._chains[original]
            if chain.rules is not rules or chain.name != found or chain.base is not None or chain.counters is not None:
                chain = Chain(found, rules, origin=chain.origin)
            self._new.setdefault(original, []).append(chain)
        return found

    def touched(self, name: str) -> Touched:
        """Return which fields matter to a chain and all it leads to."""
        return self._touching.by(name)

    def targets(self, rule: Rule) -> Iterable[str]:
        """Return the chains that a rule may lead to, by itself or by a map."""
        return rule_targets(rule, self._maps)

    def jumped(self, walk: ChainWalk, _behind: int, name: str, held: State) -> Visited:
        """Return what a jump from a chain leads to; `_behind` is the number of the rule behind it."""
        return self.called(name, held, walk.leaving and Leaving(seen=walk.leaving.seen))

    # --- maps ---

    def map_values(self, verdict: verdicts.Dispatch) -> Iterator[MapValue]:
        """Yield the values of the map that a verdict names."""
        return (element.value for element in self._maps[verdict.map_name].elements)

    def dispatched(self, verdict: verdicts.Dispatch, state: State) -> tuple[verdicts.Dispatch | None, list[Visited]]:
        """Return a dispatch whose map holds what is left of its elements, and the chains these lead to."""
        mapping = self._maps[verdict.map_name]
        elements = self._fitting(mapping, verdict.key, state)
        visited: list[Visited] = []
        names: dict[str, str] = {}
        for target in distinct_targets(mapping) if elements is mapping.elements else _led_to(elements):
            found = self.called(target, state)
            visited.append(found)
            names[target] = found.name or self.named(target, target, ())
        if len(elements) != len(mapping.elements):
            self._note(None)
        if not elements:
            return None, visited
        if any(target != name for target, name in names.items()):
            elements = tuple(_renamed(element, names) for element in elements)
        new_name = self._named_map(mapping, elements)
        left = verdict if new_name == verdict.map_name else replace(verdict, map_name=new_name)
        return left, visited

    def _fitting(self, mapping: NamedMap, key: tuple[KeyPart, ...], state: State) -> tuple[MapElement, ...]:
        """Return the elements that packets of a state may find."""
        asked = [
            (place, part.field, fact)
            for place, part in enumerate(key)
            if part.mask is None and (fact := state.facts.get(part.field)) is not None
        ]
        elements = mapping.elements
        for place, field, fact in asked:
            fits = {part: _may_fit(part, field, fact) for part in {element.key[place] for element in elements}}
            if not all(fits.values()):
                elements = tuple(element for element in elements if fits[element.key[place]])
        return elements

    def _named_map(self, mapping: NamedMap, elements: tuple[MapElement, ...]) -> str:
        made = self._new_maps.setdefault(mapping.name, [])
        for found in made:
            if found.elements == elements:
                return found.name
        if not made and elements == mapping.elements:
            made.append(mapping)
            return mapping.name
        name, number = mapping.name, 2
        taken = bool(made)
        while taken or (name != mapping.name and name in self._map_names):
            name, number, taken = f"{mapping.name}-{number}", number + 1, False
        self._map_names.add(name)
        made.append(replace(mapping, name=name, elements=elements))
        return name

    def result(self, entries: Sequence[str]) -> Table:
        """Return the table of what the entries lead to, with the sets and maps that it names."""
        chains = tuple(new for chain in self.table.chains for new in self._new.get(chain.name, ()))
        made = [new for mapping in self.table.maps for new in (self._new_maps.get(mapping.name) or [mapping])]
        found = reached(replace(self.table, chains=chains, maps=tuple(made)), entries)
        return renamed_chains(found, self._final_names(found, entries))

    def _final_names(self, table: Table, entries: Sequence[str]) -> dict[str, str]:
        """Return new names for clones: some that have been tried are not used, and need not be counted."""
        free = _FreeNames(entries)
        kept = set(entries)
        return {chain.name: free.take(self._wanted[chain.name]) for chain in table.chains if chain.name not in kept}


def _may_fit(part: Part, field: Field, fact: ValueSet) -> bool:
    """Tell whether a packet of which a fact is known may find an element that has this in its key."""
    values = values_of((part,), field)
    return values is None or not meet(values, fact).is_empty


def _led_to(elements: Iterable[MapElement]) -> Iterable[str]:
    return dict.fromkeys(
        element.value.chain for element in elements if isinstance(element.value, (verdicts.Jump, verdicts.Goto))
    )


def _renamed(element: MapElement, names: Mapping[str, str]) -> MapElement:
    value = element.value
    if not isinstance(value, (verdicts.Jump, verdicts.Goto)) or names[value.chain] == value.chain:
        return element
    return MapElement(element.key, replace(value, chain=names[value.chain]))


class _FreeNames:
    """Names for chains, each given once: numbers behind those that were wanted before."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        # a thousand guests have a thousand copies of a chain: their numbers are not counted from the first each time
        self._next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """Return a name that is not taken yet, and take it."""
        found, number = wanted, self._next.get(wanted, 2)
        while found in self._taken:
            found, number = f"{wanted}-{number}", number + 1
        self._next[wanted] = number
        self._taken.add(found)
        return found


@once
def _contents(table: Table) -> Contents:
    return Contents(table, _callers(table))


@once
def _callers(table: Table) -> Counter[str]:
    maps = {mapping.name: mapping for mapping in table.maps}
    return Counter([target for chain in table.chains for target in all_targets(chain, maps)])
