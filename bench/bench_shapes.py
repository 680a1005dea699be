"""How long the proof of one optimised shape takes: big maps, sets and dispatch beside the plain rules that mean the same.

In this process, without reading and printing: it is the comparison that an optimiser waits for behind each of its passes.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from measure import RUNS, machine, write

from fwtrans.semantics.equivalence import compare
from tests.semantics.shapes import SHAPES
from tests.semantics.test_shapes import without_one


def main() -> None:
    rows: list[dict[str, object]] = []
    for name, (make, count) in SHAPES.items():
        old, new = make(count)
        for what, other in (("equal", new), ("one element gone", without_one(new))):
            times: list[float] = []
            for _ in range(RUNS):
                start = time.process_time()
                found = compare(old, other)
                times.append(time.process_time() - start)
                assert not found.undecided
                assert found.equal == (what == "equal")
            rows.append({"shape": name, "size": count, "": what, "cpu s": statistics.median(times)})
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    write("shapes", rows, f"Medians of {RUNS} comparisons in one process, {most} MiB at most; {machine()}.")


if __name__ == "__main__":
    main()
