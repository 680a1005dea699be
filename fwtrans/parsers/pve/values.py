"""Names, addresses and ports as PVE::Firewall reads them; each function says what is wrong, or nothing.

Addresses in rules go through Perl's Net::IP, which takes short ones (`10.1` is 10.1.0.0, as iptables reads it too) and
wants the bits behind a prefix to be 0; those of aliases and sets are checked by a stricter pattern that does not mind
such bits. Both were tried on Net::IP 1.26.
"""

from __future__ import annotations

import re
from socket import AF_INET6, inet_pton
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
ALIAS = re.compile(r"(dc/|guest/)?([A-Za-z][A-Za-z0-9_-]+)")
IPSET = re.compile(r"\+(guest/|dc/|sdn/)?([A-Za-z][A-Za-z0-9_-]+)")
LOG_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog")
LONGEST_NAME = 64
LONGEST_GROUP_NAME = 18

_OCTET = r"(?:25[0-5]|(?:2[0-4]|1[0-9]|[1-9])?[0-9])"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_SHORT_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}")
_LOOSE_MASK = re.compile(r"/[0-9]+")
_DOTTED_MASK = re.compile(rf"/{_OCTET}(?:\.{_OCTET}){{3}}")
_ZERO_PREFIX = re.compile(r".*/0+")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,20}(?:[:.][0-9]+)?")
_RATE = re.compile(r"[1-9][0-9]*/(?:second|minute|hour|day)")
_TRUTH = {"1": True, "on": True, "yes": True, "true": True, "0": False, "off": False, "no": False, "false": False}
_WIDTHS = {4: 32, 6: 128}
_MOST_PORTS = 15
_LAST_PORT = 65535


class Mistake(NamedTuple):
    """What is wrong with a value, or with `part` of it. `fatal`: it stops PVE from changing any rule at all."""

    message: str
    hint: str = ""
    fatal: bool = False
    part: str = ""


class Cidr(NamedTuple):
    """An address or network of an alias or a set, by family (4 or 6)."""

    version: int
    length: int

    @property
    def width(self) -> int:
        """Return the bits that an address of the family has."""
        return _WIDTHS[self.version]


def read_cidr(text: str) -> Cidr | Mistake:
    """Return what an address of an alias or set is; its host bits may be set. PVE does not look how long a prefix is."""
    address, slash, length = text.partition("/")
    version = 4 if _IPV4.fullmatch(address) else 6 if _is_ipv6(address) else 0
    if not version or (slash and not (length.isascii() and length.isdigit())):
        return Mistake(f"`{text}` is neither an IP address nor a network", _address_hint(text))
    width = _WIDTHS[version]
    if not slash:
        return Cidr(version, width)
    digits = length.lstrip("0") or "0"
    if len(digits) > 3 or int(digits) > width:
        return Mistake(f"a prefix of IPv{version} is at most {width} long", fatal=True)
    return Cidr(version, int(digits))


def has_zero_prefix(text: str) -> bool:
    """Tell whether the text ends in `/0`, which no set can hold."""
    return _ZERO_PREFIX.fullmatch(text) is not None


def without_full_prefix(text: str) -> str:
    """Return the address as PVE compares it: `/32` of IPv4 and `/128` of IPv6 are nothing to it."""
    return text.removesuffix("/128") if ":" in text else text.removesuffix("/32")


def check_addresses(text: str) -> Mistake | None:
    """Return what is wrong with the value of -source or -dest, so far as it shows without other lines."""
    if text.startswith("+"):
        if len(text) > LONGEST_NAME + 1:
            return Mistake(f"the name of a set is at most {LONGEST_NAME} characters long")
        if not IPSET.fullmatch(text):
            return Mistake(f"`{text}` is no name of a set", "a letter, then letters, digits, `-` and `_`; +dc/, +guest/ or +sdn/ before it")  # fmt: skip
        return None
    if ALIAS.fullmatch(text):
        return Mistake(f"the name of an alias is at most {LONGEST_NAME} characters long") if len(text) > LONGEST_NAME else None  # fmt: skip
    found = read_address_list(text)
    return found if isinstance(found, Mistake) else None


def read_address_list(text: str) -> int | Mistake:
    """Return the family, 4 or 6, of a list of addresses, networks and ranges; a range must stand alone."""
    if text.endswith(","):
        return Mistake("there is one comma too many")
    elements = text.split(",")
    family = 0
    fatal = None  # PVE does not see these, so it may stumble over another element first
    for element in elements:
        found = _address(element)
        if isinstance(found, Mistake):
            found = found._replace(part=element)
            if not found.fatal:
                return found
            fatal = fatal or found
            continue
        if family and found != family:
            return Mistake("IPv4 and IPv6 addresses cannot stand in one list", "write two rules", part=element)
        family = found
    if len(elements) > 1 and "-" in text:
        return Mistake("a range cannot stand in a list", "write a rule for the range, or an IPSET of networks")
    return fatal or family


def family_of_addresses(text: str) -> int:
    """Return the family of a checked list of addresses; 0 for a set or an alias."""
    if text.startswith("+") or ALIAS.fullmatch(text):
        return 0
    found = read_address_list(text)
    return 0 if isinstance(found, Mistake) else found


def _address(text: str) -> int | Mistake:
    """Return the family of one element of a list."""
    if "/" not in text and "-" in text:
        return _range(text)
    address, slash, _ = text.partition("/")
    version, number = _number(address)
    if not version:
        fatal = _is_ipv6_to_perl_alone(address)
        return Mistake(f"`{text}` is neither an IP address nor a network", _address_hint(text), fatal=fatal)
    mask = text[len(address) :]
    if not slash or (_DOTTED_MASK.fullmatch(mask) if version == 4 else _is_ipv6(mask[1:])):
        return version  # Net::IP does not look into a mask that is an address, and iptables takes it
    width = _WIDTHS[version]
    if not _LOOSE_MASK.fullmatch(mask):
        return Mistake(f"`{mask}` is no length of a prefix", f"write /0 to /{width}", fatal=mask != "/")
    digits = mask[1:].lstrip("0") or "0"
    if len(digits) > 3 or int(digits) > width:
        return Mistake(f"a prefix of IPv{version} is at most {width} long")
    length = int(digits)
    if number & ((1 << (width - length)) - 1):
        return Mistake(f"`{text}` has bits set behind its prefix", f"write the network's first address, or /{width} for this one")  # fmt: skip
    return version


def _range(text: str) -> int | Mistake:
    first, _, last = text.partition("-")
    (version, low), (other, high) = _number(first), _number(last)
    if not version or not other:
        return Mistake(f"`{first if not version else last}` is no IP address")
    if version != other:
        return Mistake("a range goes from one address to another of the same family")
    if low > high:
        return Mistake("the range ends before it begins", f"did you mean `{last}-{first}`?")
    return version


def _number(text: str) -> tuple[int, int]:
    """Return the family and the number of an address; (0, 0) where it is none. Net::IP knows no octal numbers."""
    if ":" in text:
        return (6, int.from_bytes(inet_pton(AF_INET6, text))) if _is_ipv6(text) else (0, 0)
    if not _SHORT_IPV4.fullmatch(text):
        return 0, 0
    octets = [int(octet) for octet in text.split(".")]
    if any(octet > 255 for octet in octets):
        return 0, 0
    return 4, int.from_bytes(bytes([*octets, 0, 0, 0][:4]))


def _is_ipv6(text: str) -> bool:
    try:
        inet_pton(AF_INET6, text)
    except (OSError, ValueError):  # ValueError: a NUL or a letter beyond ASCII
        return False
    return True


def _is_ipv6_to_perl_alone(text: str) -> bool:
    """Tell whether this is an IPv6 address with less than four numbers behind its last colon: `::ffff:10.1`."""
    head, colon, tail = text.rpartition(":")
    return bool(colon and "." in tail and _number(tail)[0] and _is_ipv6(f"{head}:0.0.0.0"))


def _address_hint(text: str) -> str:
    if re.search(r"[^\x21-\x7e]", text):
        return "there is a character in it that is not of ASCII"
    return "a name must be that of an alias; host names are not looked up" if re.match(r"[A-Za-z.-]+$", text) else ""


def check_interface(text: str) -> Mistake | None:
    """Return what is wrong with an interface of the host."""
    if _INTERFACE.fullmatch(text):
        return None
    return Mistake(f"`{text}` is no name of an interface to PVE", "a letter, then 1 to 20 letters, digits or `_`, then perhaps `.` or `:` and a number")  # fmt: skip


def check_ports(text: str) -> Mistake | None:
    """Return what is wrong with the numbers of a list of ports; names are nobody's business here.

    The kernel's multiport has 15 places, and a range takes two of them.
    """
    if text.endswith(","):
        return Mistake("there is one comma too many")
    count = 0
    for item in text.split(","):
        first, colon, last = item.partition(":")
        if not (first.isascii() and first.isdigit()) or (colon and not (last.isascii() and last.isdigit())):
            if colon or not item:
                return Mistake(f"`{item}` is no port", "a range has a number on both sides: 1024:65535", part=item)
            continue
        count += 2 if colon else 1
        ends = [part.lstrip("0") or "0" for part in ((first, last) if colon else (first,))]
        for end in ends:
            if len(end) > 5 or int(end) > _LAST_PORT:
                return Mistake(f"`{end[:20]}` is no port: the last one is {_LAST_PORT}", part=item)
        if colon and int(ends[0]) > int(ends[1]):
            return Mistake("the range ends before it begins", f"did you mean `{last}:{first}`?", part=item)
    if count > _MOST_PORTS:
        return Mistake(f"a list holds at most {_MOST_PORTS} numbers, and a range counts as two", "write two rules")
    return None


class LogRateLimit(NamedTuple):
    """cluster.fw's log_ratelimit. Empty and None: what is not given. PVE's own default is 1/sec and no burst."""

    enabled: bool
    rate: str = ""
    burst: int | None = None


def read_log_ratelimit(text: str) -> LogRateLimit | Mistake:
    """Return what `enable=1,rate=10/second,burst=20` says; a word without a key is that of `enable`."""
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=") if "=" in part else ("enable", "=", part)
        if key in found:
            return Mistake(f"`{key}` is given twice")
        if key == "enable" and value.lower() not in _TRUTH:
            return Mistake(f"`{value}` is neither 1 nor 0")
        if key == "rate" and not _RATE.fullmatch(value):
            return Mistake(f"`{value}` is no rate", "a number, `/`, and second, minute, hour or day")
        if key == "burst" and not re.fullmatch(r"[0-9]{1,9}", value):
            return Mistake(f"`{value}` is no number")
        if not equals or key not in {"enable", "rate", "burst"}:
            return Mistake(f"`{key}` is no part of log_ratelimit", "it has enable, rate and burst")
        found[key] = value
    if "enable" not in found:
        return Mistake("`enable` is missing")
    burst = int(found["burst"]) if "burst" in found else None
    return LogRateLimit(_TRUTH[found["enable"].lower()], found.get("rate", ""), burst)
