"""A table's chains in the order of calls: each behind all that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.remembering import once
from fwtrans.ir.walk import chain_ways, targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import NamedMap


@once
def targets_by_last(mapping: NamedMap) -> tuple[str, ...]:
    """Return the chains that a verdict map leads to, each once, in the order of the last elements that do."""
    return tuple(dict.fromkeys(reversed(targets_of(mapping))))[::-1]


def callees_last(table: Table, entries: Sequence[str]) -> tuple[Chain, ...]:
    """Return the chains that entries lead to, each behind all that lead to it."""
    known = _known_orders(table)
    wanted = tuple(entries)
    if wanted not in known:
        known[wanted] = tuple(_callees_last(table, wanted))
    return known[wanted]


@once
def _known_orders(_table: Table) -> dict[tuple[str, ...], tuple[Chain, ...]]:
    """Return where the orders of a table's chains are kept, by their entries: its base chains, or all chains."""
    return {}


def _callees_last(table: Table, entries: Sequence[str]) -> list[Chain]:
    chains = {chain.name: chain for chain in table.chains}
    maps = {mapping.name: mapping for mapping in table.maps}
    done: list[Chain] = []
    seen: set[str] = set()
    for entry in reversed(entries):
        waiting = [(entry, False)]
        while waiting:
            name, left = waiting.pop()
            if left:
                done.append(chains[name])
            elif name not in seen:
                seen.add(name)
                waiting.append((name, True))
                for way, is_map in chain_ways(chains[name]):
                    targets = targets_by_last(maps[way]) if is_map else (way,)
                    waiting.extend((target, False) for target in targets if target not in seen)
    return done[::-1]
