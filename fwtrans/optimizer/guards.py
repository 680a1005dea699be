"""Rulesets that ask for a whole transport header in front of every port, as `translate` writes them where nothing is tracked.

    @th,0,24 >= 0 tcp dport 22 accept        has.transport, l4proto tcp, th.dport 22        becomes   l4proto tcp, th.dport 22

Passes know that a port needs its header; the printer says it again. Without that, what a rule asks for by itself would hide
it from passes that look for lists of ports, and one that knows it from the way would take a later fragment's bytes for one.

It declines where one rule does not ask: its author has written what nftables does without the question.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import HAS_TRANSPORT
from fwtrans.ir.match import present
from fwtrans.ir.verdict import Dispatch
from fwtrans.ir.walk import fields_of, flat_steps
from fwtrans.optimizer.as_read import without_presence
from fwtrans.optimizer.base import with_rules

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table

_GUARD = present(HAS_TRANSPORT)


def guards_ports(table: Table) -> bool:
    """Tell whether every rule that asks for a port, or another part of a transport header, asks for the header first."""
    return all(_guards(rule) for chain in table.chains for rule in chain.rules)


def without_guards(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset without tests for a header in rules that ask for a part of it."""
    tables = (
        replace(
            table,
            chains=tuple(
                with_rules(chain, tuple(without_presence(rule, whole=True) for rule in chain.rules))
                for chain in table.chains
            ),
        )
        for table in ruleset.tables
    )
    return replace(ruleset, tables=tuple(tables))


def _guards(rule: Rule) -> bool:
    for step in flat_steps(rule.steps):
        if step == _GUARD:
            return True
        if any(map(_needs_header, fields_of((step,)))):
            return False
    return not (isinstance(rule.verdict, Dispatch) and any(_needs_header(part.field) for part in rule.verdict.key))


def _needs_header(field: Field) -> bool:
    return (HAS_TRANSPORT.name, 1) in field.requires
