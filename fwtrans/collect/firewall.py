"""The rules that run: every owner's dump, sets, nft, and the base chains of other software."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fwtrans.backend.loader import old_rules
from fwtrans.backend.loader.client import Unavailable
from fwtrans.backend.loader.old_rules import FAMILIES, OldRules, ToolFailed
from fwtrans.backend.loader.programs import find
from fwtrans.backend.loader.real import LibNft
from fwtrans.collect.modules import is_loaded

if TYPE_CHECKING:
    from fwtrans.collect.files import Collection

_PACKAGES = {
    "iptables-legacy-save": "iptables",
    "ip6tables-legacy-save": "iptables",
    "iptables-nft-save": "iptables",
    "ip6tables-nft-save": "iptables",
    "ebtables-nft-save": "iptables",
    "arptables-nft-save": "iptables",
    "ebtables-legacy": "ebtables",
    "arptables-legacy": "arptables",
    "ipset": "ipset",
    "nft": "nftables",
}


def collect_firewall(collection: Collection) -> tuple[str, ...]:
    """Add dumps; return the programs both of whose variants hold rules, so that which one is meant cannot be told."""
    for program, package in _PACKAGES.items():
        if find(program) is None:
            collection.miss(program, f"it is not installed (Debian: package {package})")
    owners = {rules.owner: rules for rules in (*_legacy(collection), *_in_nft(collection))}
    for rules in owners.values():
        collection.add(f"variants/{rules.owner}-save", f"{rules.owner}-save", rules.dump)
    both = _choose(collection, owners)
    _sets(collection)
    return both


def _choose(collection: Collection, owners: dict[str, OldRules]) -> tuple[str, ...]:
    """Write each program's dump under the name that `translate` looks for: that of the variant that has rules."""
    both = []
    for family in FAMILIES:
        found = [owners[name] for name in (f"{family.program}-legacy", f"{family.program}-nft") if name in owners]
        with_rules = [rules for rules in found if rules.has_rules]
        if len(with_rules) > 1:
            both.append(family.program)
        elif found:
            chosen = (with_rules or found)[0]
            collection.add(f"{family.program}-save", f"{chosen.owner}-save", chosen.dump)
    return tuple(both)


def _legacy(collection: Collection) -> list[OldRules]:
    found = []
    for owner, read in old_rules.LEGACY.items():
        try:
            rules = read()
        except ToolFailed as fault:
            collection.miss(f"the rules of {owner}", str(fault), matters=True)
            continue
        if rules is not None:
            found.append(rules)
    return found


def _in_nft(collection: Collection) -> list[OldRules]:
    """Return what the nft variants have, and keep what nft lists. Without nf_tables in the kernel there is nothing."""
    if not is_loaded("nf_tables"):
        collection.miss("nft rules", "the kernel has not loaded nf_tables, so there are none")
        return []
    try:
        client = LibNft()
    except Unavailable as fault:
        collection.miss("nft rules", fault.message, matters=True)
        return []
    try:
        return _nft_rules(collection, client)
    except OSError as fault:
        collection.miss("nft rules", str(fault), matters=True)
        return []
    finally:
        client.close()


def _nft_rules(collection: Collection, client: LibNft) -> list[OldRules]:
    collection.facts["nft"] = client.version()
    managed = old_rules.tables_of_iptables(client)
    collection.facts["base_chains"] = [
        {
            "table": str(chain.table),
            "chain": chain.name,
            "hook": chain.hook,
            "priority": chain.priority,
            "type": chain.type,
            "policy": chain.policy,
        }
        for chain in client.base_chains()
        if chain.table not in managed
    ]
    own = [table for table in client.tables() if table not in managed]
    if own:
        text = "".join(client.ask(f"list table {table}") for table in own)
        collection.add("nft-tables.nft", "nft list table", text)
    found = []
    for family in FAMILIES:
        try:
            rules = old_rules.nft_variant(family, managed)
        except ToolFailed as fault:
            collection.miss(f"the rules of {family.program}-nft", str(fault), matters=True)
            continue
        if rules is not None:
            found.append(rules)
    return found


def _sets(collection: Collection) -> None:
    if find("ipset") is None or not is_loaded("ip_set"):
        if find("ipset") is not None:
            collection.miss("sets of ipset", "the kernel has not loaded ip_set, so there are none")
        return
    with suppress(ToolFailed):
        text = old_rules.read_sets()
        if text:
            collection.add("ipset-save", "ipset save", text)
