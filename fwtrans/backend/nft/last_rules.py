"""The last rule of a base chain that drops at its end: who comes back from where it leads is dropped there.

    udp dport vmap { 53 : goto dns }   (policy drop)      udp dport vmap { 53 : jump dns }; drop

A drop policy is printed as a last rule, which a `goto` and a `return` would pass by. Behind the last rule there is nothing
else to pass by, so it may as well jump, and a return is the drop itself; else all rules would need a chain of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.verdict import Dispatch, Drop, Goto, Jump, Return

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap
    from fwtrans.ir.verdict import Verdict


def coming_back(table: Table) -> Table:
    """Return the table in which the last rules of base chains that drop come back to the drop."""
    last = {chain.name: chain.rules[-1].verdict for chain in table.chains if _drops(chain)}
    uses = [verdict.map_name for verdict in _verdicts(table) if isinstance(verdict, Dispatch)]
    maps = {verdict.map_name for verdict in last.values() if isinstance(verdict, Dispatch)}
    own = {name for name in maps if uses.count(name) == 1}
    return replace(
        table,
        chains=tuple(_with_last_jump(chain) if chain.name in last else chain for chain in table.chains),
        maps=tuple(_of_jumps(item) if item.name in own else item for item in table.maps),
    )


def _drops(chain: Chain) -> bool:
    return chain.base is not None and not chain.base.accepts and bool(chain.rules)


def _verdicts(table: Table) -> Iterator[Verdict | None]:
    for chain in table.chains:
        for rule in chain.rules:
            yield rule.verdict


def _with_last_jump(chain: Chain) -> Chain:
    *rules, last = chain.rules
    verdict = last.verdict
    return replace(chain, rules=(*rules, replace(last, verdict=_back(verdict)))) if isinstance(verdict, Goto) else chain


def _back(verdict: Verdict) -> Verdict:
    if isinstance(verdict, Goto):
        return Jump(verdict.chain)
    return Drop() if isinstance(verdict, Return) else verdict


def _of_jumps(item: NamedMap) -> NamedMap:
    def element_of(element: MapElement) -> MapElement:
        value = element.value
        return element._replace(value=_back(value)) if isinstance(value, (Goto, Return)) else element

    return replace(item, elements=tuple(map(element_of, item.elements)))
