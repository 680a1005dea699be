"""Rules for states of connections that no packet has any more where they stand are left out.

    base chain   ct state established,related accept; oifname "tap1" jump a; oifname "tap2" jump b; ip daddr 10.0.0.1 goto in
    in           ct state established,related accept; ct state new jump smurfs                   the first rule goes

`fold.py` knows what a chain's only caller has asked. This follows one field alone, and joins what all ways to a chain know.

Why it is safe: a packet's state is the same in a whole base chain and all that it leads to. Behind a rule that asks for
nothing but states and ends the way, none of these states is left.

It declines for tables in which a rule decides itself whether packets are tracked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import NoTrack
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import pure_front
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Reject, Return
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.followed import verdicts_of
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_ALL = IntervalSet.full(known.CT_STATE.width)
_ENDS = (Accept, Drop, Reject, Goto, Return)


def with_known_states(table: Table) -> Table:
    """Return the table without rules for states that no packet there has."""
    if any(isinstance(step, NoTrack) for chain in table.chains for rule in chain.rules for step in rule.steps):
        return table
    maps = {item.name: item for item in table.maps}
    bases = [chain.name for chain in table.chains if chain.base is not None]
    there = dict.fromkeys(bases, _ALL)
    found: dict[str, Chain] = {}
    for chain in callees_last(table, bases):
        left = there.get(chain.name)
        if left is None:  # only rules that are gone led there
            continue
        kept: list[Rule] = []
        for rule in chain.rules:
            asked = left.intersection(_states(rule))
            if asked.is_empty:
                continue
            kept.append(rule)
            verdict = rule.verdict
            if isinstance(verdict, Dispatch):
                targets = [led.chain for led, _ in verdicts_of(maps[verdict.map_name])]
            else:
                targets = [verdict.chain] if isinstance(verdict, (Jump, Goto)) else []
            for target in targets:
                there[target] = there[target].union(asked) if target in there else asked
            left = left.difference(_decided(rule))
        found[chain.name] = with_rules(chain, tuple(kept))
    chains = tuple(found.get(chain.name, chain) for chain in table.chains)
    return reached(replace(table, chains=chains), bases) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without rules for states that no packet there has."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: with_known_states(table)))


PASS = Pass("known-states", "leave out rules for states of connections that no packet has where they stand", run)


def states_left(rules: Iterable[Rule]) -> Iterator[IntervalSet]:
    """Yield for each rule of a base chain the states that packets may have there, where no rule decides what is tracked."""
    left = _ALL
    for rule in rules:
        yield left
        left = left.difference(_decided(rule))


def _decided(rule: Rule) -> IntervalSet:
    """Return the states of which no packet comes to the next rule."""
    ends = isinstance(rule.verdict, _ENDS) and all(map(_asks_for_states, rule.steps))
    return _states(rule) if ends else IntervalSet.empty(known.CT_STATE.width)


def _states(rule: Rule) -> IntervalSet:
    """Return the states that a rule asks for before it does anything."""
    states = _ALL
    for step in pure_front(rule):
        if isinstance(step, FieldTest) and step.field == known.CT_STATE and isinstance(step.values, IntervalSet):
            states = states.intersection(step.values)
    return states


def _asks_for_states(step: Step) -> bool:
    return isinstance(step, FieldTest) and step.field == known.CT_STATE and isinstance(step.values, IntervalSet)
