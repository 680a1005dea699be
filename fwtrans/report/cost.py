"""What optimising came to, for a person and for programs: steps and time by the model, sizes, and what each pass did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink, Refused
from fwtrans.ir.pprint import print_ruleset as print_in_words
from fwtrans.ir.ruleset import without_origins
from fwtrans.optimizer.live_sets import released

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.optimizer.pipeline import Optimized, Stage
    from fwtrans.optimizer.size import Size
    from fwtrans.optimizer.steps import HookCost

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
            f"-> {after.worst.steps}",
            f"{before.worst.nanoseconds:.0f}",
            f"-> {after.worst.nanoseconds:.0f}",
        )
        for before, after in zip(found.costs_before, found.costs_after, strict=True)
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
        "chains": [
            {**_cost_value(before), "after": _price(after)}
            for before, after in zip(found.costs_before, found.costs_after, strict=True)
        ],
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


def _cost_value(cost: HookCost) -> dict[str, object]:
    return {"table": cost.table, "chain": cost.chain, "hook": cost.hook.value, "before": _price(cost)}


def _price(cost: HookCost) -> dict[str, object]:
    return {"steps": cost.worst.steps, "nanoseconds": round(cost.worst.nanoseconds)}


def _paths(before: Sequence[HookCost], after: Sequence[HookCost]) -> list[dict[str, object]]:
    """Return for each hook what all base chains there come to together."""
    totals: dict[tuple[str, str], list[int]] = {}
    for place, costs in enumerate((before, after)):
        for cost in costs:
            key = (cost.table.split(" ", 1)[0], cost.hook.value)
            totals.setdefault(key, [0, 0])[place] += cost.worst.steps
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
