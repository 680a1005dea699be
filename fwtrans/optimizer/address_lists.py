"""Lists of hardware addresses to which frames go become named sets, so that one more guest is one more element and no other rule.

    before   ether type ip6 ether daddr { bc:24:11:a7:35:6c, bc:24:11:00:01:02, bc:24:11:00:01:03 } jump reject-v6
    after    ether type ip6 ether daddr @addresses jump reject-v6

Guests of whom nobody knows yet by which port frames will leave to them are known by these addresses. It costs nothing: nft
makes a set of such a list anyway, and one of single addresses is a hash.

It declines for fewer than three addresses, and for ranges that are too large for a list of guests. Run it last: what becomes
of rules that lead to chains is seen more easily while the addresses stand in them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import ETHER_DADDR, ETHER_SADDR
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.names import Names

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset, Table

_FEWEST, _MOST = 3, 4096


def name_address_lists(table: Table) -> Table:
    """Return the table with its lists of hardware addresses in named sets."""
    naming = _Naming(table)
    chains = tuple(with_rules(chain, tuple(map(naming.rule, chain.rules))) for chain in table.chains)
    return replace(table, chains=chains, sets=(*table.sets, *naming.sets())) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its lists of hardware addresses in named sets."""
    return each_table(ruleset, lambda table, _declined: name_address_lists(table))


PASS = Pass("address-lists", "lists of hardware addresses become named sets", run)


class _Naming:
    def __init__(self, table: Table) -> None:
        self._names = Names(table)
        self._made: dict[IntervalSet, str] = {}

    def rule(self, rule: Rule) -> Rule:
        """Return a rule that asks named sets for the addresses by which it leads on."""
        if not isinstance(rule.verdict, (Jump, Goto)):
            return rule
        steps = tuple(map(self._step, rule.steps))
        return rule if steps == rule.steps else replace(rule, steps=steps)

    def _step(self, step: Step) -> Step:
        if not isinstance(step, FieldTest) or step.field is not ETHER_DADDR:
            return step
        values = step.values
        if not isinstance(values, IntervalSet) or not _FEWEST <= values.size <= _MOST:
            return step
        if values not in self._made:
            self._made[values] = self._names.new("addresses")
        return MemberTest((KeyPart(ETHER_DADDR),), self._made[values], inside=True)

    def sets(self) -> tuple[NamedSet, ...]:
        """Return the sets that were not there before."""
        return tuple(
            NamedSet(
                name,
                (ETHER_SADDR,),
                tuple(Element(((one, one),)) for low, high in values.ranges for one in range(low, high + 1)),
            )
            for values, name in self._made.items()
        )
