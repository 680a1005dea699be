"""A verdict map of one or two keys becomes rules where these are cheaper than the look-up.

    before   meta l4proto . th dport vmap { tcp . 43 : goto a }        after    tcp dport 43 goto a

Searches by service are made so that guests can share them. What is left of one that nobody shares, or whose leaves say no
more than its end, may be less than a map is worth.

Why it is safe: keys of a map do not overlap, so a packet finds the rule with its key or none, as it found the element.

It declines where the model says that the rules take longer than the look-up, for more rules than the steps of a look-up,
for keys that tell one guest from another (there one more guest is one more element), on bridges with more than two guests
(they may come to share their searches), for maps that passes did not make, for those that a long list became, which was
weighed so that no packet takes more steps, and where a rule does something before it looks up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from fwtrans.ir import fields as known
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Dispatch, Jump
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.few_guests import has_many_guests
from fwtrans.optimizer.keys import values_of
from fwtrans.optimizer.names import is_cut, is_made
from fwtrans.optimizer.reached import with_what_is_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapElement, NamedMap
    from fwtrans.ir.verdict import Verdict

# A rule that looks up takes two steps: itself, and the look-up.
MOST_ELEMENTS = 2
_SERVICES = frozenset((known.L4PROTO, known.SPORT, known.DPORT, known.ICMP_TYPE, known.ICMP6_TYPE))


def with_few_maps(table: Table) -> Table:
    """Return the table with rules in the places of look-ups in very small maps."""
    small = {item.name: item for item in table.maps if _is_small(item)}
    if not small or has_many_guests(table):
        return table
    chains = tuple(_changed(chain, small) for chain in table.chains)
    return with_what_is_named(replace(table, chains=chains)) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with rules in the places of look-ups in very small maps."""
    return each_table(ruleset, lambda table, _declined: with_few_maps(table))


PASS = Pass("small-maps", "a verdict map of one or two keys becomes rules where they are cheaper", run)


def _is_small(item: NamedMap) -> bool:
    if item.value != "verdict" or not 0 < len(item.elements) <= MOST_ELEMENTS:
        return False
    if not is_made(item.name) or is_cut(item.name):
        return False
    if not _SERVICES.issuperset(item.fields) or any(isinstance(element.value, Jump) for element in item.elements[:-1]):
        return False
    is_exact = all(part[0] == part[1] for element in item.elements for part in element.key)
    return are_few(item.fields, len(item.elements), is_exact=is_exact)


def are_few(fields: Sequence[Field], keys: int, *, is_exact: bool = True) -> bool:
    """Tell whether rules for so many keys are cheaper than a look-up."""
    look_up = cost.hash_cost(len(fields)) if is_exact else cost.interval_cost(keys)
    return keys <= MOST_ELEMENTS and keys * sum(map(cost.test_cost, fields)) < look_up


def _changed(chain: Chain, small: Mapping[str, NamedMap]) -> Chain:
    rules = tuple(one for rule in chain.rules for one in _rules(rule, small))
    return replace(chain, rules=rules) if rules != chain.rules else chain


def _rules(rule: Rule, small: Mapping[str, NamedMap]) -> tuple[Rule, ...]:
    verdict = rule.verdict
    if not isinstance(verdict, Dispatch) or verdict.map_name not in small:
        return (rule,)
    if not all(map(is_pure, rule.steps)) or any(part.mask is not None for part in verdict.key):
        return (rule,)
    return rules_in_place(rule, verdict, small[verdict.map_name].elements)


def rules_in_place(rule: Rule, look_up: Dispatch, elements: Sequence[MapElement]) -> tuple[Rule, ...]:
    """Return rules in the place of one that looks up some elements behind its tests."""
    return tuple(_of_element(rule, look_up, element) for element in elements)


def _of_element(rule: Rule, look_up: Dispatch, element: MapElement) -> Rule:
    tests = tuple(
        FieldTest(part.field, values_of(part.field, values))
        for part, values in zip(look_up.key, element.key, strict=True)
    )
    return replace(rule, steps=(*rule.steps, *tests), verdict=cast("Verdict", element.value))
