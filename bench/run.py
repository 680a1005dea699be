"""All benches in one run, and their report: `make bench`.

Each part is a program of its own that leaves its figures in bench/out, and has a number of minutes that it may take. A part
that time is too short for, or that fails, is named in the report as left out; a failure ends in an exit status of its own too.
Without the packets, which the README quotes, neither the report in docs/ nor the README changes.

`run.py bench_load.py` measures that part alone and leaves the report beside its figures; `run.py --report` measures nothing and
writes the report in docs/ and the README's figures from what is in bench/out. How each part went is kept in bench/out/run.json.
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
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import report
from measure import OUT

from fwtrans.lab import keeper

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
KEEP = bool(os.environ.get("BENCH_KEEP"))
"""Whether translations that an earlier run of the same program made are taken as they are."""
BUDGET = 60 * float(os.environ.get("BENCH_MINUTES", "30"))
REPORT = HERE.parent / "docs" / "benchmarks"
"""Where the report of a whole run goes, which the README quotes; that of some parts stays beside their figures."""

NOTES = OUT / "run.json"
"""How each part went: when, at which commit, for how long, and why its figures are missing, if they are."""
ONLY_REPORT = "--report"
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
    Part("bench_translate.py", "translations beside what was promised for them", 6, {"BENCH_RUNS": "1"}),
    Part("bench_verify.py", "proofs beside what was promised for them", 5, {"BENCH_RUNS": "1"}),
    Part("bench_shapes.py", "proofs of optimised shapes", 4, {"BENCH_RUNS": "1"}),
    Part("bench_optimize.py", "long lists: steps against size", 5),
)


def main() -> int:
    words = sys.argv[1:]
    unknown = set(words) - {ONLY_REPORT, *(part.script for part in PARTS)}
    if unknown:
        sys.exit(
            f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(part.script for part in PARTS)}"
        )
    if not words:
        _clear()
    OUT.mkdir(exist_ok=True)
    failed = _measure([part for part in PARTS if not words or part.script in words])
    _write(whole=not words or ONLY_REPORT in words)
    if failed:
        print(f"These failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _measure(wanted: Sequence[Part]) -> list[str]:
    """Run parts one after the other, note how each went, and return those that failed."""
    begun, failed = time.monotonic(), []
    for part in wanted:
        rest = BUDGET - (time.monotonic() - begun)
        start, waits = time.monotonic(), [_waiting()]
        ended = _run(part, min(rest, 60 * part.minutes)) if rest > 0 else NOT_BEGUN
        seconds = round(time.monotonic() - start)
        waits.append(_waiting())
        if ended.failed:
            failed.append(part.script)
        print(f"== {part.script}: {seconds} s{ended.reason and ', '}{ended.reason}", flush=True)
        notes = _notes()
        if not ended.reason or notes.get(part.what, {}).get("reason", "-"):
            # what went well once is not forgotten for a later try that did not
            date = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"
            notes[part.what] = {
                "date": date, "commit": _commit(), "seconds": seconds, "waiting": round(max(waits), 2),
                "reason": ended.reason, "kept": KEEP,
            }  # fmt: skip
            NOTES.write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")
    return failed


def _write(*, whole: bool) -> None:
    """Write the report of what is in bench/out: into docs/ and the README, or of some parts beside their figures."""
    figures = {path.stem: json.loads(path.read_text()) for path in sorted(OUT.glob("*.json")) if path != NOTES}
    said = {"facts": _facts(), **figures}
    place = REPORT if whole and figures.keys() >= QUOTED else OUT / "report"
    report.write_all(place, said)
    if place == REPORT:
        report.put_into_readme(HERE.parent / "README.md", said)
    print(f"The report is {place}/report.md, made in {said['facts']['minutes']} minutes")


def _facts() -> report.Figures:
    """Return when, where and of what the figures in bench/out are, out of how each part went."""
    notes = _notes()
    dates, commits = (sorted({note[name] for note in notes.values()}) for name in ("date", "commit"))
    left_out = {part.what: notes.get(part.what, {"reason": "not asked for"})["reason"] for part in PARTS}
    return {
        "date": dates[-1] if dates else "unknown",
        "commit": " and ".join(commits) or "unknown",
        "machine": f"Linux {os.uname().release}, {os.cpu_count()} processors, Python {sys.version.split()[0]}",
        "minutes": round(sum(note["seconds"] for note in notes.values()) / 60, 1),
        "took": {what: note["seconds"] for what, note in notes.items()},
        "waiting": max((note["waiting"] for note in notes.values()), default=0),
        "left out": {what: reason for what, reason in left_out.items() if reason},
        "kept": any(note["kept"] for note in notes.values()),
    }


def _notes() -> dict[str, dict[str, Any]]:
    return dict(json.loads(NOTES.read_text(encoding="utf-8"))) if NOTES.exists() else {}


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
