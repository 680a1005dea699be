"""Base chains without rules go: a hook that accepts everything costs every packet a visit.

    chain FORWARD { type filter hook forward priority filter; policy accept; }        (nothing)

Why it is safe: what such a chain accepts goes on to the next chain, as it does without it. Dumps are full of them, for
iptables has all chains of a table or none.

It declines for chains of type nat, which keep the kernel's translation of addresses switched on, and where no rule is left
in the whole ruleset: somebody who translates an empty firewall shall see that there is one. It is not for files that others
wrote for nftables: there an empty base chain may be a place where a program adds its rules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.optimizer.base import Pass, Passed

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Chain, Ruleset


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without base chains that let everything pass."""
    if not any(chain.rules for table in ruleset.tables for chain in table.chains):
        return Passed(ruleset)
    tables = tuple(
        replace(table, chains=tuple(chain for chain in table.chains if not _is_idle(chain))) for table in ruleset.tables
    )
    parts = zip(tables, ruleset.tables, strict=True)
    # what had no chains before is kept for a reason: an empty bridge table says that packets on bridges have been thought of
    kept = tuple(table for table, before in parts if table.chains or table.keyed or table.kept or not before.chains)
    return Passed(replace(ruleset, tables=kept) if kept != ruleset.tables else ruleset)


PASS = Pass("idle-hooks", "base chains without rules go", run)


def _is_idle(chain: Chain) -> bool:
    return chain.base is not None and chain.base.accepts and chain.base.kind != "nat" and not chain.rules
