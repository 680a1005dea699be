"""Do guests share what is made for them? Where a bridge has one or two, a map for all takes longer than a rule for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import IIFNAME, OIFNAME, Family
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.remembering import once
from fwtrans.ir.sets import keys_of
from fwtrans.ir.walk import flat_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedMap, NamedSet

_PORTS = frozenset((IIFNAME, OIFNAME))
_FEW_GUESTS = 2


@once
def has_many_guests(table: Table) -> bool:
    """Tell whether maps of a bridge's table tell more than two ports apart."""
    if table.family is not Family.BRIDGE:
        return False
    named = (part for item in table.maps for part in keys_of(item, _PORTS) if isinstance(part, NamePattern))
    return len({part.text for part in named}) > _FEW_GUESTS


@once
def has_one_port(table: Table) -> bool:
    """Tell whether a bridge's table names one port and no other: nobody is there to share with.

    What a guest has for its own is a rule's test then. A look-up of one element takes as long as four tests.
    """
    if table.family is not Family.BRIDGE:
        return False
    found: set[NamePattern] = set()
    for pattern in _ports_named(table):
        found.add(pattern)
        if len(found) > 1:
            break
    return len(found) == 1 and not next(iter(found)).is_prefix


def _ports_named(table: Table) -> Iterator[NamePattern]:
    objects: tuple[NamedMap | NamedSet, ...] = (*table.maps, *table.sets)
    for item in objects:
        yield from (part for part in keys_of(item, _PORTS) if isinstance(part, NamePattern))
    rules = (rule for chain in table.chains for rule in chain.rules)
    for step in flat_steps(step for rule in rules for step in rule.steps):
        if isinstance(step, FieldTest) and step.field in _PORTS and isinstance(step.values, NameSet):
            yield from (pattern for pattern, _ in step.values.entries if pattern.text)
