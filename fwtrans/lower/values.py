"""Reading the values of options: numbers, ranges, addresses, masks. One reader for each kind, used by all extensions.

Each raises `Refused` FWT112 quoting what was read and saying what was expected; `option` is where the caret goes.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NameSet
from fwtrans.lower.wellknown import PROTOCOLS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_NUMBER = re.compile(
    r"\s*\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9]\d*))", re.ASCII
)  # fmt: skip
_DECIMAL_PORT = re.compile(r"\s*\+?0*(\d{1,5})", re.ASCII)
_MOST_HOLES = 12
"""A mask with more free bits than this, those at its end left aside, is not listed as intervals: 4,096 are the most."""


def bad_value(text: str, expected: str, option: str) -> Refused:
    """Return the refusal of a value."""
    return Refused("FWT112", f"`{text}` is not {expected}", option=option)


def read_number(text: str, option: str, *, low: int = 0, high: int = 0xFFFFFFFF) -> int:
    """Return a decimal, hex (0x) or octal (leading 0) number, as strtoul with base 0 reads it; libxtables takes no minus."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise bad_value(text, f"a number from {low} to {high}", option)
    base = {"hex": 16, "octal": 8}.get(str(found.lastgroup), 10)
    value = int(found[str(found.lastgroup)], base)
    if not low <= value <= high:
        raise bad_value(text, f"a number from {low} to {high}", option)
    return value


def read_decimal(text: str, option: str, *, low: int = 0, high: int = 0xFFFFFFFF) -> int:
    """Return a number that is decimal whatever it begins with."""
    if not (text.isascii() and text.isdigit()):
        raise bad_value(text, f"a decimal number from {low} to {high}", option)
    return read_number(text.lstrip("0") or "0", option, low=low, high=high)


def read_number_range(text: str, option: str, *, high: int = 0xFFFFFFFF, separator: str = ":") -> tuple[int, int]:
    """Return `N` or `A:B`, where a missing end is the smallest or largest value. A > B is refused."""
    first, found, last = text.partition(separator)
    low = read_number(first, option, high=high) if first or not found else 0
    if not found:
        return low, low
    top = read_number(last, option, high=high) if last else high
    if top < low:
        raise bad_value(text, "a range: its first number is larger than its last", option)
    return low, top


def read_loose_range(text: str, option: str, *, high: int = 0xFFFFFFFF) -> tuple[int, int]:
    """Return `N`, `A:B`, `:B` or `A:` as libxtables reads number ranges: A > B is taken, and holds no number."""
    first, found, last = text.partition(":")
    low = read_number(first, option, high=high) if first else 0
    if not found:
        return low, low
    return low, read_number(last, option, high=high) if last else high


def read_decimal_ports(text: str, option: str) -> tuple[int, int]:
    """Return the same of ports that libxtables has the C library look up, which knows no base but ten (XTTYPE_PORTRC)."""
    return _loose_port_range(text, option, read_decimal_port)


def read_loose_port_range(text: str, option: str) -> tuple[int, int]:
    """Return the same of ports, by number or name."""
    return _loose_port_range(text, option, read_port)


def _loose_port_range(text: str, option: str, read: Callable[[str, str], int]) -> tuple[int, int]:
    first, found, last = text.partition(":")
    low = read(first, option) if first else 0
    if not found:
        return low, low
    return low, read(last, option) if last else 0xFFFF


def read_decimal_port(text: str, option: str) -> int:
    """Return a port that libxtables has the C library look up, which knows no base but ten (XTTYPE_PORT)."""
    found = _DECIMAL_PORT.fullmatch(text)
    return _named_port(text, option) if found is None else read_number(found[1], option, high=0xFFFF)


def range_set(width: int, low: int, high: int) -> IntervalSet:
    """Return the numbers from low to high; none where the range is reversed."""
    return IntervalSet.of(width, ((low, high),)) if low <= high else IntervalSet.empty(width)


def read_port(text: str, option: str) -> int:
    """Return a port by number or by its name in /etc/services, which dumps made with names resolved still hold."""
    if _NUMBER.fullmatch(text):
        return read_number(text, option, high=0xFFFF)
    return _named_port(text, option)


def _named_port(text: str, option: str) -> int:
    port = SERVICES.get(text)
    if port is None:
        raise bad_value(text, "a port", option)
    return port


def read_port_range(text: str, option: str) -> tuple[int, int]:
    """Return `N`, `A:B`, `:B` or `A:`. A reversed range is refused: iptables refuses it as well."""
    first, found, last = text.partition(":")
    low = read_port(first, option) if first or not found else 0
    if not found:
        return low, low
    high = read_port(last, option) if last else 0xFFFF
    if high < low:
        raise Refused("FWT112", f"port range `{text}` is reversed: nothing is in it", option=option)
    return low, high


def read_protocol(text: str, option: str, family: Family) -> int:
    """Return a protocol number; "all" is 0."""
    name = text.lower()
    if _NUMBER.fullmatch(name):
        return read_number(name, option, high=255)
    if family is Family.IP6 and name == "icmpv6":
        return 58
    number = PROTOCOLS.get(name)
    if number is None:
        raise bad_value(text, "a protocol", option)
    return number


def address_width(family: Family) -> int:
    """Return the bits of an address of the family."""
    return 128 if family is Family.IP6 else 32


@lru_cache(maxsize=65536)
def _address(text: str, family: Family) -> int | None:
    try:
        if family is Family.IP6:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def read_address(text: str, option: str, family: Family) -> int:
    """Return a literal address. A host name is refused: what it means may be another thing tomorrow."""
    return _known_address(_address(text, family), text, option, family)


def read_host(text: str, option: str, family: Family) -> int:
    """Return the same where libxtables has the C library look a host up (XTTYPE_HOST).

    For that `10.1` is 10.0.0.1, and a number is octal or hexadecimal if it is written so.
    """
    found = _address(text, family)
    return _known_address(_numbers_and_dots(text, family) if found is None else found, text, option, family)


def _known_address(value: int | None, text: str, option: str, family: Family) -> int:
    if value is None:
        kind = "an IPv6 address" if family is Family.IP6 else "an IPv4 address"
        raise Refused("FWT112", f"`{text}` is not {kind}", option=option, hint=_address_hint(text, family))
    return value


def _numbers_and_dots(text: str, family: Family) -> int | None:
    if family is Family.IP6 or not text.isascii() or text.split() != [text]:
        return None
    try:
        return int.from_bytes(socket.inet_aton(text), "big")
    except (OSError, ValueError):
        return None


def _address_hint(text: str, family: Family) -> str:
    if _address(text, Family.IP if family is Family.IP6 else Family.IP6) is not None:
        own, other = ("ip6tables", "iptables") if family is Family.IP6 else ("iptables", "ip6tables")
        return f"this is read as rules of {own}; those of {other} belong in a dump of their own"
    return "a host name cannot be translated exactly: write its addresses" if _looks_like_name(text) else ""


def _looks_like_name(text: str) -> bool:
    return any(letter.isalpha() for letter in text) and ":" not in text


def read_mask(text: str, option: str, family: Family) -> int:
    """Return the mask of `/24`, `/255.255.255.0` or `/ffff::` as a number. A length may be octal: `/024` is /20."""
    width = address_width(family)
    if _NUMBER.fullmatch(text):
        length = read_number(text, option, high=width)
        return ((1 << length) - 1) << (width - length)
    numbers = _bytes_of(text) if family is Family.IP else None
    return read_address(text, option, family) if numbers is None or len(numbers) < 4 else _of_bytes(numbers)


def read_network(text: str, option: str, family: Family) -> tuple[int, int]:
    """Return (address, mask) of `address[/mask]`, host bits cleared as iptables does."""
    address, found, mask_text = text.partition("/")
    width = address_width(family)
    mask = read_mask(mask_text, option, family) if found else (1 << width) - 1
    return read_host(address, option, family) & mask, mask


def read_source(text: str, option: str, family: Family) -> tuple[int, int]:
    """Return the same of `-s` and `-d`, which libxtables reads in its own way (xtables_ipparse_multiple, tried with 1.8.9).

    Under a mask of 0 the address may be any word; `10/8` and `192.168/16` are networks written short, their numbers and
    the mask's length may be hexadecimal or octal, so that /024 is /20. What is no such network is looked up as a host.
    """
    address, found, mask_text = text.partition("/")
    width = address_width(family)
    mask = read_mask(mask_text, option, family) if found else (1 << width) - 1
    if found and not mask:
        return 0, 0
    numbers = _bytes_of(address) if family is Family.IP else None
    return (read_host(address, option, family) if numbers is None else _of_bytes(numbers)) & mask, mask


def read_short_address(text: str, option: str, family: Family) -> int:
    """Return an address as libxtables reads it by itself: of an IPv4 address, numbers left out at its end are 0."""
    numbers = _bytes_of(text) if family is Family.IP else None
    return read_address(text, option, family) if numbers is None else _of_bytes(numbers)


def _bytes_of(text: str) -> list[int] | None:
    """Return up to four numbers with dots between them, each hexadecimal or octal if it is written so; None for all else."""
    try:
        numbers = [read_number(part, "", high=255) for part in text.split(".")]
    except Refused:
        return None
    return numbers if len(numbers) <= 4 else None


def _of_bytes(numbers: Sequence[int]) -> int:
    return int.from_bytes(bytes((*numbers, 0, 0, 0)[:4]), "big")


def network_set(address: int, mask: int, width: int) -> IntervalSet:
    """Return the addresses a with a & mask == address; masks with holes give several intervals."""
    ones = (1 << width) - 1
    holes = ones & ~mask
    if holes & (holes + 1) == 0:
        return IntervalSet(width, ((address, address | holes),))
    low_run, free = _free_bits(holes)
    if len(free) > _MOST_HOLES:
        raise Refused("FWT200", f"a mask with {len(free)} holes has no nftables form of bearable size")
    starts = [address]
    for bit in free:
        starts.extend([start | bit for start in starts])
    return IntervalSet.of(width, ((start, start | (low_run - 1)) for start in starts))


def too_many_holes(mask: int, width: int) -> bool:
    """Tell whether the addresses under a mask are more intervals than anybody wants to load."""
    return len(_free_bits(((1 << width) - 1) & ~mask)[1]) > _MOST_HOLES


def _free_bits(holes: int) -> tuple[int, list[int]]:
    """Return the size of the run of free bits at the end, and the other free bits."""
    low_run = (holes + 1) & -(holes + 1)
    inner = holes & ~(low_run - 1)
    return low_run, [1 << position for position in range(inner.bit_length()) if inner >> position & 1]


def read_value_mask(text: str, option: str, *, width: int = 32, separator: str = "/") -> tuple[int, int]:
    """Return (value, mask) of `value[/mask]`; without a mask all bits count."""
    value, found, mask = text.partition(separator)
    ones = (1 << width) - 1
    return read_number(value, option, high=ones), read_number(mask, option, high=ones) if found else ones


def read_mac(text: str, option: str) -> int:
    """Return a MAC address of six hex parts of one or two digits, as all spellings of iptables and ebtables have it."""
    parts = text.split(":")
    if len(parts) != 6 or not all(0 < len(part) <= 2 and _is_hex(part) for part in parts):
        raise bad_value(text, "a MAC address", option)
    value = 0
    for part in parts:
        value = value << 8 | int(part, 16)
    return value


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)


def read_interface(text: str, option: str) -> NameSet:
    """Return the names that `eth0` or `eth+` stands for."""
    if not text or len(text.encode()) > 15:
        raise bad_value(text, "an interface name: at most 15 bytes", option)
    if text.endswith("+"):
        return NameSet.prefix(text[:-1])
    return NameSet.exact(text)


def read_word(text: str, option: str, words: Mapping[str, int], what: str) -> int:
    """Return the number that a word of a fixed list stands for."""
    value = words.get(text)
    if value is None:
        raise Refused("FWT112", f"`{text}` is not {what}", option=option, hint="one of: " + ", ".join(words))
    return value
