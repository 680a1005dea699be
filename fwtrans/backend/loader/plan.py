"""From what is loaded to what shall be loaded: three steps, of which packets see only the middle one.

    prepare   chains, sets and maps that are new, complete, and that nothing refers to yet
    switch    one transaction: rules of chains that stay, elements of sets that stay, base chains
    tidy      chains, sets and maps that nothing refers to any more

Base chains and maps stay the same objects and are refilled in the one transaction, because a table that is deleted and
made anew lets denied packets through on more than one CPU (KERNEL_LAB.md 18). The steps around it close what is left:
a packet that is on its way while the kernel switches has the old rules and the new elements, so a map must not send it
to a chain that was empty before, nor may a set vanish under a rule that it still reads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.image import (
    HOLDERS,
    ChainImage,
    Image,
    Kind,
    ObjectImage,
    TableImage,
    added_and_gone,
    element_key,
    without_counts,
)
from fwtrans.backend.loader.rule_diff import change_chain, refill
from fwtrans.backend.loader.transaction import Command, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Present(NamedTuple):
    """A table as it is loaded. `handles` are those of each chain's rules.

    Without handles nothing is known but the outline, and everything is filled anew; the same goes for the sets in `doubtful`.
    """

    image: TableImage
    handles: Mapping[str, tuple[int, ...]] | None
    doubtful: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counts:
    """What a plan changes, in numbers that a person reads."""

    rules_added: int = 0
    rules_removed: int = 0
    rules_kept: int = 0
    elements_added: int = 0
    elements_removed: int = 0
    elements_kept: int = 0
    chains_added: int = 0
    chains_removed: int = 0
    objects_added: int = 0
    objects_removed: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sums."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def changes(self) -> int:
        """Return how much there is to do."""
        kept = {"rules_kept", "elements_kept"}
        return sum(getattr(self, name) for name in self.__slots__ if name not in kept)


@dataclass(frozen=True, slots=True)
class Plan:
    """The three steps, what is loaded after the second and after the third, and the numbers."""

    prepare: Transaction
    switch: Transaction
    tidy: Transaction
    switched: Image
    tidied: Image
    counts: Counts

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """Return the steps that have something to do, in order."""
        return tuple(step for step in (self.prepare, self.switch, self.tidy) if step)


def make_plan(present: Iterable[Present], wanted: Image) -> Plan:
    """Return the way from the tables that are loaded to those that are wanted; a table that is not wanted goes."""
    loaded = {item.image.name: item for item in present}
    steps = [_table_steps(loaded.pop(table.name, None), table) for table in wanted]
    gone = [_Steps(switch_first=[tx.DeleteTable(name)]) for name in loaded]
    every = [*gone, *steps]
    counts = Counts()
    for item in every:
        counts = counts.plus(item.counts)
    return Plan(
        Transaction(tuple(command for item in every for command in item.prepare)),
        Transaction(
            tuple(
                command
                for item in every
                for command in (
                    *item.switch_first,
                    *sorted(item.removals, key=_rank),
                    *item.declarations,
                    *item.elements,
                    *item.rules,
                )
            )
        ),
        Transaction(tuple(command for item in every for command in item.tidy)),
        tuple(item.switched for item in steps if item.switched is not None),
        tuple(item.tidied for item in steps if item.tidied is not None),
        counts,
    )


@dataclass(slots=True)
class _Steps:
    """The commands for one table, in the order in which they are sent."""

    prepare: list[Command] = field(default_factory=list)
    switch_first: list[Command] = field(default_factory=list)
    removals: list[Command] = field(default_factory=list)
    declarations: list[Command] = field(default_factory=list)
    elements: list[Command] = field(default_factory=list)
    rules: list[Command] = field(default_factory=list)
    tidy: list[Command] = field(default_factory=list)
    switched: TableImage | None = None
    tidied: TableImage | None = None
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Counts:
        """Return the numbers; a ruleset has thousands of chains, so while they grow they are no Counts yet."""
        return Counts(**self.counted)

    def count(self, **more: int) -> None:
        self.counted.update(more)


def _table_steps(present: Present | None, wanted: TableImage) -> _Steps:
    if present is None:
        return _new_table(wanted)
    return _TableChange(present, wanted).run()


def _new_table(wanted: TableImage) -> _Steps:
    steps = _Steps(switched=wanted, tidied=wanted)
    steps.switch_first.append(tx.AddTable(wanted.name, wanted.head))
    steps.declarations.extend(tx.AddObject(wanted.name, item) for item in wanted.objects if item.kind not in HOLDERS)
    steps.declarations.extend(tx.AddChain(wanted.name, chain) for chain in wanted.chains)
    for item in wanted.objects:
        if item.kind in HOLDERS:
            steps.elements.extend(tx.filled(wanted.name, item))
    steps.rules.extend(_rules(wanted, wanted.chains))
    steps.count(
        rules_added=sum(len(chain.rules) for chain in wanted.chains),
        elements_added=sum(len(item.elements) for item in wanted.objects),
        chains_added=len(wanted.chains),
        objects_added=len(wanted.objects),
    )
    return steps


def _rules(table: TableImage, chains: Iterable[ChainImage]) -> Iterable[Command]:
    return (tx.AddRule(table.name, chain.name, rule) for chain in chains for rule in chain.rules)


class _TableChange:
    """One table that is loaded and shall be another."""

    def __init__(self, present: Present, wanted: TableImage) -> None:
        self.name = wanted.name
        self.present = present
        self.wanted = wanted
        self.old_chains = {chain.name: chain for chain in present.image.chains}
        self.new_chains = {chain.name: chain for chain in wanted.chains}
        self.old_objects = {item.name: item for item in present.image.objects}
        self.new_objects = {item.name: item for item in wanted.objects}
        self.replaced = {
            name
            for name, item in self.new_objects.items()
            if name in self.old_objects and not _same_declaration(self.old_objects[name], item)
        }
        self.steps = _Steps()
        self.final_chains: dict[str, ChainImage] = {}
        self.final_objects: dict[str, ObjectImage] = {}
        self.kept = 0

    def run(self) -> _Steps:
        for item in self.wanted.objects:
            self._object(item)
        self._prepare_chains()
        is_sure = self.present.handles is not None and not self.replaced
        for chain in self.wanted.chains:
            old = self.old_chains.get(chain.name)
            if is_sure and old is not None and old.said == chain.said and old.head == chain.head:
                self.kept += len(chain.rules)  # most chains are as they were, and there may be thousands
                self.final_chains[chain.name] = old
            else:
                self._chain(chain, old)
        self.steps.count(rules_kept=self.kept)
        gone_objects = [item for item in self.present.image.objects if item.name not in self.new_objects]
        gone_chains = [chain for chain in self.present.image.chains if chain.name not in self.new_chains]
        self._tidy(gone_objects, gone_chains)
        steps = self.steps
        left = tuple(self._left_over(chain) for chain in gone_chains if not chain.is_base)
        steps.tidied = replace(
            self.wanted,
            objects=tuple(self.final_objects[item.name] for item in self.wanted.objects),
            chains=tuple(self.final_chains[chain.name] for chain in self.wanted.chains),
        )
        steps.switched = replace(
            steps.tidied,
            objects=(*steps.tidied.objects, *gone_objects),
            chains=(*steps.tidied.chains, *left),
        )
        return steps

    # --- sets, maps, named objects ---

    def _object(self, item: ObjectImage) -> None:
        self.final_objects[item.name] = item
        old = self.old_objects.get(item.name)
        if old is None:
            # its elements may name chains, so they follow when those are there
            self.steps.prepare.append(tx.AddObject(self.name, item))
            self.steps.count(objects_added=1, elements_added=len(item.elements))
        elif item.name in self.replaced:
            self.steps.removals.append(tx.DeleteObject(self.name, old.kind, item.name))
            self.steps.declarations.append(tx.AddObject(self.name, item))
            self.steps.elements.extend(tx.elements_added(self.name, item, item.elements))
            self.steps.count(
                objects_removed=1,
                objects_added=1,
                elements_added=len(item.elements),
                elements_removed=len(old.elements),
            )
        elif item.kind in HOLDERS and not item.is_dynamic:
            self.final_objects[item.name] = self._elements(old, item)

    def _elements(self, old: ObjectImage, new: ObjectImage) -> ObjectImage:
        if self.present.handles is None or new.name in self.present.doubtful or self._names_replaced(new):
            self.steps.removals.append(tx.FlushElements(self.name, new.kind, new.name))
            self.steps.elements.extend(tx.elements_added(self.name, old, new.elements))
            self.steps.count(elements_added=len(new.elements), elements_removed=len(old.elements))
            return new
        gone, added = _element_changes(old.elements, new.elements)
        if gone:
            self.steps.removals.append(tx.DeleteElements(self.name, new.name, gone))
        self.steps.elements.extend(tx.elements_added(self.name, old, added))
        kept = len(new.elements) - len(added)
        self.steps.count(elements_added=len(added), elements_removed=len(gone), elements_kept=kept)
        return new

    def _names_replaced(self, item: ObjectImage) -> bool:
        """Tell whether elements refer to an object that goes and comes back as another one."""
        named = [f'"{name}"' for name in self.replaced if self.new_objects[name].kind not in HOLDERS]
        return any(name in text for name in named for text in item.elements)

    # --- chains ---

    def _prepare_chains(self) -> None:
        new = [chain for chain in self.wanted.chains if chain.name not in self.old_chains and not chain.is_base]
        self.steps.prepare.extend(tx.AddChain(self.name, chain) for chain in new)
        for item in self.wanted.objects:
            if item.name not in self.old_objects:
                self.steps.prepare.extend(tx.elements_added(self.name, item, item.elements))
        for chain in new:
            if self._mentions_replaced(chain.rules):
                self.steps.rules.extend(_rules(self.wanted, (chain,)))
            else:
                self.steps.prepare.extend(_rules(self.wanted, (chain,)))
            self.final_chains[chain.name] = chain
        self.steps.count(chains_added=len(new), rules_added=sum(len(chain.rules) for chain in new))

    def _chain(self, chain: ChainImage, old: ChainImage | None) -> None:
        if old is None:
            if chain.is_base:
                self._add_base(chain)
            return
        if _head(old) != _head(chain):
            self.steps.removals.append(tx.FlushChain(self.name, chain.name))
            self.steps.removals.append(tx.DeleteChain(self.name, chain.name))
            self.steps.count(chains_removed=1, rules_removed=len(old.rules))
            self._add_base(chain)
            return
        handles = None if self.present.handles is None else self.present.handles.get(chain.name)
        if handles is None or self._mentions_replaced((*old.rules, *chain.rules)):
            change = refill(self.name, chain.name, chain.rules)
        else:
            change = change_chain(self.name, chain.name, old.rules, chain.rules, handles)
        self.steps.removals.extend(change.removals)
        self.steps.rules.extend(change.additions)
        removed = len(old.rules) - change.kept
        if change.removals or change.additions:
            self.steps.count(rules_added=len(change.additions), rules_removed=removed)
        self.kept += change.kept
        self.final_chains[chain.name] = replace(chain, rules=change.rules)

    def _add_base(self, chain: ChainImage) -> None:
        self.steps.declarations.append(tx.AddChain(self.name, chain))
        self.steps.rules.extend(_rules(self.wanted, (chain,)))
        self.steps.count(chains_added=1, rules_added=len(chain.rules))
        self.final_chains[chain.name] = chain

    def _mentions_replaced(self, rules: Iterable[str]) -> bool:
        if not self.replaced:
            return False
        words = [
            f"@{name}" if self.new_objects[name].kind in HOLDERS else f'"{name}"' for name in sorted(self.replaced)
        ]
        return any(word in rule for rule in rules for word in words)

    # --- what is left over ---

    def _left_over(self, chain: ChainImage) -> ChainImage:
        """Return a chain that nothing leads to any more; emptied now where it holds what has to go now."""
        if self.present.handles is not None and not self._mentions_replaced(chain.rules):
            return chain
        self.steps.removals.append(tx.FlushChain(self.name, chain.name))
        return replace(chain, rules=())

    def _tidy(self, objects: list[ObjectImage], chains: list[ChainImage]) -> None:
        steps, name = self.steps, self.name
        for chain in chains:
            if chain.is_base:  # it must not judge beside the new ones
                steps.removals.append(tx.FlushChain(name, chain.name))
                steps.removals.append(tx.DeleteChain(name, chain.name))
        left = [chain for chain in chains if not chain.is_base]
        steps.tidy.extend(tx.FlushChain(name, chain.name) for chain in left)
        steps.tidy.extend(tx.DeleteObject(name, item.kind, item.name) for item in objects if item.kind in HOLDERS)
        steps.tidy.extend(tx.DeleteObject(name, item.kind, item.name) for item in objects if item.kind not in HOLDERS)
        steps.tidy.extend(tx.DeleteChain(name, chain.name) for chain in left)
        steps.count(
            chains_removed=len(chains),
            objects_removed=len(objects),
            rules_removed=sum(len(chain.rules) for chain in chains),
            elements_removed=sum(len(item.elements) for item in objects),
        )


def _rank(command: Command) -> int:
    """Return when something goes: what refers to others before those that it refers to."""
    match command:
        case tx.FlushChain() | tx.DeleteRule():
            return 0
        case tx.FlushElements() | tx.DeleteElements():
            return 1
        case tx.DeleteObject(kind=kind) if kind in HOLDERS:
            return 2
        case tx.DeleteChain():
            return 3
        case _:
            return 4


def _head(chain: ChainImage) -> tuple[str, ...]:
    """Return what makes a chain the same object: not its comment, which the kernel cannot change."""
    return tuple(line for line in chain.head if line.startswith("type "))


def _element_changes(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys to delete and the elements to add. Only what is not word for word the same is looked at closely."""
    if old == new:
        return (), ()
    added_texts, gone_texts = added_and_gone(old, new)
    before = {element_key(text): text for text in old if text in gone_texts} if gone_texts else {}
    after = {element_key(text): text for text in new if text in added_texts} if added_texts else {}
    gone = tuple(key for key, text in before.items() if key not in after or _differ(text, after[key]))
    added = tuple(text for key, text in after.items() if key not in before or _differ(before[key], text))
    return gone, added


def _differ(old: str, new: str) -> bool:
    return old != new and without_counts(old) != without_counts(new)


def _same_declaration(old: ObjectImage, new: ObjectImage) -> bool:
    """Tell whether an object can stay: what it has counted is not part of what it is."""
    if old.kind is not new.kind:
        return False
    if old.kind is Kind.COUNTER or old.body == new.body:
        return True
    return _declared(old) == _declared(new)


def _declared(item: ObjectImage) -> frozenset[str]:
    return frozenset(without_counts(line) for line in item.body if not line.startswith("comment "))
