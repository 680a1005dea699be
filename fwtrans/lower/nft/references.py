"""What the rules of a table name has to be there: chains, sets and maps, and no way may lead back to where it began.

nft and the kernel refuse such rulesets; every later stage relies on that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.ir.verify import loop_text, loop_ways
from fwtrans.ir.walk import map_names, set_names
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table
    from fwtrans.source import Origin


def dangling(table: Table) -> Iterator[Diagnostic]:
    """Yield an error for each rule that names what is not in the table, and for each loop of jumps."""
    chains = {chain.name for chain in table.chains}
    sets, maps = {item.name for item in table.sets}, {item.name for item in table.maps}
    broken = False
    for chain in table.chains:
        for rule in chain.rules:
            for message in _missing(rule, chains, sets, maps):
                broken = True
                yield _error(f"{message} in table {table.family.value} {table.name}", rule.origins)
    for item in table.maps:
        for element in item.elements:
            if isinstance(element.value, (Jump, Goto)) and element.value.chain not in chains:
                broken = True
                yield _error(f"map `{item.name}` leads to chain `{element.value.chain}`, which is not there", ())
    if broken:
        return
    for way in loop_ways(table):
        first = table.chain(way[0])
        rules = first.rules if first is not None else ()
        yield _error(loop_text(way), next((rule.origins for rule in rules if rule.origins), ()), "FWT205")


def _missing(rule: Rule, chains: set[str], sets: set[str], maps: set[str]) -> Iterator[str]:
    if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain not in chains:
        yield f"there is no chain `{rule.verdict.chain}`"
    for name in set_names(rule):
        if name not in sets:
            yield f"there is no set `{name}`"
    for name in map_names(rule):
        if name not in maps:
            yield f"there is no map `{name}`"


def _error(message: str, origins: tuple[Origin, ...], code: str = "FWT112") -> Diagnostic:
    if not origins:
        return Diagnostic(code=code, message=message)
    source, line = origins[0].source, origins[0].line
    return Diagnostic(code=code, message=message, span=Span(source, line, 0, max(len(source.line(line)), 1)))
