"""What an extension file states: its options, the families it exists in, and what a use of it means.

`lower` of a match returns steps (and calls, see `lower/subroutines.py`); of a target, an `Outcome`. Whatever cannot be said exactly raises `Refused` with a
code, naming the option; the driver knows the line. A use means the same wherever it stands, unless `in_context` says
that the place matters (a bucket of its own, a set, the chain's table): only then is it lowered again each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family
from fwtrans.lower.wellknown import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwtrans.ir.intervals import IntervalSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import NamedSet
    from fwtrans.ir.verdict import Verdict
    from fwtrans.lower.subroutines import Call
    from fwtrans.parsers.iptables_save.options import Option
    from fwtrans.parsers.iptables_save.syntax import ExtensionUse, IptablesDump, OptionUse

BOTH = frozenset({Family.IP, Family.IP6})
IP_ONLY = frozenset({Family.IP})
IP6_ONLY = frozenset({Family.IP6})


class Outcome(NamedTuple):
    """What a target comes to: steps in order, then a verdict or none (the next rule goes on)."""

    steps: tuple[Step, ...] = ()
    verdict: Verdict | None = None


class Place(NamedTuple):
    """Where a use stands. `protocols` is what `-p` lets through; `identity` names the use's own state, stably.

    `sets` are the ipsets of the input by their ipset name. `hooks` are the built-in chains the rule's chain is reached from.
    `assumed` collects the assumptions of the rule. `shared` is one for the whole dump: what earlier uses made under a
    name of their own (the tables of hashlimit), for later ones to find. A `NamedSet` in it is declared in the table.
    `dump` is there for what depends on other rules as well (the lists of recent).
    """

    family: Family
    table: str
    chain: str
    protocols: IntervalSet
    identity: str = ""
    sets: Mapping[str, NamedSet] = {}
    hooks: frozenset[str] = frozenset()
    assumed: list[str] | None = None
    shared: dict[str, object] | None = None
    dump: IptablesDump | None = None

    def assume(self, text: str) -> None:
        """Say what the exactness of the translation rests on; it is printed with the result."""
        if self.assumed is not None and text not in self.assumed:
            self.assumed.append(text)

    @property
    def protocol(self) -> int | None:
        """Return the one protocol that `-p` names, if it is one."""
        return self.protocols.only

    def require_protocol(self, extension: str, *allowed: int) -> None:
        """Refuse a use without the `-p` that the kernel demands of the extension; `! -p` is not enough for it either."""
        if self.protocols.only not in allowed:
            names = " or ".join(
                f"`-p {next(word for word, value in PROTOCOLS.items() if value == number)}`" for number in allowed
            )
            raise Refused("FWT116", f"`{extension}` needs {names}", option=extension)


class Use:
    """The options of one use, by name."""

    __slots__ = ("name", "options", "syntax")

    def __init__(self, syntax: ExtensionUse) -> None:
        self.syntax = syntax
        self.name = syntax.name
        self.options: tuple[OptionUse, ...] = syntax.options

    def find(self, name: str) -> OptionUse | None:
        """Return the option, if it was given; the last one where it was given twice."""
        found = None
        for option in self.options:
            if option.name == name:
                found = option
        return found

    def all(self, name: str) -> tuple[OptionUse, ...]:
        """Return every use of a repeatable option."""
        return tuple(option for option in self.options if option.name == name)

    def has(self, name: str) -> bool:
        """Tell whether the option was given."""
        return self.find(name) is not None

    def value(self, name: str, default: str = "") -> str:
        """Return the option's only word, or the default where it was not given."""
        found = self.find(name)
        return found.values[0] if found is not None else default

    def negated(self, name: str) -> bool:
        """Tell whether the option was given with `!`."""
        found = self.find(name)
        return found is not None and found.negated

    def need(self, name: str) -> OptionUse:
        """Return an option that must be there."""
        found = self.find(name)
        if found is None:
            raise Refused("FWT116", f"`{self.name}` needs `{name}`", option=self.name)
        return found

    def exclusive(self, *names: str) -> None:
        """Refuse options that exclude each other."""
        given = [name for name in names if self.has(name)]
        if len(given) > 1:
            raise Refused("FWT117", f"`{given[0]}` and `{given[1]}` exclude each other", option=given[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A match extension. `hooks` are the built-in chains that may lead to it, `tables` those it may stand in; empty for all."""

    name: str
    families: frozenset[Family]
    options: tuple[Option, ...]
    lower: Callable[[Use, Place], tuple[Step | Call, ...]]
    in_context: bool = False
    hooks: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target extension. `tables` are those it may stand in; empty for all."""

    name: str
    families: frozenset[Family]
    options: tuple[Option, ...]
    lower: Callable[[Use, Place], Outcome]
    in_context: bool = False
    tables: frozenset[str] = frozenset()


def no_exact_form(name: str, reason: str, *, option: str = "", hint: str = "") -> Refused:
    """Return the refusal of something that nftables cannot express, with the reason."""
    return Refused("FWT200", f"`{name}` has no exact nftables form: {reason}", option=option, hint=hint)
