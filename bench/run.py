"""All benches in one run, and their report: `make bench`.

Each part is a program of its own that leaves its figures in bench/out. A part that fails, or that time is too short for, is
named in the report as left out, with the reason; the exit status tells whether there was one that failed.
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

import report
from measure import OUT

HERE = Path(__file__).resolve().parent
KEEP = bool(os.environ.get("BENCH_KEEP"))
"""Whether translations that an earlier run of the same program made are taken as they are."""
BUDGET = 60 * float(os.environ.get("BENCH_MINUTES", "30"))
REPORT = HERE.parent / "docs" / "benchmarks"
"""Where the report of a whole run goes, which the README quotes; that of some parts stays beside their figures."""


class Part(NamedTuple):
    """A bench, and what its figures are left out with if it does not run."""

    script: str
    what: str
    environment: dict[str, str]


# What is promised comes first: when time runs out, what is left over is what is least missed.
PARTS = (
    Part("bench_steps.py", "what each kind of step costs", {}),
    Part("bench_packets.py", "nanoseconds a packet", {}),
    Part("bench_load.py", "loading", {}),
    Part("bench_scaling.py", "time and memory over size", {}),
    Part("bench_fixtures.py", "every fixture, packet class by packet class", {}),
    Part("bench_translate.py", "translations beside what was promised for them", {"BENCH_RUNS": "1"}),
    Part("bench_verify.py", "proofs beside what was promised for them", {"BENCH_RUNS": "1"}),
    Part("bench_optimize.py", "long lists: steps against size", {}),
    Part("bench_shapes.py", "proofs of optimised shapes", {"BENCH_RUNS": "1"}),
)


def main() -> int:
    wanted = [part for part in PARTS if not sys.argv[1:] or part.script in sys.argv[1:]]
    if not sys.argv[1:]:
        _clear()
    OUT.mkdir(exist_ok=True)
    begun, waits = time.monotonic(), [_waiting()]
    left_out, took, failed = {}, {}, False
    for part in wanted:
        rest = BUDGET - (time.monotonic() - begun)
        start = time.monotonic()
        reason = _run(part, rest) if rest > 0 else f"not begun: {BUDGET / 60:.0f} minutes were over"
        took[part.what] = round(time.monotonic() - start)
        waits.append(_waiting())
        if reason:
            left_out[part.what] = reason
            failed |= "exit status" in reason
            print(f"== {part.script}: {reason}", flush=True)
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
    place = OUT / "report" if sys.argv[1:] else REPORT
    report.write_all(place, {"facts": facts, **figures})
    if place == REPORT:
        report.put_into_readme(HERE.parent / "README.md", {"facts": facts, **figures})
    print(f"The report is {place}/report.md")
    return int(failed)


def _clear() -> None:
    for path in OUT.glob("*"):
        if path.is_file():
            path.unlink()
        elif not KEEP:
            shutil.rmtree(path)


def _run(part: Part, seconds: float) -> str:
    """Run a part; return why its figures are missing, if they are."""
    print(f"== {part.script}: {part.what}", flush=True)
    words = [sys.executable, str(HERE / part.script)]
    process = subprocess.Popen(words, env={**os.environ, **part.environment}, start_new_session=True)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 15)
        process.wait()
        return f"not finished after {seconds / 60:.0f} minutes, when all {BUDGET / 60:.0f} were over"
    return f"exit status {status}" if status else ""


def _commit() -> str:
    words = ["git", "-C", str(HERE), "log", "-1", "--format=%h"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _waiting() -> float:
    """Return how many processes wait for each processor: above 1 the machine does other things too."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
