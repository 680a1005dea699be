"""Work in several processes: the same result as one process has, byte for byte; nothing hangs, nothing is left over."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fwtrans import processes
from fwtrans.diagnostics import Refused
from fwtrans.processes import SETTING, Parts, Worker
from tests.places import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

NODE = FIXTURES / "golden" / "proxmox" / "10-small-node" / "input"
# The command as it is called, with a count of forks at the end; `{change}` changes the machine before.
PROGRAM = """
import os, signal, sys
forks = []
fork = os.fork
def counting():
    forks.append(1)
    return fork()
os.fork = counting
os.sched_getaffinity = lambda process: {{0, 1}}
{change}
from fwtrans.cli.app import main
sys.argv = ["fwtrans", "translate", {node!r}]
try:
    main()
finally:
    print("forks:", len(forks), file=sys.stderr)
"""
ONE_PROCESSOR = "os.sched_getaffinity = lambda process: {0}"
THREADS = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
KILLED = """
def killed():
    child = counting()
    if not child:
        os.kill(os.getpid(), signal.SIGKILL)
    return child
os.fork = killed
"""


def run(change: str = "", most: str = "2") -> tuple[int, str, str, int]:
    """Return exit status, output, what was told, and the number of forks."""
    program = PROGRAM.format(change=change, node=str(NODE))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY,
        env={**os.environ, SETTING: most},
    )  # fmt: skip
    told, _, count = done.stderr.rpartition("forks: ")
    return done.returncode, done.stdout, told, int(count)


def test_two_processes_say_what_one_says() -> None:
    one, two = run(most="1"), run()
    assert one[0] == two[0] == 0
    assert two[1] == one[1] != ""
    assert two[2] == one[2]
    assert one[3] == 0
    assert two[3] > 0


@pytest.mark.parametrize("change", [ONE_PROCESSOR, THREADS])
def test_nothing_is_forked_with_one_processor_or_threads(change: str) -> None:
    assert run(change)[::3] == (0, 0)


def test_a_killed_process_is_told_and_nothing_is_written() -> None:
    status, output, told, forks = run(KILLED)
    assert (status, output) == (4, "")
    assert "FWT404" in told
    assert "signal 9" in told
    assert forks == 1


def test_what_is_sent_is_answered() -> None:
    with Worker(lambda receive: (receive(), receive())) as worker:
        worker.send("a" * 1_000_000)
        worker.send([1, 2])
        assert worker.result() == ("a" * 1_000_000, [1, 2])


def test_parts_are_handed_out_once_from_both_ends() -> None:
    parts = Parts(100)
    front = parts.from_front()
    mine = [next(front) for _ in range(10)]
    with Worker(lambda _: list(parts.from_back())) as worker:
        theirs = worker.result()
    left = list(front)
    parts.close()
    assert mine == list(range(10))
    assert theirs == list(range(99, 9, -1))
    assert left == []


def test_known_objects_are_not_copied() -> None:
    known = (object(), ["a list"])
    with Worker(lambda _: (known[1], {"here": known[0]}), known) as worker:
        found = worker.result()
    assert found is not None
    assert found[0] is known[1]
    assert found[1]["here"] is known[0]


def test_a_worker_of_a_worker_ends_with_it() -> None:
    def work(receive: Callable[[], object]) -> object:
        # one that works notices by itself neither that nobody waits for it nor that its pipes are closed
        with Worker(lambda _: signal.pause()) as inner:
            receive()
            os.write(told, str(inner.process).encode())
            return receive()

    heard, told = os.pipe()
    with Worker(work) as worker:
        worker.send("go on")
        inner = os.pidfd_open(int(os.read(heard, 32)))
        assert not _has_ended(inner, milliseconds=0)
    # nobody has waited for this one: the signal was sent, and takes its time
    assert _has_ended(inner, milliseconds=120_000)
    for file in (heard, told, inner):
        os.close(file)


def _has_ended(process: int, *, milliseconds: int) -> bool:
    """Tell whether a process has ended, by its file descriptor, or does so in time."""
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    return bool(waiting.poll(milliseconds))


def test_work_that_raises_has_no_answer() -> None:
    with Worker(lambda _: 1 // 0) as worker:
        assert worker.result() is None


def test_a_killed_worker_is_an_error_wherever_it_is_waited_for() -> None:
    with Worker(_receive) as worker:
        os.kill(worker.process, signal.SIGKILL)
        worker.send("x" * 1_000_000)
        with pytest.raises(Refused, match="signal 9") as caught:
            worker.result()
    assert caught.value.code == "FWT404"


def test_a_worker_that_is_not_asked_any_more_is_ended() -> None:
    started = []

    def interrupted() -> None:
        with Worker(_receive) as worker:
            started.append(worker.process)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_the_setting_bounds_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_is_alone", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setenv(SETTING, "3")
    assert processes.usable() == 3
    monkeypatch.setenv(SETTING, "1")
    assert processes.usable() == 1


def _receive(receive: Callable[[], object]) -> object:
    return receive()
