"""Which chains make a class: those of one shape, each of another port, that differ in few enough places.

A place where members differ costs a look-up for every packet that comes there, and saves a chain for every member. So two
members may differ in few places and many members in more. A mark, a MAC address and a set that one port alone asks do not
count: they are different for every guest, and are taken out of a chain even where there is no second one like it, so that
the next one changes elements and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.optimizer.constants import ConstantKind
from fwtrans.optimizer.log_chains import can_move

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.sets import Part
    from fwtrans.optimizer.constants import Constant, Parted
    from fwtrans.optimizer.port_context import Context

_FEW_MEMBERS = 8
_MOST_PLACES_OF_FEW, _MOST_PLACES = 2, 6


@dataclass(frozen=True, slots=True)
class Member:
    """A chain of one port. `rules` are without what its context settles, `parted` the same rules without constants."""

    chain: Chain
    context: Context
    rules: tuple[Rule, ...]
    parted: tuple[Parted, ...]

    @property
    def shape(self) -> Hashable:
        """Return what chains of one class have in common."""
        return tuple(parted.shape for parted in self.parted)

    def constants(self) -> Iterator[Constant]:
        """Yield all constants in order."""
        for parted in self.parted:
            for constants in parted.constants:
                yield from constants

    def has_own(self) -> bool:
        """Tell whether there is a constant that is a guest's own by its nature."""
        return any(constant.own for constant in self.constants())


class _Column(NamedTuple):
    contents: list[Hashable]
    different: set[Hashable]


@dataclass(slots=True)
class _Class:
    members: list[Member] = field(default_factory=list)
    columns: list[_Column] = field(default_factory=list)

    def takes(self, key: Sequence[Hashable], count: int) -> bool:
        """Tell whether so many more members with these constants still leave few enough places that differ."""
        limit = _MOST_PLACES if len(self.members) + count >= _FEW_MEMBERS else _MOST_PLACES_OF_FEW
        differing = [
            (column, content)
            for column, content in zip(self.columns, key, strict=True)
            if len(column.different) > 1 or content not in column.different
        ]
        if len(differing) <= limit:
            return True
        return len({(*column.contents, content) for column, content in differing}) <= limit

    def add(self, key: Sequence[Hashable], members: Iterable[Member]) -> None:
        self.members.extend(members)
        if not self.columns:
            self.columns = [_Column([], set()) for _ in key]
        for column, content in zip(self.columns, key, strict=True):
            column.contents.append(content)
            column.different.add(content)


def classes_of(members: Iterable[Member]) -> Iterator[tuple[Member, ...]]:
    """Yield classes of chains of one shape, members in the order of their ports."""
    rounds: dict[tuple[int, Hashable], dict[tuple[Hashable, ...], list[Member]]] = {}
    seen: dict[Part, int] = {}
    for member in members:
        port = member.context.port
        seen[port] = seen.get(port, -1) + 1
        rigid, key = _keys(member)
        rounds.setdefault((seen[port], rigid), {}).setdefault(key, []).append(member)
    for buckets in rounds.values():
        for found in _merged(buckets):
            yield tuple(sorted(found.members, key=lambda member: member.context.port))


def _keys(member: Member) -> tuple[Hashable, tuple[Hashable, ...]]:
    """Return the constants that must be the same in a class, and those that count where they are not."""
    rigid: list[Hashable] = []
    counted: list[Hashable] = []
    for rule, parted in zip(member.rules, member.parted, strict=True):
        for constants in parted.constants:
            for constant in constants:
                if constant.kind is ConstantKind.LOG and not can_move(rule):
                    rigid.append(constant.content)
                elif constant.kind is ConstantKind.MEMBERS:
                    counted.append(None if constant.own else constant.content)
    return tuple(rigid), tuple(counted)


def _merged(buckets: dict[tuple[Hashable, ...], list[Member]]) -> list[_Class]:
    classes: list[_Class] = []
    for key, members in sorted(buckets.items(), key=lambda item: (-len(item[1]), repr(item[0]))):
        fitting = next((found for found in classes if found.takes(key, len(members))), None)
        if fitting is None:
            fitting = _Class()
            classes.append(fitting)
        fitting.add(key, members)
    return classes
