"""Chains that only say a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.verdict import TERMINAL, Goto, Jump
from fwtrans.optimizer.reached import reached

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table


def inlined_verdicts(table: Table) -> Table:
    """Return the table with chains that only say a verdict replaced by it, where a rule leads there."""
    ends: dict[str, Rule] = {}
    for chain in table.chains:
        if chain.base is None and len(chain.rules) == 1:
            (rule,) = chain.rules
            if not rule.steps and isinstance(rule.verdict, TERMINAL):
                ends[chain.name] = rule

    def inlined(rule: Rule) -> Rule:
        if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain in ends:
            end = ends[rule.verdict.chain]
            origins = tuple(dict.fromkeys((*rule.origins, *end.origins)))
            return replace(rule, verdict=end.verdict, origins=origins)
        return rule

    if not ends:
        return table
    chains = tuple(replace(chain, rules=tuple(map(inlined, chain.rules))) for chain in table.chains)
    return reached(replace(table, chains=chains), [chain.name for chain in chains if chain.base is not None])
