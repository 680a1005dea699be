"""Runs a command, and ends it and all that it started when who asked for it ends, whatever ended that.

Called as `python keeper.py PARENT COMMAND...` by the process PARENT. A launcher of another kernel starts processes of its own,
some in process groups of their own, and none of them would notice that nobody waits for the answer any more. What loses its
parent below this process becomes its child (PR_SET_CHILD_SUBREAPER), so that nothing gets away.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess  # noqa: TID251 -- what it is for
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDED = 125
"""The status where the command was ended before it had one."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE, _PAUSE = 3.0, 0.02


class _Asked(BaseException):
    """A signal asked to end."""


def _end(_number: int, _frame: object) -> NoReturn:
    raise _Asked


def main() -> int:
    """Run the command; return its status."""
    parent, words = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _end)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            return ENDED
        return _status(subprocess.Popen(words).wait())  # noqa: S603 -- the caller's command
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        return ENDED
    except _Asked:
        return ENDED
    finally:
        _end_all()


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code


def _end_all() -> None:
    """End all that is below this process: first so that it can clean up, then for good."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for how in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE
        told: set[int] = set()
        while below := set(_below()):
            for process in below - told:
                with suppress(ProcessLookupError):
                    os.kill(process, how)
            told |= below
            if time.monotonic() > end:
                break
            time.sleep(_PAUSE)
            _reap()


def _below() -> Iterator[int]:
    """Yield all processes below this one that have not ended."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents.setdefault(int(parent), []).append(int(path.parent.name))
    waiting = parents.get(os.getpid(), [])
    while waiting:
        process = waiting.pop()
        yield process
        waiting += parents.get(process, [])


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    sys.exit(main())
