"""Network namespaces without names: they end with the process, whatever ends it, and leave nothing behind."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_OWN = "/proc/thread-self/ns/net"


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, so that no crash leaves it behind."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def current() -> int:
    """Return a descriptor of the namespace that this thread is in."""
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Be in another namespace for a while: sockets made there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    back = current()
    try:
        _check(libc.setns(namespace, _CLONE_NEWNET), "setns")
        yield
    finally:
        _check(libc.setns(back, _CLONE_NEWNET), "setns")
        os.close(back)


def enter_another() -> None:
    """Leave this namespace for a new one; the old one ends where nothing else is in it."""
    _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET), "unshare")


def another() -> int:
    """Make a namespace and return its descriptor; this thread stays where it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    back = current()
    try:
        _check(libc.unshare(_CLONE_NEWNET), "unshare")
        return current()
    finally:
        _check(libc.setns(back, _CLONE_NEWNET), "setns")
        os.close(back)


def set_sysctl(name: str, value: int | str, *, optional: bool = False) -> None:
    """Set a sysctl of the current namespace; `optional` ones are not in every kernel, or only for the first namespace."""
    try:
        Path("/proc/sys", name).write_text(str(value), encoding="ascii")
    except OSError:
        if not optional:
            raise
