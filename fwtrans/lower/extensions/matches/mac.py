"""`-m mac`: the source address of the Ethernet header, false (negated as well) where there is no such header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import ETHER_SADDR
from fwtrans.ir.match import negated_if, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_mac
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--mac-source")
    return (negated_if(number(ETHER_SADDR, read_mac(option.values[0], option.name)), option.negated),)


EXTENSION = Match(
    name="mac",
    families=BOTH,
    options=(Option(name="--mac-source", negatable=True),),
    lower=_lower,
    hooks=frozenset({"PREROUTING", "INPUT", "FORWARD"}),
)
