"""What some chains of a table lead to: chains, sets and maps that nothing leads to or names are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.remembering import once
from fwtrans.ir.walk import chain_ways, names_of_chain, targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap

_Value = TypeVar("_Value")


def reached(table: Table, entries: Sequence[str]) -> Table:
    """Return the table with what the entries lead to, in its order."""
    chains = {chain.name: chain for chain in table.chains}
    maps = {mapping.name: mapping for mapping in table.maps}
    found: set[str] = set()
    led: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for way, is_map in chain_ways(chains[name]):
            if not is_map:
                waiting.append(way)
            elif way not in led:
                led.add(way)
                waiting.extend(distinct_targets(maps[way]))
    return with_what_is_named(replace(table, chains=tuple(chain for chain in table.chains if chain.name in found)))


def with_what_is_named(table: Table) -> Table:
    """Return the table without sets and maps that no rule names."""
    names = [names_of_chain(chain) for chain in table.chains]
    sets = frozenset[str]().union(*(named for named, _ in names))
    maps = frozenset[str]().union(*(named for _, named in names))
    return replace(
        table,
        sets=tuple(named for named in table.sets if named.name in sets),
        maps=tuple(mapping for mapping in table.maps if mapping.name in maps),
    )


def renamed_chains(table: Table, names: Mapping[str, str]) -> Table:
    """Return the table with chains under other names, wherever they are named."""
    if all(old == new for old, new in names.items()):
        return table

    def renamed(value: _Value) -> _Value:
        if isinstance(value, (verdicts.Jump, verdicts.Goto)) and names.get(value.chain, value.chain) != value.chain:
            return replace(value, chain=names[value.chain])
        return value

    def of_element(element: MapElement) -> MapElement:
        value = renamed(element.value)
        return element if value is element.value else element._replace(value=value)

    def of_map(mapping: NamedMap) -> NamedMap:
        elements = tuple(map(of_element, mapping.elements))
        return mapping if elements == mapping.elements else replace(mapping, elements=elements)

    def of_chain(chain: Chain) -> Chain:
        rules = tuple(
            rule if (verdict := renamed(rule.verdict)) is rule.verdict else replace(rule, verdict=verdict)
            for rule in chain.rules
        )
        name = names.get(chain.name, chain.name)
        return chain if name == chain.name and rules == chain.rules else replace(chain, name=name, rules=rules)

    return replace(table, chains=tuple(map(of_chain, table.chains)), maps=tuple(map(of_map, table.maps)))


def rule_targets(rule: Rule, maps: Mapping[str, NamedMap]) -> tuple[str, ...]:
    """Return the chains that a rule leads to, by itself or by a map."""
    verdict = rule.verdict
    if isinstance(verdict, (verdicts.Jump, verdicts.Goto)):
        return (verdict.chain,)
    return targets_of(maps[verdict.map_name]) if isinstance(verdict, verdicts.Dispatch) else ()


def all_targets(chain: Chain, maps: Mapping[str, NamedMap]) -> list[str]:
    """Return the chains that a chain's rules lead to, in order, as often as they do."""
    found: list[str] = []
    for name, is_map in chain_ways(chain):
        if is_map:
            found.extend(targets_of(maps[name]))
        else:
            found.append(name)
    return found


@once
def distinct_targets(mapping: NamedMap) -> tuple[str, ...]:
    """Return the chains that a verdict map leads to, each once, in the order of the first elements that do."""
    return tuple(dict.fromkeys(targets_of(mapping)))


def distinct_ways(chain: Chain, maps: Mapping[str, NamedMap]) -> Iterable[str]:
    """Return the chains that a chain's rules lead to, each once, in order."""
    found: dict[str, None] = {}
    for name, is_map in chain_ways(chain):
        if is_map:
            found.update(dict.fromkeys(distinct_targets(maps[name])))
        else:
            found[name] = None
    return found
