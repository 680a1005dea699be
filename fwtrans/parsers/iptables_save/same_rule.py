"""Whether `-D` and `-C` mean a given rule: iptables compares rules after it has parsed both.

The order of general options and of options inside one match does not matter then, nor does the spelling of an address,
a number or a protocol; the order of matches does, and so does `-m tcp` without options (1.8.9). Values of extensions
that differ in more than the spelling of a number (`ssh` for 22, a default that is left out) are taken for different: then
`-D` finds no rule, which is an error and no wrong result.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.general import ICMP6_NAMES, PROTOCOL_MATCHES

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.syntax import ExtensionUse, OptionUse, RuleSyntax

Key = tuple[object, ...]

_NUMBER = re.compile(r"(?<![\w.:])(0x[0-9A-Fa-f]{1,16}|[1-9]\d{0,19}|0)(?![\w.:])")
_ANY = {"-s", "-d"}


def rule_key(rule: RuleSyntax) -> Key:
    """Return what two rules have in common exactly if `-D` with one of them deletes the other."""
    general = sorted(filter(None, (_general_key(option) for option in rule.options)))
    matches = tuple(_use_key(use) for use in rule.matches)
    return (tuple(general), matches, _use_key(rule.target) if rule.target else None, rule.goto)


def _general_key(option: OptionUse) -> tuple[str, str, bool] | None:
    value = option.values[0] if option.values else ""
    if option.name in _ANY:
        value = _network(value)
    elif option.name == "-p":
        value = _protocol(value)
    is_any = value in {"0.0.0.0/0", "::/0"} or (option.name == "-p" and value == "all") or value == "+"
    return None if is_any and not option.negated else (option.name, value, option.negated)


def _use_key(use: ExtensionUse) -> Key:
    options = [(option.name, option.negated, tuple(map(_value, option.values))) for option in use.options]
    names = {option.name for option in use.options}
    # an option that stands several times may belong to the one before it (policy's --next): their order counts
    return (use.name, tuple(sorted(options) if len(names) == len(options) else options))


def _network(text: str) -> str:
    """Return an address or network in one spelling, or the text where it is neither."""
    address, _, mask = text.partition("/")
    if mask.isdigit():
        mask = str(int(mask, 8)) if mask[0] == "0" and not set(mask) & {"8", "9"} else mask
        if mask == "0":
            return "0.0.0.0/0"
    parts = address.split(".")
    if ":" not in address and len(parts) < 4 and all(part.isdigit() for part in parts):
        address = ".".join([*parts, *["0"] * (4 - len(parts))])
    try:
        return str(ipaddress.ip_network(f"{address}/{mask}" if mask else address, strict=False))
    except ValueError:
        return text


def _protocol(text: str) -> str:
    name = text.lower()
    if name.isdigit():
        name = PROTOCOL_MATCHES.get(int(name), name) if len(name) < 4 else name
    if name in {"0", "ip", "all"}:
        return "all"
    return "icmp6" if name in ICMP6_NAMES else name


def _value(text: str) -> str:
    """Return a value with its numbers in decimal."""
    return _NUMBER.sub(lambda found: str(int(found.group(), 0)), text)
