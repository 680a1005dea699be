"""The commands that pve-firewall hands to iptables-restore, chain by chain, each with the place it comes from.

Its own spelling is kept to the letter, double blanks included, because each chain ends with a rule that does nothing
and says in a comment the SHA-1 of the chain's commands (`PVESIG:`). Where that rule is equal to the one in a true
dump, every command of the chain is.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from fwtrans.lower.pve.names import LOG_LEVELS
from fwtrans.source import Origin, SourceFile

_LONGEST_CHAIN_NAME = 28


class LeftOut(Exception):  # noqa: N818 -- it is a decision, not a fault
    """What pve-firewall gives up with a message; how much is lost with it depends on where it is caught."""


class Line(NamedTuple):
    """One line of a text that we make, and what it was made from."""

    text: str
    origin: Origin | None = None


def made_text(name: str, lines: list[Line]) -> SourceFile:
    """Return the lines as a source whose lines know where they come from."""
    text = "".join(f"{line.text}\n" for line in lines)
    return SourceFile(name, text, tuple(line.origin for line in lines))


def log_target(chain: str, vmid: int, message: str, level: str, limit: str) -> str:
    """Return the logging target; pvefw-logger reads guest, level and chain out of the prefix."""
    limited = f"-m limit {limit} " if limit else ""
    return f'{limited}-j NFLOG --nflog-prefix ":{vmid}:{LOG_LEVELS[level]}:{chain}: {message}"'


@dataclass(slots=True)
class Chains:
    """The chains of one table. `limit` is what every log rule of the node is limited by, "" for nothing."""

    limit: str = ""
    lines: dict[str, list[Line]] = field(default_factory=dict)

    def create(self, chain: str) -> None:
        """Make a chain; pve-firewall gives up where it exists, or where its name is too long for iptables."""
        if len(chain) > _LONGEST_CHAIN_NAME:
            raise LeftOut(f"chain name `{chain}` is longer than {_LONGEST_CHAIN_NAME} characters")
        if chain in self.lines:
            raise LeftOut(f"chain `{chain}` exists already")
        self.lines[chain] = []

    def __contains__(self, chain: str) -> bool:
        """Tell whether there is such a chain."""
        return chain in self.lines

    def append(self, chain: str, command: str, origin: Origin | None) -> None:
        """Add a command that has its `-A CHAIN` already."""
        if chain not in self.lines:
            raise LeftOut(f"no such chain `{chain}`")
        self.lines[chain].append(Line(command, origin))

    def rule(self, chain: str, match: str, target: str, origin: Origin | None = None) -> None:
        """Add a rule."""
        self.append(chain, f"-A {chain} {match} {target}" if match else f"-A {chain} {target}", origin)

    def logged_rule(
        self, chain: str, target: str, level: str, message: str, vmid: int, origin: Origin | None = None
    ) -> None:
        """Add a rule for all packets, and before it one that logs them where a level is set."""
        if level:
            self.append(chain, f"-A {chain}  {log_target(chain, vmid, message, level, self.limit)}", origin)
        self.rule(chain, "", target, origin)

    def insert(self, chain: str, match: str, target: str, origin: Origin | None = None) -> None:
        """Put a rule before all others of its chain."""
        self.lines[chain].insert(0, Line(f"-A {chain} {match} {target}", origin))

    def signed(self, chain: str) -> list[Line]:
        """Return a chain's commands with the one that carries their sum."""
        lines = self.lines[chain]
        text = "".join(line.text for line in lines).encode("utf-8", errors="surrogateescape")
        digest = hashlib.sha1(text, usedforsecurity=False).digest()
        signature = base64.b64encode(digest).decode().rstrip("=")
        return [*lines, Line(f'-A {chain} -m comment --comment "PVESIG:{signature}"')]
