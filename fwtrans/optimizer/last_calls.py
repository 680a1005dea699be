"""A chain that is called in front of a chain's last verdict takes the place of both.

    before   ether type arp jump arp; accept       arp: iifname . arp saddr ip @addresses return; drop
    after    ether type != arp accept; iifname . arp saddr ip @addresses accept; drop

Why it is safe: packets that the call is not for meet the verdict first, and all others the called chain's rules. What comes
back from there met the verdict next, so that is what a return says, and what stands at the end. The field that the call asks
for is one that every packet has, so that a packet which fails the test passes its opposite. No packet passes a rule more.

It declines for chains that others lead to as well, for those that go elsewhere, from where packets come back behind the
call, and in base chains, whose last rule may be a policy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import FieldTest, negated
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.facts import decider_of
from fwtrans.optimizer.reached import all_targets, reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.optimizer.facts import Decider


def without_last_calls(table: Table) -> Table:
    """Return the table with chains that are called in front of a last verdict in the place of the call."""
    bases = [chain.name for chain in table.chains if chain.base is not None]
    if not bases:
        return table
    before = None
    while table is not before:
        # what now ends a chain may be called in front of a verdict itself
        before = table
        maps = {item.name: item for item in table.maps}
        callers = Counter(target for chain in table.chains for target in all_targets(chain, maps))
        alone = {chain.name: chain for chain in table.chains if callers[chain.name] == 1}
        decider = decider_of(table)
        for chain in table.chains:
            found = _changed(chain, alone, decider)
            if found is not chain:
                chains = tuple(found if one is chain else one for one in table.chains)
                table = reached(replace(table, chains=chains), bases)
                break
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with chains that are called in front of a last verdict in the place of the call."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_last_calls(table)))


PASS = Pass("last-calls", "a chain that is called in front of a last verdict takes the place of both", run)


def _changed(chain: Chain, alone: Mapping[str, Chain], decider: Decider) -> Chain:
    if chain.base is not None or len(chain.rules) <= 1:
        return chain
    *before, call, last = chain.rules
    called = alone.get(call.verdict.chain) if isinstance(call.verdict, Jump) else None
    if called is None or last.steps or not isinstance(last.verdict, TERMINAL) or len(call.steps) != 1:
        return chain
    (test,) = call.steps
    if not isinstance(test, FieldTest) or not decider.there(test.field, {}):
        return chain
    if any(isinstance(rule.verdict, (Goto, Dispatch)) for rule in called.rules):
        return chain
    others = Rule((negated(test),), last.verdict, last.origins)
    inside = (replace(rule, origins=joined_origins((call, rule))) for rule in called.rules)
    said = [replace(rule, verdict=last.verdict) if isinstance(rule.verdict, Return) else rule for rule in inside]
    ends = bool(said) and not said[-1].steps and isinstance(said[-1].verdict, TERMINAL)
    return replace(chain, rules=(*before, others, *said, *(() if ends else (last,))))
