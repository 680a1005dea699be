"""Sets that others fill while the ruleset is loaded: nothing may rest on what is in them today.

    ipset f2b-sshd, empty when the dump was taken; -m set --match-set f2b-sshd src -j REJECT

With the set's contents known the rule never matches, and would be left out: whoever puts an address into the set later
would wait for nothing. So passes see these sets as those that rules themselves change, of which nothing is known, and
only the proof knows the contents. Such sets are all but ours and Proxmox VE's, whose change is a new translation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import AnyOf, MemberTest
from fwtrans.ir.sets import place_among
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.walk import flat_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedSet


def live_sets(ruleset: Ruleset) -> frozenset[str]:
    """Return the names of the sets that others may change, and rules do not."""
    found = {item.name for table in ruleset.tables for item in table.sets if item.is_live}
    return frozenset(found - {item.name for table in ruleset.tables for item in table.sets if item.dynamic})


def held(ruleset: Ruleset, names: frozenset[str]) -> Ruleset:
    """Return the ruleset in which nothing is known of what is in these sets."""
    return _marked(ruleset, lambda item: item.name in names, held=True) if names else ruleset


def released(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset in which held sets are again what they were, whatever they are called by now."""
    return _marked(ruleset, lambda item: item.held, held=False)


def with_all_sets(ruleset: Ruleset, original: Ruleset) -> Ruleset:
    """Return the ruleset with the sets that no rule asks any more: a program that fills one must find it.

    A set that holds a limit for each key is one with its rules, and is printed with them.
    """
    before = {(table.family, table.name): table for table in original.tables}

    def table_of(table: Table) -> Table:
        written = before.get((table.family, table.name))
        known = {item.name for item in table.sets}
        known |= {name.rpartition("/")[2] for name in _buckets(original)}
        gone = tuple(item for item in (written.sets if written else ()) if item.is_live and item.name not in known)
        return (
            replace(table, sets=tuple(sorted((*gone, *table.sets), key=place_among(written.sets))))
            if gone and written
            else table
        )

    return replace(ruleset, tables=tuple(map(table_of, ruleset.tables)))


def _buckets(ruleset: Ruleset) -> Iterator[str]:
    """Yield the identities of what rules count in; that of a set's entries ends with the set's name."""
    for table in ruleset.tables:
        for chain in table.chains:
            for rule in chain.rules:
                yield from (step.object.identity for step in flat_steps(rule.steps) if isinstance(step, StatefulTest))


def _marked(ruleset: Ruleset, chosen: Callable[[NamedSet], bool], *, held: bool) -> Ruleset:
    def table_of(table: Table) -> Table:
        names = frozenset(item.name for item in table.sets if chosen(item))
        if not names:
            return table
        sets = tuple(replace(item, dynamic=held, held=held) if item.name in names else item for item in table.sets)
        chains = tuple(
            replace(chain, rules=tuple(_asking(rule, names, held) for rule in chain.rules)) for chain in table.chains
        )
        return replace(table, sets=sets, chains=chains)

    return replace(ruleset, tables=tuple(map(table_of, ruleset.tables)))


def _asking(rule: Rule, names: frozenset[str], dynamic: bool) -> Rule:
    def step_of(step: Step) -> Step:
        if isinstance(step, MemberTest) and step.set_name in names:
            return replace(step, dynamic=dynamic)
        if isinstance(step, AnyOf):
            branches = tuple(tuple(map(step_of, branch)) for branch in step.branches)
            return replace(step, branches=branches) if branches != step.branches else step  # type: ignore[arg-type] # tests stay tests
        return step

    steps = tuple(map(step_of, rule.steps))
    return rule if all(map(_same, steps, rule.steps)) else replace(rule, steps=steps)


def _same(first: object, second: object) -> bool:
    return first is second
