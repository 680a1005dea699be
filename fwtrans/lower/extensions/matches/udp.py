"""`-m udp`: source and destination ports of UDP.

The kernel's match (net/netfilter/xt_tcpudp.c) is false for later fragments, negated or not. Unlike tcp, libxtables
takes a reversed range here (nothing is in it), and reads all ports as decimal numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import DPORT, HAS_TRANSPORT, SPORT
from fwtrans.ir.match import FieldTest, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import range_set, read_decimal_ports
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("udp", 17)
    steps: list[Step] = [present(HAS_TRANSPORT)]
    for option in use.options:
        field = SPORT if option.name == "--sport" else DPORT
        ports = range_set(16, *read_decimal_ports(option.values[0], option.name))
        steps.append(negated_if(FieldTest(field, ports), option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="udp",
    families=BOTH,
    options=(
        Option(name="--sport", aliases=("--source-port",), negatable=True),
        Option(name="--dport", aliases=("--destination-port",), negatable=True),
    ),
    lower=_lower,
)
