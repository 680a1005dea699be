"""Long lists: steps against size, and how long passes and proofs take. One row for each list and each way of searching."""

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
from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.clauses import Clauses
from fwtrans.optimizer.search import Effort, Search
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile

COUNT = int(os.environ.get("BENCH_RULES", "5000"))
KINDS = ("acl", "firewall", "hard", "tuples")
FRONTIER = (Effort(8, 2, 4, 1), Effort(5, 2, 4, 2), Effort(5, 2, 8, 3), Effort(3, 3, 8, 4), Effort(3, 3, 16, 4))


def main() -> None:
    frontier: list[dict[str, object]] = []
    whole: list[dict[str, object]] = []
    for kind in KINDS:
        text = ruleset(entries(kind, COUNT))
        reading = read_inputs((SourceFile(f"{kind}.nft", text),), DiagnosticSink(), FileAccess())
        assert reading is not None
        table = reading.ruleset.tables[0]
        clauses = Clauses(table)
        run = [clauses.of(rule) for rule in table.chains[0].rules][:-1]
        boxes = Boxes.of(run)
        for effort in FRONTIER:
            start = time.perf_counter()
            node = Search(boxes, effort).build()
            took = round(time.perf_counter() - start, 1)
            frontier.append(
                {
                    "list": kind,
                    "effort": str(tuple(effort)),
                    "steps": node.steps,
                    "size": round(node.size / COUNT, 2),
                    "s": took,
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
    write(
        "optimize_frontier",
        frontier,
        f"{COUNT} rules; size as a multiple of the list's, leaf.copies.conflicts.growth as effort; {machine()}.",
    )
    write("optimize", whole, f"{COUNT} rules through all passes; {machine()}.")


if __name__ == "__main__":
    main()
