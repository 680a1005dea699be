"""`-m dscp`: the six bits of the differentiated services field, by number or by class.

A class name may have anything behind it: iptables compares as many letters as its own name has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import IP6_CLASS, IP_TOS, Family
from fwtrans.ir.match import bits, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

CLASSES: dict[str, int] = {
    **{f"CS{number}": number << 3 for number in range(8)},
    "BE": 0,
    **{f"AF{klass}{drop}": klass << 3 | drop << 1 for klass in range(1, 5) for drop in range(1, 4)},
    "EF": 0x2E,
}


def _class(text: str, option: str) -> int:
    for name, value in CLASSES.items():
        if text.upper().startswith(name):
            return value
    raise bad_value(text, "a DiffServ class (CS0-CS7, BE, AF11-AF43, EF)", option)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    use.exclusive("--dscp", "--dscp-class")
    option = use.find("--dscp") or use.find("--dscp-class")
    if option is None:
        raise Refused("FWT116", "`dscp` needs `--dscp` or `--dscp-class`", option="dscp")
    text = option.values[0]
    value = read_number(text, option.name, high=63) if option.name == "--dscp" else _class(text, option.name)
    field = IP_TOS if place.family is Family.IP else IP6_CLASS
    return (negated_if(bits(field, 0xFC, value << 2), option.negated),)


EXTENSION = Match(
    name="dscp",
    families=BOTH,
    options=(Option(name="--dscp", negatable=True), Option(name="--dscp-class", negatable=True)),
    lower=_lower,
)
