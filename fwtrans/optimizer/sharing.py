"""Chains of equal content are one chain, from the bottom up; so are maps that hold the same.

    a: tcp drop; jump c     b: tcp drop; jump d     c: udp drop     d: udp drop
    a: tcp drop; jump c                             c: udp drop                        jump b is jump a

Why it is safe: a chain is what its rules do, whoever calls it by whatever name. Rules are equal where they use the same
stateful objects, so a limit of one chain never becomes that of another.

Of the names that a chain has, it keeps the one that comes first in order, numbers by their size and hashes of passes last:
where the chain stands does not matter, so that one more guest renames nothing.

It declines for base chains, which are two visits even where they are equal, and for sets: a set that was read has a name
that people know, and may get other elements than its copy has tomorrow without any rule being changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import FIELDS
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import joined_origins
from fwtrans.ir.sets import example_of
from fwtrans.ir.stateful import StatefulFromMap
from fwtrans.optimizer.as_read import as_asked
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.names import name_order
from fwtrans.optimizer.reached import renamed_chains

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapElement, MapValue, NamedMap


def shared(table: Table) -> Table:
    """Return the table with one chain or map for all that hold the same."""
    sharing = _Sharing(table)
    for chain in reversed(callees_last(table, [chain.name for chain in table.chains])):
        sharing.chain(chain)
    return sharing.result()


class _Sharing:
    """Puts names in the place of names. Chains come callees first, so what a chain calls has its final name."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._chain_names: dict[str, str] = {}
        self._map_names: dict[str, str] = {}
        self._alike_maps: dict[str, list[str]] = {}
        self._by_rules: dict[tuple[Rule, ...], str] = {}
        self._by_content: dict[Hashable, str] = {}
        self._found: dict[str, Chain] = {}
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._found_maps: dict[str, NamedMap] = {}

    def chain(self, chain: Chain) -> None:
        """Take in a chain whose callees are known."""
        rules = tuple(map(self._rule, chain.rules))
        asked = tuple(map(as_asked, rules))
        known = self._by_rules.get(asked) if chain.base is None else None
        if known is None:
            self._chain_names[chain.name] = chain.name
            self._found[chain.name] = chain if rules == chain.rules else replace(chain, rules=rules)
            if chain.base is None:
                self._by_rules[asked] = chain.name
        else:
            self._chain_names[chain.name] = known
        self._rules[chain.name] = rules

    def _rule(self, rule: Rule) -> Rule:
        steps = tuple(map(self._step, rule.steps))
        verdict = rule.verdict
        if isinstance(verdict, (verdicts.Jump, verdicts.Goto)):
            verdict = _renamed(verdict, self._chain_names[verdict.chain])
        elif isinstance(verdict, verdicts.Dispatch):
            verdict = replace(verdict, map_name=self._map(verdict.map_name))
        return rule if steps == rule.steps and verdict == rule.verdict else replace(rule, steps=steps, verdict=verdict)

    def _step(self, step: Step) -> Step:
        return replace(step, map_name=self._map(step.map_name)) if _asks_map(step) else step  # type: ignore[arg-type, union-attr] # so it has one

    def _map(self, name: str) -> str:
        if name not in self._map_names:
            mapping = self._maps[name]
            elements = tuple(map(self._element, mapping.elements))
            # a field stands for its type: what is printed says no more
            value = FIELDS.get(mapping.value)
            held = mapping.value if value is None else example_of(value)
            key = (tuple(map(example_of, mapping.fields)), held, elements)
            known = self._by_content.setdefault(key, name)
            self._alike_maps.setdefault(known, []).append(name)
            self._map_names[name] = known
            if known == name:
                self._found_maps[name] = replace(mapping, elements=elements)
        return self._map_names[name]

    def _element(self, element: MapElement) -> MapElement:
        value = self._value(element.value)
        return element if value is element.value else element._replace(value=value)

    def _value(self, value: MapValue) -> MapValue:
        if isinstance(value, (verdicts.Jump, verdicts.Goto)):
            return _renamed(value, self._chain_names[value.chain])
        return value

    def result(self) -> Table:
        """Return the table, each chain in the place of the first one like it."""
        alike: dict[str, list[str]] = {}
        for chain in self._table.chains:
            alike.setdefault(self._chain_names[chain.name], []).append(chain.name)
        first = {kept: min(names, key=name_order) for kept, names in alike.items()}
        chains = (_with_origins(self._found[kept], [self._rules[n] for n in names]) for kept, names in alike.items())
        maps = (
            self._found_maps.get(mapping.name, mapping)
            for mapping in self._table.maps
            if self._map_names.get(mapping.name, mapping.name) == mapping.name
        )
        found = renamed_chains(replace(self._table, chains=tuple(chains), maps=tuple(maps)), first)
        found = _renamed_maps(found, {kept: min(names, key=name_order) for kept, names in self._alike_maps.items()})
        return self._table if found == self._table else found


def _asks_map(step: Step) -> bool:
    return isinstance(step, (does.AssignFromMap, StatefulFromMap)) or (
        isinstance(step, does.Nat) and bool(step.map_name)
    )


def _renamed_maps(table: Table, names: Mapping[str, str]) -> Table:
    """Return the table with other names for maps."""
    if all(name == given for name, given in names.items()):
        return table

    def renamed(rule: Rule) -> Rule:
        steps = tuple(
            replace(step, map_name=names.get(step.map_name, step.map_name)) if _asks_map(step) else step  # type: ignore[arg-type, union-attr] # so it has one
            for step in rule.steps
        )
        verdict = rule.verdict
        if isinstance(verdict, verdicts.Dispatch):
            verdict = replace(verdict, map_name=names.get(verdict.map_name, verdict.map_name))
        return rule if steps == rule.steps and verdict == rule.verdict else replace(rule, steps=steps, verdict=verdict)

    return replace(
        table,
        chains=tuple(replace(chain, rules=tuple(map(renamed, chain.rules))) for chain in table.chains),
        maps=tuple(replace(item, name=names.get(item.name, item.name)) for item in table.maps),
    )


def _renamed(verdict: verdicts.Jump | verdicts.Goto, chain: str) -> verdicts.Jump | verdicts.Goto:
    return verdict if chain == verdict.chain else replace(verdict, chain=chain)


def _with_origins(chain: Chain, alike: list[tuple[Rule, ...]]) -> Chain:
    """Return a chain whose rules know where those of all equal chains came from."""
    if len(alike) == 1:
        return chain
    rules = (replace(rule, origins=joined_origins(others)) for rule, *others in zip(chain.rules, *alike, strict=True))
    return replace(chain, rules=tuple(rules))


def _run(ruleset: Ruleset) -> Passed:
    return each_table(ruleset, lambda table, _declined: shared(table))


PASS = Pass("share", "make one chain or map of all that hold the same", _run)
