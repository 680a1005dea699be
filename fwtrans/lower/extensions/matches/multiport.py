"""`-m multiport`: up to 15 ports in one rule, for protocols that have ports; a range takes two of the 15 places.

`--ports` holds if either end is one of them; negated it holds if neither is (net/netfilter/xt_multiport.c, which is
false for later fragments). Ranges need both ends, and the first has to be the smaller one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, HAS_TRANSPORT, SPORT
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, negated, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value, read_port
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_OPTIONS = ("--sports", "--dports", "--ports")
_PLACES = 15


def read_ports(option: OptionUse) -> IntervalSet:
    """Return the ports of a list."""
    ranges: list[Interval] = []
    places = 0
    for part in option.values[0].split(","):
        first, found, last = part.partition(":")
        low = read_port(first, option.name)
        high = read_port(last, option.name) if found else low
        if found and low >= high:
            raise bad_value(part, "a range: its first port is not the smaller one", option.name)
        places += 2 if found else 1
        ranges.append((low, high))
    if places > _PLACES:
        raise Refused(
            "FWT112", f"`{option.name}` takes 15 ports, a range counting as two; here are {places}", option=option.name
        )
    return IntervalSet.of(16, ranges)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("multiport", 6, 17, 136, 132, 33)
    use.exclusive(*_OPTIONS)
    if not use.options:
        raise Refused("FWT116", "`multiport` needs `--sports`, `--dports` or `--ports`", option="multiport")
    option = use.options[0]
    ports = read_ports(option)
    source, destination = FieldTest(SPORT, ports), FieldTest(DPORT, ports)
    there = present(HAS_TRANSPORT)
    if option.name == "--sports":
        return there, negated_if(source, option.negated)
    if option.name == "--dports":
        return there, negated_if(destination, option.negated)
    if option.negated:
        return there, negated(source), negated(destination)
    return there, AnyOf(((source,), (destination,)))


EXTENSION = Match(
    name="multiport",
    families=BOTH,
    options=(
        Option(name="--sports", aliases=("--source-ports",), negatable=True),
        Option(name="--dports", aliases=("--destination-ports",), negatable=True),
        Option(name="--ports", negatable=True),
    ),
    lower=_lower,
)
