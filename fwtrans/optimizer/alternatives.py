"""A rule that decides for packets of several kinds becomes one rule for each kind, which is how nftables will hold it.

    before   (oifname . ip6 daddr & ff00:: in @a) or (oifname . ip6 daddr & ffff:ffff:: in @b)   drop
    after    oifname . ip6 daddr & ff00:: @a drop
             oifname . ip6 daddr & ffff:ffff:: @b drop

nftables has no "or" in a rule, so this costs nothing. Passes behind it see the rules that will stand there, and make of
them what they would make of the printed text.

Why it is safe: each packet leaves at the first of the rules that it meets, and all of them do the same.

It declines where a rule does more than ask and leave the chain: done twice, that would be another ruleset.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import AnyOf
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import TERMINAL, Goto, Return
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table

_LEAVES = (*TERMINAL, Return, Goto)
# More kinds than these make a rule longer than they help; the printer writes them one by one all the same.
_MOST = 16


def with_alternatives_apart(table: Table) -> Table:
    """Return the table with one rule for each alternative of those that decide."""
    chains = tuple(
        with_rules(chain, tuple(each for rule in chain.rules for each in _apart(rule))) for chain in table.chains
    )
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with alternatives as rules of their own."""
    return each_table(ruleset, lambda table, _declined: with_alternatives_apart(table))


PASS = Pass("alternatives", "a rule for packets of several kinds becomes one for each, as nftables holds it", run)


def _apart(rule: Rule) -> tuple[Rule, ...]:
    if not any(isinstance(step, AnyOf) for step in rule.steps):
        return (rule,)
    if not isinstance(rule.verdict, _LEAVES) or not all(map(is_pure, rule.steps)):
        return (rule,)
    found = tuple(_each(rule))
    return found if len(found) <= _MOST else (rule,)


def _each(rule: Rule) -> Iterator[Rule]:
    for place, step in enumerate(rule.steps):
        if isinstance(step, AnyOf):
            for branch in step.branches:
                yield from _each(replace(rule, steps=(*rule.steps[:place], *branch, *rule.steps[place + 1 :])))
            return
    yield rule
