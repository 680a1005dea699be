"""A transaction: typed commands for nft, their text, and which command a line of an nft error belongs to.

    flush chain inet fwtrans input
    add rule inet fwtrans input tcp dport 22 accept comment "v4:37"

There is no command that deletes a table with something in it unless a caller means to remove ours for good
(`DeleteTable`, the way back to a host that had none): deleting and redefining lets packets through on more than one CPU.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fwtrans.backend.loader.image import HOLDERS, Kind, TableName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.backend.loader.image import ChainImage, ObjectImage

_CHUNK = 4096  # elements in a command: nft parses a very long list in quadratic time (seen: 1.0.6, 65,536 in one)


@dataclass(frozen=True, slots=True)
class AddTable:
    """Make the table, or do nothing where it is there. `head` is its comment and flags."""

    table: TableName
    head: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"add table {self.table}{_braces(self.head)}"


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Remove a table of ours with all that is in it."""

    table: TableName

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"delete table {self.table}"


@dataclass(frozen=True, slots=True)
class SetDormant:
    """Switch a table off, or on again, with all that is in it and all that it has counted.

    That is how tables of iptables-nft are taken out of the packets' way: nothing of them has to be written down.
    """

    table: TableName
    dormant: bool

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"add table {self.table}{_braces(('flags dormant',) if self.dormant else ())}"


@dataclass(frozen=True, slots=True)
class AddObject:
    """Declare a set, map, flowtable or named object; its elements are a command of their own."""

    table: TableName
    item: ObjectImage

    def text(self) -> str:
        """Return it in the block form: for some kinds nft has no other that takes all that can be said."""
        body = "\n".join(self.item.body)
        return f"table {self.table} {{\n{self.item.kind.value} {self.item.name} {{\n{body}\n}}\n}}"


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Remove a set, map, flowtable or named object that nothing refers to any more."""

    table: TableName
    kind: Kind
    name: str

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"delete {self.kind.value} {self.table} {self.name}"


class Declaration(NamedTuple):
    """What a set or map was declared as."""

    kind: Kind
    body: tuple[str, ...]

    @property
    def is_of_plain_intervals(self) -> bool:
        """Tell whether nft has to know the elements that are there to add others: for intervals that are no concatenation."""
        return any(line.startswith("flags ") and "interval" in line for line in self.body) and not any(
            line.startswith(("type ", "typeof ")) and " . " in line.partition(" : ")[0] for line in self.body
        )


@dataclass(frozen=True, slots=True)
class AddElements:
    """Put elements into a set or map.

    Where it is known how that was `declared`, it is declared once more with them. For `add element` libnftables first reads
    the elements of every set of intervals in the table, those inside of rules too, one by one: with 350 of them that took
    ten times as long as everything else (1.0.6). To the kernel the second declaration is no change.
    """

    table: TableName
    name: str
    elements: tuple[str, ...]
    declared: Declaration | None = field(default=None, compare=False)  # how it is said, not what is done

    def text(self) -> str:
        """Return the command as nft reads it."""
        if self.declared is None or self.declared.is_of_plain_intervals:
            return _elements("add", self.table, self.name, self.elements)
        kind, body = self.declared
        lines = "\n".join((*body, f"elements = {{ {', '.join(self.elements)} }}"))
        return f"table {self.table} {{\n{kind.value} {self.name} {{\n{lines}\n}}\n}}"


@dataclass(frozen=True, slots=True)
class DeleteElements:
    """Take elements out of a set or map, by their keys."""

    table: TableName
    name: str
    keys: tuple[str, ...]

    def text(self) -> str:
        """Return the command as nft reads it."""
        return _elements("delete", self.table, self.name, self.keys)


@dataclass(frozen=True, slots=True)
class FlushElements:
    """Empty a set or map."""

    table: TableName
    kind: Kind
    name: str

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"flush {self.kind.value} {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class AddChain:
    """Make a chain without its rules."""

    table: TableName
    chain: ChainImage

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"add chain {self.table} {self.chain.name}{_braces(self.chain.head)}"


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Empty a chain."""

    table: TableName
    name: str

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"flush chain {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Remove a chain that nothing refers to any more."""

    table: TableName
    name: str

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"delete chain {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class AddRule:
    """Put a rule at the end of its chain or, where `before` is given, in front of the rule with that handle."""

    table: TableName
    chain: str
    rule: str
    before: int | None = None

    def text(self) -> str:
        """Return the command as nft reads it."""
        if self.before is None:
            return f"add rule {self.table} {self.chain} {self.rule}"
        return f"insert rule {self.table} {self.chain} handle {self.before} {self.rule}"


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Remove one rule."""

    table: TableName
    chain: str
    handle: int

    def text(self) -> str:
        """Return the command as nft reads it."""
        return f"delete rule {self.table} {self.chain} handle {self.handle}"


Command: TypeAlias = (
    AddTable
    | DeleteTable
    | SetDormant
    | AddObject
    | DeleteObject
    | AddElements
    | DeleteElements
    | FlushElements
    | AddChain
    | FlushChain
    | DeleteChain
    | AddRule
    | DeleteRule
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Commands that the kernel takes together or not at all."""

    commands: tuple[Command, ...] = ()
    _lines: tuple[int, ...] = field(init=False, repr=False, compare=False)
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Print the commands once, and keep the line where each begins."""
        texts = [command.text() for command in self.commands]
        lines, at = [], 1
        for text in texts:
            lines.append(at)
            at += text.count("\n") + 1
        object.__setattr__(self, "_lines", tuple(lines))
        object.__setattr__(self, "text", "".join(f"{text}\n" for text in texts))

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.commands)

    def command_at(self, line: int) -> Command | None:
        """Return the command that a line of the text belongs to; the first line is 1."""
        index = bisect_right(self._lines, line) - 1
        return self.commands[index] if 0 <= index < len(self.commands) else None

    @property
    def tables(self) -> frozenset[TableName]:
        """Return the tables that it touches."""
        return frozenset(command.table for command in self.commands)

    @property
    def holds_elements_only(self) -> bool:
        """Tell whether nothing but elements changes."""
        return all(isinstance(command, AddElements | DeleteElements | FlushElements) for command in self.commands)


def filled(table: TableName, item: ObjectImage) -> Iterable[Command]:
    """Return the commands that make an object with its elements."""
    yield AddObject(table, item)
    if item.kind in HOLDERS:
        yield from elements_added(table, item, item.elements)


def elements_added(table: TableName, item: ObjectImage, elements: tuple[str, ...]) -> Iterable[Command]:
    """Return the commands that add elements to a set or map that is declared as the item is, in lists that nft reads quickly."""
    declared = Declaration(item.kind, item.body)
    for start in range(0, len(elements), _CHUNK):
        yield AddElements(table, item.name, elements[start : start + _CHUNK], declared)


def _elements(verb: str, table: TableName, name: str, elements: tuple[str, ...]) -> str:
    return f"{verb} element {table} {name} {{ {', '.join(elements)} }}"


def _braces(lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    inside = "\n".join(line if line.endswith(";") else f"{line};" for line in lines)
    return f" {{ {inside} }}"
