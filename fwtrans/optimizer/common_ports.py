"""Rules behind one another that ask for the same ports stand in a chain of their own, which is asked for them once.

Before:  chain out { ...; ether type ip iifname @ports jump out-v4; ether type ip6 iifname @ports jump out-v6; }
After:   chain out { ...; iifname @ports jump out-ports; }
         chain out-ports { ether type ip jump out-v4; ether type ip6 jump out-v6; }

A packet that comes by another port passes one rule, with one look-up, and no longer one for each. Why it is safe: the test
has no effect, and nothing in the rules changes what it asks; the tests in front of it in its rule have none either.

It declines where a rule returns or goes to a chain and rules stand behind: from the new chain it would come back to them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.rule import Rule, is_pure, joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Return
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.steps import is_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap

_PORTS = frozenset({known.IIFNAME, known.OIFNAME})
_FEWEST = 2


def with_common_ports(table: Table) -> Table:
    """Return the table with the same ports asked once."""
    names = Names(table)
    maps = {item.name: item for item in table.maps}
    additions = [found for chain in table.chains if (found := _changed(chain, names, maps)) is not None]
    return with_additions(table, additions) if additions else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with the same ports asked once."""
    return each_table(ruleset, lambda table, _declined: with_common_ports(table))


PASS = Pass("common-ports", "rules that ask for the same ports are asked for them once", run)


def _changed(chain: Chain, names: Names, maps: Mapping[str, NamedMap]) -> Addition | None:
    rules: list[Rule] = []
    made: list[Chain] = []
    left = len(chain.rules)
    for test, group in groupby(chain.rules, key=_asked):
        run_of = tuple(group)
        left -= len(run_of)
        if test is None or len(run_of) < _FEWEST or (left and not all(_comes_back(rule, maps) for rule in run_of)):
            rules.extend(run_of)
            continue
        own = Chain(names.new(chain.name, "ports"), tuple(_without(rule, test) for rule in run_of), origin=chain.origin)
        made.append(own)
        origins = joined_origins(run_of)
        rules.append(Rule((test,), Jump(own.name), origins))
    # a chain that would only be called is one already
    if not made or (len(rules) == 1 and chain.base is None):
        return None
    return Addition(replace(chain, rules=tuple(rules)), tuple(made))


def _asked(rule: Rule) -> FieldTest | MemberTest | None:
    """Return the test for one of many ports that nothing but tests stand before."""
    for step in rule.steps:
        if not is_pure(step):
            return None
        if isinstance(step, FieldTest) and step.field in _PORTS and is_set(step):
            return step
        if isinstance(step, MemberTest) and not step.dynamic and {part.field for part in step.key} <= _PORTS:
            return step
    return None


def _without(rule: Rule, test: FieldTest | MemberTest) -> Rule:
    return replace(rule, steps=tuple(step for step in rule.steps if step != test))


def _comes_back(rule: Rule, maps: Mapping[str, NamedMap]) -> bool:
    verdicts: Iterator[object] = iter((rule.verdict,))
    if isinstance(rule.verdict, Dispatch):
        verdicts = (element.value for element in maps[rule.verdict.map_name].elements)
    return not any(isinstance(verdict, (Goto, Return)) for verdict in verdicts)
