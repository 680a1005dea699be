"""Changes to a ruleset that must not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, opposite
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain, Ruleset, Table
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return

if TYPE_CHECKING:
    from random import Random

    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import NamedMap


def rewritten(source: Random, ruleset: Ruleset) -> Ruleset:
    """Return another ruleset that does the same."""
    tables = [part for table in ruleset.tables for part in _split_family(source, _table(source, table))]
    return Ruleset(tuple(tables))


def _split_family(source: Random, table: Table) -> list[Table]:
    # sets that rules change, and limits, are one thing for both families
    changing = any(item.dynamic for item in table.sets) or "Stateful" in repr(table)
    if table.family is not Family.INET or changing or source.random() < 0.5:
        return [table]
    return [replace(table, family=Family.IP), replace(table, family=Family.IP6, name=table.name + "six")]


def _table(source: Random, table: Table) -> Table:
    chains: list[Chain] = []
    for chain in table.chains:
        rules: list[Rule] = []
        for number, rule in enumerate(chain.rules):
            alike = _rules(source, rule)
            if source.random() < 0.2 and not any(isinstance(item.verdict, (Return, Goto, Dispatch)) for item in alike):
                name = f"{chain.name}-{number}"
                chains.append(Chain(name, tuple(alike)))
                alike = [Rule((), Jump(name))]
            rules.extend(alike)
        base = chain.base
        if base is not None and not base.accepts and source.random() < 0.5 and not _leaves_early(table):
            rules.append(Rule((), Drop()))
            base = replace(base, accepts=True)
        chains.append(replace(chain, rules=tuple(rules), base=base))
    return replace(table, chains=tuple(chains), maps=tuple(map(_map, table.maps)))


def _map(item: NamedMap) -> NamedMap:
    elements = (
        one._replace(value=_renamed(one.value)) if isinstance(one.value, StatefulTest) else one for one in item.elements
    )
    return replace(item, elements=tuple(elements))


def _renamed(test: StatefulTest) -> StatefulTest:
    return replace(test, object=replace(test.object, identity=f"other {test.object.identity}"))


def _leaves_early(table: Table) -> bool:
    """Tell whether a packet may come to the policy without passing the chain's last rule."""
    return any(isinstance(rule.verdict, (Return, Goto, Dispatch)) for chain in table.chains for rule in chain.rules)


def _rules(source: Random, rule: Rule) -> list[Rule]:
    rule = replace(rule, steps=tuple(_step(source, step) for step in rule.steps))
    pure = all(isinstance(step, (FieldTest, AnyOf)) for step in rule.steps)
    if pure and isinstance(rule.verdict, (Accept, Drop)) and rule.steps:
        first, *rest = rule.steps
        if isinstance(first, AnyOf):
            return [replace(rule, steps=(*branch, *rest)) for branch in first.branches]
        if source.random() < 0.3:
            return [rule, rule]
    return [rule]


def _step(source: Random, step: Step) -> Step:
    if isinstance(step, StatefulTest):
        return _renamed(step)
    if not isinstance(step, FieldTest):
        return step
    if isinstance(step.values, IntervalSet) and step.values.ranges and source.random() < 0.4:
        parts = (IntervalSet(step.values.width, (part,)) for part in step.values.ranges)
        return AnyOf(tuple((FieldTest(step.field, part),) for part in parts))
    if source.random() < 0.2:
        (branches,) = (opposite(AnyOf(opposite(step))),) if opposite(step) else (((step,),),)
        return AnyOf(branches)
    return step
