"""A short chain that is called for new connections, where hardly any others are left, stands in the place of the call.

    before   ct state established accept; ct state invalid drop; ct state new jump a      a: ip saddr 0.0.0.0 return; ip saddr @bad drop
    after    ct state established accept; ct state invalid drop; ct state new ip saddr != 0.0.0.0 ip saddr @bad drop

Why it is safe: the chain's rules stand behind the call's test, and each of those behind a return behind the opposite of what
the return asks, of a field that every packet has. A packet's state does not change on its way.

A new connection passes one rule less at least. Packets that are not tracked pass more, but there are none: in IPv4 the kernel
tracks all but those for which a rule says otherwise. It declines where one does, outside of base chains, for chains that
others call as well or that do more than decide, and where there would be more rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import NoTrack
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated, number
from fwtrans.ir.rule import is_pure, joined_origins
from fwtrans.ir.verdict import TERMINAL, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.facts import decider_of, meet
from fwtrans.optimizer.first_rules import ALL_STATES
from fwtrans.optimizer.known_states import states_left
from fwtrans.optimizer.reached import all_targets, reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.optimizer.facts import Decider, Facts

_TRACKED = IntervalSet.values(
    known.CT_STATE.width, [number for word, number in ALL_STATES.items() if word != "untracked"]
)
_IPV4: Facts = {known.NFPROTO: number(known.NFPROTO, 2).values}
_MOST_RULES = 2
"""What stands in the place of the call: a chain of more is worth its jump where nobody is called."""


def without_new_calls(table: Table) -> Table:
    """Return the table with short chains for new connections in the places of their calls."""
    if table.family is not Family.IP:
        return table
    maps = {item.name: item for item in table.maps}
    callers = Counter(target for chain in table.chains for target in all_targets(chain, maps))
    alone = {chain.name: chain for chain in table.chains if callers[chain.name] == 1 and chain.base is None}
    decider = decider_of(table)
    chains = tuple(_changed(chain, alone, decider) if chain.base is not None else chain for chain in table.chains)
    if chains == table.chains:
        return table
    return reached(replace(table, chains=chains), [chain.name for chain in chains if chain.base is not None])


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with short chains for new connections in the places of their calls."""
    steps = (step for table in ruleset.tables for chain in table.chains for rule in chain.rules for step in rule.steps)
    if any(isinstance(step, NoTrack) for step in steps):
        return Passed(ruleset)
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_new_calls(table)))


PASS = Pass("new-calls", "a short chain that is called for new connections stands in the place of the call", run)


def _changed(chain: Chain, alone: Mapping[str, Chain], decider: Decider) -> Chain:
    """Return a base chain with the rules of such chains in the places of their calls."""
    rules: list[Rule] = []
    for rule, left in zip(chain.rules, states_left(chain.rules), strict=True):
        called = alone.get(rule.verdict.chain) if isinstance(rule.verdict, Jump) else None
        in_place = _in_place(rule, called, decider) if called is not None and _is_for_new(rule, left) else None
        rules.extend((rule,) if in_place is None else in_place)
    return with_rules(chain, tuple(rules))


def _is_for_new(rule: Rule, left: IntervalSet) -> bool:
    """Tell whether a rule asks for new connections, and no others are left but packets that are not tracked."""
    (test, *more) = rule.steps or (None,)
    if more or not isinstance(test, FieldTest) or not isinstance(test.values, IntervalSet):
        return False
    return test.field is known.CT_STATE and left.difference(test.values).intersection(_TRACKED).is_empty


def _in_place(call: Rule, called: Chain, decider: Decider) -> tuple[Rule, ...] | None:
    """Return what stands in the place of a call; None where a chain does more than decide, or there would be too much of it."""
    returns: list[FieldTest] = []
    found: list[Rule] = []
    for rule in called.rules:
        if not all(map(is_pure, rule.steps)):
            return None
        if isinstance(rule.verdict, Return):
            test = rule.steps[0] if len(rule.steps) == 1 else None
            if not isinstance(test, FieldTest) or not decider.there(test.field, _IPV4):
                return None
            returns.append(test)
        elif isinstance(rule.verdict, TERMINAL):
            others = (negated(test) for test in returns if not _excluded(test, rule))
            origins = joined_origins((call, rule))
            found.append(replace(rule, steps=(*call.steps, *others, *rule.steps), origins=origins))
        else:
            return None
    return tuple(found) if 0 < len(found) <= _MOST_RULES else None


def _excluded(test: FieldTest, rule: Rule) -> bool:
    """Tell whether no packet that passes the test is one that the rule asks for."""
    asked = (step for step in rule.steps if isinstance(step, FieldTest) and step.field is test.field)
    return any(meet(step.values, test.values).is_empty for step in asked)
