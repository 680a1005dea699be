"""What the reader must know of an extension: the names of its options and how many words each takes.

The extensions themselves live in `lower/extensions`, because what an option means is not the reader's business. The
reader is handed an `OptionTable` and asks it only for these few facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `name` is the spelling that iptables-save prints; `aliases` are the other legal ones.

    `arity` is how many words follow; with `optional` there may be one more that does not begin with `-` or `!`.
    `negatable` allows `!` in front, or behind the option name (the old way).
    `repeatable` options may stand several times in one use of the extension.
    """

    name: str
    aliases: tuple[str, ...] = ()
    arity: int = 1
    negatable: bool = False
    repeatable: bool = False
    optional: bool = False


class OptionTable(Protocol):
    """Finds the options of an extension; None where there is no such extension for the family ("ip", "ip6", ...)."""

    def match_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-m name` brings."""

    def target_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-j name` brings; empty for ACCEPT, DROP and the like, None for a user chain."""
