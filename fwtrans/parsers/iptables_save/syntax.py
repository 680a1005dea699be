"""The words of an iptables dump or command line, sorted into what each belongs to. Nothing is interpreted.

Rules come by the hundred thousand, so nodes are plain named tuples and hold no columns: `word` is the number of a word
in its line (from 0), and the reader's `word_span` finds the columns again for the few that end in a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fwtrans.source import SourceFile


class OptionUse(NamedTuple):
    """One option as used. `name` is canonical (`--dport` for `--destination-port`), `values` have their quotes undone.

    `spelled` holds the values as written where quotes or escapes make them differ, else it is None.
    """

    name: str
    values: tuple[str, ...]
    negated: bool
    word: int
    spelled: tuple[str, ...] | None = None


class ExtensionUse(NamedTuple):
    """One `-m NAME`, `-j NAME` or `-g NAME` with its options. `implied` marks a match that `-p` alone loaded."""

    name: str
    options: tuple[OptionUse, ...]
    word: int
    implied: bool = False


class Command(Enum):
    """What a line does. A dump holds APPEND alone; scripts hold the rest."""

    APPEND = "-A"
    INSERT = "-I"
    DELETE = "-D"
    REPLACE = "-R"
    NEW_CHAIN = "-N"
    DELETE_CHAIN = "-X"
    RENAME_CHAIN = "-E"
    POLICY = "-P"
    FLUSH = "-F"
    ZERO = "-Z"
    CHECK = "-C"
    LIST = "-L"


class RuleSyntax(NamedTuple):
    """One rule: general options (-s, -d, -i, -o, -p, -f), matches in order, then a target or none.

    `calls` says that the target is a chain of the table. An extension wins over a chain of its name, as in iptables.
    """

    options: tuple[OptionUse, ...]
    matches: tuple[ExtensionUse, ...]
    target: ExtensionUse | None
    goto: bool
    line: int
    counters: tuple[int, int] | None = None
    calls: bool = False


class CommandLine(NamedTuple):
    """One command on one table. `number` is the position of -I, -D, -R; `argument` a policy or a new chain name.

    `chain` is empty where a command is meant for all chains. `word` is the number of the chain's word (of the command's
    where there is none).
    """

    command: Command
    table: str
    chain: str
    rule: RuleSyntax | None
    line: int
    number: int | None = None
    argument: str = ""
    word: int = 0
    counters: tuple[int, int] | None = None


class ChainSyntax(NamedTuple):
    """A chain as declared: `policy` is empty for a user chain."""

    name: str
    policy: str
    counters: tuple[int, int] | None
    rules: tuple[RuleSyntax, ...]
    line: int


@dataclass(frozen=True, slots=True)
class TableSyntax:
    """One table: chains in order of declaration, each with its rules in order.

    `comments` are the comment lines with their line numbers: those before, in and behind the table, whose COMMIT is in
    line `end`.
    """

    name: str
    chains: tuple[ChainSyntax, ...]
    line: int
    comments: tuple[tuple[int, str], ...] = ()
    end: int = 0


@dataclass(frozen=True, slots=True)
class IptablesDump:
    """What one file says of one family ("ip" or "ip6")."""

    source: SourceFile
    family: str
    tables: tuple[TableSyntax, ...]
