"""The process that goes back when nobody confirms: `python -m fwtrans.backend.loader.guard DIRECTORY SNAPSHOT`.

It belongs to no session: systemd runs it as a unit of its own, elsewhere it is detached. It waits while the apply is at
work, goes back at once where that died on its way, and at the deadline otherwise. The work itself is done by a child, and
done again where that is killed or does not succeed.
"""

from __future__ import annotations

import os
import signal
import subprocess  # noqa: TID251 -- this is its home
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.backend.loader.pending import (
    PENDING_FILE,
    Locked,
    end_pending,
    guard_is_alive,
    hold_guard,
    lock,
    read_pending,
)
from fwtrans.backend.loader.programs import find, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.backend.loader.pending import Pending

RESTORED, FAILED = "not confirmed, restored", "not confirmed, restoring failed"
_POLL = 0.1
_TRIES = 3
_BUSY = 75
_HELD = "xtables lock"
"""What iptables-legacy says where another program is at work: that passes, so it is no try that failed."""
_WAITS_FOR_OTHERS = 600.0
_READY_WITHIN = 60.0
_SYSTEMD = Path("/run/systemd/system")


class NotArmed(Exception):  # noqa: N818 -- it is an answer
    """The way back could not be made ready."""


def arm(directory: Path, identity: str) -> None:
    """Start the process that goes back, and return when it is ready; raises NotArmed."""
    words = [sys.executable, "-m", __name__, str(directory.absolute()), identity]
    package_root = str(Path(__file__).resolve().parents[3])
    if _systemd_is_ours():
        unit = f"fwtrans-way-back-{identity}"
        done = run(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                "--property=Restart=on-failure",
                "--property=TimeoutStopSec=1",  # a reboot, which leads back by itself, need not wait for it
                f"--unit={unit}",
                f"--setenv=PYTHONPATH={package_root}",
                *words,
            ]
        )
        if done.status:
            raise NotArmed(f"systemd-run: {done.error}")
    else:
        _detach(words, {**os.environ, "PYTHONPATH": package_root})
    until = time.monotonic() + _READY_WITHIN
    while not guard_is_alive(directory, identity):
        if time.monotonic() > until:
            raise NotArmed(f"the process that would go back is not there after {_READY_WITHIN:.0f} seconds")
        time.sleep(_POLL / 10)


def _systemd_is_ours() -> bool:
    """Tell whether systemd runs here and sees the same network as we do: what it starts is in its own namespace."""
    try:
        same = Path("/proc/1/ns/net").stat().st_ino == Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError:
        return False
    return same and _SYSTEMD.is_dir() and find("systemd-run") is not None


def _detach(words: Sequence[str], environment: dict[str, str]) -> None:
    """Start a process in a session of its own that is nobody's child."""
    with Path(os.devnull).open("r+b") as nothing:
        shell = ["/bin/sh", "-c", '"$@" & exit 0', "sh", *words]
        done = subprocess.run(  # noqa: S603 -- the words are ours, and the shell sees them as arguments only
            shell,
            check=False,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    if done.returncode:
        raise NotArmed(f"no process can be started (exit status {done.returncode})")


def main(arguments: Sequence[str]) -> int:
    """Wait, and go back where nobody decides otherwise."""
    directory, identity = Path(arguments[0]), arguments[1]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    from fwtrans.backend.loader import restore  # noqa: F401, PLC0415 -- read from the disk while there is one

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000", encoding="ascii")  # the last to go where memory is short
    pending = _mine(directory, identity, None)
    if pending is not None:  # ready is who has seen what to go back from
        hold_guard(directory, identity)
    while (pending := _mine(directory, identity, pending)) is not None and not pending.confirmed:
        if not pending.loaded or pending.seconds_left <= 0:
            # never waits for the lock: who has it may decide, and the next apply must not take this one for its own guard
            with suppress(Locked), lock(directory):
                if (pending := _mine(directory, identity, pending)) is not None and _is_due(pending):
                    return _go_back(directory, identity)
        time.sleep(_POLL)
    return 0


def _mine(directory: Path, identity: str, last: Pending | None) -> Pending | None:
    """Return what is pending; a file that is there and cannot be read any more says what it said last."""
    found = read_pending(directory)
    if found is None and (directory / PENDING_FILE).exists():
        return last
    return found if found is not None and found.identity == identity else None


def _is_due(pending: Pending) -> bool:
    """Tell with the lock in hand whether to go back: the time is over, or who was loading is gone."""
    return not pending.confirmed and (not pending.loaded or pending.seconds_left <= 0)


def _go_back(directory: Path, identity: str) -> int:
    outcome, tries, until = 1, 0, time.monotonic() + _WAITS_FOR_OTHERS
    while tries < _TRIES:
        child = os.fork()
        if child == 0:
            os._exit(_restore(directory, identity))
        outcome = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if outcome == 0:
            break
        tries += outcome != _BUSY or time.monotonic() > until
    from fwtrans.backend.loader.snapshot import note_outcome  # noqa: PLC0415 -- imported long since

    with suppress(OSError):
        note_outcome(directory, identity, RESTORED if outcome == 0 else FAILED)
    end_pending(directory)
    return outcome


def _restore(directory: Path, identity: str) -> int:
    from fwtrans.backend.loader.real import LibNft  # noqa: PLC0415 -- imported long since
    from fwtrans.backend.loader.restore import restore  # noqa: PLC0415 -- imported long since
    from fwtrans.backend.loader.snapshot import read_snapshot  # noqa: PLC0415 -- imported long since

    log = directory / "way-back.log"
    try:
        snapshot = read_snapshot(directory, identity)
        problems: Sequence[str] = ("the snapshot cannot be read",) if snapshot is None else ()
        if snapshot is not None:
            problems = restore(LibNft(), snapshot, directory)
    except Exception as fault:  # noqa: BLE001 -- nobody is there to see a traceback
        problems = (f"{type(fault).__name__}: {fault}",)
    if problems:
        with suppress(OSError):
            log.write_text("".join(f"{identity}: {problem}\n" for problem in problems))
    if any(_HELD in problem for problem in problems):
        return _BUSY
    return 6 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
