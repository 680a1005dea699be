"""The reference of all commands and the manual page, made of what the command line says of itself."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

from typer.models import ArgumentInfo

from fwtrans.cli.app import COMMANDS
from fwtrans.cli.exitcodes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATUS = {
    ExitCode.DONE: "done, or equal",
    ExitCode.FINDINGS: "findings, or different",
    ExitCode.USAGE: "wrong command line",
    ExitCode.UNREADABLE: "unreadable input",
    ExitCode.UNTRANSLATABLE: "untranslatable",
    ExitCode.LOAD_RESTORED: "loading failed, and the old ruleset is in force",
    ExitCode.RESTORE_FAILED: "going back failed",
    ExitCode.INTERNAL: "a fault of fwtrans",
    ExitCode.INTERRUPTED: "interrupted",
}


class Parameter(NamedTuple):
    """An argument or an option as it is written, and what it is for."""

    written: str
    text: str
    is_option: bool


class CommandHelp(NamedTuple):
    """One command's help in parts."""

    name: str
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    example: str
    parameters: tuple[Parameter, ...]


def command_helps() -> list[CommandHelp]:
    """Return the help of every command in the order of `fwtrans --help`.

    It is read off the functions, because what typer makes of them is another thing in each of its versions.
    """
    return [_help_of(command) for command in COMMANDS]


def _help_of(command: Callable[..., object]) -> CommandHelp:
    summary, *paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    example = next((text for text in paragraphs if text.startswith("Example:")), "")
    parameters = (
        *_parameters(command),
        Parameter("--json", "Write one JSON envelope to stdout instead of text", is_option=True),
    )
    arguments = " ".join(item.written for item in parameters if not item.is_option)
    name = command.__name__.replace("_", "-")
    return CommandHelp(
        name,
        f"fwtrans {name} [OPTION]... {arguments}".rstrip(),
        " ".join(summary.split()).rstrip("."),
        tuple(" ".join(text.split()) for text in paragraphs if text != example),
        inspect.cleandoc(example.removeprefix("Example:\n")) if example else "",
        parameters,
    )


def _parameters(command: Callable[..., object]) -> Iterator[Parameter]:
    kinds = get_type_hints(command, include_extras=True, localns={"Result": object})
    for name, item in inspect.signature(command).parameters.items():
        kind, told = get_args(kinds[name])[:2]
        kinds_inside = [part for part in get_args(kind) if part is not type(None)]
        inner = (
            get_args(kinds_inside[0])[0]
            if kinds_inside and get_args(kinds_inside[0])
            else kinds_inside[0]
            if kinds_inside
            else kind
        )
        if isinstance(told, ArgumentInfo):
            written = name.upper() + ("..." if "list" in str(kind) else "")
            yield Parameter(
                written if item.default is inspect.Parameter.empty else f"[{written}]", told.help or "", is_option=False
            )
            continue
        first = (
            (told.default,) if str(told.default).startswith("-") else ()
        )  # as typer keeps the first of several names
        names = (*first, *(told.param_decls or ())) or (f"--{name.replace('_', '-')}",)
        value = "" if inner is bool else f" {told.metavar or _value(inner)}"
        hidden = inner is bool or item.default in (None, "") or not told.show_default
        default = "" if hidden else f" (default: {getattr(item.default, 'value', item.default)})"
        yield Parameter(", ".join(f"{option}{value}" for option in names), f"{told.help}{default}", is_option=True)


def _value(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {int: "NUMBER", float: "NUMBER"}.get(kind, "TEXT")


def commands_page() -> str:
    """Return docs/reference/commands.md."""
    helps = command_helps()
    lines = [
        "# Commands",
        "",
        "Made from `fwtrans --help` and held to it by a test. [Exit status](exit-codes.md), [JSON](json-output.md).",
        "",
        "| command | |",
        "| --- | --- |",
        *(f"| [`{item.name}`](#{item.name}) | {item.summary} |" for item in helps),
        "",
        "`fwtrans --version` tells the version, `fwtrans COMMAND --help` what stands here. `NO_COLOR` turns colours off; `FWTRANS_DEBUG=1` adds the traceback to a fault of fwtrans itself.",
    ]
    for item in helps:
        lines += [
            "",
            f"## {item.name}",
            "",
            f"    {item.usage}",
            "",
            f"{item.summary}.",
            *(f"\n{text}" for text in item.paragraphs),
        ]
        if item.parameters:
            lines += ["", "| | |", "| --- | --- |"]
            lines += [
                f"| `{one.written.replace('|', chr(92) + '|')}` | {one.text.replace('|', chr(92) + '|')} |"
                for one in item.parameters
            ]
        if item.example:
            lines += ["", *(f"    {line}".rstrip() for line in item.example.split("\n"))]
    return "\n".join(lines) + "\n"


def manual_page() -> str:
    """Return docs/fwtrans.1, in the macros of man(7)."""
    lines = [
        ".TH FWTRANS 1 2026-11-21 fwtrans",
        ".SH NAME",
        r"fwtrans \- leave iptables with a proved, fast nftables ruleset",
        ".SH SYNOPSIS",
        ".B fwtrans",
        r".I COMMAND",
        r"[\fIOPTION\fR]... [\fIARGUMENT\fR]...",
        ".SH COMMANDS",
    ]
    for item in command_helps():
        lines += [f".SS {_roff(item.usage)}", _roff(f"{item.summary}.")]
        for text in item.paragraphs:
            lines += [".PP", _roff(text)]
        for one in item.parameters:
            lines += [".TP", rf"\fB{_roff(one.written)}\fR", _roff(one.text)]
        if item.example:
            lines += [".PP", ".nf", ".RS", *(_roff(line) for line in item.example.split("\n")), ".RE", ".fi"]
    lines += [".SH EXIT STATUS"]
    for code, text in _STATUS.items():
        lines += [".TP", rf"\fB{code.value}\fR", text]
    lines += [
        ".SH ENVIRONMENT",
        ".TP",
        r"\fBNO_COLOR\fR",
        "set to anything: no colours",
        ".TP",
        r"\fBFWTRANS_DEBUG\fR",
        "set to 1: the traceback of a fault of fwtrans itself",
        ".SH SEE ALSO",
        r"\fBnft\fR(8), \fBiptables-save\fR(8), \fBiptables-extensions\fR(8), \fBipset\fR(8), \fBebtables\fR(8)",
    ]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{safe}" if safe.startswith(".") else safe
