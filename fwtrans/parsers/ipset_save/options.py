"""The options of `create` and `add`: which there are, what they take, and what they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.elements import no_family
from fwtrans.parsers.ipset_save.ports import port_reader
from fwtrans.parsers.ipset_save.syntax import IPV4, IPV6, CreateOption, ElementOptions, SetHeader
from fwtrans.parsers.ipset_save.values import (
    Names,
    bad_value,
    read_address,
    read_number,
    to_address,
    to_number,
    width_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.parsers.ipset_save.set_types import SetType

LONGEST_TIMEOUT = 2147483
_LONGEST_COMMENT = 255
_UINT32 = 0xFFFFFFFF
# strtoull's own error value is what ipset takes for "too big", so the largest number of 64 bits is refused
_UINT64 = 0xFFFFFFFFFFFFFFFE
_SKBMARK = re.compile(r"0[xX]([0-9a-fA-F]{1,8})(?:/0[xX]([0-9a-fA-F]{1,8}))?")
_SKBPRIO = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,4}):(?:0[xX])?([0-9a-fA-F]{1,4})")
_MOST_IN_BITMAP = 65536

CREATE_FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd"})
# `-4` and `-6` are the family; of ipset 4 are `from`, `to`, `network`, and `probes` and `resize`, which do nothing
SHORT_FAMILIES = {"-4": IPV4, "-6": IPV6}
_FAMILIES = {"inet": IPV4, "ipv4": IPV4, "-4": IPV4, "inet6": IPV6, "ipv6": IPV6, "-6": IPV6}
OLD_RANGE = frozenset({"from", "to", "network"})
_IGNORED = frozenset({"probes", "resize"})
_WITHOUT_IGNORED = frozenset({"hash:mac", "hash:ip,mac", "hash:ip,mark", "hash:net,net", "hash:net,port,net"})

_NUMBERS = {
    "hashsize": _UINT32,
    "maxelem": _UINT32,
    "bucketsize": 255,
    "initval": _UINT32,
    "markmask": _UINT32,
    "size": _UINT32,
    "timeout": LONGEST_TIMEOUT,
}

_NEEDS = {
    "timeout": "timeout",
    "packets": "counters",
    "bytes": "counters",
    "comment": "comment",
    "skbmark": "skbinfo",
    "skbprio": "skbinfo",
    "skbqueue": "skbinfo",
}


def create_option_name(word: str, set_type: SetType) -> str | None:
    """Return the present name of an option of `create`, or None where this type has none of that name."""
    if word in SHORT_FAMILIES:
        return "family" if "family" in set_type.options else None
    name = word.removeprefix("--")
    if name in set_type.options:
        return name
    if name in OLD_RANGE and "range" in set_type.options:
        return name
    if name in _IGNORED and set_type.is_hash and set_type.name not in _WITHOUT_IGNORED:
        return name
    return None


def read_header(set_type: SetType, options: tuple[CreateOption, ...], names: Names) -> SetHeader:
    """Return what the options say together. Refused names the value that is wrong."""
    given = {option.name: option.value for option in options if option.value is not None}
    family = _family(given.get("family"), set_type)
    fields: dict[str, Any] = {"family": family}
    fields |= {option.name: True for option in options if option.value is None}
    fields |= {name: read_number(text, _NUMBERS[name]) for name, text in given.items() if name in _NUMBERS}
    for name in given.keys() & _IGNORED:
        read_number(given[name] or "", _UINT32)
    if fields.get("markmask") == 0:
        raise bad_value(given["markmask"] or "", "a mark mask from 1 to 4294967295")
    if "netmask" in given:
        fields["netmask"] = _netmask(given["netmask"], family)
    if "bitmask" in given:
        if "netmask" in given:
            raise Refused("FWT121", "`bitmask` and `netmask` exclude each other", option="bitmask")
        fields["bitmask"] = _bitmask(given["bitmask"], family)
    if "range" in set_type.options:
        fields["range"] = _span(set_type, given, fields.get("netmask"), names)
    return SetHeader(**fields)


def _family(text: str | None, set_type: SetType) -> str:
    if text is None:
        return no_family(set_type)
    if text not in _FAMILIES:
        raise bad_value(text, "a family: inet or inet6")
    return _FAMILIES[text]


def _netmask(text: str, family: str) -> int:
    length = to_number(text)
    if length is None or not 1 <= length <= width_of(family):
        raise bad_value(text, f"a netmask from 1 to {width_of(family)}")
    return length


def _bitmask(text: str, family: str) -> int:
    mask = to_address(text, family)
    if not mask:
        raise bad_value(text, f"a mask of family {family} with a bit set")
    return mask


def _span(set_type: SetType, given: dict[str, str], netmask: int | None, names: Names) -> tuple[int, int]:
    """Return the range of a bitmap, widened to whole networks where it has a netmask, as the kernel does."""
    if "range" in given:
        text = given["range"]
        first, last = _port_span(text, names) if set_type.name == "bitmap:port" else _address_span(text)
    elif "network" in given and set_type.name != "bitmap:port":
        text = given["network"]
        first, last = _address_span(text)
    elif {"from", "to"} <= given.keys():
        text = given["to"]
        read = _one_port if set_type.name == "bitmap:port" else _one_address
        first, last = sorted((read(given["from"], names), read(text, names)))
    else:
        raise Refused("FWT121", f"a {set_type.name} needs the option `range`", hint="for example: range 10.0.0.0/24")
    if set_type.name == "bitmap:port":
        return first, last
    if netmask is None:
        size = last - first + 1
    else:
        first, last, size = _networks(first, last, netmask, text)
    if size > _MOST_IN_BITMAP:
        raise Refused("FWT123", f"`{text}` has {size} places; a bitmap has at most {_MOST_IN_BITMAP}", option=text)
    return first, last


def _networks(first: int, last: int, netmask: int, text: str) -> tuple[int, int, int]:
    """Return the range in whole networks and their number: the kernel wants one prefix that begins at `first`."""
    hosts = (1 << (32 - netmask)) - 1
    first, last = first & ~hosts, last | hosts
    bits = 32
    while bits > 0 and last >> (32 - bits) << (32 - bits) != first:
        bits -= 1
    if netmask <= bits or (bits == 0 and first != 0):
        raise Refused("FWT123", f"netmask {netmask} does not divide the range `{text}`", option=text)
    return first, last, 1 << (netmask - bits)


def _address_span(text: str) -> tuple[int, int]:
    start, slash, length = text.partition("/")
    if slash:
        bits = to_number(length)
        if bits is None or not 0 <= bits < 32:
            raise bad_value(length, "a prefix length from 0 to 31")
        span = (1 << (32 - bits)) - 1
        address = read_address(start, IPV4)
        return (address | span) ^ span, address | span
    start, dash, end = text.partition("-")
    if not dash:
        raise bad_value(text, "a range: FROM-TO or an address with a prefix length")
    first, last = sorted((read_address(start, IPV4), read_address(end, IPV4)))
    return first, last


def _port_span(text: str, names: Names) -> tuple[int, int]:
    part = port_reader("", names)(text)
    if part.first == part.last and "-" not in text:
        raise bad_value(text, "a range of ports: FROM-TO")
    return part.first, part.last


def _one_address(text: str, _names: Names) -> int:
    return read_address(text, IPV4)


def _one_port(text: str, names: Names) -> int:
    return port_reader("", names)(text).first


class ElementOption(NamedTuple):
    """One option that may stand behind an element of a set: its field of ElementOptions, and how its value is read.

    A flag has no reader.
    """

    slot: int
    read: Callable[[str], Any] | None


def element_options(set_type: SetType, header: SetHeader) -> dict[str, ElementOption]:
    """Return the options of `add` for one set, by each spelling."""
    slots = {name: slot for slot, name in enumerate(ElementOptions._fields)}
    names = [name for name, need in _NEEDS.items() if _created_with(need, header)]
    found = {name: ElementOption(slots[name], _ELEMENT_VALUES[name]) for name in names}
    found |= {name: ElementOption(slots[name], _ELEMENT_VALUES.get(name)) for name in set_type.flags}
    return found | {f"--{name}": option for name, option in found.items()}


def missing_element_option(word: str) -> Refused:
    """Return why a word is no option of a set's elements."""
    need = _NEEDS.get(word.removeprefix("--"))
    if need is None:
        return Refused("FWT121", f"`{word}` is no option here, for a set of this type", option=word)
    return Refused(
        "FWT123",
        f"`{word}`: the set was created without `{need}`",
        option=word,
        hint=f"ipset stops here; add `{need}{' 0' * (need == 'timeout')}` to the line that creates the set",
    )


def _created_with(need: str, header: SetHeader) -> bool:
    match need:
        case "timeout":
            return header.timeout is not None
        case "counters":
            return header.counters
        case "comment":
            return header.comment
        case _:
            return header.skbinfo


def _comment(text: str) -> str:
    if len(text.encode(errors="surrogateescape")) > _LONGEST_COMMENT:
        raise bad_value(text, f"a comment of at most {_LONGEST_COMMENT} bytes")
    if '"' in text:
        raise bad_value(text, "a comment: ipset has no way to write a double quote in one")
    return text


def _skbmark(text: str) -> tuple[int, int]:
    found = _SKBMARK.fullmatch(text)
    if not found:
        raise bad_value(text, "0xMARK or 0xMARK/0xMASK")
    return int(found[1], 16), _UINT32 if found[2] is None else int(found[2], 16)


def _skbprio(text: str) -> tuple[int, int]:
    found = _SKBPRIO.fullmatch(text)
    if not found:
        raise bad_value(text, "a priority MAJOR:MINOR, hexadecimal")
    return int(found[1], 16), int(found[2], 16)


_ELEMENT_VALUES: dict[str, Callable[[str], Any]] = {
    "timeout": lambda text: read_number(text, LONGEST_TIMEOUT, "a timeout in seconds"),
    "packets": lambda text: read_number(text, _UINT64),
    "bytes": lambda text: read_number(text, _UINT64),
    "comment": _comment,
    "skbmark": _skbmark,
    "skbprio": _skbprio,
    "skbqueue": lambda text: read_number(text, 65535, "a queue"),
    "before": str,
    "after": str,
}
