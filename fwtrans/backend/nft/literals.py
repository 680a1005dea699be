"""How single values are written, in text and in JSON alike, and what is refused because nft could not read it back.

nft's scanner knows no escapes: a quoted string ends at the next quotation mark, whatever stands before it, and it may
hold newlines (nft 1.0.6 and 1.1.3, seen). So a string with a quotation mark or a control character is refused in both
forms: JSON could carry it, but then the listing of the loaded ruleset would not load again, or would load as
something else.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from fwtrans.backend.nft.expressions import Address, MacAddress, Number

COMMENT_LIMIT = 128
LOG_PREFIX_LIMIT = 127
HELPER_LIMIT = 15
INTERFACE_LIMIT = 15
STRING_LIMIT = 255

# quotation mark, control characters but for the tab, and what a file that was no UTF-8 leaves behind
_UNSAFE = re.compile('["\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]')
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.IGNORECASE)
_DURATION_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def _refuse(message: str, *, hint: str = "") -> Refused:
    return Refused("FWT501", message, hint=hint)


def string(text: str, what: str, limit: int) -> str:
    """Return the text if it can stand between quotation marks; `limit` is in bytes, as the kernel counts."""
    found = _UNSAFE.search(text)
    if found:
        raise _refuse(f"{what} holds {found.group()!r}, which nft cannot have in a string: {text!r}")
    if len(text) > limit or (not text.isascii() and len(text.encode()) > limit):
        raise _refuse(f"{what} is longer than {limit} bytes: {text!r}")
    return text


def comment(text: str) -> str:
    """Return the text if it can be a comment."""
    return string(text, "comment", COMMENT_LIMIT)


def log_prefix(text: str) -> str:
    """Return the text if it can be a log prefix. nft puts a variable's value in wherever a dollar sign stands."""
    if "$" in text:
        raise _refuse(
            f"log prefix holds '$', which nft takes for a variable: {text!r}",
            hint="change the prefix in the source ruleset",
        )
    return string(text, "log prefix", LOG_PREFIX_LIMIT)


def word(text: str) -> str:
    """Return the text if it is shaped like one of nft's own words."""
    if not _WORD.fullmatch(text):
        raise _refuse(f"{text!r} is no nft keyword")
    return text


def interface(name: str, *, is_prefix: bool) -> str:
    """Return a name or prefix as nft reads it: an asterisk at the end makes a prefix, an escaped one is itself.

    Interface names hold 15 bytes, and so a prefix of 15 bytes fits only the name that it is.
    """
    string(name, "interface name", INTERFACE_LIMIT)
    if not name:
        raise _refuse("an interface name is empty, which nft cannot match")
    if is_prefix and len(name.encode()) == INTERFACE_LIMIT:
        is_prefix = False
    if is_prefix:
        if name.endswith("\\"):
            raise _refuse(f"interface prefix ends in a backslash, which nft takes for an escape: {name!r}")
        return name + "*"
    if name.endswith("*"):
        if name.endswith("\\*"):
            raise _refuse(f"interface name ends in a backslash and an asterisk, which nft takes for one: {name!r}")
        return name[:-1] + "\\*"
    return name


def number(value: Number) -> int:
    """Return the number if it fits the 64 bits that nft reads."""
    if not 0 <= value.value < 1 << 64:
        raise _refuse(f"{value.value} is no number between 0 and 2^64-1")
    return value.value


def address(value: Address) -> str:
    """Return an IPv4 or IPv6 address as nft lists it."""
    bits = value.value
    if value.width == 32 and not bits >> 32:
        return f"{bits >> 24}.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}"
    if value.width == 128 and not bits >> 128:
        return socket.inet_ntop(socket.AF_INET6, bits.to_bytes(16))
    raise _refuse(f"{bits} is no address of {value.width} bits")


def mac_address(value: MacAddress) -> str:
    """Return six pairs of hexadecimal digits."""
    if value.value >> 48:
        raise _refuse(f"{value.value} is no MAC address")
    digits = f"{value.value:012x}"
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def prefix_length(value: Address, length: int) -> int:
    """Return the length if the address has no bits beyond it."""
    if not 0 <= length <= value.width or value.value & ((1 << (value.width - length)) - 1):
        raise _refuse(f"{address(value)}/{length} is no network")
    return length


def duration(milliseconds: int) -> str:
    """Return `1d2h3m4s500ms`, without the units that are zero."""
    if milliseconds < 0:
        raise _refuse(f"{milliseconds} is no duration")
    rest, parts = milliseconds, []
    for unit, size in _DURATION_UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def seconds(milliseconds: int) -> int:
    """Return whole seconds, the only durations that libnftables' JSON knows."""
    whole, rest = divmod(milliseconds, 1000)
    if rest:
        raise Refused("FWT502", f"nft's JSON has whole seconds only, not {duration(milliseconds)}")
    return whole


def byte_amount(amount: int) -> tuple[int, str]:
    """Return the amount and the largest unit that tells it without a fraction."""
    if amount < 0:
        raise _refuse(f"{amount} is no number of bytes")
    for unit, size in (("mbytes", 1 << 20), ("kbytes", 1 << 10)):
        if amount and amount % size == 0:
            return amount // size, unit
    return amount, "bytes"
