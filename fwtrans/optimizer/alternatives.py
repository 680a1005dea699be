"""A rule that decides for packets of several kinds becomes one rule for each kind, which is how nftables will hold it.

    before   (oifname . ip6 daddr & ff00:: in @a) or (oifname . ip6 daddr & ffff:ffff:: in @b)   drop
    after    oifname . ip6 daddr & ff00:: @a drop
             oifname . ip6 daddr & ffff:ffff:: @b drop

nftables has no "or" in a rule, so this costs nothing. A pass that joins what rules ask sees the rules that will stand there,
and makes of them what it would make of the printed text.

Why it is safe: each packet leaves at the first of the rules that it meets, and all of them do the same.

It declines where a rule does more than ask and leave the chain: done twice, that would be another ruleset.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import AnyOf
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import TERMINAL, Goto, Return
from fwtrans.optimizer.base import with_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain

_LEAVES = (*TERMINAL, Return, Goto)
# More kinds than these make a rule longer than they help; the printer writes them one by one all the same.
_MOST = 16


def with_alternatives_apart(chain: Chain) -> Chain:
    """Return the chain with one rule for each alternative of those that decide."""
    return with_rules(chain, tuple(each for rule in chain.rules for each in _apart(rule)))


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
