"""Long lists: steps against size, and how long passes and proofs take. One row for each list and each limit of size."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lists import entries, ruleset
from measure import machine, write

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import optimize_ruleset
from fwtrans.optimizer import cuts, dead, fold
from fwtrans.optimizer.size import size_of
from fwtrans.optimizer.steps import hook_costs
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile

COUNT = int(os.environ.get("BENCH_RULES", "5000"))
KINDS = ("tuples", "acl", "firewall", "hard")
# What is promised is promised at these sizes.
FRONTIER = (4, 10)


def main() -> None:
    frontier: list[dict[str, object]] = []
    whole: list[dict[str, object]] = []
    for kind in KINDS:
        text = ruleset(entries(kind, COUNT))
        reading = read_inputs((SourceFile(f"{kind}.nft", text),), DiagnosticSink(), FileAccess())
        assert reading is not None
        entries_before = size_of(reading.ruleset).entries
        living = dead.PASS.run(fold.PASS.run(reading.ruleset).ruleset).ruleset
        for factor in FRONTIER:
            start = time.process_time()
            cut = cuts.sized(factor, entries_before).run(living).ruleset
            took = round(time.process_time() - start, 1)
            frontier.append(
                {
                    "list": kind,
                    "limit": factor,
                    "steps": max(item.worst for item in hook_costs(cut)).steps,
                    "size": round(size_of(cut).entries / entries_before, 2),
                    "s of processor": took,
                }
            )
        start = time.perf_counter()
        found = optimize_ruleset(reading.ruleset)
        took = round(time.perf_counter() - start, 1)
        before, after = (max(item.worst for item in costs) for costs in (found.costs_before, found.costs_after))
        whole.append(
            {
                "list": kind,
                "steps before": before.steps,
                "steps": after.steps,
                "size": round(found.size_after.entries / found.size_before.entries, 2),
                "s": took,
                "of it proofs": round(sum(stage.proof_seconds for stage in found.stages), 1),
                "proved": not found.refused,
            }
        )
        # one list may take the time of all: what is measured is kept
        write(
            "optimize_frontier",
            frontier,
            f"{COUNT} rules; limit and size as multiples of the list's rules and elements, the pass alone; {machine()}.",
        )
        write("optimize", whole, f"{COUNT} rules through all passes; {machine()}.")


if __name__ == "__main__":
    main()
