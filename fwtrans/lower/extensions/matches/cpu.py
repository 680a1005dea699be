"""`-m cpu`: the number of the CPU that handles the packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import CPU
from fwtrans.ir.match import negated_if, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--cpu")
    return (negated_if(number(CPU, read_number(option.values[0], option.name)), option.negated),)


EXTENSION = Match(
    name="cpu",
    families=BOTH,
    options=(Option(name="--cpu", negatable=True),),
    lower=_lower,
)
