"""`-j TOS`: changes the whole TOS byte or traffic class, bit by bit: new = (old & ~mask) ^ value; mangle only.

A name stands for its value with the mask 0x3f: it leaves the two highest bits alone. Without a mask a number is for all
eight bits. Linux 2.6.38 and older got IPv6 wrong, newer ones do as said (net/netfilter/xt_DSCP.c).
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import IP6_CLASS, IP_TOS, Family
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

_ALL_BITS = 0xFF
_NAME_MASK = 0x3F
_NAMES = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0x00,
}
_ACTIONS = ("--set-tos", "--and-tos", "--or-tos", "--xor-tos")


def _set_tos(text: str) -> tuple[int, int]:
    """Return (value, mask)."""
    if not text[:1].isdigit():
        value = _NAMES.get(text.lower())
        if value is None:
            raise bad_value(text, "a TOS: a number from 0 to 255, or one of " + ", ".join(_NAMES), "--set-tos")
        return value, _NAME_MASK
    number, found, mask = text.partition("/")
    value = read_number(number, "--set-tos", high=_ALL_BITS)
    return value, read_number(mask, "--set-tos", high=_ALL_BITS) if found else _ALL_BITS


def _lower(use: Use, place: Place) -> Outcome:
    use.exclusive(*_ACTIONS)
    if not use.options:
        raise Refused("FWT116", f"`TOS` needs one of `{'`, `'.join(_ACTIONS)}`", option="TOS")
    name, text = use.options[0].name, use.options[0].values[0]
    if name == "--set-tos":
        value, mask = _set_tos(text)
    else:
        bits = read_number(text, name, high=_ALL_BITS)
        value = 0 if name == "--and-tos" else bits
        mask = {"--and-tos": _ALL_BITS & ~bits, "--or-tos": bits, "--xor-tos": 0}[name]
    field = IP_TOS if place.family is Family.IP else IP6_CLASS
    return Outcome((Assign(field, _ALL_BITS & ~mask, value),))


EXTENSION = Target(
    name="TOS",
    families=BOTH,
    options=tuple(Option(name=name) for name in _ACTIONS),
    lower=_lower,
    tables=MANGLE,
)
