"""Neighbours that ask for the same become one rule: a log and the verdict behind it.

    tcp dport 25 log prefix "x"; tcp dport 25 drop        tcp dport 25 log prefix "x" drop

Why it is safe: a rule that goes on without a verdict lets every packet come to its neighbour, and the same pure tests hold
there as well, unless the first rule has written what they ask for.

It declines where one of them tests more, or has steps that may end it (a limit), for the other would be ended with it, and
across effects that write a field that is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.rule import pure_front
from fwtrans.ir.walk import fields_read
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.clauses import touches
from fwtrans.optimizer.dead import always_goes_on
from fwtrans.optimizer.state import written_fields

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table


def with_merged_rules(table: Table) -> Table:
    """Return the table with neighbours that ask for the same as one rule."""
    chains = tuple(_merged(chain) for chain in table.chains)
    return table if chains == table.chains else replace(table, chains=chains)


def _merged(chain: Chain) -> Chain:
    found: list[Rule] = []
    for rule in chain.rules:
        both = _both(found[-1], rule) if found else None
        if both is None:
            found.append(rule)
        else:
            found[-1] = both
    return chain if len(found) == len(chain.rules) else replace(chain, rules=tuple(found))


def _both(first: Rule, second: Rule) -> Rule | None:
    if first.verdict is not None:
        return None
    tests = pure_front(first)
    effects = (*first.steps[len(tests) :], *second.steps[len(tests) :])
    if second.steps[: len(tests)] != tests or not all(map(always_goes_on, effects)):
        return None
    written = frozenset(field for step in first.steps for field in written_fields(step))
    asked = fields_read(replace(first, steps=tests))
    if any(touches(field, written) for field in asked):
        return None
    origins = tuple(dict.fromkeys((*first.origins, *second.origins)))
    return replace(second, steps=(*tests, *effects), origins=origins)


def _run(ruleset: Ruleset) -> Passed:
    return each_table(ruleset, lambda table, _declined: with_merged_rules(table))


PASS = Pass("merge-neighbours", "make one rule of a log and the verdict behind it", _run)
