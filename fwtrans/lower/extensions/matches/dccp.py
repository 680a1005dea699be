"""`-m dccp`: ports and packet type of DCCP. INVALID stands for the types 10 to 15."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import DCCP_TYPE, DPORT, HAS_TRANSPORT, SPORT
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import range_set, read_decimal_ports, read_number, read_word
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_TYPES = {
    "REQUEST": 0, "RESPONSE": 1, "DATA": 2, "ACK": 3, "DATAACK": 4, "CLOSEREQ": 5, "CLOSE": 6, "RESET": 7,
    "SYNC": 8, "SYNCACK": 9, "INVALID": 10,
}  # fmt: skip
_LAST_TYPE = 15


def _types(option: OptionUse) -> IntervalSet:
    ranges = []
    for word in filter(None, option.values[0].split(",")):
        value = read_word(word.upper(), option.name, _TYPES, "a DCCP packet type")
        ranges.append((value, _LAST_TYPE if word.upper() == "INVALID" else value))
    return IntervalSet.of(4, ranges)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("dccp", 33)
    steps: list[Step] = [present(HAS_TRANSPORT)]
    for option in use.options:
        if option.name == "--dccp-option":
            read_number(option.values[0], option.name, low=1, high=255)
            raise no_exact_form(
                "dccp", "nftables knows DCCP options from kernel 6.5 on, the target does not", option=option.name
            )
        if option.name == "--dccp-types":
            test = FieldTest(DCCP_TYPE, _types(option))
        else:
            values = range_set(16, *read_decimal_ports(option.values[0], option.name))
            test = FieldTest(SPORT if option.name == "--sport" else DPORT, values)
        steps.append(negated_if(test, option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="dccp",
    families=BOTH,
    options=(
        Option(name="--sport", aliases=("--source-port",), negatable=True),
        Option(name="--dport", aliases=("--destination-port",), negatable=True),
        Option(name="--dccp-types", negatable=True),
        Option(name="--dccp-option", negatable=True),
    ),
    lower=_lower,
)
