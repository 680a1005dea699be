"""Loops whose turns are known beforehand: `for port in 22 80; do ...; done` is its commands twice, once with each port.

A loop that may end before its last word (`break`), that runs beside the script, or that hangs on a test is none of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import RawWord

MOST_COMMANDS = 100_000
"""How many commands the turns of a loop may make in all; loops in loops multiply."""

_CUTS_SHORT = frozenset({"break", "continue"})


class Loop(NamedTuple):
    """A `for`: its variable, the words that it takes, what is run for each, and the index of what stands behind it.

    The commands of the body are as they would be without the loop around them.
    """

    variable: str
    words: tuple[RawWord, ...]
    body: tuple[SimpleCommand, ...]
    behind: int


def loop_at(commands: Sequence[SimpleCommand], index: int) -> Loop | None:
    """Return the loop that begins with a command at the top level, if all its turns are run in order."""
    head = commands[index]
    if not head.loop_variable or head.loop_words is None or head.before or head.negated or len(head.inside) != 1:
        return None
    opener = head.inside[0]
    if opener.word != "for":
        return None
    end = index + 1
    while end < len(commands) and commands[end].inside[:1] == (opener,):
        end += 1
    body = commands[index + 1 : end]
    if end == len(commands) or not commands[end].is_end or commands[end].after in {"&", "|", "|&"}:
        return None
    if any(word.bare in _CUTS_SHORT for command in body for word in command.words):
        return None
    inner = tuple(replace(command, inside=command.inside[1:]) for command in body)
    return Loop(head.loop_variable, head.loop_words, inner, end)
