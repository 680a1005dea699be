"""The parts of a line's shape: steps over its words, and the contexts that they lead through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.iptables_save.general import General
    from fwtrans.parsers.iptables_save.options import Option


class Loaded(NamedTuple):
    """An extension that the line has loaded so far. `implied` says that `-p` did it."""

    kind: str
    name: str
    options: tuple[Option, ...]
    implied: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Step:
    """What the next words of a line are. Steps are compared by identity: equal shapes are tuples of the same steps.

    `terminals` are the grammar's names of the words, `take` how many words they are, `words` how many of them the
    source has (`--dport=22` is one word there). `owner` counts the extensions of the line from 0. `optional` words may
    be missing. `implies` is the match that the step loads because -p named it. `context` is where the words lead, None if nothing changes. `names` continues -m, -j and -p by the word
    behind them.
    """

    terminals: tuple[str, ...]
    take: int
    words: int
    name: str = ""
    owner: int = -1
    negatable: bool = False
    repeatable: bool = False
    optional: tuple[str, ...] = ()
    takes_old_negation: bool = False
    careful: bool = False
    implies: str = ""
    context: Context | None = None
    names: dict[str, Step] | None = None


@dataclass(slots=True, eq=False)
class Context:
    """What a line has loaded so far, and the meaning of words that were met in this state."""

    loaded: tuple[Loaded, ...] = ()
    protocol: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    protocols: dict[str, Step] = field(default_factory=dict)
    to_chain: Step | None = None
    implied: Context | None = None


@dataclass(slots=True, frozen=True)
class Line:
    """A line while it is sorted: the step to find begins at `words[index]`."""

    context: Context
    words: list[str]
    raws: list[str] | None
    index: int
    shape: list[Step]

    @property
    def word(self) -> str:
        """Return the word to find a step for."""
        return self.words[self.index]

    @property
    def number(self) -> int:
        """Return the number that the word has in the source."""
        return word_number(self.shape)


def word_number(shape: Sequence[Step]) -> int:
    """Return how many words of the source the steps are; that is also the number of the word behind them."""
    return sum(step.words for step in shape)


def known_options(context: Context) -> list[tuple[int, Option]]:
    """Return the options that extensions have brought, each with the use it goes to; the newest extension first.

    A second `-m tcp` does not bring its options again, it only takes over those of the first: hence with
    `-m mark ... -m connmark ... -m mark --mark 1` the option goes to connmark [seen, 1.8.9].
    """
    latest: dict[tuple[str, str], int] = {}
    brought: dict[tuple[str, str], tuple[Option, ...]] = {}
    for owner, loaded in enumerate(context.loaded):
        key = (loaded.kind, loaded.name)
        latest[key] = owner
        brought.setdefault(key, loaded.options)
    return [(latest[key], option) for key in reversed(brought) for option in brought[key]]


def spellings(option: Option) -> tuple[str, ...]:
    """Return every full name of an option."""
    return (option.name, *option.aliases)


def general_step(entry: General) -> Step:
    """Return the step of a command or general option."""
    count = 1 + len(entry.takes)
    return Step(
        terminals=(entry.terminal, *entry.takes),
        take=count,
        words=count,
        name=entry.name,
        negatable=entry.negatable,
        optional=entry.optional,
        careful=bool(entry.optional),
        takes_old_negation=entry.negatable and bool(entry.takes),
        names={} if entry.name in {"-m", "-j", "-p"} else None,
    )


def option_step(option: Option, owner: int) -> Step:
    """Return the step of an extension's option."""
    count = 1 + option.arity
    return Step(
        terminals=("OPTION", *("VALUE",) * option.arity),
        take=count,
        words=count,
        name=option.name,
        owner=owner,
        negatable=option.negatable,
        repeatable=option.repeatable,
        optional=("VALUE",) if option.optional else (),
        careful=option.optional or option.arity > 1,
        takes_old_negation=option.negatable and option.arity > 0,
    )
