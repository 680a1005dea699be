"""A look at what was loaded, before anybody is asked: are our tables whole, are the old rules out of the way?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.loader import old_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.backend.loader.client import NftClient
    from fwtrans.backend.loader.image import Image, TableName
    from fwtrans.backend.loader.old_rules import OldRules


def self_test(
    client: NftClient, wanted: Image, emptied: Iterable[OldRules], asleep: Iterable[TableName]
) -> tuple[str, ...]:
    """Return what is not as it should be."""
    problems = []
    for table in wanted:
        handles = client.handles(table.name)
        if handles is None:
            problems.append(f"table {table.name} is not there")
            continue
        for chain in table.chains:
            count = len(handles.rules.get(chain.name, ()))
            if chain.name not in handles.chains or count != len(chain.rules):
                problems.append(
                    f"chain {chain.name} of table {table.name} has {count} rules instead of {len(chain.rules)}"
                )
    for rules in emptied:
        left = old_rules.OldRules(rules.owner, old_rules.dump_of(rules.owner), rules.tables)
        if left.has_rules:
            problems.append(f"{rules.owner} still has rules: something puts them back")
    awake = set(asleep) - client.dormant_tables()
    problems.extend(f"table {table} is still in the way" for table in sorted(awake))
    if any(table.name.family == "bridge" for table in wanted):
        settings = old_rules.read_bridge_settings()
        problems.extend(f"net.bridge.{name} is {value} again" for name, value in settings.items() if value != "0")
    return tuple(problems)
