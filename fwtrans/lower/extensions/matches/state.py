"""`-m state`: the old name of `-m conntrack --ctstate`, without SNAT and DNAT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import CT_STATE
from fwtrans.ir.match import number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.extensions.matches.conntrack import STATES, read_words
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--state")
    states = set(read_words(option.values[0], "--state", STATES, "a connection state"))
    if option.negated:
        states = set(STATES.values()) - states
    return (number(CT_STATE, *states),)


EXTENSION = Match(
    name="state",
    families=BOTH,
    options=(Option(name="--state", negatable=True),),
    lower=_lower,
)
