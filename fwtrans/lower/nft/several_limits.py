"""Sets whose elements rules give different limits, quotas or times.

    tcp dport 22 update @s { ip saddr limit rate over 3/minute }; tcp dport 23 update @s { ip saddr ct count over 20 }

An element keeps what the rule gives it that puts it there first, and all other rules ask that: which one it is depends on
what has passed. So nothing of such a set is modelled, and all that names it stays in the words in which it was read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.lower.nft.json_types import as_list, asking
from fwtrans.lower.nft.unknowns import as_listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.lower.nft.json_types import Json, JsonObject


def of_several_limits(rules: Iterable[JsonObject], sets: Mapping[str, JsonObject]) -> set[str]:
    """Return the names of the sets whose elements may keep one thing or another."""
    kept: dict[str, set[str]] = {}
    for rule in rules:
        for name, statements, timeout in _updates(rule):
            declared = sets.get(name, {})
            given = asking(statements) or asking(declared.get("stmt"))
            if given:
                limits = json.dumps([as_listed(given), timeout or declared.get("timeout", 0)], sort_keys=True)
                kept.setdefault(name, set()).add(limits)
    return {name for name, found in kept.items() if len(found) > 1}


def _updates(rule: JsonObject) -> Iterator[tuple[str, Json, Json]]:
    """Yield the name of each set that a rule changes, what an element is given to keep, and its time."""
    for statement in as_list(rule.get("expr")):
        found = statement.get("set") if isinstance(statement, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("set"), str) or found.get("op") == "delete":
            continue
        elem = found.get("elem")
        inner = elem.get("elem") if isinstance(elem, dict) else None
        timeout = inner.get("timeout") if isinstance(inner, dict) else None
        yield str(found["set"]).removeprefix("@"), found.get("stmt"), timeout
