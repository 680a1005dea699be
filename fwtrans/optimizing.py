"""The whole way of `fwtrans optimize`: texts, the ruleset they hold, its optimised form, and that form as text again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.target import DEBIAN_12, Target
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.ending import ending_chains
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import without_origins
from fwtrans.ir.verdict import Accept
from fwtrans.ir.walk import tracks_early
from fwtrans.optimize import Settings, optimize_ruleset
from fwtrans.optimizer import idle_hooks
from fwtrans.optimizer.guards import guards_ports, without_guards
from fwtrans.optimizer.live_maps import held_maps, live_maps, with_all_maps
from fwtrans.optimizer.live_sets import held, live_sets, released, with_all_sets
from fwtrans.optimizer.size import size_of
from fwtrans.proving import prove
from fwtrans.read import read_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.optimizer.live_maps import HeldMaps
    from fwtrans.optimizer.pipeline import Optimized
    from fwtrans.read import Files
    from fwtrans.source import SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """What came of it; `output` is empty where an error forbids a result, `optimized` None where nothing was read."""

    output: str
    optimized: Optimized | None


def optimize_texts(
    sources: Sequence[SourceFile],
    settings: Settings,
    sink: DiagnosticSink,
    files: Files,
    *,
    as_json: bool = False,
    target: Target = DEBIAN_12,
) -> Optimization:
    """Return the optimised ruleset as text; findings go to the sink."""
    reading = read_inputs(sources, sink, files)
    if reading is None or sink.errors:
        return Optimization(output="", optimized=None)
    live = live_sets(reading.ruleset)
    # an empty base chain of somebody's own file may be where a program adds its rules
    settings = replace(settings, skip=settings.skip | {idle_hooks.PASS.name})
    tables = (*reading.ruleset.tables, *reading.ruleset.asleep)
    guards = all(tracks_early(table) or guards_ports(table) for table in tables)
    ruleset = without_guards(reading.ruleset) if guards else reading.ruleset
    maps = held_maps(held(ruleset, live))
    found = _released(optimize_ruleset(maps.ruleset, settings), maps)
    for stage in found.refused:
        message = f"pass `{stage.name}` was left out: its result was not proved equal"
        sink.add(Diagnostic(code="FWT403", message=message, notes=stage.faults[:5]))
    whole = with_all_maps(with_all_sets(released(found.ruleset), reading.ruleset), reading.ruleset)
    whole = _with_policies(whole, reading.ruleset)
    sink.found.extend(_maps_left_out(whole, reading.ruleset))
    printing, trial = Printing(guard_ports=guards, keeps_policies=True, in_place=True), DiagnosticSink()
    lowered = lower_ruleset(without_origins(whole), trial, printing)  # an optimised file must not grow comments
    if trial.errors:
        lower_ruleset(whole, sink, printing)  # which still knows the lines
        return Optimization(output="", optimized=found)
    sink.found.extend(trial.found)
    try:
        text = print_ruleset(lowered.ruleset).text
        output = print_json(lowered.ruleset, target) if as_json else text
    except Refused as refused:
        sink.add(Diagnostic(code=refused.code, message=refused.message))
        return Optimization(output="", optimized=found)
    if settings.verify:
        prove(reading.ruleset, reading.host, text, sink, files)
    return Optimization(output="" if sink.errors else output, optimized=found)


def _released(found: Optimized, maps: HeldMaps) -> Optimized:
    """Return what passes did, told of maps as they were read."""
    stages = tuple(
        replace(stage, ruleset=(shown := maps.released(stage.ruleset)), size=size_of(shown)) for stage in found.stages
    )
    before, after = map(maps.released, (found.before, found.ruleset))
    return replace(found, before=before, ruleset=after, stages=stages)


def _maps_left_out(ruleset: Ruleset, original: Ruleset) -> Iterator[Diagnostic]:
    """Tell of maps that no packet's rule asks and that lead to chains to which nothing else leads."""
    known = {(table.family, table.name, item.name) for table in ruleset.tables for item in table.maps}
    for table in original.tables:
        for name in sorted(live_maps(table)):
            if (table.family, table.name, name) not in known:
                message = f"map {name} of table {table.name} is asked by no rule that a packet meets, and left out with the chains that it leads to"
                yield Diagnostic(code="FWT206", message=message)


def _with_policies(ruleset: Ruleset, original: Ruleset) -> Ruleset:
    """Return the ruleset with drop policies as they were, where no packet meets them: whoever empties a chain does.

    A rule that only accepted what was left may have gone, for a policy that accepts.
    """
    dropping = {
        (table.family, table.name, chain.name)
        for table in original.tables
        for chain in table.chains
        if chain.base is not None and not chain.base.accepts
    }

    def chain_of(table: Table, chain: Chain) -> Chain:
        if chain.base is None or not chain.base.accepts or (table.family, table.name, chain.name) not in dropping:
            return chain
        for rules in (chain.rules, (*chain.rules, Rule((), Accept()))):
            closed = replace(chain, rules=rules, base=replace(chain.base, accepts=False))
            others = tuple(closed if item is chain else item for item in table.chains)
            if chain.name in ending_chains(replace(table, chains=others)):
                return closed
        return chain

    def table_of(table: Table) -> Table:
        return replace(table, chains=tuple(chain_of(table, chain) for chain in table.chains))

    return replace(ruleset, tables=tuple(map(table_of, ruleset.tables)))
