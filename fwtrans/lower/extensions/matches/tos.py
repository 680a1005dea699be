"""`-m tos`: the whole TOS byte or traffic class, masked. A name stands for its value under the mask 0x3f."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import IP6_CLASS, IP_TOS, Family
from fwtrans.ir.match import bits, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_value_mask, read_word
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_NAMES = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0x00,
}


def read_tos(text: str, option: str) -> tuple[int, int]:
    """Return (value, mask) of a number with or without a mask, or of a name."""
    if text[:1].isdigit():
        return read_value_mask(text, option, width=8)
    return read_word(text.lower(), option, _NAMES, "a type of service"), 0x3F


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--tos")
    value, mask = read_tos(option.values[0], option.name)
    field = IP_TOS if place.family is Family.IP else IP6_CLASS
    return (negated_if(bits(field, mask, value), option.negated),)


EXTENSION = Match(
    name="tos",
    families=BOTH,
    options=(Option(name="--tos", negatable=True),),
    lower=_lower,
)
