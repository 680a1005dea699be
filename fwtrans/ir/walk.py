"""Walks over rules: what a rule names. One place for it, so that a new kind of step is added here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import Assign, AssignFromMap, Nat, SetHelper, SetTimeoutPolicy, SetUpdate
from fwtrans.ir.fields import Family
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.remembering import once
from fwtrans.ir.stateful import ConnectionCount, StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Jump, SynProxy

# NF_IP_PRI_CONNTRACK: a bridge puts fragments together there, where the IP families have done it before.
_BRIDGE_CONNTRACK = -200

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import NamedMap


def flat_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield every step, those inside any-of branches too; the any-of itself is not yielded."""
    for step in steps:
        if isinstance(step, AnyOf):
            for branch in step.branches:
                yield from flat_steps(branch)
        else:
            yield step


@once
def set_names(rule: Rule) -> tuple[str, ...]:
    """Return the names of sets that the rule reads or changes."""
    return tuple(step.set_name for step in flat_steps(rule.steps) if isinstance(step, (MemberTest, SetUpdate)))


@once
def map_names(rule: Rule) -> tuple[str, ...]:
    """Return the names of maps that the rule reads."""
    found = [
        step.map_name
        for step in rule.steps
        if isinstance(step, (AssignFromMap, StatefulFromMap)) or (isinstance(step, Nat) and step.map_name)
    ]
    if isinstance(rule.verdict, Dispatch):
        found.append(rule.verdict.map_name)
    return tuple(found)


@once
def names_of_chain(chain: Chain) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of sets, and those of maps, that the chain's rules name."""
    sets = frozenset(name for rule in chain.rules for name in set_names(rule))
    return sets, frozenset(name for rule in chain.rules for name in map_names(rule))


@once
def chain_ways(chain: Chain) -> tuple[tuple[str, bool], ...]:
    """Return the chains, and the verdict maps (True), that the chain's rules lead to, one for each rule, in order."""
    found: list[tuple[str, bool]] = []
    for rule in chain.rules:
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)):
            found.append((verdict.chain, False))
        elif isinstance(verdict, Dispatch):
            found.append((verdict.map_name, True))
    return tuple(found)


def fields_read(rule: Rule) -> Iterator[Field]:
    """Yield every field that the rule's tests and keys look at."""
    yield from fields_of(rule.steps)
    if isinstance(rule.verdict, Dispatch):
        yield from (part.field for part in rule.verdict.key)


def fields_of(steps: Iterable[Step]) -> Iterator[Field]:
    """Yield every field that steps look at."""
    for step in flat_steps(steps):
        if isinstance(step, FieldTest):
            yield step.field
        elif isinstance(step, (MemberTest, SetUpdate, AssignFromMap, StatefulTest, StatefulFromMap)):
            yield from (part.field for part in step.key)
        elif isinstance(step, Assign) and step.source is not None:
            yield step.source.field


def uses_conntrack(rule: Rule) -> bool:
    """Tell whether the rule makes the kernel track connections, and so put fragments together before filtering."""
    if isinstance(rule.verdict, SynProxy):
        return True
    for step in flat_steps(rule.steps):
        if isinstance(step, (Nat, SetHelper, SetTimeoutPolicy)):
            return True
        if isinstance(step, StatefulTest) and isinstance(step.object.kind, ConnectionCount):
            return True
        if isinstance(step, Assign) and step.field.spelling[0] == "ct":
            return True
    return any(field.spelling[0] == "ct" for field in fields_read(rule))


def chain_targets(chain: Chain) -> Iterator[str]:
    """Yield the chains that the chain's rules jump or go to by themselves; those behind maps are `map_targets`."""
    for rule in chain.rules:
        if isinstance(rule.verdict, (Jump, Goto)):
            yield rule.verdict.chain


def map_targets(table: Table, name: str) -> Iterator[str]:
    """Yield the chains that a verdict map leads to."""
    for found in table.maps:
        if found.name == name:
            yield from targets_of(found)


@once
def targets_of(mapping: NamedMap) -> tuple[str, ...]:
    """Return the chains that the elements of a verdict map lead to, in their order."""
    return tuple(element.value.chain for element in mapping.elements if isinstance(element.value, (Jump, Goto)))


def tracks_early(table: Table) -> bool:
    """Tell whether the table makes the kernel put fragments together before any of its rules sees them."""
    tracked = any(uses_conntrack(rule) for chain in table.chains for rule in chain.rules)
    early = any(chain.base.priority <= _BRIDGE_CONNTRACK for chain in table.chains if chain.base is not None)
    return tracked and not (table.family is Family.BRIDGE and early)
