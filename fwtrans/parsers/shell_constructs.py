"""Constructs that are closed in the text that they began in: what stands in each part of them, one bracket further out.

if [ "$MODE" = open ]; then a; else b; fi        three parts: what is asked, a, b
case "$1" in start) a;; *) b;; esac              a part for each pattern, 1 and 2
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_outline import Opener, SimpleCommand


class Construct(NamedTuple):
    """A construct: as it was when it closed, its commands by part, the command at its end, and what stands behind it."""

    opener: Opener
    parts: dict[int, tuple[SimpleCommand, ...]]
    end: SimpleCommand
    behind: int

    @property
    def is_alone(self) -> bool:
        """Tell whether it is neither part of a pipe nor in the background, and nothing negates it."""
        return not self.opener.negated and self.opener.before != "|" and self.end.after not in {"&", "|", "|&"}


def construct_at(commands: Sequence[SimpleCommand], index: int) -> Construct | None:
    """Return the construct that begins with a command at the top level."""
    if not commands[index].inside:
        return None
    first = commands[index].inside[0]
    end = index
    parts: dict[int, list[SimpleCommand]] = {}
    while end < len(commands) and commands[end].inside[:1] and commands[end].inside[0].offset == first.offset:
        command = commands[end]
        parts.setdefault(command.inside[0].part, []).append(replace(command, inside=command.inside[1:]))
        end += 1
    if end == len(commands) or (closed := commands[end].closed) is None or closed.offset != first.offset:
        return None
    return Construct(closed, {part: tuple(found) for part, found in parts.items()}, commands[end], end + 1)
