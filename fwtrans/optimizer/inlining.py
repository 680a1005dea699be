"""Chains that are not worth a jump stand where they are called.

    jump say-no;  say-no: drop                                   drop
    iifname tap1 jump a;  a: tcp dport 22 drop                   iifname tap1 tcp dport 22 drop
    jump hooks;  hooks: invalid drop; established accept         invalid drop; established accept     (one caller)
    udp sport 68 goto mark;  mark: meta mark set 1               udp sport 68 meta mark set 1 return

A chain of one rule is put into every rule that leads to it; a chain with one caller, a rule without tests, takes the place
of that rule. No way of a packet gets longer: there is one rule less on it, and no rule more on any other.

Why it is safe: the caller's tests and effects stand before the chain's own, in the order in which they were. A return of
the chain means to go on behind the call, which is where packets are after a rule without a verdict; a goto in it comes back
behind the call as well, and is a jump there. Behind the end of a chain that a rule went to a packet is where a return
of that rule's own chain leads.

It declines where a return would leave the wrong chain (in the middle of rules that take a call's place, or in an element
of a map), where a rule that went to the chain could go on with the next one, where both rules have alternatives, because
they would be multiplied in nftables, for a limit that several callers share, for chains that maps lead to, for those that
ask a long map for all their callers (`log_calls.py`), and for tests and effects behind a number that is drawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.ending import always_goes_on
from fwtrans.ir.match import AnyOf
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import has_memory, is_pure, joined_origins
from fwtrans.ir.stateful import Drawn, StatefulTest
from fwtrans.ir.verdict import TERMINAL, Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.ir.walk import map_names, targets_of
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.log_calls import log_calls
from fwtrans.optimizer.reached import reached, rule_targets
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

_LEAVES = (Return, Goto, Dispatch)


def inlined_verdicts(table: Table) -> Table:
    """Return the table with chains that only say a verdict replaced by it, where a rule leads there."""
    ends: dict[str, Rule] = {}
    for chain in table.chains:
        if chain.base is None and len(chain.rules) == 1:
            (rule,) = chain.rules
            if not rule.steps and isinstance(rule.verdict, TERMINAL):
                ends[chain.name] = rule
    if not ends:
        return table
    said = ((chain, tuple(_said(rule, ends) for rule in chain.rules)) for chain in table.chains)
    return _with(table, [chain if rules == chain.rules else replace(chain, rules=rules) for chain, rules in said])


def _said(rule: Rule, ends: dict[str, Rule]) -> Rule:
    end = ends.get(rule.verdict.chain) if isinstance(rule.verdict, (Jump, Goto)) else None
    if end is not None and not _holds_all(rule, end):
        return rule
    return rule if end is None else replace(rule, verdict=end.verdict, origins=joined_origins((rule, end)))


def inlined(table: Table) -> Table:
    """Return the table with chains of one rule, and chains of one caller that asks for nothing, in their callers."""
    if not any(chain.base is not None for chain in table.chains):
        return table
    before = None
    table = _jumping_in_the_middle(table)
    while table != before:
        before = table
        table = _once(table)
    return table


def _jumping_in_the_middle(table: Table) -> Table:
    """Return the table with jumps for the gotos of a look-up that is all that a called chain does: behind it the caller goes on.

    So the look-up can stand in the place of the call, and nests no deeper than it did.
    """
    only = {chain.name: chain.rules[0] for chain in table.chains if chain.base is None and len(chain.rules) == 1}
    looks_up = {
        name: rule.verdict.map_name
        for name, rule in only.items()
        if isinstance(rule.verdict, Dispatch) and all(map(is_pure, rule.steps))
    }
    if not looks_up:
        return table
    in_maps = {target for item in table.maps for target in targets_of(item)}
    elsewhere = Counter(name for chain in table.chains for rule in chain.rules for name in map_names(rule))
    elsewhere.subtract(looks_up.values())
    unfit = {
        rule.verdict.chain
        for chain in table.chains
        for number, rule in enumerate(chain.rules)
        if isinstance(rule.verdict, Goto) or (isinstance(rule.verdict, Jump) and number == len(chain.rules) - 1)
    }
    kept = {name for chain, name in looks_up.items() if chain in in_maps or chain in unfit}
    wanted = {name for name in looks_up.values() if not elsewhere[name]} - kept
    maps = tuple(_with_jumps(item) if item.name in wanted else item for item in table.maps)
    return replace(table, maps=maps) if maps != table.maps else table


def _with_jumps(item: NamedMap) -> NamedMap:
    if any(isinstance(element.value, Return) for element in item.elements):
        return item
    elements = tuple(
        element._replace(value=Jump(element.value.chain)) if isinstance(element.value, Goto) else element
        for element in item.elements
    )
    return replace(item, elements=elements)


def _once(table: Table) -> Table:
    maps = {mapping.name: mapping for mapping in table.maps}
    callers = Counter(target for chain in table.chains for rule in chain.rules for target in rule_targets(rule, maps))
    kept = log_calls(table)
    coming_back = {
        name for name, item in maps.items() if not any(isinstance(e.value, (Return, Goto)) for e in item.elements)
    }
    found: dict[str, Chain] = {}
    for chain in reversed(callees_last(table, [chain.name for chain in table.chains])):
        rules: list[Rule] = []
        for number, rule in enumerate(chain.rules):
            is_last = number == len(chain.rules) - 1
            is_kept = (
                isinstance(rule.verdict, (Jump, Goto))
                and rule.verdict.chain in kept
                and callers[rule.verdict.chain] > 1
            )
            rules.extend((rule,) if is_kept else _in_place(rule, found, callers, coming_back, is_last=is_last))
        found[chain.name] = chain if tuple(rules) == chain.rules else replace(chain, rules=tuple(rules))
    return _with(table, [found[chain.name] for chain in table.chains])


def _with(table: Table, chains: list[Chain]) -> Table:
    if tuple(chains) == table.chains:
        return table
    return reached(replace(table, chains=tuple(chains)), [chain.name for chain in chains if chain.base is not None])


def _in_place(
    rule: Rule, found: dict[str, Chain], callers: Counter[str], coming_back: set[str], *, is_last: bool
) -> tuple[Rule, ...]:
    """Return what stands in the place of a rule."""
    if not isinstance(rule.verdict, (Jump, Goto)):
        return (rule,)
    called = found[rule.verdict.chain]
    if len(called.rules) == 1 and (callers[called.name] == 1 or not any(map(has_memory, called.rules[0].steps))):
        both = _both(rule, called.rules[0], coming_back, is_last=is_last)
        if both is not None:
            return () if both.verdict is None and all(map(is_pure, both.steps)) else (both,)
    alone = callers[called.name] == 1 and not rule.steps
    comes_back = isinstance(rule.verdict, Jump) and not any(isinstance(item.verdict, _LEAVES) for item in called.rules)
    if alone and (is_last or comes_back):
        return tuple(replace(item, origins=joined_origins((rule, item))) for item in called.rules)
    return (rule,)


def _both(rule: Rule, only: Rule, coming_back: set[str], *, is_last: bool) -> Rule | None:
    """Return a rule and the only one of the chain that it leads to as one rule."""
    if any(isinstance(step, AnyOf) for step in rule.steps) and any(isinstance(step, AnyOf) for step in only.steps):
        return None
    if not _holds_all(rule, only):
        return None
    verdict = only.verdict
    goes = isinstance(rule.verdict, Goto)
    if isinstance(verdict, Dispatch) and not is_last and (goes or verdict.map_name not in coming_back):
        return None
    if goes and not is_last:
        # a packet that the chain's rule does not end must not go on behind the goto
        if not all(map(always_goes_on, only.steps)):
            return None
        verdict = verdict or Return()
    return replace(
        rule, steps=(*rule.steps, *only.steps), verdict=_called(verdict, goes), origins=joined_origins((rule, only))
    )


def _holds_all(rule: Rule, only: Rule) -> bool:
    """Tell whether a rule can do what a chain does: the way of a drawn number is an element of a map, which holds a verdict."""
    plain = not only.steps and (only.verdict is None or isinstance(only.verdict, (Accept, Drop, Jump, Goto)))
    return plain or not any(
        isinstance(step, StatefulTest) and isinstance(step.object.kind, Drawn) for step in rule.steps
    )


def _called(verdict: Verdict | None, goes: bool) -> Verdict | None:
    """Return what a verdict in a called chain means in the caller."""
    if isinstance(verdict, (Jump, Goto)):
        return Goto(verdict.chain) if goes else Jump(verdict.chain)
    if isinstance(verdict, Return):
        return verdict if goes else None
    return verdict


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: inlined(table)))


PASS = Pass("inline", "put chains of one rule, and of one caller that asks for nothing, in the place of the call", _run)
