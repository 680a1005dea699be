"""All benches in one run, and their report: `make bench`.

Each part is a program of its own that leaves its figures in bench/out, and has a number of minutes that it may take. A part
that time is too short for, or that fails, is named in the report as left out; a failure ends in an exit status of its own too.
Without the packets, which the README quotes, neither the report in docs/ nor the README changes.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import report
from measure import OUT

from fwtrans.lab import keeper

HERE = Path(__file__).resolve().parent
KEEP = bool(os.environ.get("BENCH_KEEP"))
"""Whether translations that an earlier run of the same program made are taken as they are."""
BUDGET = 60 * float(os.environ.get("BENCH_MINUTES", "30"))
REPORT = HERE.parent / "docs" / "benchmarks"
"""Where the report of a whole run goes, which the README quotes; that of some parts stays beside their figures."""

QUOTED = {"packets_nodes"}
"""Figures without which there is nothing to quote."""


class Part(NamedTuple):
    """A bench, and what its figures are left out with if it does not run."""

    script: str
    what: str
    minutes: float
    """What it may take, of about twice what it takes on two idle processors."""
    environment: dict[str, str] = {}  # noqa: RUF012 -- nobody writes to it


# What is promised comes first: when time runs out, what is left over is what is least missed.
PARTS = (
    Part("bench_steps.py", "what each kind of step costs", 2),
    Part("bench_packets.py", "nanoseconds a packet", 14),
    Part("bench_load.py", "loading", 9),
    Part("bench_fixtures.py", "every fixture, packet class by packet class", 9),
    Part("bench_scaling.py", "time and memory over size", 5, {"BENCH_RUNS": "1"}),
    Part("bench_translate.py", "translations beside what was promised for them", 4, {"BENCH_RUNS": "1"}),
    Part("bench_verify.py", "proofs beside what was promised for them", 3, {"BENCH_RUNS": "1"}),
    Part("bench_shapes.py", "proofs of optimised shapes", 2, {"BENCH_RUNS": "1"}),
    Part("bench_optimize.py", "long lists: steps against size", 5),
)


def main() -> int:
    wanted = [part for part in PARTS if not sys.argv[1:] or part.script in sys.argv[1:]]
    if not sys.argv[1:]:
        _clear()
    OUT.mkdir(exist_ok=True)
    begun, waits = time.monotonic(), [_waiting()]
    left_out, took, failed = {}, {}, []
    for part in wanted:
        rest = BUDGET - (time.monotonic() - begun)
        start = time.monotonic()
        ended = _run(part, min(rest, 60 * part.minutes)) if rest > 0 else NOT_BEGUN
        took[part.what] = round(time.monotonic() - start)
        waits.append(_waiting())
        if ended.reason:
            left_out[part.what] = ended.reason
        if ended.failed:
            failed.append(part.script)
        print(f"== {part.script}: {took[part.what]} s{ended.reason and ', '}{ended.reason}", flush=True)
    facts = {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"Linux {os.uname().release}, {os.cpu_count()} processors, Python {sys.version.split()[0]}",
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "took": took,
        "waiting": round(max(waits), 2),
        "left out": left_out,
        "kept": KEEP,
    }
    figures = {path.stem: json.loads(path.read_text()) for path in sorted(OUT.glob("*.json"))}
    place = REPORT if not sys.argv[1:] and figures.keys() >= QUOTED else OUT / "report"
    report.write_all(place, {"facts": facts, **figures})
    if place == REPORT:
        report.put_into_readme(HERE.parent / "README.md", {"facts": facts, **figures})
    print(f"The report is {place}/report.md, made in {facts['minutes']} minutes")
    if failed:
        print(f"These failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _clear() -> None:
    for path in OUT.glob("*"):
        if path.is_file():
            path.unlink()
        elif not KEEP:
            shutil.rmtree(path)


class Ended(NamedTuple):
    """Why a part's figures are missing, if they are, and whether that is a failure."""

    reason: str = ""
    failed: bool = False


NOT_BEGUN = Ended(f"not begun: {BUDGET / 60:.0f} minutes were over")


def _run(part: Part, seconds: float) -> Ended:
    """Run a part, which starts programs and kernels of its own: the keeper ends them with it."""
    print(f"== {part.script}: {part.what}, {seconds / 60:.0f} minutes at most", flush=True)
    words = [sys.executable, keeper.__file__, str(os.getpid()), sys.executable, str(HERE / part.script)]
    process = subprocess.Popen(words, env={**os.environ, **part.environment})
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        return Ended(f"not finished after {seconds / 60:.0f} minutes")
    return Ended(f"exit status {status}", failed=True) if status else Ended()


def _commit() -> str:
    words = ["git", "-C", str(HERE), "log", "-1", "--format=%h"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _waiting() -> float:
    """Return how many processes wait for each processor: above 1 the machine does other things too."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
