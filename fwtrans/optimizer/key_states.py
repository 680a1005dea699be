"""A state of connections that all keys of a verdict map share is asked before the look-up.

    before   ct state . ether type . iifname vmap { new . ip . "tap1" : goto a, untracked . ip . "tap1" : goto a }
    after    ct state new,untracked ether type . iifname vmap { ip . "tap1" : goto a }

A map of guests holds half as much then: it is loaded sooner, and one more guest is fewer elements.

Why it is safe: with each of the states the map holds the same under the same rest of the key, and with others nothing.

It declines where a rest of a key is not there with each of the states (that ARP is never tracked is known), for keys that
mask the state, and for maps that passes did not make.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Dispatch
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.facts import decider_of
from fwtrans.optimizer.first_rules import ALL_STATES, IMPOSSIBLE, TYPES
from fwtrans.optimizer.known_kinds import known_kinds
from fwtrans.optimizer.names import Names, is_made
from fwtrans.optimizer.port_key import is_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapValue, Part

_NEVER = {(ALL_STATES[state], TYPES[kind]) for state, kind in IMPOSSIBLE}
_WORD = "ct.state-"


class _Shorter(NamedTuple):
    """A map without the state in its keys, and the states that are asked before it."""

    item: NamedMap
    states: IntervalSet
    place: int


def with_states_first(table: Table) -> Table:
    """Return the table with states asked before look-ups, where keys only repeat them."""
    candidates = {item.name: item for item in table.maps if _may_change(item)} if table.maps else {}
    if not candidates or not _all_unmasked(table, candidates):
        return table
    names = Names(table)
    shorter = {name: found for name, item in candidates.items() if (found := _shorter(item, names)) is not None}
    if not shorter:
        return table
    decider = decider_of(table)
    kinds = known_kinds(table, whole=False)
    chains = []
    for chain in table.chains:
        facts = kinds.of(chain.name)
        told = facts.get(known.CT_STATE) if decider.there(known.CT_STATE, facts) else None
        chains.append(replace(chain, rules=tuple(_changed(rule, shorter, told) for rule in chain.rules)))
    maps = tuple(shorter[item.name].item if item.name in shorter else item for item in table.maps)
    return replace(table, chains=tuple(chains), maps=maps)


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with states asked before look-ups, where keys only repeat them."""
    return each_table(ruleset, lambda table, _declined: with_states_first(table))


PASS = Pass("key-states", "a state that all keys of a map share is asked before the look-up", run)


def _may_change(item: NamedMap) -> bool:
    return (
        item.value == "verdict"
        and len(item.fields) > 1
        and item.fields.count(known.CT_STATE) == 1
        and (is_made(item.name) or is_entry(item.name))
    )


def _all_unmasked(table: Table, candidates: Mapping[str, NamedMap]) -> bool:
    return not any(
        isinstance(rule.verdict, Dispatch)
        and rule.verdict.map_name in candidates
        and any(part.field is known.CT_STATE and part.mask is not None for part in rule.verdict.key)
        for chain in table.chains
        for rule in chain.rules
    )


def _shorter(item: NamedMap, names: Names) -> _Shorter | None:
    place = item.fields.index(known.CT_STATE)
    fields = (*item.fields[:place], *item.fields[place + 1 :])
    found: dict[tuple[Part, ...], tuple[MapValue, set[int]]] = {}
    for element in item.elements:
        rest = (*element.key[:place], *element.key[place + 1 :])
        value, states = found.setdefault(rest, (element.value, set()))
        if value != element.value:
            return None
        states.update(_numbers(element.key[place]))
    everywhere = frozenset[int]().union(*(states for _, states in found.values()))
    for rest, (_, states) in found.items():
        if not all(_never(state, fields, rest) for state in everywhere - states):
            return None
    name = names.new(item.name.replace(_WORD, "")) if _WORD in item.name else item.name
    elements = tuple(MapElement(rest, value) for rest, (value, _) in found.items())
    asked = IntervalSet.values(known.CT_STATE.width, sorted(everywhere))
    return _Shorter(NamedMap(name, fields, item.value, elements, item.origin), asked, place)


def _numbers(state: Part) -> range:
    first, last = state
    assert isinstance(first, int)  # noqa: S101 -- a state is a number, which mypy cannot know of a part of a key
    assert isinstance(last, int)  # noqa: S101 -- the other end of the same range of states, a number like it
    return range(first, last + 1)


def _never(state: int, fields: tuple[Field, ...], rest: tuple[Part, ...]) -> bool:
    """Tell whether no packet with a rest of a key is in a state."""
    return any(
        field is known.ETHER_TYPE and values[0] == values[1] and (state, values[0]) in _NEVER
        for field, values in zip(fields, rest, strict=True)
        if isinstance(values, tuple)
    )


def _changed(rule: Rule, shorter: Mapping[str, _Shorter], told: ValueSet | None) -> Rule:
    """Return a rule with its states first, unless these are all that come to it."""
    verdict = rule.verdict
    if not isinstance(verdict, Dispatch) or verdict.map_name not in shorter:
        return rule
    item, states, place = shorter[verdict.map_name]
    key = (*verdict.key[:place], *verdict.key[place + 1 :])
    is_told = isinstance(told, IntervalSet) and told.difference(states).is_empty
    steps = rule.steps if is_told else (*rule.steps, FieldTest(known.CT_STATE, states))
    return replace(rule, steps=steps, verdict=Dispatch(key, item.name))
