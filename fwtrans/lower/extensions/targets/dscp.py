"""`-j DSCP`: sets the upper six bits of the TOS byte or traffic class; mangle only.

iptables takes any text that begins with the name of a class, whatever its case.
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import IP6_CLASS, IP_TOS, Family
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

# RFC 2474, 2597, 3246; in the order in which iptables compares.
_CLASSES = {
    "CS0": 0, "CS1": 8, "CS2": 16, "CS3": 24, "CS4": 32, "CS5": 40, "CS6": 48, "CS7": 56, "BE": 0,
    "AF11": 10, "AF12": 12, "AF13": 14, "AF21": 18, "AF22": 20, "AF23": 22, "AF31": 26, "AF32": 28, "AF33": 30,
    "AF41": 34, "AF42": 36, "AF43": 38, "EF": 46,
}  # fmt: skip
_ECN_BITS = 3


def _class(text: str) -> int:
    for name, value in _CLASSES.items():
        if text.upper().startswith(name):
            return value
    raise bad_value(text, "a DiffServ class: " + ", ".join(_CLASSES), "--set-dscp-class")


def _lower(use: Use, place: Place) -> Outcome:
    use.exclusive("--set-dscp", "--set-dscp-class")
    if use.has("--set-dscp"):
        value = read_number(use.value("--set-dscp"), "--set-dscp", high=63)
    elif use.has("--set-dscp-class"):
        value = _class(use.value("--set-dscp-class"))
    else:
        raise Refused("FWT116", "`DSCP` needs `--set-dscp` or `--set-dscp-class`", option="DSCP")
    field = IP_TOS if place.family is Family.IP else IP6_CLASS
    return Outcome((Assign(field, _ECN_BITS, value << 2),))


EXTENSION = Target(
    name="DSCP",
    families=BOTH,
    options=(Option(name="--set-dscp"), Option(name="--set-dscp-class")),
    lower=_lower,
    tables=MANGLE,
)
