"""Lists of ports that rules ask for become named sets, so that one more guest is one more element and no other rule.

    before   ether type ip iifname { "tap101i0", "tap102i0", "tap103i0" } jump out-v4
    after    ether type ip iifname @ports jump out-v4                          the same list is the same set

It costs nothing: nft makes a set of such a list anyway. It declines for lists of fewer than three, and for patterns: nft looks
names up in a hash where all are exact. Run it behind the passes that look at ports, which read lists more easily than sets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import IIFNAME, OIFNAME
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.names import Names

if TYPE_CHECKING:
    from fwtrans.ir.names import NamePattern
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table

_FEWEST = 3


def name_port_lists(table: Table) -> Table:
    """Return the table with its lists of ports in named sets."""
    naming = _Naming(table)
    chains = tuple(with_rules(chain, tuple(map(naming.rule, chain.rules))) for chain in table.chains)
    sets = naming.sets()
    return replace(table, chains=chains, sets=(*table.sets, *sets)) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its lists of ports in named sets."""
    return each_table(ruleset, lambda table, _declined: name_port_lists(table))


PASS = Pass("port-lists", "lists of ports become named sets", run)


class _Naming:
    def __init__(self, table: Table) -> None:
        self._names = Names(table)
        self._known = {
            tuple(sorted(element.key[0] for element in item.elements)): item.name
            for item in table.sets
            if item.fields == (IIFNAME,) and not item.dynamic and item.timeout is None and not item.has_counters
        }
        self._made: dict[tuple[NamePattern, ...], str] = {}

    def rule(self, rule: Rule) -> Rule:
        """Return a rule that asks named sets for ports."""
        steps = tuple(map(self._step, rule.steps))
        return rule if steps == rule.steps else replace(rule, steps=steps)

    def _step(self, step: Step) -> Step:
        if isinstance(step, AnyOf):
            return AnyOf(tuple(tuple(map(self._step, branch)) for branch in step.branches))  # type: ignore[arg-type] # tests stay tests
        if not isinstance(step, FieldTest) or step.field not in {IIFNAME, OIFNAME}:
            return step
        values = step.values
        assert isinstance(values, NameSet)  # noqa: S101 -- interfaces have names
        listed = values.complement() if values.by_default else values
        patterns = tuple(sorted(listed.patterns))
        if len(patterns) < _FEWEST or listed != NameSet.exact(*(pattern.text for pattern in patterns)):
            return step
        name = self._known.get(patterns) or self._made.get(patterns)
        if name is None:
            name = self._made[patterns] = self._names.new("ports")
        return MemberTest((KeyPart(step.field),), name, inside=not values.by_default)

    def sets(self) -> tuple[NamedSet, ...]:
        """Return the sets that were not there before."""
        return tuple(
            NamedSet(name, (IIFNAME,), tuple(Element((pattern,)) for pattern in patterns))
            for patterns, name in self._made.items()
        )
