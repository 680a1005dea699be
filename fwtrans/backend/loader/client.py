"""What the loader needs of nft: check, run, list. `LibNft` asks the kernel, `FakeNft` keeps tables in memory.

One test class runs on both (tests/backend/loader/test_clients.py), so what tests learn from the fake holds for the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from fwtrans.backend.loader.image import TableImage, TableName
    from fwtrans.backend.loader.netlink import TableHandles
    from fwtrans.backend.loader.transaction import Command, Transaction


@dataclass(frozen=True, slots=True)
class Fault:
    """Why nft or the kernel refused a transaction, and the command that it names."""

    message: str
    command: Command | None = None


class BaseChain(NamedTuple):
    """A chain that the kernel calls, of anybody's table. `chains` are the names of all chains of that table."""

    table: TableName
    name: str
    hook: str
    priority: int
    type: str
    policy: str
    chains: tuple[str, ...]


class Unavailable(Exception):  # noqa: N818 -- it is an answer, not a fault
    """There is no nft to talk to. `code` is a key of CODES."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class NftClient(Protocol):
    """nft in one network namespace."""

    def check(self, transaction: Transaction) -> tuple[Fault, ...]:
        """Return why the transaction would fail now; nothing changes."""

    def run(self, transaction: Transaction) -> tuple[Fault, ...]:
        """Carry the transaction out as a whole; where there are faults nothing has changed."""

    def generation(self) -> int:
        """Return a number that every commit of anybody raises by one."""

    def tables(self) -> tuple[TableName, ...]:
        """Return the names of all tables."""

    def dormant_tables(self) -> frozenset[TableName]:
        """Return the tables that are there but switched off."""

    def listing(self, table: TableName) -> TableImage | None:
        """Return a whole table, counters and elements included: slow where it is big."""

    def outline(self, table: TableName) -> TableImage | None:
        """Return a table without rules and elements, named objects without their content: quick whatever its size."""

    def handles(self, table: TableName) -> TableHandles | None:
        """Return the handles of a table, None where it does not exist."""

    def chain_handles(self, table: TableName, chain: str) -> tuple[int, ...]:
        """Return the handles of the rules of one chain, in order."""

    def element_sum(self, table: TableName, name: str) -> tuple[int, int]:
        """Return how many elements a set has, and a checksum of them that their order does not matter to."""

    def base_chains(self) -> tuple[BaseChain, ...]:
        """Return the chains of all tables that the kernel calls."""
