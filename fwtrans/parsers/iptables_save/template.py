"""What makes the rules of all lines of one shape.

A template knows where in a line each literal stands. Nodes are remembered by their literals, so that equal matches of
a thousand rules are one object: a dump of 100 MB holds few different ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.parsers.iptables_save.syntax import Command, CommandLine, ExtensionUse, OptionUse, RuleSyntax
from fwtrans.parsers.iptables_save.values import read_counter_words, read_counters, read_rule_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Maker = Callable[[Sequence[str], Sequence[str] | None], Any]

REMEMBERED_NODES = 4096
"""How many nodes a part of a template remembers; addresses may well be all different."""


class OptionSlot(NamedTuple):
    """Where an option's literals stand: the positions `at` in the words as the classifier left them."""

    name: str
    negated: bool
    word: int
    at: tuple[int, ...]


class UseSlot(NamedTuple):
    """An extension's name and options, or a chain to jump to, whose name is a literal at `chain_at`."""

    name: str
    word: int
    implied: bool
    options: tuple[OptionSlot, ...]
    chain_at: int | None = None


@dataclass(slots=True, eq=False)
class Part:
    """A node of a template. `key` picks its literals out of a line; a node without any is made once, as `constant`."""

    make: Maker
    key: Callable[[Sequence[str]], Any] | None
    limit: int
    constant: Any = None
    made: dict[Any, Any] = field(default_factory=dict)
    made_spelled: dict[Any, Any] = field(default_factory=dict)

    def node(self, words: Sequence[str], raws: Sequence[str] | None) -> Any:
        """Return the node of a line."""
        if self.key is None:
            return self.constant
        key = self.key(words)
        made = self.made
        if raws is not None and (spelled := self.key(raws)) != key:
            key, made = spelled, self.made_spelled
        else:
            raws = None
        node = made.get(key)
        if node is None:
            node = self.make(words, raws)
            if len(made) < self.limit:
                made[key] = node
        return node


@dataclass(slots=True, eq=False, kw_only=True)
class Template:
    """What lines of one shape have in common. `command` is None for a line that means nothing here."""

    command: Command | None
    chain_at: int | None = None
    chain_word: int = 0
    number_at: int | None = None
    argument_at: int | None = None
    table_at: int | None = None
    counters_at: tuple[int, ...] = ()
    counters_word: int = 0
    options: Part | None = None
    matches: tuple[Part, ...] = ()
    target: Part | None = None
    goto: bool = False
    calls: bool = False

    def rule(self, words: Sequence[str], raws: Sequence[str] | None, line: int) -> RuleSyntax:
        """Return the rule of a line of this shape."""
        return RuleSyntax(
            () if self.options is None else self.options.node(words, raws),
            tuple([part.node(words, raws) for part in self.matches]),
            None if self.target is None else self.target.node(words, raws),
            self.goto,
            line,
            self.counters(words) if self.counters_at else None,
            self.calls,
        )

    def counters(self, words: Sequence[str]) -> tuple[int, int] | None:
        """Return the counters that the line gives, `[5:6]` in front or `-c 5 6`."""
        if not self.counters_at:
            return None
        return (read_counters if words[self.counters_at[0]][:1] == "[" else read_counter_words)(
            [words[at] for at in self.counters_at], self.counters_word
        )

    def command_line(
        self, words: Sequence[str], raws: Sequence[str] | None, line: int, default_table: str
    ) -> CommandLine | None:
        """Return the command of a line of this shape."""
        if self.command is None:
            return None
        number = None if self.number_at is None else read_rule_number(words[self.number_at], self.chain_word + 1)
        return CommandLine(
            command=self.command,
            table=default_table if self.table_at is None else words[self.table_at],
            chain="" if self.chain_at is None else words[self.chain_at],
            rule=self.rule(words, raws, line) if self.command in RULE_COMMANDS and not self._by_number() else None,
            line=line,
            number=number,
            argument="" if self.argument_at is None else words[self.argument_at],
            word=self.chain_word,
            counters=self.counters(words) if self.command is Command.POLICY else None,
        )

    def _by_number(self) -> bool:
        return self.command is Command.DELETE and self.number_at is not None


RULE_COMMANDS = frozenset({Command.APPEND, Command.INSERT, Command.DELETE, Command.REPLACE, Command.CHECK})


def part_of_options(slots: tuple[OptionSlot, ...], limit: int) -> Part:
    """Return the part that makes the general options of a rule."""
    make_options = _options_maker(slots, limit)
    return _part(make_options, [at for slot in slots for at in slot.at], limit)


def part_of_use(slot: UseSlot, limit: int) -> Part:
    """Return the part that makes one match or the target."""
    make_options = _options_maker(slot.options, limit)

    def make(words: Sequence[str], raws: Sequence[str] | None) -> ExtensionUse:
        name = slot.name if slot.chain_at is None else words[slot.chain_at]
        return ExtensionUse(name, make_options(words, raws), slot.word, slot.implied)

    chain = [] if slot.chain_at is None else [slot.chain_at]
    return _part(make, chain + [at for option in slot.options for at in option.at], limit)


def _part(make: Maker, positions: list[int], limit: int) -> Part:
    if positions:
        return Part(make, itemgetter(*positions), limit)
    return Part(make, None, limit, make((), None))


def _options_maker(slots: tuple[OptionSlot, ...], limit: int) -> Maker:
    """Return what makes several options. Each is remembered alone: `-p tcp` recurs where the address beside it does not."""
    if len(slots) < 2:
        return lambda words, raws: tuple([_option_use(slot, words, raws) for slot in slots])
    parts = [_part(partial(_option_use, slot), list(slot.at), limit) for slot in slots]
    return lambda words, raws: tuple([part.node(words, raws) for part in parts])


def _option_use(slot: OptionSlot, words: Sequence[str], raws: Sequence[str] | None) -> OptionUse:
    values = tuple([words[at] for at in slot.at])
    spelled = None
    if raws is not None:
        written = tuple([raws[at] for at in slot.at])
        spelled = written if written != values else None
    return OptionUse(slot.name, values, slot.negated, slot.word, spelled)
