"""Doing something in another network namespace: in a thread that goes there and ends there.

A namespace belongs to a thread, and a libnftables handle to the namespace that its thread was in (KERNEL_LAB.md 9).
"""

from __future__ import annotations

import os
import threading
from ctypes import CDLL, get_errno
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_NETWORK = 0x40000000
_T = TypeVar("_T")


def in_namespace_of(process: int, work: Callable[[], _T]) -> _T:
    """Return what `work` returns in the network namespace of a process; what it raises is raised here."""
    answers: list[_T] = []
    faults: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(process)
            answers.append(work())
        except BaseException as fault:  # noqa: BLE001 -- it is raised again in the thread that asked
            faults.append(fault)

    thread = threading.Thread(target=enter, name=f"namespace of {process}")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return answers[0]


def _enter(process: int) -> None:
    library = CDLL(None, use_errno=True)
    handle = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.setns(handle, _NETWORK):
            raise OSError(get_errno(), os.strerror(get_errno()))
    finally:
        os.close(handle)
