"""Work done in another process, beside this one: a pure function over values that both have, because one is the other's fork.

    with Worker(prove_half) as worker:
        mine = prove_other_half()
        theirs = worker.result()

Only what is sent and what is answered goes through a pipe; objects that both had before the fork can be told by their
place. A worker that fails answers nothing, and one that was killed is told with the signal, so that nobody waits for it; one
that is not asked any more is ended, with the workers that it has itself. A fork of a process with threads would have their
locks and not the threads, so where threads run, or there is one processor only, nothing is forked.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

SETTING = "FWTRANS_PROCESSES"
"""The variable of the environment that says how many processes may be used; 1 forks nothing."""
_THREADS = Path("/proc/self/task")
_LENGTH = struct.Struct("=Q")

# The pipes of this process, if it is a worker: its own workers must not hold them open.
_own_pipes: list[int] = []

_Answer = TypeVar("_Answer")


class _Closed(Exception):  # noqa: N818 -- the other process has gone, which may be meant
    """The other end of a pipe was closed before a whole value came."""


def usable() -> int:
    """Return how many processes may work side by side, this one counted."""
    wanted = os.environ.get(SETTING, "")
    most = int(wanted) if wanted.isdecimal() and wanted.isascii() else os.cpu_count() or 1
    if most < 2 or not hasattr(os, "fork") or not _is_alone():
        return 1
    return min(most, len(os.sched_getaffinity(0)))


def _is_alone() -> bool:
    """Tell whether this process has no other threads, neither Python's nor a library's."""
    try:
        return sum(1 for _ in _THREADS.iterdir()) == 1
    except OSError:
        return False


class Parts:
    """The parts of a work, by number, each handed out once, whichever of several processes asks for one.

    Two processes that begin at the two ends have as few parts in common with each other as there can be.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._left, tokens = os.pipe()
        os.write(tokens, bytes(count))
        os.close(tokens)

    def from_front(self) -> Iterator[int]:
        """Yield parts for as long as there are any, in order."""
        for number in range(self._count):
            if not os.read(self._left, 1):
                return
            yield number

    def from_back(self) -> Iterator[int]:
        """Yield parts for as long as there are any, the last first."""
        return (self._count - 1 - number for number in self.from_front())

    def close(self) -> None:
        """Hand out nothing any more."""
        os.close(self._left)


class Worker(Generic[_Answer]):
    """A forked process that works out one answer. The function is given another one, which waits for a value that is sent.

    What is `known` is not sent with an answer: the same objects are here.
    """

    def __init__(self, work: Callable[[Callable[[], object]], _Answer], known: Sequence[object] = ()) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._known = known
        self._process = os.fork()
        if not self._process:
            try:
                for pipe in (self._orders, self._answers, *_own_pipes):
                    os.close(pipe)
                _lead_a_group(0)
                _own_pipes[:] = (orders, answers)
                _work(work, orders, answers, known)
            finally:
                os._exit(1)
        os.close(orders)
        os.close(answers)
        _lead_a_group(self._process)

    def __enter__(self) -> Self:
        """Return the worker, which is ended at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker, whatever it is at."""
        self.end()

    @property
    def process(self) -> int:
        """Return the number of the process; 0 when it has been waited for."""
        return self._process

    def send(self, value: object) -> None:
        """Give the worker what it waits for; one that has gone is noticed when its answer is asked for."""
        with suppress(BrokenPipeError):
            _write(self._orders, value)

    def result(self) -> _Answer | None:
        """Return the answer, None where the work raised something: then it raises the same when it is done here.

        A worker that was ended from outside raises `Refused`.
        """
        try:
            answer = cast("tuple[_Answer] | tuple[()]", _read(self._answers, self._known))
        except _Closed:
            raise Refused("FWT404", f"a process that worked on the proof {self._how_it_ended()}") from None
        return answer[0] if answer else None

    def end(self) -> None:
        """End the process and its own workers, if it has not ended, and forget it."""
        if self._process:
            for kill in (os.killpg, os.kill):  # a worker of a worker is in the group of that one
                with suppress(ProcessLookupError):
                    kill(self._process, signal.SIGKILL)
            self._how_it_ended()
        for pipe in (self._orders, self._answers):
            if pipe >= 0:
                os.close(pipe)
        self._orders = self._answers = -1

    def _how_it_ended(self) -> str:
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        code = os.waitstatus_to_exitcode(status)
        return f"was ended by signal {-code}" if code < 0 else f"ended without an answer (exit status {code})"


def _lead_a_group(process: int) -> None:
    """Let a worker and those that it has itself be one group. Both sides say so: either may come first."""
    if not _own_pipes:
        with suppress(OSError):
            os.setpgid(process, process)


def _work(work: Callable[[Callable[[], object]], object], orders: int, answers: int, known: Sequence[object]) -> None:
    """Be the worker: answer and leave, without what the process that was forked would do at its own end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    answer: tuple[object, ...] = ()
    try:
        answer = (work(lambda: _read(orders)),)
    except Exception:  # noqa: BLE001 -- the same is raised, and told, where the work is done again
        answer = ()
    _write(answers, answer, known)
    os._exit(0)


class _Pickler(pickle.Pickler):
    """Writes known objects as their place."""

    def __init__(self, stream: io.BytesIO, known: Sequence[object]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._places = {id(item): place for place, item in enumerate(known)}

    def persistent_id(self, item: object) -> int | None:
        """Return the place of an object that the other process has as well."""
        return self._places.get(id(item))


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, known: Sequence[object]) -> None:
        super().__init__(stream)
        self._known = known

    def persistent_load(self, place: int) -> object:
        """Return the object that is here in that place."""
        return self._known[place]


def _write(pipe: int, value: object, known: Sequence[object] = ()) -> None:
    stream = io.BytesIO()
    _Pickler(stream, known).dump(value)
    content = stream.getvalue()
    rest = memoryview(_LENGTH.pack(len(content)) + content)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _read(pipe: int, known: Sequence[object] = ()) -> object:
    (length,) = _LENGTH.unpack(_bytes(pipe, _LENGTH.size))
    return _Unpickler(io.BytesIO(_bytes(pipe, length)), known).load()


def _bytes(pipe: int, wanted: int) -> bytes:
    found = bytearray()
    while len(found) < wanted:
        more = os.read(pipe, min(wanted - len(found), 1 << 20))
        if not more:
            raise _Closed
        found += more
    return bytes(found)
