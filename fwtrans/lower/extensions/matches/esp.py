"""`-m esp`: the SPI of an ESP header. False in later fragments, negated or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import ESP_SPI, HAS_TRANSPORT
from fwtrans.ir.match import FieldTest, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import range_set, read_loose_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("esp", 50)
    steps: list[Step] = [present(HAS_TRANSPORT)]
    for option in use.options:
        values = range_set(32, *read_loose_range(option.values[0], option.name))
        steps.append(negated_if(FieldTest(ESP_SPI, values), option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="esp",
    families=BOTH,
    options=(Option(name="--espspi", negatable=True),),
    lower=_lower,
)
