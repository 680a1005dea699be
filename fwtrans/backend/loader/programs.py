"""Runs the programs that own a part of the firewall: found on root's PATH, in plain English, with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess  # noqa: TID251 -- this is its home
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSTEM_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"
_PATIENCE = 120


class Done(NamedTuple):
    """What a program came to; 127 where there is none of that name."""

    status: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        """Return the output as text; bytes that are none stay as they are."""
        return self.output.decode(errors="surrogateescape")


def find(name: str) -> str | None:
    """Return where a program is, also where only root would look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PLACES}")


def run(words: Sequence[str], *, given: bytes = b"", prefix: Sequence[str] = ()) -> Done:
    """Run a program to its end. `prefix` goes in front, as `nsenter -t PID -n`."""
    found = find(words[0])
    if found is None:
        return Done(127, b"", f"{words[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603 -- the words are ours, no shell is between
            [*prefix, found, *words[1:]],
            check=False,
            input=given,
            capture_output=True,
            timeout=_PATIENCE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return Done(124, b"", f"{words[0]} did not end within {_PATIENCE} seconds")
    except OSError as fault:
        return Done(126, b"", f"{words[0]}: {fault.strerror}")
    return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace").strip())


class Scratch:
    """An empty network namespace to try things in. It goes with the process that holds it, also when we are killed."""

    def __init__(self) -> None:
        unshare, nsenter = find("unshare"), find("nsenter")
        if unshare is None or nsenter is None:
            raise OSError("unshare and nsenter (package util-linux) are not installed")
        # the shell ends when its input does, that is with us
        self._holder = subprocess.Popen(  # noqa: S603 -- the words are ours
            [unshare, "-n", "sh", "-c", "echo ready; read -r _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None  # noqa: S101 -- it is a pipe
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise OSError("no network namespace can be made here")
        self.prefix = (nsenter, "-t", str(self._holder.pid), "-n")
        self.process = self._holder.pid
        run(["ip", "link", "set", "lo", "up"], prefix=self.prefix)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the namespace go."""
        self.close()

    def run(self, words: Sequence[str], *, given: bytes = b"") -> Done:
        """Run a program in it."""
        return run(words, given=given, prefix=self.prefix)

    def close(self) -> None:
        """End the process that holds it."""
        for stream in (self._holder.stdin, self._holder.stdout):
            if stream is not None:
                stream.close()
        self._holder.wait()
