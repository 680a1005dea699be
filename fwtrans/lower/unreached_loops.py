"""Loops of jumps that no base chain leads to: both kernels load them, and no packet ever comes there.

    :a - [0:0]
    :b - [0:0]
    -A a -j b
    -A b -j a        nothing goes to a or b: iptables-legacy and iptables-nft take it (tried with 1.8.9 on Linux 6.18)

The kernels look for loops from the base chains on. Nothing here can be walked without an end, so such chains are left
out, with a note, before anything walks them. A loop that a base chain leads to stays, and is refused (FWT205).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.ir.walk import chain_targets
from fwtrans.source import Span

if TYPE_CHECKING:
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.ruleset import Chain, Table


def without_unreached_loops(table: Table, sink: DiagnosticSink) -> Table:
    """Return the table without the chains that no base chain leads to and that lead into a loop."""
    targets = {chain.name: frozenset(chain_targets(chain)) for chain in table.chains}
    reached: set[str] = set()
    waiting = [chain.name for chain in table.chains if chain.base is not None]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(targets.get(name, ()))
    looping = _leading_into_loops({name: found for name, found in targets.items() if name not in reached})
    if not looping:
        return table
    for chain in table.chains:
        if chain.name in looping:
            sink.add(_told(chain))
    return replace(table, chains=tuple(chain for chain in table.chains if chain.name not in looping))


def _leading_into_loops(targets: dict[str, frozenset[str]]) -> frozenset[str]:
    """Return the chains from which a way comes to no end: take away those that lead to none that is left."""
    callers: dict[str, list[str]] = {name: [] for name in targets}
    open_ways = {name: found & targets.keys() for name, found in targets.items()}
    counts = {name: len(found) for name, found in open_ways.items()}
    for name, found in open_ways.items():
        for target in found:
            callers[target].append(name)
    waiting = [name for name, count in counts.items() if not count]
    while waiting:
        name = waiting.pop()
        del counts[name]
        for caller in callers[name]:
            counts[caller] -= 1
            if not counts[caller]:
                waiting.append(caller)
    return frozenset(counts)


def _told(chain: Chain) -> Diagnostic:
    origin = chain.origin
    span = None
    if origin is not None:
        span = Span(origin.source, origin.line, 0, max(len(origin.source.line(origin.line)), 1))
    rules = f"its {len(chain.rules)} rules are" if len(chain.rules) > 1 else "its rule is"
    return Diagnostic(
        code="FWT212",
        message=f"no packet comes to chain `{chain.name}`, which leads into a loop: {rules} left out",
        span=span,
    )
