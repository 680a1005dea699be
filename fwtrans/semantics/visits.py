"""The hook visits at which a ruleset has base chains, which of them a packet passes there, and whether it comes in fragments.

An `inet` table is seen by IPv4 and by IPv6 packets, beside the `ip` or `ip6` tables, in the order of the priorities. Nothing
here needs an evaluator, so that passes may ask without loading one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import Nat
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.walk import fields_read, uses_conntrack
from fwtrans.semantics.packet import HookVisit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_PATHS = {Family.INET: (Family.IP, Family.IP6)}
_SEEN_BY = {
    Family.IP: {Family.IP, Family.INET},
    Family.IP6: {Family.IP6, Family.INET},
    Family.ARP: {Family.ARP},
    Family.BRIDGE: {Family.BRIDGE},
    Family.NETDEV: {Family.NETDEV},
}
# NF_IP_PRI_CONNTRACK: chains before it see no entry yet, whatever the packet's state will be.
CONNTRACK_PRIORITY = -200
# NF_IP_PRI_CONNTRACK_DEFRAG: what a chain before it sees may still be fragments.
_DEFRAGMENT_PRIORITY = -400
_WHOLE_BEHIND = {
    Family.IP: _DEFRAGMENT_PRIORITY,
    Family.IP6: _DEFRAGMENT_PRIORITY,
    Family.BRIDGE: CONNTRACK_PRIORITY,
}


def visits_of(ruleset: Ruleset) -> Iterable[HookVisit]:
    """Yield the visits at which a ruleset has a base chain, each once."""
    found = (
        HookVisit(family, chain.base.hook, chain.base.device)
        for table in ruleset.tables
        for chain in table.chains
        if chain.base is not None
        for family in _PATHS.get(table.family, (table.family,))
    )
    return dict.fromkeys(found)


def base_chains(ruleset: Ruleset, visit: HookVisit) -> list[tuple[Table, Chain]]:
    """Return the base chains that a packet of the visit passes, in order."""
    found = [
        (chain.base.priority, table, chain)
        for table in ruleset.tables
        if table.family in _SEEN_BY[visit.family]
        for chain in table.chains
        if chain.base is not None and chain.base.hook is visit.hook and chain.base.device in {"", visit.device}
    ]
    return [(table, chain) for _, table, chain in sorted(found, key=lambda item: item[0])]


def arrives_whole(ruleset: Ruleset, visit: HookVisit) -> bool:
    """Tell whether the ruleset makes the kernel put fragments together before its rules see them (nf_defrag_ipv4 and 6).

    A bridge puts them together where it tracks connections (nf_conntrack_bridge, kernel 6.1).
    """
    first = _WHOLE_BEHIND.get(visit.family)
    if first is None or visit.hook in {Hook.INGRESS, Hook.EGRESS}:
        return False
    early = any(chain.base.priority <= first for _, chain in base_chains(ruleset, visit) if chain.base)
    return not early and any(
        uses_conntrack(rule)
        for table in ruleset.tables
        if table.family in _SEEN_BY[visit.family]
        for chain in table.chains
        for rule in chain.rules
    )


def fields_asked(ruleset: Ruleset, family: Family) -> set[Field]:
    """Return the fields that rules and their maps ask packets of a family for."""
    tables = (table for table in ruleset.tables if table.family in _SEEN_BY[family])
    rules = [rule for table in tables for chain in table.chains for rule in chain.rules]
    translated = (step.key for rule in rules for step in rule.steps if isinstance(step, Nat))
    return {field for rule in rules for field in fields_read(rule)} | {part.field for key in translated for part in key}
