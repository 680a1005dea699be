"""`-m mark`: the packet's mark, masked. A value with a bit outside its mask never matches; negated it always does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import MARK
from fwtrans.ir.match import bits, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_value_mask
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--mark")
    value, mask = read_value_mask(option.values[0], option.name)
    return (negated_if(bits(MARK, mask, value), option.negated),)


EXTENSION = Match(
    name="mark",
    families=BOTH,
    options=(Option(name="--mark", negatable=True),),
    lower=_lower,
)
