"""What the NAT targets are told to map to: addresses and ports, as SNAT, DNAT, MASQUERADE and REDIRECT read them.

Ports need `-p` tcp, udp, sctp, dccp or icmp (number 1 in both families, which is how iptables asks). A single port may be
the name of a service; a range is two numbers with a dash.
"""

from __future__ import annotations

import re

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family
from fwtrans.lower.extensions.base import Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_address, read_number
from fwtrans.lower.wellknown import SERVICES

Range = tuple[int, int]

_WITH_PORTS = frozenset({1, 6, 17, 33, 132})

# What strtoul takes for a number at the start of the text, and what is left of it.
_LEADING_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)(.*)\Z", re.ASCII | re.DOTALL)

_FLAGS = {"--random": "random", "--random-fully": "fully-random", "--persistent": "persistent"}


def read_flags(use: Use) -> tuple[str, ...]:
    """Return nftables' words for the flags that were given."""
    return tuple(word for name, word in _FLAGS.items() if use.has(name))


def read_ports(text: str, use: Use, place: Place, option: str) -> Range:
    """Return `PORT`, or the ends of `LOW-HIGH`. A shifted range (`LOW-HIGH/BASE`) is refused.

    Where the rule itself says which ports it is for, shifted_ports.py has made one rule for each before.
    """
    _need_protocol(use, place, option)
    found = _LEADING_NUMBER.match(text)
    if found is None:
        port = SERVICES.get(text)
        if port is None:
            raise bad_value(text, "a port, or a range of ports with a dash", option)
        return port, port
    low = read_number(found[1], option, high=0xFFFF)
    if not found[2]:
        return low, low
    if found[2][0] == ":":
        raise Refused(
            "FWT112", f"`{text}` is not a port range", option=option, hint=f"write it with a dash: `{text.replace(':', '-')}`"
        )  # fmt: skip
    if found[2][0] != "-":
        raise bad_value(text, "a port, or a range of ports with a dash", option)
    high_text, shifted, base = found[2][1:].partition("/")
    high = read_number(high_text, option, high=0xFFFF)
    if high < low:
        raise bad_value(text, "a range: its first port is larger than its last", option)
    if shifted:
        _check_base(base, option)
        raise no_exact_form(
            f"{use.name} {option} {text}",
            "nftables has no flag for a shifted range, where the new port keeps its distance from a base port",
            option=option,
            hint="one rule for each port says the same",
        )
    return low, high


def _check_base(text: str, option: str) -> None:
    found = _LEADING_NUMBER.match(text)
    if found is None and text in SERVICES:
        return
    read_number(text, option, low=1, high=0xFFFF)


def _need_protocol(use: Use, place: Place, option: str) -> None:
    if place.protocol in _WITH_PORTS:
        return
    outside = place.protocols.complement().only
    if outside in _WITH_PORTS:
        raise no_exact_form(
            f"{use.name} {option}",
            "nftables maps ports only behind a test that names the protocols, and `! -p` names what they are not",
            option=option,
        )
    raise Refused("FWT116", f"`{option}` with a port needs `-p` tcp, udp, sctp, dccp or icmp", option=option)


def read_destination(text: str, use: Use, place: Place, option: str) -> tuple[Range | None, Range | None]:
    """Return (addresses, ports) of `ADDRESS[-ADDRESS][:PORTS]`, `:PORTS` or `[ADDRESS[-ADDRESS]]:PORTS`."""
    address, ports = _split(text, place.family, option)
    found = read_ports(ports, use, place, option) if ports is not None else None
    if not address and ports is not None:
        return None, found
    return _addresses(address, use, place, option), found


def _split(text: str, family: Family, option: str) -> tuple[str, str | None]:
    if "[" in text:
        before, _, rest = text.partition("[")
        address, closed, behind = rest.partition("]")
        if not closed or family is Family.IP or before or behind[:1] not in {"", ":"}:
            raise bad_value(text, "an address, with a port behind it if any", option)
        return address, behind[1:] if behind else None
    # one colon stands before ports; with two it is an IPv6 address
    if text.count(":") == 1:
        address, _, ports = text.partition(":")
        return address, ports
    return text, None


def _addresses(text: str, use: Use, place: Place, option: str) -> Range:
    first, found, last = text.partition("-")
    low = read_address(first, option, place.family)
    high = read_address(last, option, place.family) if found else low
    if high < low:
        raise no_exact_form(
            f"{use.name} {option} {text}",
            "its first address is larger than its last, which the kernel takes for a range around the end of all "
            "addresses; nft refuses it",
            option=option,
            hint="the two addresses are probably the wrong way round",
        )
    return low, high
