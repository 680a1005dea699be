"""A network namespace for a test that writes to the kernel. The host's own ruleset is out of its reach."""

from __future__ import annotations

import os
from contextlib import contextmanager
from ctypes import CDLL, get_errno
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW_NETWORK = 0x40000000
_OWN = Path("/proc/thread-self/ns/net")
_library = CDLL(None, use_errno=True)

OUTSIDE = _OWN.stat().st_ino if _OWN.exists() else 0
"""The namespace in which the tests were started: never to be written to."""


@contextmanager
def namespace() -> Iterator[int]:
    """Put this thread into a new network namespace; the number that names it is what the block gets."""
    handle = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", _NEW_NETWORK)
        inside = _OWN.stat().st_ino
        assert inside != OUTSIDE
        try:
            yield inside
        finally:
            _call("setns", handle, _NEW_NETWORK)
    finally:
        os.close(handle)


def assert_inside() -> None:
    """Fail rather than touch the host."""
    assert _OWN.stat().st_ino != OUTSIDE, "this would change the host's own ruleset"


def _call(name: str, *arguments: int) -> None:
    if _library[name](*arguments):
        raise OSError(get_errno(), f"{name}: {os.strerror(get_errno())}")
