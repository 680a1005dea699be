"""A chain that a rule goes to, and that goes on as the rules behind the rule do, is what it does before that.

    before   meta l4proto vmap { ipv6-icmp : goto a }; ip6 saddr @bad drop; accept      a: icmpv6 type 134 drop; ip6 saddr @bad drop; accept
    after    meta l4proto ipv6-icmp icmpv6 type 134 drop; ip6 saddr @bad drop; accept

Searches by service have such leaves where a guest has one rule for a whole protocol.

Why it is safe: a packet that the chain's first rule does not end meets the same rules in both places, and a chain that is
gone to ends where its caller ends. No packet passes a rule more: it asks one where it was sent on, and those that were sent
on pass one less.

It declines for chains and maps that others lead to or ask as well, for chains that do more than one rule before, for maps of several
elements or such as passes did not make, and where both rules have alternatives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import AnyOf, FieldTest
from fwtrans.ir.rule import is_pure, joined_origins
from fwtrans.ir.verdict import Dispatch, Goto
from fwtrans.ir.walk import map_names
from fwtrans.optimizer.base import Pass, Passed, each_table, until_it_stays
from fwtrans.optimizer.keys import values_of
from fwtrans.optimizer.names import is_cut, is_made
from fwtrans.optimizer.reached import all_targets, reached
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap


def without_same_ends(table: Table) -> Table:
    """Return the table with the first rules of chains that go on as their callers do, in the places of the calls."""
    return until_it_stays(_once, table) if any(chain.base is not None for chain in table.chains) else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without chains that go on as their callers do."""
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: without_same_ends(table)))


PASS = Pass("same-ends", "a chain that goes on as its caller does is what it does before that", run)


def _once(table: Table) -> Table:
    maps = {item.name: item for item in table.maps}
    callers = Counter(target for chain in table.chains for target in all_targets(chain, maps))
    uses = Counter(name for chain in table.chains for rule in chain.rules for name in map_names(rule))
    own = {name: item for name, item in maps.items() if uses[name] == 1 and _is_single(item)}
    alone = {chain.name: chain for chain in table.chains if callers[chain.name] == 1}
    for chain in table.chains:
        for at, rule in enumerate(chain.rules):
            asked = _asked(rule, own)
            called = alone.get(asked[1]) if asked is not None else None
            if asked is None or called is None or called.rules[1:] != chain.rules[at + 1 :] or not called.rules:
                continue
            (first, *_), steps = called.rules, asked[0]
            if any(isinstance(step, AnyOf) for step in steps) and any(isinstance(step, AnyOf) for step in first.steps):
                continue
            both = replace(first, steps=(*steps, *first.steps), origins=joined_origins((rule, first)))
            changed = replace(chain, rules=(*chain.rules[:at], both, *chain.rules[at + 1 :]))
            chains = tuple(changed if one is chain else one for one in table.chains)
            return reached(replace(table, chains=chains), [one.name for one in chains if one.base is not None])
    return table


def _is_single(item: NamedMap) -> bool:
    return item.value == "verdict" and len(item.elements) == 1 and is_made(item.name) and not is_cut(item.name)


def _asked(rule: Rule, own: Mapping[str, NamedMap]) -> tuple[tuple[Step, ...], str] | None:
    """Return what a rule that only tests asks of packets that it sends on, and the chain."""
    verdict = rule.verdict
    if not all(map(is_pure, rule.steps)):
        return None
    if isinstance(verdict, Goto):
        return rule.steps, verdict.chain
    if not isinstance(verdict, Dispatch) or verdict.map_name not in own:
        return None
    (element,) = own[verdict.map_name].elements
    if not isinstance(element.value, Goto) or any(part.mask is not None for part in verdict.key):
        return None
    tests = (
        FieldTest(part.field, values_of(part.field, values))
        for part, values in zip(verdict.key, element.key, strict=True)
    )
    return (*rule.steps, *tests), element.value.chain
