"""What a command hands back, and the one place where it becomes text on a stream and an exit status.

Data goes to stdout and everything else to stderr, so that `fwtrans translate dump > rules.nft` never mixes the two.
With `--json` stdout holds one envelope and stderr stays empty: the diagnostics are in the envelope.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA = 1
"""The version of the envelope. It grows when a key changes its meaning or goes away, not when one is added."""

_USAGE_FAULTS = (typer.BadParameter, typer.Exit, typer.Abort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command comes to.

    `data` is what it makes, for stdout; `value` is the same for programs, the `result` of the envelope. `report` is what
    it has to say about it, for a person on stderr, shown below the diagnostics.
    """

    exit_code: ExitCode = ExitCode.DONE
    data: str = ""
    value: Mapping[str, object] = field(default_factory=dict)
    report: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()


def perform(command: str, run: Callable[[], Result], *, as_json: bool) -> ExitCode:
    """Run a command and show what it comes to. Nothing but a usage fault (typer's own) gets past this place."""
    try:
        result = run()
    except _USAGE_FAULTS:
        raise
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as fault:  # noqa: BLE001 -- the one place that turns a fault of ours into exit status 70
        result = _internal_error(fault)
    try:
        return show(command, result, as_json=as_json)
    except KeyboardInterrupt:
        return _interrupted()


def show(command: str, result: Result, *, as_json: bool) -> ExitCode:
    """Write the result to the streams and return the exit status, which is another one if stdout cannot be written."""
    exit_code = result.exit_code
    data = _envelope(command, result) if as_json else result.data
    try:
        _write(sys.stdout, data)
    except BrokenPipeError:
        _discard(sys.stdout)  # the reader has seen enough, as in `| head`: that is no failure
    except OSError as fault:
        _discard(sys.stdout)
        _say(f"fwtrans: standard output cannot be written: {fault.strerror}")
        exit_code = ExitCode.USAGE
    if not as_json:
        _tell(result)
    return exit_code


def announce(text: str) -> None:
    """Tell a person something while a command is at work. Programs read the envelope, and that comes at the end."""
    if "--json" not in sys.argv[1:]:
        _say(text)


def wants_color(stream: TextIO) -> bool:
    """Tell whether to color: on a terminal that can, unless NO_COLOR (no-color.org) is set to anything."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _envelope(command: str, result: Result) -> str:
    import json

    from fwtrans.diagnostics.render import to_json

    content = {
        "schema": SCHEMA,
        "command": command,
        "ok": result.exit_code is ExitCode.DONE,
        "result": dict(result.value),
        "diagnostics": [to_json(item) for item in result.diagnostics],
    }
    return json.dumps(content, indent=2) + "\n"


def _tell(result: Result) -> None:
    """Write diagnostics and report for a person, with a blank line between them."""
    if sys.stderr is None:
        return
    parts = []
    if result.diagnostics:
        from fwtrans.diagnostics.render import render_all

        parts.append(render_all(result.diagnostics, width=_width(), color=wants_color(sys.stderr)))
    if result.report:
        parts.append(result.report.rstrip("\n"))
    if parts:
        _say("\n\n".join(parts))


def _say(text: str) -> None:
    """Write to stderr. Where nobody can read it, the exit status still says what it says."""
    try:
        _write(sys.stderr, text + "\n")
    except OSError:
        _discard(sys.stderr)


def _interrupted() -> ExitCode:
    _say("fwtrans: interrupted")
    return ExitCode.INTERRUPTED


def terminal_width(stream: TextIO | None) -> int:
    """Return the columns of the terminal that a stream is, 0 where it is none."""
    try:
        return max(os.get_terminal_size(stream.fileno()).columns, 40) if stream is not None else 0
    except (OSError, ValueError):
        return 0


def _width() -> int:
    """Return the columns of the terminal; where stderr is none, the same number everywhere, so that logs compare."""
    from fwtrans.diagnostics.render import DEFAULT_WIDTH

    return terminal_width(sys.stderr) or DEFAULT_WIDTH


def _internal_error(fault: Exception) -> Result:
    """Return what to say when fwtrans itself is wrong; the traceback only where somebody asked for it."""
    import traceback

    package = Path(__file__).parent.parent
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if package in Path(frame.filename).parents]
    place = f" ({Path(frames[-1].filename).relative_to(package)}:{frames[-1].lineno})" if frames else ""
    diagnostic = Diagnostic(
        code="FWT300",
        message=f"{type(fault).__name__}: {fault}{place}",
        notes=("this is a fault of fwtrans, not of the input",),
        hints=("run it again with FWTRANS_DEBUG=1 and report the traceback with the smallest input that shows it",),
    )
    trace = "".join(traceback.format_exception(fault)) if os.environ.get("FWTRANS_DEBUG") else ""
    return Result(exit_code=ExitCode.INTERNAL, diagnostics=(diagnostic,), report=trace)


def _write(stream: TextIO | None, text: str) -> None:
    """Write and flush, so that a failure shows here and not when the interpreter ends."""
    if not text:
        return
    if stream is None:  # the shell closed it: `>&-`
        raise OSError(errno.EBADF, "it is closed")
    stream.write(text)
    stream.flush()


def _discard(stream: TextIO | None) -> None:
    """Point the stream at nothing: the interpreter flushes it once more at its end and would exit with 120."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
