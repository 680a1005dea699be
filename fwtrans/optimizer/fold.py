"""Tests that are decided before a packet comes to them, and all that goes with them.

    ct state invalid drop; ct state invalid,new jump smurfs      ct state invalid drop; ct state new jump smurfs
    iifname tap1 jump a;   a: iifname tap1 tcp drop              iifname tap1 jump a;   a: tcp drop
    jump empty; l4proto tcp udp drop                             (nothing)

What a test shows holds behind it: in its own rule, in a chain that no other rule leads to, and, the other way round, in the
rules behind one that has taken all packets that pass its only test. What a rule writes is known as long as nothing writes
over it. A test for ports' being there goes where the rule asks for ports: that fails without them, and nft is told no more.
See `specialise.py` for why that is safe: it is the same walk, with nothing known where packets come in.

It declines for chains with several callers, which would have to be cloned, and for tables without a base chain, where
nothing is used and nobody knows what it is there for.
"""

from __future__ import annotations

from dataclasses import replace
from operator import is_not
from typing import TYPE_CHECKING

from fwtrans.ir.fields import HAS_TRANSPORT
from fwtrans.ir.match import FieldTest, present
from fwtrans.ir.rule import Rule, pure_front
from fwtrans.ir.verdict import Dispatch, Drop, Goto, Return
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.clauses import needs
from fwtrans.optimizer.specialise import Entry, specialise_entries
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Chain, Ruleset, Table


_POLICY = Rule((), Drop())
_PORTS_ARE_THERE = present(HAS_TRANSPORT)


def folded(table: Table) -> Table:
    """Return the table as its base chains need it, with nothing known but what its own rules show."""
    entries = [Entry(chain.name, {}) for chain in table.chains if chain.base is not None]
    if not entries:
        return table
    found = _without_said(specialise_entries(table, entries, learn=True).table)
    dropping = [chain.name for chain in found.chains if _is_simple(chain)]
    if not dropping:
        return found
    said = [_with_policy_said(chain) if chain.name in dropping else chain for chain in found.chains]
    told = {
        chain.name: chain
        for chain in specialise_entries(replace(found, chains=tuple(said)), entries, learn=True).table.chains
    }
    idle = {name for name in dropping if not told[name].rules or told[name].rules[-1] != _POLICY}
    return (
        replace(found, chains=tuple(_accepting(chain) if chain.name in idle else chain for chain in found.chains))
        if idle
        else found
    )


def _without_said(table: Table) -> Table:
    """Return the table without tests that another one of their rule says as well."""
    chains = tuple(with_rules(chain, tuple(map(_once, chain.rules))) for chain in table.chains)
    return replace(table, chains=chains) if any(map(is_not, chains, table.chains)) else table


def _once(rule: Rule) -> Rule:
    if _PORTS_ARE_THERE not in rule.steps:
        return rule
    asked = pure_front(rule)
    is_said = any(isinstance(step, FieldTest) and HAS_TRANSPORT in needs(step.field) for step in asked)
    if _PORTS_ARE_THERE not in asked or not is_said:
        return rule
    front = tuple(step for step in asked if step != _PORTS_ARE_THERE)
    return replace(rule, steps=(*front, *rule.steps[len(asked) :]))


def _is_simple(chain: Chain) -> bool:
    """Tell whether a chain drops what comes to its end, and nothing leaves it on another way than over its end."""
    is_dropping = chain.base is not None and not chain.base.accepts and bool(chain.rules)
    return is_dropping and not any(isinstance(rule.verdict, (Return, Goto, Dispatch)) for rule in chain.rules)


def _with_policy_said(chain: Chain) -> Chain:
    return _accepting(replace(chain, rules=(*chain.rules, _POLICY)))


def _accepting(chain: Chain) -> Chain:
    """Return a chain that accepts what comes to its end: a policy that no packet meets is no reason for a rule."""
    return replace(chain, base=replace(chain.base, accepts=True)) if chain.base is not None else chain


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: folded(table)))


PASS = Pass("fold", "leave out tests that are decided already, and rules and chains that no packet comes to", _run)
