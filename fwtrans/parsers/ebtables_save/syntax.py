"""The rules of an ebtables or arptables dump, their words sorted by option. Nothing is interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.syntax import OptionUse
    from fwtrans.source import SourceFile


class BridgeRule(NamedTuple):
    """One rule: its options in the order written, and its target (empty: ebtables' CONTINUE, arptables' none)."""

    options: tuple[OptionUse, ...]
    target: str
    line: int
    target_word: int = 0
    counters: tuple[int, int] | None = None


class BridgeChain(NamedTuple):
    """A chain. In ebtables user chains have a policy of their own; `-` is arptables' user chain, which returns."""

    name: str
    policy: str
    rules: tuple[BridgeRule, ...]
    line: int


class BridgeTable(NamedTuple):
    """One table with its chains in order of declaration."""

    name: str
    chains: tuple[BridgeChain, ...]
    line: int


@dataclass(frozen=True, slots=True)
class BridgeDump:
    """What one file says. `program` is "ebtables" or "arptables". `comments` are its `#` lines by line number."""

    source: SourceFile
    program: str
    tables: tuple[BridgeTable, ...]
    comments: tuple[tuple[int, str], ...] = ()
