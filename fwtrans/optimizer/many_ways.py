"""Elements of a map that all lead one way become a set where the kernel would follow them for too long.

    before   ether type . iifname vmap @iif-entry         200 guests of a class : goto class-a, 5 : goto class-b
    after    ether type . iifname @iif-entry-class-a goto class-a; ether type . iifname vmap @iif-entry

Why it is safe: a key in the set is one that had this verdict, and no other one has it. What comes back from a jump does not
find the map's other keys.

What it is for: see `followed.py`. What is behind the class is followed once, and not once for each guest of it. A packet of
another class passes one rule more, so it is done only in tables that would be followed long, and only where it saves much.

It declines for maps that passes did not make, for those of services, which `short_ways.py` completes, and in rules that do
something before they look up. It runs when all others have done what they can, because a map tells them more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import L4PROTO
from fwtrans.ir.match import MemberTest
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import is_pure
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table, until_it_stays, with_rules
from fwtrans.optimizer.followed import MOST_FOLLOWED, Ways, verdicts_of
from fwtrans.optimizer.names import Names, is_made
from fwtrans.optimizer.port_dispatch import MADE
from fwtrans.optimizer.port_key import is_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap

MANY = 8
"""Fewer elements of one verdict stay in their map."""
# What one rule more has to spare the kernel: a part of all that it follows.
_LEAST_SPARED = 0.02

_Parted = dict[str, list[tuple[Jump | Goto, NamedSet]]]


def with_few_ways(table: Table) -> Table:
    """Return the table with elements of one verdict as sets where there are too many ways."""
    return until_it_stays(_once, table)


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with elements of one verdict as sets where there are too many ways."""
    return each_table(ruleset, lambda table, _declined: with_few_ways(table))


PASS = Pass(
    "many-ways", "elements of a map that lead one way are a set where the kernel would follow them for too long", run
)


def _once(table: Table) -> Table:
    ways = Ways(table)
    if ways.all <= MOST_FOLLOWED:
        return table
    names, parted = Names(table), _Parted()
    for item, times in _visited(table):
        for verdict, count in verdicts_of(item):
            spared = times * (count - 1) * ways.behind(verdict)
            if count >= MANY and spared >= _LEAST_SPARED * ways.all:
                elements = tuple(Element(one.key) for one in item.elements if one.value == verdict)
                made = NamedSet(names.new(item.name, verdict.chain), item.fields, elements)
                parted.setdefault(item.name, []).append((verdict, made))
    return _with_sets(table, parted) if parted else table


def _visited(table: Table) -> Iterator[tuple[NamedMap, int]]:
    """Yield the maps that may be parted, and how often the kernel comes by each."""
    maps = {item.name: item for item in table.maps}
    bases = [chain.name for chain in table.chains if chain.base is not None]
    times = Counter(bases)
    looked_up: Counter[str] = Counter()
    fixed: set[str] = set()
    for chain in callees_last(table, bases):
        for rule in chain.rules:
            verdict = rule.verdict
            if isinstance(verdict, Dispatch):
                looked_up[verdict.map_name] += times[chain.name]
                if not all(map(is_pure, rule.steps)):
                    fixed.add(verdict.map_name)
                for led, count in verdicts_of(maps[verdict.map_name]):
                    times[led.chain] += count * times[chain.name]
            elif isinstance(verdict, (Jump, Goto)):
                times[verdict.chain] += times[chain.name]
    for name, count in looked_up.items():
        if name not in fixed and _is_of_guests(maps[name]):
            yield maps[name], count


def _is_of_guests(item: NamedMap) -> bool:
    is_own = is_made(item.name) or is_entry(item.name) or item.name.endswith(MADE)
    return is_own and L4PROTO not in item.fields


def _with_sets(table: Table, parted: _Parted) -> Table:
    gone = {name: {verdict for verdict, _ in found} for name, found in parted.items()}
    maps = {
        item.name: replace(
            item, elements=tuple(one for one in item.elements if one.value not in gone.get(item.name, ()))
        )
        if item.name in gone
        else item
        for item in table.maps
    }
    empty = {name for name in gone if not maps[name].elements}
    chains = tuple(
        with_rules(chain, tuple(one for rule in chain.rules for one in _asking(rule, parted, empty)))
        for chain in table.chains
    )
    return replace(
        table,
        chains=chains,
        sets=(*table.sets, *(made for found in parted.values() for _, made in found)),
        maps=tuple(item for item in maps.values() if item.name not in empty),
    )


def _asking(rule: Rule, parted: _Parted, empty: set[str]) -> Iterator[Rule]:
    """Yield the rules that ask the sets, and then what is left of the map."""
    asked = rule.verdict
    if not isinstance(asked, Dispatch) or asked.map_name not in parted:
        yield rule
        return
    for verdict, made in parted[asked.map_name]:
        yield replace(rule, steps=(*rule.steps, MemberTest(asked.key, made.name)), verdict=verdict)
    if asked.map_name not in empty:
        yield rule
