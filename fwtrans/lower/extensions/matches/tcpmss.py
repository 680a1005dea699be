"""`-m tcpmss`: the maximum segment size that a TCP header announces; negated it holds for headers without one as well.

net/netfilter/xt_tcpmss.c does not know of fragments: it takes the data of a later one for a header, and as a rule finds
no size there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import HAS_TRANSPORT, header_field, header_present
from fwtrans.ir.match import AnyOf, absent, negated, number_range, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value, read_loose_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("tcpmss", 6)
    option = use.need("--mss")
    low, high = read_loose_range(option.values[0], option.name, high=0xFFFF)
    if low > high:
        raise bad_value(option.values[0], "a range: its first number is larger than its last", option.name)
    size = number_range(header_field("tcp option", "maxseg", "size", 16), low, high)
    place.assume("no later fragment holds what looks like a TCP header with a segment size")
    if not option.negated:
        return present(HAS_TRANSPORT), size
    none = absent(header_present("tcp option", "maxseg"))
    return (AnyOf(((absent(HAS_TRANSPORT),), (none,), (negated(size),))),)


EXTENSION = Match(
    name="tcpmss",
    families=BOTH,
    options=(Option(name="--mss", negatable=True),),
    lower=_lower,
    in_context=True,
)
