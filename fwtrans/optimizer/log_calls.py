"""A long map that leads to what each port logs is asked in a chain of its own where several rules ask it.

    before   th dport 25 oifname vmap @IN-log-ACCEPT; ...; ip saddr @monitors oifname vmap @IN-log-ACCEPT
    after    th dport 25 jump IN-log-ACCEPT-asked; ...; ip saddr @monitors jump IN-log-ACCEPT-asked
             IN-log-ACCEPT-asked: oifname vmap @IN-log-ACCEPT

What all that call such a chain say behind the call stands in the chain:

    before   a: ...; jump IN-log-DROP-asked; drop     b: ...; jump IN-log-DROP-asked; drop
    after    a: ...; goto IN-log-DROP-asked           b: ...; goto IN-log-DROP-asked     IN-log-DROP-asked: oifname vmap @IN-log-DROP; drop

The kernel comes by all elements of a map for each rule that asks it, whenever an element that leads to a chain is added
anywhere in the table: 57 rules that log for 1,000 guests are 57,000 elements for one that does not log at all.

Why it is safe: all elements are jumps, so packets come back from the map, and from the chain, to the next rule. Where that
ends every packet, for all callers alike, nobody needs to come back for it.

A packet that is logged passes one rule more, which is little beside the log; others pass none more. It declines for maps
of fewer elements, for those that lead to more than logs, and where there is no room for another jump.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Log
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.reached import rule_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapValue, NamedMap
    from fwtrans.ir.verdict import Verdict

LONG = 32
"""Fewer elements are asked where the log is."""


def with_log_calls(table: Table) -> Table:
    """Return the table with long maps of logs asked by one rule each."""
    asking = {look_up: places for look_up, places in _asking(table).items() if len(places) > 1}
    if not asking:
        return table
    room = room_below(table)
    names = Names(table)
    called: dict[Dispatch, str] = {}
    made: dict[str, list[Chain]] = {}
    for look_up, places in asking.items():
        called_already = next((chain.name for chain, _ in places if _only_asks(chain)), None)
        if any(room[chain.name] <= 0 for chain, _ in places if chain.name != called_already):
            continue
        if called_already is not None:
            called[look_up] = called_already
        else:
            chain = Chain(names.new(look_up.map_name, "asked"), (_for_all(look_up, places),))
            called[look_up] = chain.name
            made.setdefault(places[0][0].name, []).append(chain)
    chains: list[Chain] = []
    for chain in table.chains:
        own = chain.name in called.values()
        rules = chain.rules if own else tuple(_calling(rule, called) for rule in chain.rules)
        chains.extend((*made.get(chain.name, ()), with_rules(chain, rules)))
    return replace(table, chains=tuple(chains))


def with_ends_called(table: Table) -> Table:
    """Return the table with what stands behind all calls of a chain that asks a map of logs in that chain."""
    maps = {item.name: item for item in table.maps}
    asking = log_calls(table)
    ends: dict[str, set[Verdict | None]] = {
        chain.name: set() for chain in table.chains if chain.name in asking and _only_asks(chain)
    }
    if not ends:
        return table
    for chain in table.chains:
        for at, rule in enumerate(chain.rules):
            for target in set(rule_targets(rule, maps)).intersection(ends):
                ends[target].add(_end_behind(chain, at))
    said = {name: end for name, found in ends.items() if len(found) == 1 and (end := next(iter(found))) is not None}
    chains = (with_rules(chain, tuple(_with_end_called(chain, said))) for chain in table.chains)
    return replace(table, chains=tuple(chains)) if said else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with long maps of logs asked by one rule each."""
    return each_table(ruleset, lambda table, _declined: with_ends_called(with_log_calls(table)))


PASS = Pass("log-calls", "a long map of logs that several rules ask is asked in a chain of its own", run)


def log_calls(table: Table) -> frozenset[str]:
    """Return the chains that do nothing but ask a long map of logs, and say how the way ends of packets that come back."""
    maps = _long_maps(table)
    return frozenset(
        chain.name
        for chain in table.chains
        if (_only_asks(chain) or _asks_and_ends(chain)) and _asks(chain.rules[0], maps)
    )


def _asking(table: Table) -> dict[Dispatch, list[tuple[Chain, Rule]]]:
    """Return the rules that ask long maps of logs, by what they ask."""
    maps = _long_maps(table)
    found: dict[Dispatch, list[tuple[Chain, Rule]]] = {}
    for chain in table.chains if maps else ():
        for rule in chain.rules:
            if isinstance(rule.verdict, Dispatch) and _asks(rule, maps):
                found.setdefault(rule.verdict, []).append((chain, rule))
    return found


def _only_asks(chain: Chain) -> bool:
    return chain.base is None and len(chain.rules) == 1 and not chain.rules[0].steps


def _asks_and_ends(chain: Chain) -> bool:
    if chain.base is not None or any(rule.steps for rule in chain.rules):
        return False
    _, *behind = chain.rules or (None,)
    return len(behind) == 1 and isinstance(behind[0].verdict, TERMINAL)


def _end_behind(chain: Chain, at: int) -> Verdict | None:
    """Return what a chain says of all packets that come back from a jump that all packets take, if that is all it says."""
    call, *behind = chain.rules[at:]
    if not isinstance(call.verdict, Jump) or call.steps or len(behind) != 1 or behind[0].steps:
        return None
    verdict = behind[0].verdict
    return verdict if isinstance(verdict, TERMINAL) else None


def _with_end_called(chain: Chain, said: Mapping[str, Verdict]) -> Iterator[Rule]:
    if chain.name in said:
        yield from (*chain.rules, Rule((), said[chain.name], chain.rules[0].origins))
        return
    for at, rule in enumerate(chain.rules):
        if isinstance(rule.verdict, Jump) and rule.verdict.chain in said:
            yield replace(rule, verdict=Goto(rule.verdict.chain), origins=joined_origins(chain.rules[at:]))
            return
        yield rule


def _asks(rule: Rule, maps: set[str]) -> bool:
    return isinstance(rule.verdict, Dispatch) and rule.verdict.map_name in maps


def _long_maps(table: Table) -> set[str]:
    return {item.name for item in log_maps(table) if len(item.elements) >= LONG}


@once
def log_maps(table: Table) -> tuple[NamedMap, ...]:
    """Return the maps whose elements all jump to chains of nothing but logs."""
    maps = [item for item in table.maps if item.value == "verdict" and item.elements]
    if not maps:
        return ()
    logging = {chain.name for chain in table.chains if chain.base is None and all(map(_logs, chain.rules))}
    return tuple(item for item in maps if all(_jumps_to(element.value, logging) for element in item.elements))


def _jumps_to(value: MapValue, chains: set[str]) -> bool:
    return isinstance(value, Jump) and value.chain in chains


def _logs(rule: Rule) -> bool:
    return any(isinstance(step, Log) for step in rule.steps)


def _for_all(look_up: Dispatch, places: Sequence[tuple[Chain, Rule]]) -> Rule:
    return Rule((), look_up, joined_origins(rule for _, rule in places))


def _calling(rule: Rule, called: Mapping[Dispatch, str]) -> Rule:
    look_up = rule.verdict
    if not isinstance(look_up, Dispatch) or look_up not in called:
        return rule
    return replace(rule, verdict=Jump(called[look_up]))
