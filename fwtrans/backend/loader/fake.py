"""nft in memory: what tests of the loader run on without root, and where a failure can be put in any place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from zlib import crc32

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.client import BaseChain, Fault
from fwtrans.backend.loader.image import HOLDERS, ChainImage, ObjectImage, TableImage, TableName, element_key
from fwtrans.backend.loader.netlink import TableHandles


@dataclass(slots=True)
class _Table:
    """A table with the handles that the kernel would have given."""

    handle: int
    head: tuple[str, ...] = ()
    objects: dict[str, ObjectImage] = field(default_factory=dict)
    chains: dict[str, ChainImage] = field(default_factory=dict)
    handles: dict[str, int] = field(default_factory=dict)
    rules: dict[str, list[int]] = field(default_factory=dict)
    last: int = 0

    def next_handle(self) -> int:
        self.last += 1
        return self.last

    def copy(self) -> _Table:
        rules = {name: list(handles) for name, handles in self.rules.items()}
        return _Table(
            self.handle, self.head, dict(self.objects), dict(self.chains), dict(self.handles), rules, self.last
        )


class _Refusal(Exception):  # noqa: N818 -- what the kernel would say
    """A command cannot be carried out."""


_MISSING = "Could not process rule: No such file or directory"
_BUSY = "Could not process rule: Device or resource busy"


class FakeNft:
    """Tables in memory. `refuses` makes `run` fail with that message, as a kernel out of memory would."""

    def __init__(self) -> None:
        self.held: dict[TableName, _Table] = {}
        self.commits = 1
        self.last_table = 0
        self.refuses = ""

    def check(self, transaction: tx.Transaction) -> tuple[Fault, ...]:
        """Try it on a copy."""
        return self._try(transaction)[1]

    def run(self, transaction: tx.Transaction) -> tuple[Fault, ...]:
        """Try it on a copy, and keep that."""
        if not transaction:
            return ()
        if self.refuses:
            return (Fault(self.refuses),)
        tables, faults = self._try(transaction)
        if not faults:
            self.held = tables
            self.commits += 1
        return faults

    def generation(self) -> int:
        """Return the number of commits."""
        return self.commits

    def tables(self) -> tuple[TableName, ...]:
        """Return the names."""
        return tuple(self.held)

    def dormant_tables(self) -> frozenset[TableName]:
        """Return the tables whose head says so."""
        return frozenset(name for name, table in self.held.items() if "flags dormant" in table.head)

    def listing(self, table: TableName) -> TableImage | None:
        """Return the table as an image."""
        held = self.held.get(table)
        if held is None:
            return None
        return TableImage(table, held.head, tuple(held.objects.values()), tuple(held.chains.values()))

    def outline(self, table: TableName) -> TableImage | None:
        """Return the table without what can be much."""
        found = self.listing(table)
        if found is None:
            return None
        objects = tuple(
            replace(item, elements=()) if item.kind in HOLDERS else replace(item, body=()) for item in found.objects
        )
        return replace(found, objects=objects, chains=tuple(replace(chain, rules=()) for chain in found.chains))

    def handles(self, table: TableName) -> TableHandles | None:
        """Return the handles that were given."""
        held = self.held.get(table)
        if held is None:
            return None
        chains = {name: held.handles[name] for name in held.chains}
        sets = {name: held.handles[f"object {name}"] for name, item in held.objects.items() if item.kind in HOLDERS}
        return TableHandles(held.handle, chains, sets, {name: tuple(held.rules[name]) for name in held.chains})

    def chain_handles(self, table: TableName, chain: str) -> tuple[int, ...]:
        """Return the handles of one chain's rules."""
        return tuple(self.held[table].rules[chain])

    def element_sum(self, table: TableName, name: str) -> tuple[int, int]:
        """Return the number of elements and a sum of their texts."""
        elements = self.held[table].objects[name].elements
        return len(elements), sum(crc32(text.encode()) for text in elements)

    def base_chains(self) -> tuple[BaseChain, ...]:
        """Return the chains with a hook."""
        found = []
        for table, held in self.held.items():
            for chain in held.chains.values():
                for line in chain.head:
                    if line.startswith("type "):
                        words = line.replace(";", " ").split()
                        found.append(BaseChain(table, chain.name, words[3], 0, words[1], words[-1], tuple(held.chains)))
        return tuple(found)

    def _try(self, transaction: tx.Transaction) -> tuple[dict[TableName, _Table], tuple[Fault, ...]]:
        tables = {name: table.copy() for name, table in self.held.items()}
        for command in transaction.commands:
            try:
                self._apply(tables, command)
            except _Refusal as refusal:
                return self.held, (Fault(str(refusal), command),)
        for name, table in tables.items():
            for chain in table.chains.values():
                for rule in chain.rules:
                    for target in _targets(rule):
                        if target not in table.chains:
                            return self.held, (Fault(_MISSING, tx.AddRule(name, chain.name, rule)),)
        return tables, ()

    def _apply(self, tables: dict[TableName, _Table], command: tx.Command) -> None:
        if isinstance(command, tx.AddTable):
            if command.table not in tables:
                self.last_table += 1
                tables[command.table] = _Table(self.last_table, command.head)
            return
        table = tables.get(command.table)
        if table is None:
            raise _Refusal(_MISSING)
        if isinstance(command, tx.DeleteTable):
            del tables[command.table]
        elif isinstance(command, tx.SetDormant):
            table.head = ("flags dormant",) if command.dormant else ()
        elif isinstance(
            command, tx.AddObject | tx.DeleteObject | tx.AddElements | tx.DeleteElements | tx.FlushElements
        ):
            _apply_to_object(table, command)
        else:
            _apply_to_chain(table, command)


def _apply_to_object(
    table: _Table, command: tx.AddObject | tx.DeleteObject | tx.AddElements | tx.DeleteElements | tx.FlushElements
) -> None:
    if isinstance(command, tx.AddObject):
        name = command.item.name
        if name in table.objects:
            if _without_comment(table.objects[name].body) != _without_comment(command.item.body):
                raise _Refusal("Could not process rule: File exists")
            return
        table.objects[name] = replace(command.item, elements=())
        table.handles[f"object {name}"] = table.next_handle()
        return
    if isinstance(command, tx.AddElements) and command.declared and not command.declared.is_of_plain_intervals:
        kind, body = command.declared
        _apply_to_object(table, tx.AddObject(command.table, ObjectImage(kind, command.name, body)))
    item = table.objects.get(command.name)
    if item is None:
        raise _Refusal(_MISSING)
    if isinstance(command, tx.DeleteObject):
        if any(f"@{item.name}" in rule.split() for chain in table.chains.values() for rule in chain.rules):
            raise _Refusal(_BUSY)
        del table.objects[command.name]
    elif isinstance(command, tx.FlushElements):
        table.objects[command.name] = replace(item, elements=())
    elif isinstance(command, tx.AddElements):
        table.objects[command.name] = replace(item, elements=_with_more(table, item, command.elements))
    else:
        held = {element_key(text): text for text in item.elements}
        for key in command.keys:
            if held.pop(key, None) is None:
                raise _Refusal(_MISSING)
        table.objects[command.name] = replace(item, elements=tuple(sorted(held.values())))


def _with_more(table: _Table, item: ObjectImage, more: tuple[str, ...]) -> tuple[str, ...]:
    """Return the elements with others beside them; what a verdict leads to has to be there."""
    if any(target not in table.chains for text in more for target in _targets(text)):
        raise _Refusal(_MISSING)
    held = {element_key(text): text for text in item.elements}
    for text in more:
        if held.setdefault(element_key(text), text) != text:
            raise _Refusal("Could not process rule: File exists")
    return tuple(sorted(held.values()))


def _without_comment(body: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the kernel compares of a declaration."""
    return tuple(line for line in body if not line.startswith("comment "))


def _apply_to_chain(
    table: _Table, command: tx.AddChain | tx.FlushChain | tx.DeleteChain | tx.AddRule | tx.DeleteRule
) -> None:
    if isinstance(command, tx.AddChain):
        name = command.chain.name
        if name not in table.chains:
            table.chains[name] = replace(command.chain, rules=())
            table.handles[name] = table.next_handle()
            table.rules[name] = []
        return
    name = command.chain if isinstance(command, tx.AddRule | tx.DeleteRule) else command.name
    chain = table.chains.get(name)
    if chain is None:
        raise _Refusal(_MISSING)
    handles, rules = table.rules[name], list(chain.rules)
    if isinstance(command, tx.DeleteChain):
        others = [*(each for each in table.chains.values() if each.name != name)]
        texts = [rule for each in others for rule in each.rules]
        texts += [text for item in table.objects.values() for text in item.elements]
        if any(name in _targets(text) for text in texts):
            raise _Refusal(_BUSY)
        del table.chains[name], table.rules[name], table.handles[name]
        return
    if isinstance(command, tx.FlushChain):
        handles.clear()
        rules.clear()
    elif isinstance(command, tx.DeleteRule):
        place = _place(handles, command.handle)
        del handles[place], rules[place]
    else:
        place = len(handles) if command.before is None else _place(handles, command.before)
        handles.insert(place, table.next_handle())
        rules.insert(place, command.rule)
    table.chains[name] = replace(chain, rules=tuple(rules))


def _place(handles: list[int], handle: int) -> int:
    if handle not in handles:
        raise _Refusal(_MISSING)
    return handles.index(handle)


def _targets(text: str) -> list[str]:
    words = text.replace(",", " ").split()
    return [after for word, after in itertools.pairwise(words) if word in {"jump", "goto"}]
