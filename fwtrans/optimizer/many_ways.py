"""Elements of a map that all lead one way become a set where the kernel would follow them for too long.

    before   ether type . iifname vmap @iif-entry         200 guests of a class : goto class-a, 5 : goto class-b
    after    ether type . iifname @iif-entry-class-a goto class-a; ether type . iifname vmap @iif-entry

Why it is safe: a key in the set is one that had this verdict, and no other one has it. What comes back from a jump does not
find the map's other keys.

What it is for: see `followed.py`. What is behind the class is followed once, and not once for each guest of it. A packet of
another class passes one rule more, so it is done only in tables that would be followed long, one verdict after the other,
and only where it saves much. So that one more guest of a kind is one more element and no rule, it is asked first how long a
table would be followed if each guest that has a twin had many, a thousand together where nearly all have one (`twins.py`);
how many there are counts where a table is still followed for too long after that.

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
from fwtrans.optimizer.twins import counted_with_twins, weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap

MANY = 8
"""Fewer elements of one verdict stay in their map."""
# What one rule more has to spare the kernel: a part of all that it follows, and more of what is only taken to be there.
_LEAST_SPARED = 0.02
_LEAST_SPARED_BY_TWINS = 0.2
# Of each kind so many guests at least are taken to be, wherever there are two; and how much longer than the limit the kernel may
# follow them where not nearly all have twins.
_LEAST_TWINS = 20
_TWINS_LONGER = 5


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
    found: tuple[NamedMap, Jump | Goto] | None = None
    if any(map(_is_of_guests, table.maps)):
        ways = Ways(table, counted=counted_with_twins(table, _LEAST_TWINS))
        longer, least = (1, _LEAST_SPARED) if weights(table) else (_TWINS_LONGER, _LEAST_SPARED_BY_TWINS)
        if ways.all > longer * MOST_FOLLOWED:
            found = _most_spared(table, ways, 2, least)
    if found is None and (ways := Ways(table)).all > MOST_FOLLOWED:
        found = _most_spared(table, ways, MANY, _LEAST_SPARED)
    return table if found is None else _with_set(table, *found)


def _most_spared(table: Table, ways: Ways, fewest: int, least: float) -> tuple[NamedMap, Jump | Goto] | None:
    """Return the verdict, and its map, that spares the kernel most as a set, where that is enough."""
    best, most = None, least * ways.all
    for item, times in _visited(table, ways):
        there = dict(verdicts_of(item))
        for verdict, count in ways.verdicts_of(item):
            spared = times * (count - 1) * ways.behind(verdict)
            if there[verdict] >= fewest and spared > most:
                best, most = (item, verdict), spared
    return best


def _visited(table: Table, ways: Ways) -> Iterator[tuple[NamedMap, int]]:
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
                for led, count in ways.verdicts_of(maps[verdict.map_name]):
                    times[led.chain] += count * times[chain.name]
            elif isinstance(verdict, (Jump, Goto)):
                times[verdict.chain] += times[chain.name]
    for name, count in looked_up.items():
        if name not in fixed and _is_of_guests(maps[name]):
            yield maps[name], count


def _is_of_guests(item: NamedMap) -> bool:
    is_own = is_made(item.name) or is_entry(item.name) or item.name.endswith(MADE)
    return is_own and L4PROTO not in item.fields


def _with_set(table: Table, item: NamedMap, verdict: Jump | Goto) -> Table:
    """Return the table with this verdict's elements as a set that is asked in front of the map."""
    elements = tuple(Element(one.key) for one in item.elements if one.value == verdict)
    made = NamedSet(Names(table).new(item.name, verdict.chain), item.fields, elements)
    rest = replace(item, elements=tuple(one for one in item.elements if one.value != verdict))
    maps = tuple(rest if one.name == item.name else one for one in table.maps)
    chains = tuple(
        with_rules(chain, tuple(one for rule in chain.rules for one in _asking(rule, rest, verdict, made)))
        for chain in table.chains
    )
    return replace(
        table,
        chains=chains,
        sets=(*table.sets, made),
        maps=maps if rest.elements else tuple(one for one in maps if one.name != item.name),
    )


def _asking(rule: Rule, rest: NamedMap, verdict: Jump | Goto, made: NamedSet) -> Iterator[Rule]:
    """Yield the rule that asks the set, and then what is left of the map."""
    asked = rule.verdict
    if not isinstance(asked, Dispatch) or asked.map_name != rest.name:
        yield rule
        return
    yield replace(rule, steps=(*rule.steps, MemberTest(asked.key, made.name)), verdict=verdict)
    if rest.elements:
        yield rule
