"""Which protocols come to a rule: what its own `-p` lets through, of those that every way to its chain lets through.

-A INPUT -p udp -j guard
-A guard -j SET --add-set seen src,dst     ->    all that is added is UDP, though the rule does not say so
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fwtrans.diagnostics import Refused
from fwtrans.ir.intervals import IntervalSet
from fwtrans.lower.general_options import lower_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Family
    from fwtrans.lower.extensions.base import Place
    from fwtrans.parsers.iptables_save.syntax import RuleSyntax, TableSyntax

_ALL = IntervalSet.full(8)
_NONE = IntervalSet.empty(8)


def arriving_protocols(place: Place) -> IntervalSet:
    """Return the protocols of the packets that a rule sees; of a chain that nothing leads to, what the rule says."""
    if place.dump is None or place.shared is None:
        return place.protocols
    key = f"protocols in chains of {place.table}"
    known = place.shared.get(key)
    if known is None:
        table = next(table for table in place.dump.tables if table.name == place.table)
        known = place.shared[key] = _of_chains(table, place.family)
    come = cast("Mapping[str, IntervalSet]", known)[place.chain]
    return place.protocols if come.is_empty else come.intersection(place.protocols)


def _of_chains(table: TableSyntax, family: Family) -> dict[str, IntervalSet]:
    chains = {chain.name: chain for chain in table.chains}
    found = {chain.name: _ALL if chain.policy else _NONE for chain in table.chains}
    waiting = [name for name, protocols in found.items() if not protocols.is_empty]
    while waiting:
        name = waiting.pop()
        for rule in chains[name].rules:
            if rule.target is None or rule.target.name not in chains:
                continue
            before = found[rule.target.name]
            after = before.union(found[name].intersection(_let_through(rule, family)))
            if after != before:
                found[rule.target.name] = after
                waiting.append(rule.target.name)
    return found


def _let_through(rule: RuleSyntax, family: Family) -> IntervalSet:
    let = _ALL
    for option in rule.options:
        if option.name != "-p":
            continue
        try:
            tests = lower_option(option, family)
        except Refused:  # told where the rule is lowered
            continue
        if tests and isinstance(tests[0].values, IntervalSet):
            let = let.intersection(tests[0].values)
    return let
