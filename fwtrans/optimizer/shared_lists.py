"""Lists that very many rules ask for become named sets, which all of them share.

    before   ip saddr { 0.0.0.0-172.16.1.254, 172.16.2.0-192.0.2.65 } drop          in 690 rules of 140 chains
    after    ip saddr @ip.saddr-list drop

The kernel makes a set of its own of each list in a rule. For its name it comes by all sets of the table, and so does each rule
that names a set; and for a rule that is taken out or put in front of another, nft reads the elements of them all. So a table
takes longer to load and to change by the square of such lists. A set that rules share is there once.

Why it is safe: the set holds what the list does, and a packet without the field is in neither. It costs packets nothing: a list
is a set for the kernel, too, and is looked up in the same way.

It declines where fewer than a hundred rules ask: then names say less than the values where they are read. Run it late: passes
know a list better than a set that somebody may change.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import IP6_DADDR, IP6_SADDR, IP_DADDR, IP_SADDR, TCP_FLAGS
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table

FEWEST = 100
"""So many rules ask for a list that becomes a set."""
_FIELDS = frozenset({IP_SADDR, IP_DADDR, IP6_SADDR, IP6_DADDR, TCP_FLAGS})


class _List(NamedTuple):
    """What is asked: a key, the elements of the set, and whether the key has to be one of them."""

    part: KeyPart
    elements: tuple[Interval, ...]
    inside: bool


def with_shared_lists(table: Table) -> Table:
    """Return the table with lists that very many rules ask for in named sets."""
    asked = Counter(step for chain in table.chains for rule in chain.rules for step in rule.steps if _may_be_long(step))
    found = {step: _list_of(step) for step, count in asked.items() if count >= FEWEST}
    names = Names(table)
    made: dict[tuple[KeyPart, tuple[Interval, ...]], str] = {}
    tests: dict[Step, MemberTest] = {}
    for step, wanted in found.items():
        if wanted is not None:
            content = wanted.part, wanted.elements
            name = made.get(content) or made.setdefault(content, names.new(wanted.part.field.name, "list"))
            tests[step] = MemberTest((wanted.part,), name, inside=wanted.inside)
    if not tests:
        return table
    chains = tuple(with_rules(chain, tuple(_asking(rule, tests.get) for rule in chain.rules)) for chain in table.chains)
    sets = tuple(
        NamedSet(name, (part.field,), tuple(Element((one,)) for one in elements))
        for (part, elements), name in made.items()
    )
    return replace(table, chains=chains, sets=(*table.sets, *sets))


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with lists that very many rules ask for in named sets."""
    return each_table(ruleset, lambda table, _declined: with_shared_lists(table))


PASS = Pass("shared-lists", "lists that very many rules ask for become named sets that they share", run)


def _may_be_long(step: Step) -> bool:
    return isinstance(step, FieldTest) and step.field in _FIELDS


def _list_of(step: Step) -> _List | None:
    """Return the list as which a test is printed, None where it is one value, one range, or all but one."""
    if not isinstance(step, FieldTest):
        return None
    values = step.values
    if isinstance(values, IntervalSet):
        others = values.complement()
        inside = len(values.ranges) <= len(others.ranges)
        elements = (values if inside else others).ranges
        return _List(KeyPart(step.field), elements, inside) if len(elements) > 1 else None
    if isinstance(values, BitSet) and len(values.cubes) > 1 and len(values.complement().cubes) > 1:
        listed = values.listed
        if listed is not None:
            return _List(KeyPart(step.field, listed[0]), tuple((one, one) for one in listed[1]), inside=True)
    return None


def _asking(rule: Rule, shared: Callable[[Step], MemberTest | None]) -> Rule:
    """Return a rule that asks the sets."""
    steps = tuple(shared(step) or step for step in rule.steps)
    return rule if steps == rule.steps else replace(rule, steps=steps)
