"""`-m frag`: the IPv6 fragment header, of the first or a later fragment.

iptables takes `--fraglen`, but the kernel does not look at it (net/ipv6/netfilter/ip6t_frag.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import header_field, header_present
from fwtrans.ir.match import FieldTest, negated_if, number, present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use
from fwtrans.lower.values import range_set, read_loose_range, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_PART = {
    "--fragfirst": (("frag-off", 13, 0),),
    "--fragmore": (("more-fragments", 1, 1),),
    "--fraglast": (("more-fragments", 1, 0),),
    "--fragres": (("reserved", 8, 0), ("reserved2", 2, 0)),
}


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.exclusive("--fragmore", "--fraglast")
    steps: list[Step] = [present(header_present("exthdr", "frag"))]
    for option in use.options:
        if option.name == "--fragid":
            values = range_set(32, *read_loose_range(option.values[0], option.name))
            steps.append(negated_if(FieldTest(header_field("exthdr", "frag", "id", 32), values), option.negated))
        elif option.name == "--fraglen":
            read_number(option.values[0], option.name)
        else:
            steps.extend(
                number(header_field("exthdr", "frag", part, width), value) for part, width, value in _PART[option.name]
            )
    return tuple(steps)


EXTENSION = Match(
    name="frag",
    families=IP6_ONLY,
    options=(
        Option(name="--fragid", negatable=True),
        Option(name="--fraglen", negatable=True),
        *(Option(name=name, arity=0) for name in ("--fragres", "--fragfirst", "--fragmore", "--fraglast")),
    ),
    lower=_lower,
)
