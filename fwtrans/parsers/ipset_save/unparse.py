"""Prints commands as `ipset save` does: canonical dumps come out as they went in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.ipset_save.syntax import (
    NO_OPTIONS,
    Command,
    Create,
    ElementCommand,
    ElementOptions,
    Remark,
    SetAction,
    SetCommand,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST_MASK = 0xFFFFFFFF


def unparse(commands: Iterable[Command]) -> str:
    """Return the commands as text, one a line. A dump that ends with a newline ends with an empty remark for it."""
    return "\n".join(map(unparse_command, commands))


def unparse_command(command: Command) -> str:
    """Return one command. Words that need quotes get them; those that ipset could not read back do not occur."""
    match command:
        case ElementCommand(action, name, parts, options, _, _, exist):
            element = ",".join([part.text for part in parts])
            line = f"{action.value} {_quoted(name)} {_quoted(element)}"
            if options is not NO_OPTIONS:
                line += "".join(_element_options(options))
        case Create(name, kind, create_options, _, _, _, exist):
            line = f"create {_quoted(name)} {kind}"
            for option, value in create_options:
                line += f" {option}" if value is None else f" {option} {_quoted(value)}"
        case SetCommand(action, name, other, _, _):
            both = f" {_quoted(other)}" if action in {SetAction.RENAME, SetAction.SWAP} else ""
            return f"{action.value} {_quoted(name)}{both}" if name else action.value
        case Remark(text, _, _):
            return text
    return f"{line} -exist" if exist else line


def _element_options(options: ElementOptions) -> Iterator[str]:
    """Yield the options in the order of ipset 7.17's save."""
    if options.timeout is not None:
        yield f" timeout {options.timeout}"
    if options.nomatch:
        yield " nomatch"
    if options.wildcard:
        yield " wildcard"
    if options.packets is not None:
        yield f" packets {options.packets}"
    if options.bytes is not None:
        yield f" bytes {options.bytes}"
    if options.comment is not None:
        yield f' comment "{options.comment}"'
    if options.skbmark is not None:
        mark, mask = options.skbmark
        yield f" skbmark 0x{mark:x}" + ("" if mask == _LONGEST_MASK else f"/0x{mask:x}")
    if options.skbprio is not None:
        yield f" skbprio {options.skbprio[0]:x}:{options.skbprio[1]:x}"
    if options.skbqueue is not None:
        yield f" skbqueue {options.skbqueue}"
    if options.before:
        yield f" before {_quoted(options.before)}"
    if options.after:
        yield f" after {_quoted(options.after)}"


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or "\t" in text else text
