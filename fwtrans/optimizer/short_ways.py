"""What stands between two look-ups for no reason but how the rules came about goes, once nothing is made of them any more.

    oifname . meta l4proto vmap { ... }; oifname vmap { "tap1" : goto rest }     the first map leads TCP and UDP of tap1 to rest
    goto last;  last: iifname vmap @ports; accept                                iifname vmap @ports
    jump helpers;  helpers: th dport vmap { 21 : goto ftp }                      th dport vmap { 21 : jump ftp }
    oifname vmap { "tap1" : goto a };  a: goto b                                 oifname vmap { "tap1" : goto b }

Why it is safe: a packet of that port and protocol has missed the first map and found the second, and now finds in the first
what it found there. A chain that nobody jumps to, directly or on the way, ends where its base chain does, which accepts;
so does one that only the last rule of such a base chain jumps to.
Behind a chain's last rule there is only its end, which is where the goto led as well. A look-up that is all that a chain
does comes back behind its call if its verdicts jump.

It declines for a map that several rules ask or that passes did not make, for a second map that jumps, for chains of more
than two rules, which are shared for their size, for those that ask a long map for all (`log_calls.py`), and for rules with a
memory of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from operator import is_not
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.ending import drops_at_end
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import has_memory, is_pure, joined_origins
from fwtrans.ir.sets import MapElement
from fwtrans.ir.verdict import Accept, Dispatch, Goto, Jump, Return
from fwtrans.ir.walk import map_names
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.log_calls import log_calls
from fwtrans.optimizer.names import is_made
from fwtrans.optimizer.port_key import is_entry
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap, Part

_PROTOCOLS = (6, 17)
_MOST_RULES = 2


def with_short_ways(table: Table) -> Table:
    """Return the table with ways of fewer rules."""
    if not any(chain.base is not None for chain in table.chains):
        return table
    bases = [chain.name for chain in table.chains if chain.base is not None]
    before = None
    while table != before:
        # what now stands at a chain's end may lead on by a goto as well
        before = table
        short = _with_last_rules(_without_last_accepts(_with_calls_in_place(_with_protocols(_without_detours(table)))))
        table = reached(short, bases) if short != table else table
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with ways of fewer rules."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: with_short_ways(table)))


PASS = Pass("short-ways", "look-ups and gotos that only lead on to the next one are left out", run)


# --- protocols that miss one map to find another ---


def _with_protocols(table: Table) -> Table:
    maps = {item.name: item for item in table.maps}
    uses = Counter(name for chain in table.chains for rule in chain.rules for name in map_names(rule))
    for chain in table.chains:
        for first, second in pairwise(chain.rules):
            if not isinstance(first.verdict, Dispatch) or not isinstance(second.verdict, Dispatch):
                continue
            by_protocol = maps[first.verdict.map_name]
            if not first.steps and not second.steps and uses[by_protocol.name] == 1 and is_made(by_protocol.name):
                more = tuple(_led(first.verdict, by_protocol, second.verdict, maps[second.verdict.map_name]))
                if more:
                    maps[by_protocol.name] = replace(by_protocol, elements=(*by_protocol.elements, *more))
    return replace(table, maps=tuple(maps[item.name] for item in table.maps))


def _led(first: Dispatch, by_protocol: NamedMap, second: Dispatch, rest: NamedMap) -> Iterator[MapElement]:
    """Yield the elements by which the first map leads TCP and UDP where the second leads all protocols."""
    protocol = KeyPart(known.L4PROTO)
    if protocol not in first.key or tuple(part for part in first.key if part != protocol) != second.key:
        return
    if any(isinstance(element.value, (Jump, Return)) for element in rest.elements):
        return
    if not all(_is_exact(part) for item in (by_protocol, rest) for element in item.elements for part in element.key):
        return
    at = first.key.index(protocol)
    # no set: what is walked through has an order that is the same in every run
    there = dict.fromkeys(element.key for element in by_protocol.elements)
    protocols = dict.fromkeys((*((number, number) for number in _PROTOCOLS), *(key[at] for key in there)))
    for element in rest.elements:
        for number in protocols:
            key = (*element.key[:at], number, *element.key[at:])
            if key not in there:
                yield MapElement(key, element.value)


def _is_exact(part: Part) -> bool:
    return not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1]


# --- look-ups in the place of their call ---


def _with_calls_in_place(table: Table) -> Table:
    called = {
        chain.name: chain.rules[0]
        for chain in table.chains
        if chain.base is None and len(chain.rules) == 1 and isinstance(chain.rules[0].verdict, Dispatch)
        if not _remembers(chain.rules[0])
    }
    for name in log_calls(table):
        called.pop(name, None)
    wanted = {
        rule.verdict.chain
        for chain in table.chains
        for rule in chain.rules[:-1]
        if isinstance(rule.verdict, Jump) and rule.verdict.chain in called and not rule.steps
    }
    names = {name for one in wanted for name in map_names(called[one])}
    fixed = {
        name
        for chain in table.chains
        for number, rule in enumerate(chain.rules)
        for name in map_names(rule)
        if chain.base is not None or number < len(chain.rules) - 1
    }
    fixed |= {item.name for item in table.maps if any(isinstance(element.value, Return) for element in item.elements)}
    maps = tuple(_jumping(item) if item.name in names - fixed and is_made(item.name) else item for item in table.maps)
    coming_back = {item.name for item in maps if not any(isinstance(e.value, (Goto, Return)) for e in item.elements)}
    inlined = {name: called[name] for name in wanted if coming_back.issuperset(map_names(called[name]))}
    found = ((chain, tuple(_in_place(rule, inlined) for rule in chain.rules)) for chain in table.chains)
    return replace(table, chains=tuple(with_rules(chain, rules) for chain, rules in found), maps=maps)


def _jumping(item: NamedMap) -> NamedMap:
    elements = tuple(
        element._replace(value=Jump(element.value.chain)) if isinstance(element.value, Goto) else element
        for element in item.elements
    )
    return replace(item, elements=elements)


def _in_place(rule: Rule, inlined: dict[str, Rule]) -> Rule:
    only = inlined.get(rule.verdict.chain) if isinstance(rule.verdict, Jump) and not rule.steps else None
    return rule if only is None else replace(only, origins=joined_origins((rule, only)))


# --- accepting what is accepted at the end of the base chain ---


def _without_last_accepts(table: Table) -> Table:
    coming_back = _coming_back(table)
    chains = tuple(chain if chain.name in coming_back else _without_last_accept(chain) for chain in table.chains)
    return replace(table, chains=chains)


def _without_last_accept(chain: Chain) -> Chain:
    (*rules, last) = chain.rules or (None,)
    # a chain of one rule is what maps accept by
    is_idle = last is not None and isinstance(last.verdict, Accept) and all(map(is_pure, last.steps))
    return replace(chain, rules=tuple(rules)) if is_idle and rules else chain


def _coming_back(table: Table) -> set[str]:
    """Return the chains from whose end packets may go on elsewhere than at the end of a base chain that accepts."""
    maps = {item.name: item for item in table.maps}
    chains = {chain.name: chain for chain in table.chains}
    found = {chain.name for chain in table.chains if chain.base is not None}
    waiting = [name for name in found if drops_at_end(chains[name], table.family)]
    for chain in table.chains:
        # behind the last rule of a base chain that accepts, a jump comes back to its end
        rules = chain.rules[:-1] if chain.base is not None and chain.base.accepts else chain.rules
        waiting += [verdict.chain for rule in rules for verdict in _ways(rule, maps) if isinstance(verdict, Jump)]
    while waiting:
        name = waiting.pop()
        if name not in found or chains[name].base is not None:
            found.add(name)
            waiting += [verdict.chain for rule in chains[name].rules for verdict in _ways(rule, maps)]
    return found


def _ways(rule: Rule, maps: Mapping[str, NamedMap]) -> tuple[Jump | Goto, ...]:
    if isinstance(rule.verdict, Dispatch):
        return _ways_of(maps[rule.verdict.map_name])
    return (rule.verdict,) if isinstance(rule.verdict, (Jump, Goto)) else ()


@once
def _ways_of(item: NamedMap) -> tuple[Jump | Goto, ...]:
    """Return what a map's elements may do that leads on, each once."""
    return tuple(dict.fromkeys(value for _, value, _ in item.elements if isinstance(value, (Jump, Goto))))


# --- elements that lead to a chain that only leads on ---


def _without_detours(table: Table) -> Table:
    last = {
        chain.name: chain.rules[0].verdict.chain
        for chain in table.chains
        if chain.base is None
        and len(chain.rules) == 1
        and not chain.rules[0].steps
        and isinstance(chain.rules[0].verdict, (Jump, Goto))
    }
    # where two lead to each other there is no end to be found
    last = {name: target for name, target in last.items() if target not in last}
    maps = tuple(_led_on(item, last) if is_made(item.name) or is_entry(item.name) else item for item in table.maps)
    return replace(table, maps=maps) if any(map(is_not, maps, table.maps)) else table


def _led_on(item: NamedMap, last: Mapping[str, str]) -> NamedMap:
    if not any(isinstance(value, (Jump, Goto)) and value.chain in last for _, value, _ in item.elements):
        return item
    elements = tuple(
        element._replace(value=replace(element.value, chain=last[element.value.chain]))
        if isinstance(element.value, (Jump, Goto)) and element.value.chain in last
        else element
        for element in item.elements
    )
    return replace(item, elements=elements)


# --- short chains in the place of the goto that leads there ---


def _with_last_rules(table: Table) -> Table:
    kept = log_calls(table)
    short = {
        chain.name: chain.rules
        for chain in table.chains
        if chain.base is None and 1 < len(chain.rules) <= _MOST_RULES and not any(map(_remembers, chain.rules))
        if chain.name not in kept
    }
    found: list[Chain] = []
    for chain in table.chains:
        last = chain.rules[-1] if chain.rules else None
        rules = short.get(last.verdict.chain) if last is not None and isinstance(last.verdict, Goto) else None
        if last is None or rules is None or last.steps or chain.base is not None or not _is_only_way(chain, last):
            found.append(chain)
            continue
        more = tuple(replace(rule, origins=joined_origins((last, rule))) for rule in rules)
        found.append(replace(chain, rules=(*chain.rules[:-1], *more)))
    return replace(table, chains=tuple(found))


def _is_only_way(chain: Chain, last: Rule) -> bool:
    """Tell whether a chain's last rule alone leads where it does: others save what they pass by, and the rules once more."""
    return len(chain.rules) > 1 and all(rule.verdict != last.verdict for rule in chain.rules[:-1])


def _remembers(rule: Rule) -> bool:
    return any(map(has_memory, rule.steps))
