"""Verdict maps of ports that hold one verdict become sets, and the verdict stands in the rule.

Before:  iifname vmap @out-ports     out-ports: { "tap101i0" : jump wrong-address, "tap102i0" : jump wrong-address }
After:   iifname @ports jump wrong-address

Why it is safe: a key that is in the map has that verdict, and another one goes on, as it did. It is one look-up still.

What it is for: the kernel follows each element of a verdict map that leads to a chain, and what that chain leads to, once
for every way there (before Linux 6.19 without remembering any), whenever an element or a rule of the table changes. A set's
elements lead nowhere. They are also half as long for nft to read. Where a set that was made holds the same, it is asked.

It declines for maps that do not have the name of those that port_dispatch.py makes: people may put other verdicts into
theirs. It comes last, because a map tells more to the other passes: behind it the port is known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import MemberTest
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.ir.verdict import Dispatch
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.port_context import PORT_FIELDS
from fwtrans.optimizer.port_dispatch import MADE

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

_FEWEST = 3
"""Maps with fewer elements are printed in the rule that asks them."""


def without_single_verdicts(table: Table) -> Table:
    """Return the table with sets in place of its maps of ports that hold one verdict."""
    verdicts = {item.name: item.elements[0].value for item in table.maps if _has_one_verdict(item)}
    if not verdicts:
        return table
    known: dict[Hashable, str] = {(item.fields, _keys(item)): item.name for item in table.sets if _is_made(item)}
    names: dict[str, str] = {}
    sets: list[NamedSet] = []
    for item in table.maps:
        if item.name in verdicts:
            content = item.fields, _keys(item)
            if content not in known:
                known[content] = item.name
                sets.append(NamedSet(item.name, item.fields, tuple(Element(one.key) for one in item.elements)))
            names[item.name] = known[content]
    chains = tuple(
        replace(chain, rules=tuple(_asking(rule, names, verdicts) for rule in chain.rules))  # type: ignore[arg-type] # verdicts
        if any(isinstance(rule.verdict, Dispatch) and rule.verdict.map_name in names for rule in chain.rules)
        else chain
        for chain in table.chains
    )
    maps = tuple(item for item in table.maps if item.name not in names)
    return replace(table, chains=chains, maps=maps, sets=(*table.sets, *sets))


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its maps of ports that hold one verdict as sets."""
    return each_table(ruleset, lambda table, _declined: without_single_verdicts(table))


PASS = Pass("single-verdicts", "maps of ports with one verdict become sets, and the verdict stands in the rule", run)


def _has_one_verdict(item: NamedMap) -> bool:
    return (
        item.value == "verdict"
        and item.name.endswith(MADE)
        and item.fields[0] in PORT_FIELDS
        and len(item.elements) >= _FEWEST
        and all(element.value == item.elements[0].value for element in item.elements)
    )


def _is_made(item: NamedSet) -> bool:
    plain = not (item.dynamic or item.timeout or item.has_counters or item.comment)
    return item.origin is None and plain and all(element == Element(element.key) for element in item.elements)


def _keys(item: NamedSet | NamedMap) -> frozenset[Hashable]:
    return frozenset(element.key for element in item.elements)


def _asking(rule: Rule, names: Mapping[str, str], verdicts: Mapping[str, Verdict]) -> Rule:
    """Return a rule that asks the set, where it asked the map."""
    if not isinstance(rule.verdict, Dispatch) or rule.verdict.map_name not in names:
        return rule
    asked = rule.verdict
    test = MemberTest(asked.key, names[asked.map_name])
    return replace(rule, steps=(*rule.steps, test), verdict=verdicts[asked.map_name])
