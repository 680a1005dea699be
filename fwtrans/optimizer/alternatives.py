"""A rule for packets of several kinds becomes one rule for each kind, which is how nftables will hold it.

    before   (oifname . ip6 daddr & ff00:: in @a) or (oifname . ip6 daddr & ffff:ffff:: in @b)   drop
    after    oifname . ip6 daddr & ff00:: @a drop
             oifname . ip6 daddr & ffff:ffff:: @b drop

nftables has no "or" in a rule, so this costs nothing. Passes that join what rules ask see the rules that will stand there,
and make of them what they would make of the printed text: else another run would.

Why it is safe: the printer parts rules in the same way (`ir/expand.py`). Copies of a rule that goes on, or that is charged, are
for different packets, so that nothing is done twice; what they count is one object, which then has a name.

It declines where that would be too many rules, for the printer to refuse, and for what counts in a way that several rules
cannot share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.expand import TooManyCopies, expand, needs_copies, settled_by
from fwtrans.ir.stateful import Limit, Quota, Random, StatefulTest
from fwtrans.ir.walk import flat_steps, tracks_early
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table


def with_alternatives_apart(table: Table) -> Table:
    """Return the table with one rule for each kind of packets."""
    if not any(needs_copies(step) for chain in table.chains for rule in chain.rules for step in rule.steps):
        return table
    settled = settled_by(table.family, conntrack=tracks_early(table))
    chains = tuple(
        with_rules(chain, tuple(each for rule in chain.rules for each in _apart(rule, settled)))
        for chain in table.chains
    )
    return replace(table, chains=chains)


def _apart(rule: Rule, settled: Mapping[Field, ValueSet]) -> tuple[Rule, ...]:
    if not any(map(needs_copies, rule.steps)) or not all(map(_can_be_shared, flat_steps(rule.steps))):
        return (rule,)
    try:
        found = expand(rule, settled)
    except TooManyCopies:
        return (rule,)
    # what has been counted is told once
    return tuple(
        replace(rule, steps=steps, verdict=verdict, counters=None if number else rule.counters)
        for number, (steps, verdict) in enumerate(found)
    )


def _can_be_shared(step: Step) -> bool:
    """Tell whether several rules can ask for what a step counts."""
    return not isinstance(step, StatefulTest) or bool(step.key) or isinstance(step.object.kind, (Limit, Quota, Random))


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: with_alternatives_apart(table)))


PASS = Pass("alternatives", "say a rule for packets of several kinds as the rules that nftables holds it in", _run)
