"""`-j CONNSECMARK`: copies security marks between packet and connection, where the other side has none yet.

--save      if the packet has a mark and its connection none: the connection's becomes the packet's
--restore   if the packet has no mark and its connection one: the packet's becomes the connection's
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, BitsOf
from fwtrans.ir.fields import CT_SECMARK, SECMARK
from fwtrans.ir.match import bits
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.mark import ALL_BITS
from fwtrans.lower.extensions.targets.placement import SECURITY
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field

# nft 1.0.6 compares a security mark with a number only behind a mask, and leaves a full mask out of its listing, which
# does not load then. So the question is put in two halves.
_HALVES = (0x7FFFFFFF, 0x80000000)


def _copy(source: Field, target: Field) -> Outcome:
    """Copy where the target has no mark. That the source has one need not be asked: no mark over no mark is no change."""
    unmarked = tuple(bits(target, half, 0) for half in _HALVES)
    return Outcome((*unmarked, Assign(target, 0, 0, BitsOf(source, ALL_BITS))))


def _lower(use: Use, _place: Place) -> Outcome:
    use.exclusive("--save", "--restore")
    if use.has("--save"):
        return _copy(SECMARK, CT_SECMARK)
    if use.has("--restore"):
        return _copy(CT_SECMARK, SECMARK)
    raise Refused("FWT116", "`CONNSECMARK` needs `--save` or `--restore`", option="CONNSECMARK")


EXTENSION = Target(
    name="CONNSECMARK",
    families=BOTH,
    options=(Option(name="--save", arity=0), Option(name="--restore", arity=0)),
    lower=_lower,
    tables=SECURITY,
)
