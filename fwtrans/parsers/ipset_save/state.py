"""What the commands leave behind: the sets of a namespace, changed by one command after the other as the kernel would."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.live_set import DEFAULT_LIMIT, LiveSet, already_there, live_set
from fwtrans.parsers.ipset_save.set_types import Kind
from fwtrans.parsers.ipset_save.syntax import (
    Create,
    ElementAction,
    ElementCommand,
    IpsetSet,
    MemberPart,
    SetAction,
    SetCommand,
)

if TYPE_CHECKING:
    from fwtrans.parsers.ipset_save.values import Names

_LIST = "list:set"


@dataclass(slots=True)
class Sets:
    """The sets that exist. `in_lists` counts of how many list:sets a name is a member. `tolerant` is ipset's -exist: what is done already does no harm."""

    names: Names
    tolerant: bool = False
    live: dict[str, LiveSet] = field(default_factory=dict)
    in_lists: Counter[str] = field(default_factory=Counter)

    def create(self, command: Create) -> None:
        """Make a set, or leave the same one that may be there alone."""
        there = self.live.get(command.name)
        if there is None:
            self.live[command.name] = live_set(command, self.names)
        elif not self.tolerant:
            raise _refused(f"the set `{command.name}` exists already", command.name)
        elif _essence(there.create) != _essence(command):
            raise _refused(f"the set `{command.name}` exists already, with other options", command.name)

    def change(self, command: ElementCommand) -> None:
        """Add or delete an element."""
        target = self.live[command.name]
        if target.create.type == _LIST:
            self._change_list(target, command)
        elif command.action is ElementAction.ADD:
            target.add(command, tolerant=self.tolerant)
        else:
            target.delete(command, tolerant=self.tolerant)

    def apply(self, command: SetCommand) -> None:
        """Destroy, flush, rename or swap."""
        for name in filter(None, (command.name, "" if command.action is SetAction.RENAME else command.other)):
            if name not in self.live:
                raise _refused(f"there is no set `{name}` at this line", name)
        match command.action:
            case SetAction.FLUSH:
                for target in [self.live[command.name]] if command.name else self.live.values():
                    target.cells.clear()
                    self._forget_members(target)
            case SetAction.DESTROY:
                self._destroy(command.name)
            case SetAction.RENAME:
                self._rename(command.name, command.other)
            case SetAction.SWAP:
                self._swap(command.name, command.other)

    def result(self) -> tuple[IpsetSet, ...]:
        """Return what is there now."""
        return tuple(IpsetSet(name, item.create, tuple(item.elements())) for name, item in self.live.items())

    def _forget_members(self, target: LiveSet) -> None:
        self.in_lists.subtract(list(target.members))
        target.members.clear()

    def _check_unused(self, name: str) -> None:
        if self.in_lists[name] > 0:
            other = next(other for other, item in self.live.items() if name in item.members)
            raise _refused(f"the set `{name}` is in use: it is a member of `{other}`", name)

    def _destroy(self, name: str) -> None:
        for each in [name] if name else list(self.live):
            self._check_unused(each)
        for each in [name] if name else list(self.live):
            self._forget_members(self.live.pop(each))

    def _rename(self, name: str, other: str) -> None:
        if other in self.live:
            raise _refused(f"there is a set `{other}` already", other)
        self._check_unused(name)
        self.live[other] = self.live.pop(name)

    def _swap(self, name: str, other: str) -> None:
        """Swap two sets. Members of a list:set are names, so they follow the names and not the content."""
        first, second = self.live[name], self.live[other]
        if _features(first) != _features(second):
            raise _refused(f"`{name}` and `{other}` cannot be swapped: their types differ", other)
        self.live[name], self.live[other] = second, first

    def _change_list(self, target: LiveSet, command: ElementCommand) -> None:
        """Keep the members of a list:set in their order; the kernel stops at the first that has the packet."""
        options, member = command.options, _member(command)
        neighbour = options.before or options.after
        for name in filter(None, (member, neighbour)):
            if name not in self.live:
                raise _refused(f"there is no set `{name}` at this line", name)
            if self.live[name].create.type == _LIST:
                raise _refused(f"`{name}` is a list:set itself, which cannot be in one", name)
        members = target.members
        if neighbour and neighbour not in members:
            raise _refused(f"`{neighbour}` is not in the set", neighbour)
        if command.action is ElementAction.ADD:
            if member in members and not self.tolerant:
                raise already_there(command, members[member])
            if member not in members:
                self.in_lists[member] += 1
                _make_room(members, member, command)
            members[member] = command
        elif member in members and _stands_beside(list(members), member, command):
            self.in_lists[member] -= 1
            del members[member]
        elif not self.tolerant:
            raise _refused(f"`{member}` is not in the set" + " at that place" * (member in members), member)


def _make_room(members: dict[str, ElementCommand], member: str, command: ElementCommand) -> None:
    """Put a new member at its place: beside the neighbour that the command names, else at the end."""
    options = command.options
    if not options.before and not options.after:
        return
    names = list(members)
    place = names.index(options.before) if options.before else names.index(options.after) + 1
    behind = {name: members.pop(name) for name in names[place:]}
    members[member] = command
    members.update(behind)


def _stands_beside(names: list[str], member: str, command: ElementCommand) -> bool:
    """Tell whether a member stands directly beside the neighbour that `del` names."""
    options = command.options
    if not options.before and not options.after:
        return True
    place = names.index(member)
    if options.before:
        return names[place + 1 : place + 2] == [options.before]
    return place > 0 and names[place - 1] == options.after


def _features(item: LiveSet) -> tuple[object, ...]:
    """Return what ip_set_swap compares: hash:ip and bitmap:ip are alike for it, hash:net is not (it knows nomatch)."""
    kinds = [Kind.ADDRESS if each.kind is Kind.NETWORK else each.kind for each in item.set_type.dimensions]
    return kinds, "nomatch" in item.set_type.flags, item.create.header.family


def _essence(create: Create) -> tuple[object, ...]:
    """Return what makes two `create -exist` the same for the kernel; sizes of the hash do not count."""
    header = create.header
    limit = DEFAULT_LIMIT if header.maxelem is None else header.maxelem
    plain = header._replace(hashsize=None, bucketsize=None, initval=None, size=None, forceadd=False, maxelem=limit)
    return create.type, plain


def _member(command: ElementCommand) -> str:
    part = command.parts[0]
    return part.name if isinstance(part, MemberPart) else ""


def _refused(message: str, option: str) -> Refused:
    return Refused("FWT124", message, option=option)
