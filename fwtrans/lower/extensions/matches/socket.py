"""`-m socket`: is there a local socket for the packet? Both kernels' forms look it up the same way.

iptables leaves out listeners bound to the any-address unless `--nowildcard` is given. The leftovers of closed connections
(TIME_WAIT) and connections half made are no listeners for it; nftables does not answer for them at all when asked about
wildcards and marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import Assign, BitsOf
from fwtrans.ir.fields import HAS_WHOLE_SOCKET, MARK, SOCKET_MARK, SOCKET_TRANSPARENT, SOCKET_WILDCARD
from fwtrans.ir.match import AnyOf, FieldTest, absent, full_values, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    found = FieldTest(SOCKET_TRANSPARENT, full_values(SOCKET_TRANSPARENT))
    steps: list[Step] = [number(SOCKET_TRANSPARENT, 1) if use.has("--transparent") else found]
    if not use.has("--nowildcard"):
        steps.append(AnyOf(((number(SOCKET_WILDCARD, 0),), (absent(HAS_WHOLE_SOCKET),))))
    if use.has("--restore-skmark"):
        steps.append(Assign(MARK, 0, 0, BitsOf(SOCKET_MARK, 0xFFFFFFFF)))
        place.assume("no packet for a connection in TIME_WAIT or half open has to match `--restore-skmark`")
    return tuple(steps)


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
