"""`-m iprange`: source and destination addresses from first to last.

A reversed range is legal (iptables warns) and never matches; negated it always does. IPv4 addresses may be cut short:
`10.1` is 10.1.0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import destination_address, source_address
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import address_width, range_set, read_short_address
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`iprange` needs `--src-range` or `--dst-range`", option="iprange")
    steps: list[Step] = []
    for option in use.options:
        field = (source_address if option.name == "--src-range" else destination_address)(place.family)
        first, found, last = option.values[0].partition("-")
        low = read_short_address(first, option.name, place.family)
        high = read_short_address(last, option.name, place.family) if found else low
        values = range_set(address_width(place.family), low, high)
        steps.append(negated_if(FieldTest(field, values), option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="iprange",
    families=BOTH,
    options=(Option(name="--src-range", negatable=True), Option(name="--dst-range", negatable=True)),
    lower=_lower,
)
