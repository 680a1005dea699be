"""How many more nested jumps each chain can take. The kernel refuses more than fifteen from a base chain on.

nft_chain_validate counts a goto like a jump, and those in maps too (kernel 6.1 and 6.18).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.remembering import once
from fwtrans.ir.walk import chain_targets, map_names, targets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.ruleset import Table

DEEPEST = 15


@once
def room_below(table: Table) -> Mapping[str, int]:
    """Return for each chain how many levels could be put between it and the chains below it."""
    targets = _targets(table)
    height: dict[str, int] = {}
    order: list[str] = []
    for name in targets:
        _visit(name, targets, height, order)
    above = {chain.name: 0 for chain in table.chains if chain.base is not None}
    for name in reversed(order):
        if name in above:
            for target in targets[name]:
                above[target] = max(above.get(target, 0), above[name] + 1)
    return {name: DEEPEST - above.get(name, 0) - height[name] for name in targets}


def _targets(table: Table) -> dict[str, tuple[str, ...]]:
    known = {chain.name for chain in table.chains}
    behind = {item.name: tuple(dict.fromkeys(targets_of(item))) for item in table.maps}
    found: dict[str, tuple[str, ...]] = {}
    for chain in table.chains:
        names = dict.fromkeys(chain_targets(chain))
        for rule in chain.rules:
            for map_name in map_names(rule):
                names.update(dict.fromkeys(behind.get(map_name, ())))
        found[chain.name] = tuple(name for name in names if name in known)
    return found


def _visit(start: str, targets: dict[str, tuple[str, ...]], height: dict[str, int], order: list[str]) -> None:
    """Put the chain and those below it into the order, callees first."""
    stack = [(start, iter(targets[start]))]
    while stack:
        name, rest = stack[-1]
        if name in height:
            stack.pop()
            continue
        following = next((item for item in rest if item not in height and all(item != on for on, _ in stack)), None)
        if following is not None:
            stack.append((following, iter(targets[following])))
            continue
        height[name] = max((height.get(item, 0) + 1 for item in targets[name]), default=0)
        order.append(name)
        stack.pop()
