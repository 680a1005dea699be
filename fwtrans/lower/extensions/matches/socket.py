"""`-m socket`: is there a local socket for the packet? Both kernels' forms look it up the same way.

iptables leaves out listeners bound to the any-address unless `--nowildcard` is given. nftables answers about wildcards
and marks for whole sockets only, not for the leftovers of closed connections (TIME_WAIT) and connections half made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import Assign, BitsOf
from fwtrans.ir.fields import MARK, SOCKET_MARK, SOCKET_TRANSPARENT, SOCKET_WILDCARD
from fwtrans.ir.match import FieldTest, full_values, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    steps: list[Step] = []
    if use.has("--transparent"):
        steps.append(number(SOCKET_TRANSPARENT, 1))
    if not use.has("--nowildcard"):
        steps.append(number(SOCKET_WILDCARD, 0))
        place.assume(
            "no packet for a connection in TIME_WAIT or half open has to match `-m socket` without --nowildcard"
        )
    if use.has("--restore-skmark"):
        steps.append(Assign(MARK, 0, 0, BitsOf(SOCKET_MARK, 0xFFFFFFFF)))
        place.assume("no packet for a connection in TIME_WAIT or half open has to match `--restore-skmark`")
    return tuple(steps) or (FieldTest(SOCKET_TRANSPARENT, full_values(SOCKET_TRANSPARENT)),)


EXTENSION = Match(
    name="socket",
    families=BOTH,
    options=(
        Option(name="--transparent", arity=0),
        Option(name="--nowildcard", arity=0),
        Option(name="--restore-skmark", arity=0),
    ),
    lower=_lower,
    in_context=True,
    hooks=frozenset({"PREROUTING", "INPUT"}),
)
