"""Builds the command line out of the commands, nothing else.

`fwtrans --help` has to answer at once, so a command's module imports only typer and what its signature names; lark,
oxidd, rich and the stages are imported when the command runs. A test watches over it.
"""

from __future__ import annotations

import gc
import inspect
import sys
from functools import partial, update_wrapper
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated

import typer

from fwtrans.cli.commands import (
    apply,
    collect,
    confirm,
    diff,
    explain,
    lab,
    lint,
    optimize,
    rollback,
    simulate,
    status,
    translate,
    verify,
)
from fwtrans.cli.output import Result, perform

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: tuple[Callable[..., Result], ...] = (
    # in the order in which `fwtrans --help` shows them; translate comes first
    translate.translate,
    verify.verify,
    diff.diff,
    lint.lint,
    simulate.simulate,
    optimize.optimize,
    collect.collect,
    apply.apply,
    confirm.confirm,
    rollback.rollback,
    status.status,
    lab.lab,
    explain.explain,
)

_JSON = inspect.Parameter(
    "as_json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="Write one JSON envelope to stdout instead of text")],
)


def main() -> None:
    """Run the program: the entry point `fwtrans` and `python -m fwtrans`."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        # a ruleset is written as the bytes that were read, whatever the locale of the shell
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    # A run makes millions of small values and no cycles worth looking for: the collector would take a third of the time.
    gc.disable()
    try:
        build()(prog_name="fwtrans")
    finally:
        # Python looks for cycles once more when it ends, unless nothing is left to be looked at.
        gc.freeze()


def build() -> typer.Typer:
    """Return the app with every command."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_help_text(_program))(_program)
    for command in COMMANDS:
        app.command(_name(command), help=_help_text(command), no_args_is_help=False)(_entry(command))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("fwtrans")
        except PackageNotFoundError:
            number = "(a checkout that is not installed)"
        typer.echo(f"fwtrans {number}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit")
    ] = False,
) -> None:
    """Leave iptables with a proved, fast nftables ruleset.

    Exit status: 0 done or equal; 1 findings or different; 2 usage; 3 unreadable input; 4 untranslatable; 5 load failed and
    restored; 6 restore failed; 70 internal error; 130 interrupted.
    """


def _name(command: Callable[..., Result]) -> str:
    return command.__name__.replace("_", "-")


def _entry(command: Callable[..., Result]) -> Callable[..., None]:
    """Return what typer calls: the command with `--json` added, its result shown, its exit status raised."""

    def entry(*, as_json: bool, **options: object) -> None:
        raise typer.Exit(perform(_name(command), partial(command, **options), as_json=as_json))

    signature = inspect.signature(command)
    update_wrapper(entry, command)
    entry.__signature__ = signature.replace(  # type: ignore[attr-defined]  # inspect reads it, the type has no name for it
        parameters=[*signature.parameters.values(), _JSON]
    )
    entry.__annotations__ = {**command.__annotations__, _JSON.name: _JSON.annotation}
    return entry


def _help_text(command: Callable[..., object]) -> str:
    r"""Return the docstring as help. `\b` keeps typer from filling the lines of an example."""
    summary, *paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    kept = [f"\b\n{text}" if "\n    " in f"\n{text}" else text for text in paragraphs]
    return "\n\n".join([summary.rstrip("."), *kept])
