"""Sets that rules change for the one kind of packets and ask for the other: a table of its own has a set of its own.

-A FORWARD -m physdev --physdev-is-bridged ... -j SET --add-set banned src        the bridge's table
-A INPUT -m set --match-set banned src -j DROP                                     the table of IPv4: nothing fills its set
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import SetUpdate
from fwtrans.ir.walk import flat_steps, set_names
from fwtrans.optimizer.bridged.merging import SIGNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.ruleset import Table


def changed_on_one_side(local: Iterable[Table], bridge: Table) -> tuple[str, ...]:
    """Return the sets that rules for one kind of packets change, and rules for the other ask or change as well."""
    used, changed = _used(bridge), _changed(bridge)
    found: dict[str, None] = {}
    for table in local:
        mine, mine_changed = _used(table), _changed(table)
        for name in sorted(mine):
            theirs = {name, f"{name}-{SIGNS.get(table.family, '')}"}
            if (name in mine_changed and theirs & used) or theirs & changed:
                found[name] = None
    return tuple(found)


def _used(table: Table) -> set[str]:
    return {name for chain in table.chains for rule in chain.rules for name in set_names(rule)}


def _changed(table: Table) -> set[str]:
    return {
        step.set_name
        for chain in table.chains
        for rule in chain.rules
        for step in flat_steps(rule.steps)
        if isinstance(step, SetUpdate)
    }
