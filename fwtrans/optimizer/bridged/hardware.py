"""The hardware address of each guest's card, as the guest's own rules say it.

PVE's MAC filter drops what a guest sends from another address than its own (`-m mac ! --mac-source X -j DROP`), so the
address can be read off a dump. Without the filter only the guest's configuration knows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.verdict import Drop, Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table

_PORTS = (known.PORT_IN, known.IIFNAME)


def hardware_addresses(ruleset: Ruleset) -> Mapping[str, int]:
    """Return the address of each port whose chain drops what comes from any other."""
    return {port: address for table in ruleset.tables for port, address in _of_table(table)}


def _of_table(table: Table) -> Iterator[tuple[str, int]]:
    filtered = {chain.name: _only_sender(chain.rules) for chain in table.chains}
    for chain in table.chains:
        for rule in chain.rules:
            if isinstance(rule.verdict, (Jump, Goto)):
                address = filtered.get(rule.verdict.chain)
                if address is not None:
                    yield from ((port, address) for port in _ports(rule))


def _only_sender(rules: tuple[Rule, ...]) -> int | None:
    for rule in rules:
        if isinstance(rule.verdict, Drop) and len(rule.steps) == 1:
            (step,) = rule.steps
            if isinstance(step, FieldTest) and step.field is known.ETHER_SADDR and isinstance(step.values, IntervalSet):
                return step.values.complement().only
    return None


def _ports(rule: Rule) -> Iterator[str]:
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field in _PORTS and isinstance(step.values, NameSet):
            yield from (
                pattern.text
                for pattern, inside in step.values.entries
                if inside and not pattern.is_prefix and not step.values.by_default
            )
