"""Which kernel can do the work: the running one, in a network namespace, or User Mode Linux.

Not every kernel has connection tracking and reject for bridges (NF_CONNTRACK_BRIDGE, NFT_BRIDGE_REJECT), and `nft -c` asks
the kernel. A launcher named by FWTRANS_LAB_UML boots another one: it is called as `LAUNCHER -t SECONDS SCRIPT ARG...`, runs
the script as root over this machine's files, prints its output and returns its status, 125 where none came back.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess  # noqa: TID251 -- the lab runs kernels
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lab import keeper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SETTING = "FWTRANS_LAB_UML"
AUTO = "auto"
NAMED = (AUTO, "running", "uml")
"""What a person may call a kernel; anything else is the path of a launcher, with a slash in it."""
NO_STATUS = 125
_PREFIX = "fwtrans-lab-"
_GRACE = 8.0
"""Seconds in which a process may clean up before it is killed."""

# What a bridge ruleset of ours may use; it loads where the kernel has all of it.
BRIDGE_CONNTRACK = """\
nft -f - <<'END'
table bridge probe {
	chain prerouting {
		type filter hook prerouting priority 0; policy accept;
		ct state established accept
		meta ibrname "br0" reject
	}
}
END
"""


class Kernel(NamedTuple):
    """A kernel that scripts can run in. `command` goes before the script, `timed` before a number of seconds."""

    name: str
    command: tuple[str, ...]
    timed: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What a script printed, on both streams, its exit status, and the kernel that it ran in."""

    output: str
    status: int
    kernel: Kernel


class Choice(NamedTuple):
    """The kernel that was taken, and why those before it were not."""

    kernel: Kernel
    passed_over: tuple[str, ...]


class NoKernel(Exception):  # noqa: N818 -- what there is not
    """No kernel at hand can do the work; the text says why for each."""


def candidates(environment: Mapping[str, str] = os.environ) -> Iterator[Kernel]:
    """Yield the kernels at hand, the fastest first."""
    if shutil.which("unshare"):
        yield Kernel("the running kernel", ("unshare", "-n", "bash"))
    if launcher := environment.get(SETTING):
        yield Kernel(f"User Mode Linux ({launcher})", (launcher,), ("-t",))


def run_script(kernel: Kernel, script: str, arguments: Sequence[str] = (), *, seconds: int = 300) -> Answer:
    """Run a bash script in the kernel, as root in a network namespace or a machine of its own."""
    with scratch() as folder:
        path = folder / "script"
        path.write_text(script)
        limit = (*kernel.timed, str(seconds)) if kernel.timed else ()
        command = (kernel.command[0], *limit, *kernel.command[1:], str(path), *arguments)
        words = (sys.executable, "-I", keeper.__file__, str(os.getpid()), *command)
        try:
            # a session of its own: what is typed at the terminal goes to this process alone
            running = subprocess.Popen(  # noqa: S603 -- the commands are those of `candidates`
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a launcher that is interrupted may leave what its kernel still wrote: that goes with the folder
                env={**os.environ, "TMPDIR": str(folder)},
            )
        except OSError as error:
            return Answer(f"{words[0]}: {error.strerror}", NO_STATUS, kernel)
        try:
            output, _ = running.communicate(timeout=seconds + 10)
            status = running.returncode
        except subprocess.TimeoutExpired as late:
            output, status = late.stdout or b"", NO_STATUS
        finally:
            _end(running)
    return Answer(output.decode(errors="replace"), status, kernel)


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: first so that it can clean up, then for good."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if running.poll() is not None:
            break
        os.killpg(running.pid, how)
        with suppress(subprocess.TimeoutExpired):
            running.wait(_GRACE)
    if running.stdout is not None:
        running.stdout.close()


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder that goes with the block; folders of processes that were killed go as well."""
    parent = Path(tempfile.gettempdir())
    for old in parent.glob(f"{_PREFIX}*-*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        yield Path(folder)


def choose(needed: str = BRIDGE_CONNTRACK, environment: Mapping[str, str] = os.environ) -> Kernel:
    """Return the first kernel in which the script `needed` succeeds; raise NoKernel where there is none."""
    return choice(needed, tuple(candidates(environment)), environment).kernel


def named(wanted: str, environment: Mapping[str, str] = os.environ) -> tuple[Kernel, ...]:
    """Return the kernels that a person asks for: `auto`, `running`, `uml` (the one that is set), or a launcher's path."""
    if "/" in wanted:
        return (Kernel(f"the kernel of {wanted}", (wanted,), ("-t",)),)
    found = tuple(candidates(environment))
    return {
        AUTO: found,
        "running": tuple(kernel for kernel in found if not kernel.timed),
        "uml": tuple(kernel for kernel in found if kernel.timed),
    }[wanted]


def choice(needed: str, kernels: Sequence[Kernel], environment: Mapping[str, str] = os.environ) -> Choice:
    """Return the first of the kernels in which the script succeeds, and what the others said."""
    reasons: list[str] = []
    for kernel in kernels:
        answer = run_script(kernel, needed, seconds=120)
        if answer.status == 0:
            return Choice(kernel, tuple(reasons))
        lines = answer.output.strip().splitlines()
        reasons.append(f"{kernel.name}: {lines[0] if lines else f'exit status {answer.status}'}")
    if not environment.get(SETTING):
        reasons.append(f"no launcher of another kernel is set ({SETTING})")
    raise NoKernel("; ".join(reasons))
