"""Look-ups that find nothing for any packet that comes to them are left out.

    before   base: meta l4proto vmap { udp : goto a, ... }    a: th sport 546 accept; meta l4proto . th dport vmap { tcp . 43 : goto b }
    after    base: meta l4proto vmap { udp : goto a, ... }    a: th sport 546 accept

Searches by service have such look-ups: what stands behind a guest's rules, like the rejects of all others, is in each leaf.

Why it is safe: what all ways to the rule have asked of one field of the key, none of the map's elements has.

It declines for maps that passes did not make, since programs may fill them, and for fields that are no number or that rules write.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure, pure_front
from fwtrans.ir.verdict import Dispatch
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.facts import decider_of, meet, values_of
from fwtrans.optimizer.known_kinds import known_kinds
from fwtrans.optimizer.names import is_made
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.optimizer.facts import Decider, Facts


def without_missed_maps(table: Table) -> Table:
    """Return the table without look-ups that find nothing."""
    maps = {item.name: item for item in table.maps if item.value == "verdict" and is_made(item.name)}
    bases = [chain.name for chain in table.chains if chain.base is not None]
    if not maps or not bases:
        return table
    kinds, decider = known_kinds(table, whole=False), decider_of(table)

    def left(chain: Chain) -> Chain:
        if not any(isinstance(rule.verdict, Dispatch) for rule in chain.rules):
            return chain
        facts = kinds.of(chain.name)
        return with_rules(chain, tuple(rule for rule in chain.rules if not _misses(rule, facts, maps, decider)))

    found = replace(table, chains=tuple(map(left, table.chains)))
    return reached(found, bases) if found != table else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without look-ups that find nothing."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_missed_maps(table)))


PASS = Pass("missed-maps", "look-ups that find nothing for any packet that comes to them are left out", run)


def _misses(rule: Rule, facts: Facts, maps: Mapping[str, NamedMap], decider: Decider) -> bool:
    look_up = rule.verdict
    if not isinstance(look_up, Dispatch) or look_up.map_name not in maps or not all(map(is_pure, rule.steps)):
        return False
    facts = decider.learn(pure_front(rule), facts)
    for part, values in zip(look_up.key, _dimensions(maps[look_up.map_name]), strict=True):
        fact = facts.get(part.field)
        if values is not None and fact is not None and part.mask is None and meet(fact, values).is_empty:
            return True
    return False


@once
def _dimensions(item: NamedMap) -> tuple[ValueSet | None, ...]:
    """Return what a map's elements ask in each dimension of numbers."""
    return tuple(
        None if field.kind is FieldKind.NAME else values_of({element.key[at] for element in item.elements}, field)
        for at, field in enumerate(item.fields)
    )
