"""What optimising came to, for a person and for programs: steps and time by the model, sizes, and what each pass did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink, Refused
from fwtrans.ir.pprint import print_ruleset as print_in_words
from fwtrans.ir.ruleset import without_origins
from fwtrans.optimizer.live_sets import released
from fwtrans.optimizer.steps import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.optimizer.pipeline import Optimized, Stage
    from fwtrans.optimizer.size import Size
    from fwtrans.optimizer.steps import HookCost, Price

MOST_REASONS = 20
_COUNTS = ("rules", "chains", "sets", "maps", "elements")


def cost_text(found: Optimized) -> str:
    """Return the tables that `--report` shows."""
    lines = ["steps of the dearest packet, and its time by the model (a bound: what no packet can do may be counted)"]
    rows = [("hook", "chain", "steps", "", "ns", "")]
    rows += [
        (
            f"{before.table} {before.hook.value}",
            before.chain,
            f"{before.worst.steps}",
            f"-> {after.steps}",
            f"{before.worst.nanoseconds:.0f}",
            f"-> {after.nanoseconds:.0f}",
        )
        for before, after in _paired(found)
    ]
    lines += _aligned(rows)
    lines += ["", "size"]
    sizes = zip(_COUNTS, found.size_before[:5], found.size_after[:5], strict=True)
    lines += _aligned([(name, f"{before}", f"-> {after}") for name, before, after in sizes])
    lines += ["", "passes"]
    lines += _aligned([_stage_row(stage) for stage in found.stages])
    reasons = list(dict.fromkeys(f"{stage.name}: {reason}" for stage in found.stages for reason in stage.declined))
    if reasons:
        lines += ["", "left as it was", *(f"  {reason}" for reason in reasons[:MOST_REASONS])]
    if len(reasons) > MOST_REASONS:
        lines.append(f"  and {len(reasons) - MOST_REASONS} more (--json tells all)")
    if found.assumptions:
        lines += ["", "the proof takes for granted", *(f"  - {text}" for text in found.assumptions)]
    return "\n".join(lines) + "\n"


def passes_text(found: Optimized) -> str:
    """Return the ruleset behind each pass that changed it: what `--explain-passes` shows."""
    parts = []
    for stage in found.stages:
        if stage.changed:
            head = f"--- {stage.number} {stage.name}: {stage.about} ({stage.seconds:.2f} s, {_proved(stage)})"
            parts.append(f"{head}\n{_shown(stage.ruleset)}")
    return "\n".join(parts) if parts else "no pass changed anything\n"


def _shown(ruleset: Ruleset) -> str:
    """Return a ruleset as nft has it, without the lines that rules are from; in our own words where nft cannot say it yet."""
    sink = DiagnosticSink()
    printing = Printing(guard_ports=False, keeps_policies=True, in_place=True)
    lowered = lower_ruleset(without_origins(released(ruleset)), sink, printing)
    try:
        return print_ruleset(lowered.ruleset).text if not sink.errors else print_in_words(ruleset)
    except Refused:
        return print_in_words(ruleset)


def cost_value(found: Optimized) -> dict[str, object]:
    """Return what `optimize --json` says about costs and passes."""
    return {
        "chains": [{**_cost_value(before), "after": _price(after)} for before, after in _paired(found)],
        "paths": _paths(found.costs_before, found.costs_after),
        "size": {"before": _size(found.size_before), "after": _size(found.size_after)},
        "passes": [
            {
                "name": stage.name,
                "changed": stage.changed,
                "seconds": round(stage.seconds, 3),
                "proof_seconds": round(stage.proof_seconds, 3),
                "proved": stage.proof is not None and stage.proof.equal,
                "size": _size(stage.size),
                "declined": list(stage.declined),
                "faults": list(stage.faults),
            }
            for stage in found.stages
        ],
        "assumptions": list(found.assumptions),
    }


def _paired(found: Optimized) -> Iterator[tuple[HookCost, Price]]:
    """Yield each base chain that there was, with what it costs now.

    Base chains of both IP families may have become one in an inet table of the same name; of one whose work another one
    took over there is nothing left to ask.
    """
    after = {(cost.table, cost.chain, cost.hook): cost.worst for cost in found.costs_after}
    for before in found.costs_before:
        family, _, name = before.table.partition(" ")
        joined = [f"inet {name}"] if family in {"ip", "ip6"} else []
        places = [(table, before.chain, before.hook) for table in (before.table, *joined)]
        yield before, next((after[place] for place in places if place in after), NOTHING)


def _cost_value(cost: HookCost) -> dict[str, object]:
    return {"table": cost.table, "chain": cost.chain, "hook": cost.hook.value, "before": _price(cost.worst)}


def _price(price: Price) -> dict[str, object]:
    return {"steps": price.steps, "nanoseconds": round(price.nanoseconds)}


def _paths(before: Sequence[HookCost], after: Sequence[HookCost]) -> list[dict[str, object]]:
    """Return for each hook what all base chains there that a packet meets come to together.

    A chain of an inet table is met by the packets of each IP family: it counts for those that have chains of their own at
    that hook, and has a line of its own where not both have.
    """
    sides = [[(cost.table.split(" ", 1)[0], cost) for cost in costs] for costs in (before, after)]
    places = dict.fromkeys((family, cost.hook) for side in sides for family, cost in side)
    told = {hook for family, hook in places if family == "ip" and ("ip6", hook) in places}
    totals: dict[tuple[str, str], list[int]] = {}
    for family, hook in places:
        if family == "inet" and hook in told:
            continue
        met = {family, "inet"} if family in {"ip", "ip6"} else {family}
        totals[family, hook.value] = [
            sum(cost.worst.steps for at, cost in side if at in met and cost.hook is hook) for side in sides
        ]
    return [
        {"family": family, "hook": hook, "steps_before": steps[0], "steps_after": steps[1]}
        for (family, hook), steps in totals.items()
    ]


def _size(size: Size) -> dict[str, int]:
    return dict(zip(_COUNTS, size[:5], strict=True))


def _stage_row(stage: Stage) -> tuple[str, ...]:
    what = "refused: " + stage.faults[0] if stage.faults else "changed" if stage.changed else "nothing to do"
    return f"{stage.number}", stage.name, f"{stage.seconds:.2f} s", _proved(stage) if stage.changed else "", what


def _proved(stage: Stage) -> str:
    if stage.proof is None:
        return "not proved"
    return f"proved in {stage.proof_seconds:.2f} s"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
