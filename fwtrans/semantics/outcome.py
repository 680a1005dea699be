"""What a comparison says: equal, different with packets that show it, or not decided and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.semantics.concrete import Outcome
    from fwtrans.semantics.packet import HookVisit, Packet, Unknown
    from fwtrans.semantics.path import Path
    from fwtrans.source import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a comparison may use, and how much it tells.

    `nodes` bounds the memory (about 25 bytes each), `differences` how many are shown for one hook visit or path, `total`
    for all of them together (two hosts that have nothing in common differ for each guest). `ignored` are bits of written
    fields that nobody outside reads, such as a mark that only carries a decision from rule to rule.
    """

    nodes: int = 24_000_000
    differences: int = 20
    total: int = 100
    ignored: Mapping[Field, int] = field(default_factory=dict)


class DifferenceKind(Enum):
    """What differs. A log order is the lesser difference: the same lines in another order."""

    VERDICT = "verdict"
    FIELD = "field"
    EFFECT = "effect"
    STATEFUL = "stateful"
    LOG = "log"
    LOG_ORDER = "log order"


class Place(NamedTuple):
    """A rule, by table, chain and number from 0; number -1 is the chain's policy. `origins` are its source lines."""

    table: str
    chain: str
    number: int
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class SideResult:
    """What one side does with the witness: the concrete evaluator's own answer, and the rules that decided.

    On a path of several hops effects and trace are those of all hops, and the verdict that of the last one reached.
    """

    outcome: Outcome
    decided_by: tuple[Place, ...]
    answers: Mapping[Unknown, bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """One cause of a difference, with a packet that shows it. `subject` says which field, log or object.

    `confirmed` says that the concrete evaluator, too, finds the two outcomes different; if not, we have a fault of ours.
    """

    path: Path
    kind: DifferenceKind
    subject: str
    packet: Packet
    old: SideResult
    new: SideResult
    confirmed: bool

    @property
    def visit(self) -> HookVisit:
        """Return the hook visit, the first where the path has several."""
        return self.path.visit

    @property
    def is_lesser(self) -> bool:
        """Tell whether only the order of logs differs."""
        return self.kind is DifferenceKind.LOG_ORDER


@dataclass(frozen=True, slots=True)
class Undecided:
    """What could not be compared: the path, the reason, and the names it rests on (chains, opaque matches)."""

    path: Path
    reason: str
    names: tuple[str, ...]

    @property
    def visit(self) -> HookVisit:
        """Return the hook visit, the first where the path has several."""
        return self.path.visit


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer. `omitted` counts paths in which there are more differences than were asked for."""

    differences: tuple[Difference, ...]
    undecided: tuple[Undecided, ...]
    assumptions: tuple[str, ...]
    omitted: int = 0

    @property
    def equal(self) -> bool:
        """Tell whether both do the same with every possible packet, proved."""
        return not self.differences and not self.undecided
