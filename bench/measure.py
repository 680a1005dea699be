"""Time and memory of a command with all its processes, told by the operating system; several runs, the median counts."""

from __future__ import annotations

import compileall
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
OUT = Path(__file__).resolve().parent / "out"
FWTRANS = [sys.executable, "-m", "fwtrans"]
PACKAGE = Path(__file__).resolve().parents[1] / "fwtrans"


class Measured(NamedTuple):
    """Median seconds of processor (of all processes) and of wall clock, and the largest memory of all together in MiB."""

    cpu: float
    wall: float
    memory: float


def measured(command: list[str], *, text: bytes | None = None, good: tuple[int, ...] = (0,)) -> Measured:
    """Run the command RUNS times; a run that fails ends the bench, for a failure is quick and proves nothing.

    Before, the package's bytecode is written, as pip does when it installs: a checkout may have none, or an old one.
    """
    compileall.compile_dir(PACKAGE, quiet=1)
    cpu, wall, memory = [], [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        ended, sizes = threading.Event(), [0]
        sampler = threading.Thread(target=_sample, args=(process.pid, ended, sizes), daemon=True)
        sampler.start()
        assert process.stderr is not None
        if text is not None and process.stdin is not None:
            process.stdin.write(text)
            process.stdin.close()
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall.append(time.perf_counter() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        sampler.join()
        if process.returncode not in good:
            raise SystemExit(f"{command}: exit status {process.returncode}: {said.decode()[-500:]}")
        cpu.append(usage.ru_utime + usage.ru_stime)
        memory.append(max(usage.ru_maxrss, *sizes) / 1024)
    return Measured(statistics.median(cpu), statistics.median(wall), max(memory))


def _sample(process: int, ended: threading.Event, sizes: list[int]) -> None:
    """Note what all processes of a command hold, in KiB, a page that several share counted once (Pss), four times a second."""
    while not ended.wait(0.25):
        sizes.append(sum(map(_held, _family(process))))


def _family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(other for child in children for other in _family(int(child)))]


def _held(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def write(name: str, rows: list[dict[str, object]], notes: str) -> None:
    """Write the figures as JSON and as a markdown table, and show the table."""
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    heads = list(rows[0])
    table = [" | ".join(heads), " | ".join("---" for _ in heads)]
    table += [" | ".join(_cell(row[head]) for head in heads) for row in rows]
    text = f"# {name}\n\n{notes}\n\n" + "\n".join(f"| {line} |" for line in table) + "\n"
    (OUT / f"{name}.md").write_text(text)
    print(text)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def machine() -> str:
    """Return kernel and processor count: figures without them mean nothing."""
    return f"kernel {os.uname().release}, {os.cpu_count()} processors, page size {resource.getpagesize()}"
