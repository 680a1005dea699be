"""An apply that has changed something and is not confirmed yet: one file, and the lock that all who change it take.

    armed    the way back is ready, the new rules are on their way
    loaded   the new rules are there; until the deadline somebody may confirm them
    confirmed  they stay, and what is left over goes

Who takes the file away, under the lock, has decided.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.backend.loader.image import TableName
from fwtrans.backend.loader.state import sync_directory, this_host, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

PENDING_FILE = "pending.json"
LOCK_FILE = "lock"
GUARD_FILE = "guard"
_POLL = 0.05


class Locked(Exception):  # noqa: N818 -- it is an answer
    """Somebody else is at work; the text says who, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for its confirmation. Times are seconds since boot, for the wall clock may be set meanwhile."""

    identity: str
    host: str
    deadline: float
    wait: float
    loaded: bool = False
    asleep: tuple[TableName, ...] = ()
    persist: bool = False
    confirmed: bool = False

    @property
    def seconds_left(self) -> float:
        """Return how long it may still be confirmed."""
        return self.deadline - seconds_since_boot()


def seconds_since_boot() -> float:
    """Return a clock that nobody sets and that goes on in sleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_pending(directory: Path) -> Pending | None:
    """Return what is pending on this boot and in this network namespace."""
    try:
        value = json.loads((directory / PENDING_FILE).read_bytes())
        found = Pending(
            identity=str(value["identity"]),
            host=str(value["host"]),
            deadline=float(value["deadline"]),
            wait=float(value["wait"]),
            loaded=value["loaded"] is True,
            asleep=tuple(TableName(str(family), str(name)) for family, name in value["asleep"]),
            persist=value["persist"] is True,
            confirmed=value["confirmed"] is True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if found.host == this_host() else None


def write_pending(directory: Path, pending: Pending) -> None:
    """Write it; raises OSError."""
    write_private(directory / PENDING_FILE, json.dumps(asdict(pending)))


def mark_loaded(directory: Path, pending: Pending) -> Pending:
    """Say that the new rules are there and that the time for confirming them begins."""
    found = replace(pending, loaded=True, deadline=seconds_since_boot() + pending.wait)
    write_pending(directory, found)
    return found


def mark_confirmed(directory: Path, pending: Pending) -> None:
    """Say that it stays. The file goes when all that follows from it is done, so that this can be taken up again."""
    write_pending(directory, replace(pending, confirmed=True))


def end_pending(directory: Path) -> None:
    """Take the file away: decided."""
    (directory / PENDING_FILE).unlink(missing_ok=True)
    sync_directory(directory)


@contextmanager
def lock(directory: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Be the only one at work; raises Locked after waiting that long. The kernel lets go when the process ends."""
    handle = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    who = os.pread(handle, 32, 0).decode(errors="replace").strip()
                    raise Locked(f"process {who} is at work" if who else "another process is at work") from None
                time.sleep(_POLL)
        with suppress(OSError):  # who it is helps people; a full disk must not keep the way back from its work
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_locked(directory: Path) -> bool:
    """Tell whether somebody is at work right now."""
    try:
        with lock(directory):
            return False
    except Locked:
        return True


def guard_is_alive(directory: Path, identity: str = "") -> bool:
    """Tell whether the process that will go back is there: it holds a lock for as long as it lives.

    With an identity, whether it is the one of that apply: that of an earlier one may still be on its way out.
    """
    try:
        handle = os.open(directory / GUARD_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who only asks is not taken for the guard
    except BlockingIOError:
        return not identity or os.pread(handle, 256, 0).decode(errors="replace").split()[1:] == [identity]
    finally:
        os.close(handle)
    return False


def hold_guard(directory: Path, identity: str) -> int:
    """Take the lock that says that the way back is ready; the handle keeps it.

    Somebody may be asking for it just now, and an earlier guard may not have ended yet: neither is a reason to give up.
    """
    handle = os.open(directory / GUARD_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()} {identity}".encode(), 0)
    return handle


def unsafe(directory: Path) -> str:
    """Return why what lies in the folder must not be loaded as root, or nothing.

    Who may write to a folder above it could put another one in its place, unless that is as /tmp, where everybody's things
    are their own.
    """
    if directory.is_symlink() and directory.lstat().st_uid not in {0, os.geteuid()}:
        return f"{directory} is a link that another user made"
    place = directory.resolve()
    about = place.stat()
    if about.st_uid != os.geteuid():
        return f"{directory} belongs to another user"
    if about.st_mode & 0o022:
        return f"{directory} may be written by others than root"
    for folder in place.parents:
        about = folder.stat()
        if about.st_uid not in {0, os.geteuid()} or (about.st_mode & 0o022 and not about.st_mode & stat.S_ISVTX):
            return f"{folder} may be written by others than root"
    return ""


def state_folder_obstacle(directory: Path) -> str:
    """Return why the folder cannot be used, or nothing; makes it where it is missing.

    What is written here before anything changes has to be as much as will be written afterwards, for a full disk must not
    show itself in between.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if why := unsafe(directory):
            return why
        write_private(directory / ".probe", b"\0" * (1 << 20))
        (directory / ".probe").unlink(missing_ok=True)  # another apply that begins now may have taken it away
    except OSError as fault:
        return f"{Path(fault.filename) if fault.filename else directory}: {fault.strerror}"
    return ""
