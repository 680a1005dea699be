"""Which chains make a class: those of one shape, each of other ports, that differ in few enough places.

A place where members differ costs a look-up for every packet that comes there, and saves a chain for every member. So two
kinds of members may differ in few places and many kinds in more. A mark, a MAC address and a set that one port alone asks do
not count: they are different for every guest, and are taken out of a chain even where there is no second one like it, so that
the next one changes elements and nothing else. (Where there is but one port, nothing is taken out: see `policy_classes.py`.)
Lists of ranges count for more: a set of them is slow to look up and slower to change, so where they are few a class has one.

What is counted are kinds of members, never members: how many guests have the same rules changes nothing. So it is with chains
that were named by content. They are for all guests who have them, however few these are today, and have nothing of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from fwtrans.ir.rule import Rule
from fwtrans.ir.walk import set_names
from fwtrans.optimizer.constants import ConstantKind
from fwtrans.optimizer.log_chains import can_move
from fwtrans.optimizer.names import name_order
from fwtrans.optimizer.port_slots import need_ranges

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.sets import Part
    from fwtrans.optimizer.constants import Constant, Parted
    from fwtrans.optimizer.port_context import Context
    from fwtrans.optimizer.port_slots import Elements

_FEW_KINDS = 8
_MOST_PLACES_OF_FEW, _MOST_PLACES = 2, 6
MOST_LISTS = 3
"""So many lists of ranges are worth a chain each, or so many ways in which they stand together.

With 20 the rules of 200 guests that are all different came to 3,786 for IPv4 and not to 3,450.
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A chain. `rules` are without what its context settles, `parted` the same rules without constants.

    `is_shared` says that it is for all ports that have the same rules, and not one port's own.
    """

    chain: Chain
    context: Context
    rules: tuple[Rule, ...]
    parted: tuple[Parted, ...]
    is_shared: bool

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


def columns(members: Sequence[Member], rule: int, step: int) -> list[tuple[Constant, ...]]:
    """Return the constants of one step, for each what all members have there."""
    return list(zip(*(member.parted[rule].constants[step] for member in members), strict=True))


def step_of_all(members: Sequence[Member], rule: int, at: int) -> Step:
    """Return a step of all members: sets that hold the same may have several names, of which the first in order counts."""
    steps = dict.fromkeys(member.rules[rule].steps[at] for member in members)
    return min(steps, key=lambda step: [name_order(name) for name in set_names(Rule((step,)))])


def leaves(column: Sequence[Constant]) -> bool:
    """Tell whether a constant goes into a map: where members differ, or where it is a guest's own by its nature."""
    return all(constant.own for constant in column) or any(one.content != column[0].content for one in column)


def has_own_constants(members: Sequence[Member]) -> bool:
    """Tell whether there is something to take out: a guest's own by its nature, or what differs."""
    first, *others = members
    return first.has_own() or any(
        one.content != other.content
        for member in others
        for one, other in zip(first.constants(), member.constants(), strict=True)
    )


@dataclass(slots=True)
class _Class:
    members: list[Member] = field(default_factory=list)
    kinds: dict[tuple[Hashable, ...], None] = field(default_factory=dict)
    ports: set[Part] = field(default_factory=set)
    different: list[set[Hashable]] = field(default_factory=list)

    def takes(self, member: Member, kind: tuple[Hashable, ...]) -> bool:
        """Tell whether a member of that kind still leaves few enough places that differ, and has other ports."""
        if not self.ports.isdisjoint(member.context.ports):
            return False
        if kind in self.kinds:
            return True
        limit = _MOST_PLACES if len(self.kinds) + 1 >= _FEW_KINDS else _MOST_PLACES_OF_FEW
        differing = [
            at
            for at, (known, content) in enumerate(zip(self.different, kind, strict=True))
            if len(known) > 1 or content not in known
        ]
        if len(differing) <= limit:
            return True
        return len({tuple(known[at] for known in (*self.kinds, kind)) for at in differing}) <= limit

    def add(self, member: Member, kind: tuple[Hashable, ...]) -> None:
        self.members.append(member)
        self.ports.update(member.context.ports)
        if kind not in self.kinds:
            self.kinds[kind] = None
            self.different = self.different or [set() for _ in kind]
            for known, content in zip(self.different, kind, strict=True):
                known.add(content)


class _Keys(NamedTuple):
    """What decides with which others a member goes together: what must be the same in a class, and what counts where it is not."""

    rigid: tuple[Hashable, ...]
    kind: tuple[Hashable, ...]
    lists: tuple[Constant, ...]


def classes_of(members: Iterable[Member]) -> Iterator[tuple[Member, ...]]:
    """Yield classes of chains of one shape, members in the order of their ports."""
    alike: dict[Hashable, list[tuple[Member, _Keys]]] = {}
    for member in members:
        keys = _keys(member)
        alike.setdefault(keys.rigid, []).append((member, keys))
    for group in alike.values():
        for found in _by_ranges(group):
            for one in _merged(found):
                yield tuple(sorted(one.members, key=lambda member: member.context.ports))


def _by_ranges(group: Sequence[tuple[Member, _Keys]]) -> Iterator[dict[tuple[Hashable, ...], list[Member]]]:
    """Yield the members that go together by their lists of ranges, by kind.

    A set of ranges under ports takes the kernel long to look up and longer to change, so ports that have the same lists have
    a chain of their own. Places whose lists would make too many chains are looked up in such a set all the same.
    """
    telling: list[tuple[Hashable, ...]] = []
    for column in zip(*(keys.lists for _, keys in group), strict=True):
        lists = tuple(one.content if one.has_ranges else None for one in column)
        if _are_ranges(column) and len(set(zip(*telling, lists, strict=True))) <= MOST_LISTS:
            telling.append(lists)
    parted: dict[Hashable, dict[tuple[Hashable, ...], list[Member]]] = {}
    for at, (member, keys) in enumerate(group):
        parted.setdefault(tuple(lists[at] for lists in telling), {}).setdefault(keys.kind, []).append(member)
    yield from parted.values()


def _are_ranges(column: Sequence[Constant]) -> bool:
    """Tell whether lists of one place differ and would be a set of ranges together."""
    lists = {one.content for one in column}
    return (
        len(lists) > 1
        and any(one.has_ranges for one in column)
        and need_ranges(column[0].key, cast("set[Elements]", lists))
    )


def _keys(member: Member) -> _Keys:
    rigid: list[Hashable] = [member.is_shared]
    counted: list[Hashable] = []
    lists: list[Constant] = []
    for rule, parted in zip(member.rules, member.parted, strict=True):
        for constants in parted.constants:
            for constant in constants:
                if constant.kind is ConstantKind.MEMBERS:
                    counted.append(None if constant.own else constant.content)
                    lists.append(constant)
                elif member.is_shared or (constant.kind is ConstantKind.LOG and not can_move(rule)):
                    rigid.append(constant.content)
    return _Keys(tuple(rigid), tuple(counted), tuple(lists))


def _merged(kinds: dict[tuple[Hashable, ...], list[Member]]) -> list[_Class]:
    classes: list[_Class] = []
    for kind, members in sorted(kinds.items(), key=lambda item: repr(item[0])):
        for member in members:
            fitting = next((found for found in classes if found.takes(member, kind)), None)
            if fitting is None:
                fitting = _Class()
                classes.append(fitting)
            fitting.add(member, kind)
    return classes
