"""Tables of several families become one: chains, sets and maps keep apart by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import AssignFromMap, Nat, SetUpdate
from fwtrans.ir.fields import Family
from fwtrans.ir.match import AnyOf, MemberTest
from fwtrans.ir.ruleset import Table
from fwtrans.ir.stateful import StatefulFromMap
from fwtrans.ir.verdict import Dispatch, Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.sets import MapValue
    from fwtrans.ir.verdict import Verdict

SIGNS = {Family.IP: "v4", Family.IP6: "v6"}
"""What names of a family's sets and chains end with in the bridge's table."""


def merged_tables(tables: Sequence[Table], name: str) -> Table:
    """Return one bridge table; base chains come without their hooks, for the caller to hang up."""
    parts = [_apart(table) for table in tables]
    return Table(
        Family.BRIDGE,
        name,
        tuple(chain for part in parts for chain in part.chains),
        tuple(item for part in parts for item in part.sets),
        tuple(item for part in parts for item in part.maps),
    )


def _apart(table: Table) -> Table:
    """Return a table whose names no other family has: a chain of PVE is called alike in both."""
    sign = SIGNS.get(table.family)
    chains = _with_sign([chain.name for chain in table.chains], sign)
    sets = _with_sign([item.name for item in table.keyed], sign)
    return replace(
        table,
        chains=tuple(
            replace(
                chain,
                name=chains[chain.name],
                base=None,
                rules=tuple(_renamed(rule, chains, sets) for rule in chain.rules),
            )
            for chain in table.chains
        ),
        sets=tuple(replace(item, name=sets[item.name]) for item in table.sets),
        maps=tuple(
            replace(
                item,
                name=sets[item.name],
                elements=tuple(part._replace(value=_value(part.value, chains)) for part in item.elements),
            )
            for item in table.maps
        ),
    )


def _with_sign(names: Sequence[str], sign: str | None) -> dict[str, str]:
    """Return what each is called where it ends with the sign. `a` does not take the name of `a-v4`, if there is one."""
    if sign is None:
        return {name: name for name in names}
    ending = f"-{sign}"
    found = {name: name for name in names if name.endswith(ending)}
    for name in names:
        if name not in found:
            longer = name + ending
            while longer in found.values():
                longer += ending
            found[name] = longer
    return found


def _renamed(rule: Rule, chains: Mapping[str, str], sets: Mapping[str, str]) -> Rule:
    steps = tuple(_step(step, sets) for step in rule.steps)
    return replace(rule, steps=steps, verdict=_verdict(rule.verdict, chains, sets))


def _verdict(verdict: Verdict | None, chains: Mapping[str, str], sets: Mapping[str, str]) -> Verdict | None:
    if isinstance(verdict, (Jump, Goto)):
        return replace(verdict, chain=chains[verdict.chain])
    return replace(verdict, map_name=sets[verdict.map_name]) if isinstance(verdict, Dispatch) else verdict


def _value(value: MapValue, chains: Mapping[str, str]) -> MapValue:
    return replace(value, chain=chains[value.chain]) if isinstance(value, (Jump, Goto)) else value


def _step(step: Step, sets: Mapping[str, str]) -> Step:
    if isinstance(step, AnyOf):
        return AnyOf(tuple(tuple(_test(test, sets) for test in branch) for branch in step.branches))
    if isinstance(step, (MemberTest, SetUpdate)):
        return replace(step, set_name=sets[step.set_name])
    if isinstance(step, (AssignFromMap, StatefulFromMap)) or (isinstance(step, Nat) and step.map_name):
        return replace(step, map_name=sets[step.map_name])
    return step


def _test(test: PureTest, sets: Mapping[str, str]) -> PureTest:
    found: Callable[[PureTest], Step] = lambda part: _step(part, sets)  # noqa: E731
    return found(test)  # type: ignore[return-value]
