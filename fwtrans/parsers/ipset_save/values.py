"""Numbers and addresses as ipset reads them, and the table of names that it asks the C library for.

Numbers are C's: decimal, 0x hexadecimal, 0 octal. IPv4 addresses are inet_aton's, so `10.1` is 10.0.0.1 and `010.0.0.1`
is 8.0.0.1 (both seen on ipset 7.17); hexadecimal ones it takes for host names.
"""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_aton, inet_pton
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.set_types import Form
from fwtrans.parsers.ipset_save.syntax import IPV6, AddressPart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]*[0-9]")
_INT32 = Struct(">I").unpack
_WIDTHS = {IPV6: 128}
_FORM_WORDS = {
    Form.HOST: "an address",
    Form.PREFIX: "a prefix",
    Form.RANGE: "a range",
}


class Names(NamedTuple):
    """What /etc/protocols and /etc/services say; handed in, so that a reading is the same on every machine."""

    protocols: Mapping[str, int] = {}
    services: Mapping[str, int] = {}


def width_of(family: str) -> int:
    """Return how many bits an address of the family has."""
    return _WIDTHS.get(family, 32)


def bad_value(text: str, expected: str) -> Refused:
    """Return the refusal of a value that is not what it should be."""
    return Refused("FWT122", f"`{text}` is not {expected}", option=text)


def to_number(text: str) -> int | None:
    """Return the number that C's strtoull reads with base 0, or None where something else stands."""
    if text.isdigit() and text.isascii() and text[0] != "0":
        return int(text)
    if not _NUMBER.fullmatch(text):
        return None
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    return int(text, 8)


def read_number(text: str, high: int, what: str = "a number") -> int:
    """Return a number from 0 to `high`."""
    number = to_number(text)
    if number is None or number > high:
        raise bad_value(text, f"{what} from 0 to {high}")
    return number


def to_address(text: str, family: str) -> int | None:
    """Return the address as a number, or None where it is none of that family."""
    try:
        if family == IPV6:
            return int.from_bytes(inet_pton(AF_INET6, text))
        if _DIGITS_AND_DOTS.fullmatch(text):
            return int.from_bytes(inet_aton(text))
    except (OSError, ValueError):  # ValueError: a NUL or a letter beyond ASCII
        pass
    return None


def read_address(text: str, family: str) -> int:
    """Return one address; a name that only DNS could resolve is refused as what it is."""
    address = to_address(text, family)
    if address is not None:
        return address
    kind = "IPv6" if family == IPV6 else "IPv4"
    if _is_host_name(text):
        raise Refused(
            "FWT125",
            f"`{text}` is a host name; ipset asks DNS for it at the moment of loading",
            option=text,
            hint=f"write the {kind} address, as `ipset save` does",
        )
    raise bad_value(text, f"an {kind} address")


def _is_host_name(text: str) -> bool:
    """Tell whether the text could be a host name: some letter, nothing that names do not have, no colon."""
    return bool(re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9_.-]+", text))


def address_reader(family: str, forms: Form) -> Callable[[str], AddressPart]:
    """Return the reader of one dimension. What `ipset save` prints is read fast, all else in `_read_slowly`."""
    width = width_of(family)
    lengths = {"": 0}
    if Form.PREFIX in forms:
        lengths |= {f"/{length}": (1 << (width - length)) - 1 for length in range(1, width)}
    if Form.FULL in forms:
        lengths[f"/{width}"] = 0
    if Form.ZERO in forms:
        lengths["/0"] = (1 << width) - 1

    def read_ipv4(text: str) -> AddressPart:
        address, slash, length = text.partition("/")
        try:
            span = lengths[slash + length]
            last = _INT32(inet_pton(AF_INET, address))[0] | span
        except (OSError, KeyError, ValueError):
            return _read_slowly(text, family, forms)
        return AddressPart(last ^ span, last, text)

    def read_ipv6(text: str) -> AddressPart:
        address, slash, length = text.partition("/")
        try:
            span = lengths[slash + length]
            last = int.from_bytes(inet_pton(AF_INET6, address)) | span
        except (OSError, KeyError, ValueError):
            return _read_slowly(text, family, forms)
        return AddressPart(last ^ span, last, text)

    return read_ipv6 if family == IPV6 else read_ipv4


def _read_slowly(text: str, family: str, forms: Form) -> AddressPart:
    """Read what the fast way did not: ranges, brackets, short and octal addresses; or say what is wrong."""
    start, rest = _unbracket(text)
    if rest.startswith("/"):
        address = read_address(start, family)
        return _prefix(text, address, rest[1:], family, forms)
    if rest.startswith("-"):
        end, behind = _unbracket(rest[1:], ranges=False)
        if behind:
            raise bad_value(rest[1:], "the end of an address range")
        first, last = sorted((read_address(start, family), read_address(end, family)))
        _require(Form.RANGE, forms, text)
        if first == 0 and last == (1 << width_of(family)) - 1:
            raise Refused("FWT123", f"`{text}` covers all addresses, which no set can hold as a range", option=text)
        return AddressPart(first, last, text)
    if rest:
        raise bad_value(text, "an address")
    address = read_address(start, family)
    return AddressPart(address, address, text)


def _unbracket(text: str, *, ranges: bool = True) -> tuple[str, str]:
    """Return the address, without brackets, and what stands behind it."""
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed:
            raise bad_value(text, "an address: `]` is missing")
        return inside, rest
    found = re.search(r"[-/]" if ranges else r"/", text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def _prefix(text: str, address: int, length_text: str, family: str, forms: Form) -> AddressPart:
    width = width_of(family)
    length = to_number(length_text)
    if length is None or length > width:
        raise bad_value(length_text, f"a prefix length from 0 to {width}")
    if length == 0 and Form.ZERO not in forms and Form.PREFIX in forms:
        raise Refused(
            "FWT123",
            f"`{text}`: prefix length 0 cannot be stored in this set type",
            option=text,
            hint="write the two halves, 0.0.0.0/1 and 128.0.0.0/1 or ::/1 and 8000::/1",
        )
    _require(Form.FULL if length == width else Form.PREFIX, forms, text)
    span = (1 << (width - length)) - 1
    return AddressPart((address | span) ^ span, address | span, text)


def _require(form: Form, forms: Form, text: str) -> None:
    """Refuse a form that the set type has no place for."""
    if form not in forms:
        taken = " or ".join(word for item, word in _FORM_WORDS.items() if item in forms)
        raise Refused("FWT123", f"`{text}`: only {taken} can stand here in a set of this type and family", option=text)
