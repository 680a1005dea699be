"""One set as it stands while commands are carried out: how to read its elements, and which it has.

The kernel takes ranges apart: addresses and ports into single ones, networks into prefixes. What it keeps then is a
`Cell` here. Only cells tell what is in the set already and what `del` takes away.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import product

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.elements import ElementReader, address_mask, element_reader
from fwtrans.parsers.ipset_save.options import ElementOption, element_options
from fwtrans.parsers.ipset_save.set_types import SET_TYPES, Dimension, Kind, SetType
from fwtrans.parsers.ipset_save.syntax import (
    IPV6,
    AddressPart,
    Create,
    ElementCommand,
    InterfacePart,
    MacPart,
    MarkPart,
    Part,
    PortPart,
    SetHeader,
)
from fwtrans.parsers.ipset_save.values import Names, width_of

DEFAULT_LIMIT = 65536
_MOST_AT_ONCE = 1 << 20
_UNLIMITED = 1 << 64
_STEPPING = frozenset({"hash:ip", "bitmap:ip"})

Cell = tuple[Hashable, ...]
CellOf = Callable[[tuple[Part, ...]], Cell | None]


@dataclass(slots=True)
class LiveSet:
    """One set. `members` are those of a list:set by name, in order; all other types have `cells`.

    `cell_of` gives the cell of an element, or None where the element is more than one cell or the set has none.
    `shapes` are the sequences of options that were read before, so that Lark need not look at them again.
    """

    create: Create
    set_type: SetType
    read_element: ElementReader
    options: dict[str, ElementOption]
    cell_of: CellOf
    limit: int
    cells: dict[Cell, ElementCommand] = field(default_factory=dict)
    members: dict[str, ElementCommand] = field(default_factory=dict)
    shapes: set[tuple[str, ...]] = field(default_factory=set)
    has_ranges: bool = False

    def add(self, command: ElementCommand, *, tolerant: bool) -> None:
        """Add what is not there, or (`tolerant`) take the place of what is. What is refused leaves no trace."""
        wanted = self.cells_of(command)
        there = [cell for cell in wanted if cell in self.cells]
        taken = [cell for cell in there if not self._fills_in(self.cells[cell], command)]
        if taken and not tolerant:
            raise already_there(command, self.cells[taken[0]])
        if len(self.cells) + len(wanted) - len(there) > self.limit:
            raise Refused(
                "FWT123",
                f"the set is full: it was created for {self.limit} elements",
                option=element_text(command),
                hint=f"create it with a larger maxelem than {self.limit}",
            )
        self.cells.update(dict.fromkeys(wanted, command))

    def _fills_in(self, there: ElementCommand, command: ElementCommand) -> bool:
        """Tell whether an element has the MAC address that the one which is there still waits for."""
        return self.create.type == "bitmap:ip,mac" and len(there.parts) == 1 and len(command.parts) == 2

    def delete(self, command: ElementCommand, *, tolerant: bool) -> None:
        """Delete what is there, or (`tolerant`) as much of it as is."""
        wanted = self.cells_of(command)
        if not tolerant and not all(cell in self.cells for cell in wanted):
            text = element_text(command)
            raise Refused("FWT124", f"`{text}` is not in the set, or not all of it", option=text)
        for cell in wanted:
            self.cells.pop(cell, None)

    def cells_of(self, command: ElementCommand) -> list[Cell]:
        """Return the cells of an element."""
        cell = self.cell_of(command.parts)
        if cell is not None:
            return [cell]
        self.has_ranges = True
        return _many_cells(self.create, command)

    def elements(self) -> Iterator[ElementCommand]:
        """Yield the elements: a range that is still whole as it was written, else what is left of it.

        Where the kernel takes a range for something else than its addresses under the mask, its cells are given, and
        only those that a packet can find: it looks for the masked address.
        """
        if self.members or not self.has_ranges:
            yield from (self.members or self.cells).values()
            return
        left: dict[int, tuple[ElementCommand, list[Cell]]] = {}
        for cell, command in self.cells.items():
            left.setdefault(id(command), (command, []))[1].append(cell)
        misread = _misreads_ranges(self.create)
        for command, cells in left.values():
            if self.cell_of(command.parts) is not None or (not misread and len(cells) == len(self.cells_of(command))):
                yield command
                continue
            for cell in cells:
                if not misread or _can_be_found(self.create, cell):
                    yield command._replace(parts=_narrowed(self.create, command.parts, cell))


def live_set(create: Create, names: Names) -> LiveSet:
    """Return the empty set that `create` makes."""
    set_type, header = SET_TYPES[create.type], create.header
    limit = DEFAULT_LIMIT if header.maxelem is None else header.maxelem
    return LiveSet(
        create,
        set_type,
        element_reader(set_type, header, names),
        element_options(set_type, header),
        _cell_reader(set_type, header),
        limit if set_type.is_hash else _UNLIMITED,
    )


def element_text(command: ElementCommand) -> str:
    """Return the element as it was written."""
    return ",".join(part.text for part in command.parts)


def already_there(command: ElementCommand, there: ElementCommand) -> Refused:
    """Return the refusal of an element that the set has."""
    return Refused(
        "FWT124",
        f"`{element_text(command)}` is in the set already, since line {there.line}",
        option=element_text(command),
        hint="ipset stops here unless it is run with -exist; put `-exist` behind the line, or take it out",
    )


def _cell_reader(set_type: SetType, header: SetHeader) -> CellOf:
    keys = [_key_reader(dimension, header) for dimension in set_type.dimensions]
    if set_type.name == "bitmap:ip,mac":  # a second MAC address for an address is one too many
        del keys[1]
    if len(keys) == 1:
        only = keys[0]

        def single(parts: tuple[Part, ...]) -> Cell | None:
            key = only(parts[0])
            return None if key is None else (key,)

        return single

    def several(parts: tuple[Part, ...]) -> Cell | None:
        cell = tuple([key(part) for key, part in zip(keys, parts, strict=True)])
        return None if None in cell else cell

    return several


def _key_reader(dimension: Dimension, header: SetHeader) -> Callable[[Part], Hashable]:
    """Return what makes a part a key, or None where the part is a range."""
    match dimension.kind:
        case Kind.ADDRESS:
            mask = address_mask(header)
            return lambda part: part[0] & mask if part[0] == part[1] else None  # type: ignore[operator]
        case Kind.NETWORK:
            return lambda part: None if "-" in part[-1] else part[:2]
        case Kind.PORT:
            return lambda part: part[:2] if part[1] == part[2] else None  # type: ignore[misc]
        case Kind.MARK:
            markmask = 0xFFFFFFFF if header.markmask is None else header.markmask
            return lambda part: part[0] & markmask  # type: ignore[operator]
        case Kind.SET:
            return lambda _: None
        case Kind.MAC | Kind.INTERFACE:
            return lambda part: part[:-1]


def _many_cells(create: Create, command: ElementCommand) -> list[Cell]:
    """Return the cells that the kernel makes of an element with ranges."""
    choices: list[list[Hashable]] = []
    count = 1
    for part, dimension in zip(command.parts, SET_TYPES[create.type].dimensions, strict=True):
        match part:
            case AddressPart():
                values = _addresses(part, create, network=dimension.kind is Kind.NETWORK, room=_MOST_AT_ONCE // count)
            case PortPart(protocol, first, last, _):
                values = [(protocol, port) for port in range(first, last + 1)]
            case _:
                values = [_key_reader(dimension, create.header)(part)]
        choices.append(values)
        count *= len(values)
        if count > _MOST_AT_ONCE:
            raise Refused(
                "FWT123",
                f"`{element_text(command)}` makes more than {_MOST_AT_ONCE} elements",
                option=element_text(command),
                hint="a set of networks (hash:net ...) holds such a range as a few prefixes",
            )
    return list(product(*choices))


def _addresses(part: AddressPart, create: Create, *, network: bool, room: int) -> list[Hashable]:
    """Return networks as prefixes, addresses one by one; more than `room` where there are more.

    With a netmask hash:ip goes through a range in whole networks. bitmap:ip takes steps of that width from the first
    address, so that it may miss the last network. The newer types, and bitmask, keep each address of a range as it is
    (all seen on Linux 6.18, the first two on 6.1 as well).
    """
    header = create.header
    width = width_of(header.family)
    if network:
        return list(prefixes(part.first, part.last, width)) if "-" in part.text else [(part.first, part.last)]
    mask, first, step = address_mask(header), part.first, 1
    if header.netmask is not None and create.type in _STEPPING:
        step = 1 << (width - header.netmask)
        first = first if create.type == "bitmap:ip" else first & mask
    elif first != part.last:
        mask = -1
    count = min((part.last - first) // step + 1, room + 1)
    return [(first + step * index) & mask for index in range(count)]


def prefixes(first: int, last: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the fewest prefixes that make up the range, as first and last address."""
    while first <= last:
        size = first & -first if first else 1 << width
        while size > last - first + 1:
            size >>= 1
        yield first, first + size - 1
        first += size


def _misreads_ranges(create: Create) -> bool:
    """Tell whether a range under the set's mask is not what its ends say, see `_addresses`."""
    header = create.header
    return header.bitmask is not None or (header.netmask is not None and create.type != "hash:ip")


def _can_be_found(create: Create, cell: Cell) -> bool:
    """Tell whether the addresses of a cell are those that a masked packet has."""
    mask = address_mask(create.header)
    kinds = (dimension.kind for dimension in SET_TYPES[create.type].dimensions)
    return all(
        kind is not Kind.ADDRESS or (isinstance(key, int) and key & mask == key)
        for kind, key in zip(kinds, cell, strict=True)
    )


def _narrowed(create: Create, parts: tuple[Part, ...], cell: Cell) -> tuple[Part, ...]:
    return tuple(_narrow(part, key, create.header.family) for part, key in zip(parts, cell, strict=True))


def _narrow(part: Part, key: Hashable, family: str) -> Part:
    """Return the part that stands for one key of what a range was taken apart into, written by us."""
    match part, key:
        case AddressPart(), (int(first), int(last)):
            length = width_of(family) - (last - first).bit_length()
            return AddressPart(first, last, _address_text(first, family) + f"/{length}" * (first != last))
        case AddressPart(), int(address):
            return AddressPart(address, address, _address_text(address, family))
        case PortPart(protocol, first, last, text), (_, int(port)) if first != last:
            head, colon, _ = text.rpartition(":")
            return PortPart(protocol, port, port, f"{head}{colon}{port}")
        case MacPart() | MarkPart() | InterfacePart() | PortPart(), _:
            return part
    raise AssertionError(part, key)


def _address_text(address: int, family: str) -> str:
    return str(ipaddress.IPv6Address(address) if family == IPV6 else ipaddress.IPv4Address(address))
