"""How big a ruleset is: what the kernel has to hold and the loader to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.walk import flat_steps

if TYPE_CHECKING:
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Ruleset


class Size(NamedTuple):
    """Counts over all tables."""

    rules: int
    chains: int
    sets: int
    maps: int
    elements: int

    @property
    def entries(self) -> int:
        """Return rules and elements together: what growth is measured by."""
        return self.rules + self.elements


def values_in_rules(ruleset: Ruleset) -> int:
    """Return how many values stand in rules beside the first of each test: the kernel holds them in sets without a name."""
    rules = (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules)
    tests = (step.values for rule in rules for step in flat_steps(rule.steps) if isinstance(step, FieldTest))
    return sum(max(_count(values) - 1, 0) for values in tests)


def _count(values: ValueSet) -> int:
    if isinstance(values, IntervalSet):
        return len(values.ranges)
    return len(values.entries) if isinstance(values, NameSet) else len(values.cubes)


def size_of(ruleset: Ruleset) -> Size:
    """Return the size of a ruleset."""
    chains = [chain for table in ruleset.tables for chain in table.chains]
    sets = [item for table in ruleset.tables for item in table.sets]
    maps = [item for table in ruleset.tables for item in table.maps]
    return Size(
        sum(len(chain.rules) for chain in chains),
        len(chains),
        len(sets),
        len(maps),
        sum(len(item.elements) for item in sets) + sum(len(item.elements) for item in maps),
    )
