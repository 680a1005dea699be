"""Chains, tables and the whole ruleset, in the shape that nftables has too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from fwtrans.ir.remembering import Remembering, remembers_hash

if TYPE_CHECKING:
    from fwtrans.ir.fields import Family
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.sets import NamedMap, NamedSet
    from fwtrans.source import Origin


class Hook(Enum):
    """Where in a packet's way a base chain sits."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and hooks are parts of many keys

    INGRESS = "ingress"
    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True)
class BaseHook:
    """What makes a chain a base chain. `kind` is filter, nat or route."""

    kind: str
    hook: Hook
    priority: int
    accepts: bool = True
    device: str = ""


@remembers_hash
@dataclass(frozen=True, slots=True)
class Chain(Remembering):
    """A chain; `base` is None for a user chain."""

    name: str
    rules: tuple[Rule, ...]
    base: BaseHook | None = None
    origin: Origin | None = field(default=None, compare=False)
    counters: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An nft object that has no model (a flow table, a map that rules fill): `content` is its JSON, printed as it was read."""

    kind: str
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Table(Remembering):
    """A table with all that rules in it can name."""

    family: Family
    name: str
    chains: tuple[Chain, ...]
    sets: tuple[NamedSet, ...] = ()
    maps: tuple[NamedMap, ...] = ()
    kept: tuple[KeptObject, ...] = ()

    @property
    def keyed(self) -> tuple[NamedSet | NamedMap, ...]:
        """Return the sets, then the maps."""
        return (*self.sets, *self.maps)

    def chain(self, name: str) -> Chain | None:
        """Return the chain of that name."""
        return next((chain for chain in self.chains if chain.name == name), None)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything. `assumptions` are told with the result: what a proof or a translation rests on.

    Tables that are `asleep` judge no packet: they are printed, and no pass or proof looks at them.
    """

    tables: tuple[Table, ...]
    assumptions: tuple[str, ...] = ()
    asleep: tuple[Table, ...] = ()


def without_origins(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset without the lines that rules are from."""

    def bare(chain: Chain) -> Chain:
        return replace(chain, rules=tuple(replace(rule, origins=()) for rule in chain.rules))

    tables, asleep = (
        tuple(replace(table, chains=tuple(map(bare, table.chains))) for table in found)
        for found in (ruleset.tables, ruleset.asleep)
    )
    return replace(ruleset, tables=tables, asleep=asleep)
