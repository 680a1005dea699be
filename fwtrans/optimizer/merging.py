"""Neighbours that ask for the same become one rule: a log and the verdict behind it.

    tcp dport 25 log prefix "x"; tcp dport 25 drop        tcp dport 25 log prefix "x" drop

Why it is safe: a rule that goes on without a verdict lets every packet come to its neighbour, and the same pure tests hold
there as well, unless the first rule has written what they ask for.

It declines where one of them tests more, or has steps that may end it (a limit), for the other would be ended with it,
across effects that write a field that is asked for, and behind one that is several rules in nftables: a write of some bits
of a header, or of a mark with some bits of another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Assign, AssignFromTable
from fwtrans.ir.ending import always_goes_on
from fwtrans.ir.fields import IP6_CLASS, IP_TOS, TCP_FLAGS
from fwtrans.ir.rule import pure_front
from fwtrans.ir.walk import fields_read
from fwtrans.optimizer.as_read import as_asked
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.clauses import touches
from fwtrans.optimizer.state import written_fields

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table


_HEADERS = frozenset({IP_TOS, IP6_CLASS, TCP_FLAGS})


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
    if first.verdict is not None or any(map(_is_several, first.steps)):
        return None
    tests = pure_front(first)
    second = as_asked(second)
    effects = (*first.steps[len(tests) :], *second.steps[len(tests) :])
    if second.steps[: len(tests)] != tests or not all(map(always_goes_on, effects)):
        return None
    written = frozenset(field for step in first.steps for field in written_fields(step))
    asked = fields_read(replace(first, steps=tests))
    if any(touches(field, written) for field in asked):
        return None
    origins = tuple(dict.fromkeys((*first.origins, *second.origins)))
    return replace(second, steps=(*tests, *effects), origins=origins)


def _is_several(step: Step) -> bool:
    """Tell whether nothing can stand behind the step in a rule of nftables, which makes a chain of it."""
    if isinstance(step, Assign):
        return step.keep != 0 and (step.source is not None or step.field in _HEADERS)
    return isinstance(step, AssignFromTable)


def _run(ruleset: Ruleset) -> Passed:
    return each_table(ruleset, lambda table, _declined: with_merged_rules(table))


PASS = Pass("merge-neighbours", "make one rule of a log and the verdict behind it", _run)
