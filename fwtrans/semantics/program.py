"""Both rulesets as one table of numbered tests, rules and chains: equal content has one number, whichever side it is on.

What decides nothing (names, origins, comments, counters) is gone, sets and maps are resolved into what they hold, jumps
into the number of the chain. A chain that an optimiser pass has left alone is the same chain on both sides, and is
evaluated once. Chains are numbered after the chains they call. `compiler.py` fills the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from fwtrans.ir import effect as does
from fwtrans.ir.match import FieldTest, KeyPart, OpaqueTest
from fwtrans.semantics.keys import CubeTest, Present
from fwtrans.semantics.visible import Ending

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fwtrans.ir.fields import Field

T = TypeVar("T")


class Undecidable(Exception):  # noqa: N818 -- an answer, not a fault: "cannot decide", with what to name
    """Something here has no model; what rests on it is neither equal nor different."""

    def __init__(self, reason: str, chain: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.chain = chain


class TupleTest(NamedTuple):
    """A key of several parts is among the elements, each given by the tests of its parts; False where a part is absent."""

    fields: tuple[Field, ...]
    elements: frozenset[tuple[int, ...]]
    inside: bool


class DynamicTest(NamedTuple):
    """The key is in a set that rules change: an unknown for each number of updates before."""

    object: int
    key: tuple[KeyPart, ...]
    inside: bool


class AnyTest(NamedTuple):
    """An any-of; the branches hold numbers of tests."""

    branches: tuple[tuple[int, ...], ...]


Test = FieldTest | OpaqueTest | CubeTest | Present | TupleTest | DynamicTest | AnyTest


class Stream(NamedTuple):
    """A sequence whose order matters: the logs, the touches of one object, the updates of one set, the translations."""

    kind: str
    object: int = -1


LOG = Stream("log")
NAT = Stream("nat")
QUEUE = Stream("queue")
CAUSE = Stream("cause")


class Charge(NamedTuple):
    """A stateful test."""

    object: int
    key: tuple[KeyPart, ...]
    over: bool


class Emit(NamedTuple):
    """An effect that is recorded."""

    stream: Stream
    content: Hashable


class Choice(NamedTuple):
    """The first of the numbered rules of which all tests hold: the elements of a map. If `breaks`, no hit ends the rule."""

    rules: tuple[int, ...]
    breaks: bool


class Call(NamedTuple):
    """A jump or goto to a numbered chain."""

    chain: int
    returns: bool


# A bare number is a test.
CompiledStep = int | Charge | Emit | does.Assign | does.AssignFromTable | Choice
CompiledVerdict = Ending | Call | None


class CompiledRule(NamedTuple):
    """Steps in order and a verdict."""

    steps: tuple[CompiledStep, ...]
    verdict: CompiledVerdict = None


class ObjectKey(NamedTuple):
    """What a stateful object or changing set is: its identity, and all that makes it behave as it does."""

    identity: str
    shape: Hashable


class Numbering(Generic[T]):
    """Gives each distinct value a number."""

    __slots__ = ("items", "numbers")

    def __init__(self) -> None:
        self.items: list[T] = []
        self.numbers: dict[T, int] = {}

    def number(self, item: T) -> int:
        """Return the number of a value, a new one if it is new."""
        found = self.numbers.get(item)
        if found is None:
            found = self.numbers[item] = len(self.items)
            self.items.append(item)
        return found


class Program:
    """The tables of numbers."""

    __slots__ = ("chains", "objects", "rules", "tests")

    def __init__(self) -> None:
        self.tests: Numbering[Test] = Numbering()
        self.rules: Numbering[CompiledRule] = Numbering()
        self.chains: Numbering[tuple[int, ...]] = Numbering()
        self.objects: Numbering[ObjectKey] = Numbering()

    @property
    def size(self) -> int:
        """Return how much there is to evaluate: tests, elements of sets and rules."""
        elements = sum(len(test.elements) for test in self.tests.items if isinstance(test, TupleTest))
        return len(self.tests.items) + elements + len(self.rules.items)
