"""The element of a set, `10.0.0.0/24,udp:53`, as one typed part for each dimension.

A reader is made for each set when `create` is read: which forms are allowed, and whether an element fits, depends on
the set's type, family, range and masks.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.ports import port_reader
from fwtrans.parsers.ipset_save.set_types import Dimension, Kind, SetType
from fwtrans.parsers.ipset_save.syntax import (
    IPV6,
    NO_FAMILY,
    AddressPart,
    InterfacePart,
    MacPart,
    MarkPart,
    MemberPart,
    Part,
    PortPart,
    SetHeader,
)
from fwtrans.parsers.ipset_save.values import Names, address_reader, bad_value, read_number, to_address, width_of

LONGEST_SET_NAME = 31
_LONGEST_INTERFACE_NAME = 15
_MAC = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}")
_PHYSDEV = "physdev:"

ElementReader = Callable[[str], tuple[Part, ...]]


def element_reader(set_type: SetType, header: SetHeader, names: Names) -> ElementReader:
    """Return the function that reads the elements of one set, or raises Refused naming the piece that is wrong."""
    readers = tuple(_part_reader(dimension, header.family, names) for dimension in set_type.dimensions)
    if len(readers) == 1:
        return _single(set_type, header, readers[0])
    count = len(readers)
    fewest = 1 if set_type.name == "bitmap:ip,mac" else count
    check = _mac_check(set_type) or _range_check(set_type, header)

    def read(text: str) -> tuple[Part, ...]:
        pieces = text.split(",")
        if not fewest <= len(pieces) <= count or not all(pieces):
            raise _wrong_count(text, set_type)
        parts = tuple([reader(piece) for reader, piece in zip(readers, pieces, strict=False)])
        if check is not None:
            check(parts)
        return parts

    return read


def address_mask(header: SetHeader) -> int:
    """Return the bits of an address that the set looks at."""
    width = width_of(header.family)
    everything = (1 << width) - 1
    if header.netmask is not None:
        return everything ^ ((1 << (width - header.netmask)) - 1)
    return everything if header.bitmask is None else header.bitmask


def _single(set_type: SetType, header: SetHeader, reader: Callable[[str], Part]) -> ElementReader:
    check = _range_check(set_type, header) or _zero_check(set_type, header)

    def read(text: str) -> tuple[Part, ...]:
        if "," in text:
            raise _wrong_count(text, set_type)
        return (reader(text),)

    def read_and_check(text: str) -> tuple[Part, ...]:
        parts = read(text)
        if check is not None:
            check(parts)
        return parts

    return read if check is None else read_and_check


def _part_reader(dimension: Dimension, family: str, names: Names) -> Callable[[str], Part]:
    match dimension.kind:
        case Kind.ADDRESS | Kind.NETWORK:
            return address_reader(family, dimension.ipv6 if family == IPV6 else dimension.ipv4)
        case Kind.PORT:
            return port_reader(family, names)
        case Kind.MAC:
            return _read_mac
        case Kind.MARK:
            return _read_mark
        case Kind.INTERFACE:
            return _read_interface
        case Kind.SET:
            return _read_member


def _read_mac(text: str) -> MacPart:
    if not _MAC.fullmatch(text):
        raise bad_value(text, "an Ethernet address of six bytes with colons")
    if len(text) == 17:
        return MacPart(int(text.replace(":", ""), 16), text)
    address = 0
    for byte in text.split(":"):
        address = address << 8 | int(byte, 16)
    return MacPart(address, text)


def _read_mark(text: str) -> MarkPart:
    return MarkPart(read_number(text, 0xFFFFFFFF, "a mark"), text)


def _read_interface(text: str) -> InterfacePart:
    name = text.removeprefix(_PHYSDEV)
    if not name or len(name.encode(errors="surrogateescape")) > _LONGEST_INTERFACE_NAME:
        raise bad_value(text, f"an interface name of 1 to {_LONGEST_INTERFACE_NAME} bytes")
    return InterfacePart(name, name != text, text)


def _read_member(text: str) -> MemberPart:
    if len(text.encode(errors="surrogateescape")) > LONGEST_SET_NAME:
        raise bad_value(text, f"a set name of at most {LONGEST_SET_NAME} bytes")
    return MemberPart(text, text)


def _wrong_count(text: str, set_type: SetType) -> Refused:
    wanted = ",".join(dimension.kind.value.replace(" ", "-") for dimension in set_type.dimensions)
    return Refused("FWT123", f"`{text}`: an element of a {set_type.name} is {wanted}", option=text)


Check = Callable[[tuple[Part, ...]], None]


def _mac_check(set_type: SetType) -> Check | None:
    """A hash takes no all-zero key, and the MAC of a hash:ip,mac is what it looks at (hash_mac and hash_ipmac)."""
    if set_type.name != "hash:ip,mac":
        return None

    def check(parts: tuple[Part, ...]) -> None:
        part = parts[1]
        if isinstance(part, MacPart) and part.address == 0:
            raise _zero(part.text, set_type)

    return check


def _zero_check(set_type: SetType, header: SetHeader) -> Check | None:
    if set_type.name == "hash:mac":

        def check_mac(parts: tuple[Part, ...]) -> None:
            part = parts[0]
            if isinstance(part, MacPart) and part.address == 0:
                raise _zero(part.text, set_type)

        return check_mac
    if set_type.name == "hash:ip":
        mask = address_mask(header)

        def check_address(parts: tuple[Part, ...]) -> None:
            part = parts[0]
            if isinstance(part, AddressPart) and part.first & mask == 0:
                raise _zero(part.text, set_type)
            if isinstance(part, AddressPart) and header.netmask is not None and _is_reversed(part, header.family):
                raise Refused(
                    "FWT123",
                    f"`{part.text}` has its ends exchanged; with a netmask the kernel then keeps what no packet finds",
                    option=part.text,
                    hint="write the smaller address first",
                )

        return check_address
    return None


def _is_reversed(part: AddressPart, family: str) -> bool:
    """Tell whether a range begins with its larger end: hash_ip4_uadt masks that one, and then exchanges the two."""
    start, dash, _ = part.text.partition("-")
    return bool(dash) and part.first != part.last and to_address(start.strip("[]"), family) != part.first


def _zero(text: str, set_type: SetType) -> Refused:
    return Refused("FWT123", f"`{text}` is zero, which a {set_type.name} cannot hold", option=text)


def _range_check(set_type: SetType, header: SetHeader) -> Check | None:
    """A bitmap holds what its range holds."""
    if header.range is None:
        return None
    low, high = header.range
    mask = address_mask(header) if set_type.name == "bitmap:ip" else 0xFFFFFFFF

    def check(parts: tuple[Part, ...]) -> None:
        part = parts[0]
        if isinstance(part, AddressPart | PortPart) and (part.first & mask < low or part.last > high):
            raise Refused("FWT123", f"`{part.text}` is outside of the range of its set", option=part.text)

    return check


def no_family(set_type: SetType) -> str:
    """Return the family of a set whose type does not let one choose: bitmaps of addresses hold IPv4."""
    return "inet" if "family" in set_type.options or set_type.name.startswith("bitmap:ip") else NO_FAMILY
