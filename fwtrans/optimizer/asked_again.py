"""A port that was looked up in a set on every way to a rule is not looked up there again.

    iifname @ports jump out;  out: ct state invalid drop; iifname @ports goto user; accept
    iifname @ports jump out;  out: ct state invalid drop; goto user

Passes make sets of long lists of ports, and a set says too little to them of the ports in it for `fold.py` to decide by it.

Why it is safe: nothing writes which port a packet comes in or leaves by, and the set holds the same for the whole way of a
packet. So behind a rule that asked, wherever it leads, and on every way there, the answer is known.

It declines for sets that passes have not made, which others may change, and for chains that packets come to on a way on which nobody asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import MemberTest
from fwtrans.ir.order import callees_last
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.port_context import PORT_FIELDS
from fwtrans.optimizer.reached import rule_targets

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table

_Asked = frozenset[MemberTest]


def without_asking_again(table: Table) -> Table:
    """Return the table without look-ups of ports that have been found in the same set before."""
    kept = {item.name for item in table.sets if item.origin is None and not (item.dynamic or item.timeout)}
    if not any(_is_port(step, kept) for chain in table.chains for rule in chain.rules for step in rule.steps):
        return table
    maps = {item.name: item for item in table.maps}
    known = {chain.name: _Asked() for chain in table.chains if chain.base is not None}
    found = {}
    for chain in callees_last(table, list(known)):
        here = known[chain.name]
        found[chain.name] = with_rules(chain, tuple(_left(rule, here) for rule in chain.rules))
        for rule in chain.rules:
            there = here.union(step for step in rule.steps if isinstance(step, MemberTest) and _is_port(step, kept))
            for target in dict.fromkeys(rule_targets(rule, maps)):
                known[target] = known[target] & there if target in known else there
    chains = tuple(found.get(chain.name, chain) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without look-ups of ports that are known to be in their sets."""
    return each_table(ruleset, lambda table, _declined: without_asking_again(table))


PASS = Pass("asked-again", "a port that is known to be in a set is not looked up there again", run)


def _is_port(step: Step, kept: set[str]) -> bool:
    """Tell whether a step asks for a port in a set that stays as it is."""
    if not isinstance(step, MemberTest) or not step.inside or step.dynamic or step.set_name not in kept:
        return False
    return all(part.field in PORT_FIELDS and part.mask is None for part in step.key)


def _left(rule: Rule, known: _Asked) -> Rule:
    if known.isdisjoint(rule.steps):
        return rule
    return replace(rule, steps=tuple(step for step in rule.steps if step not in known))
