"""`-m length`: the length of the packet from its IP header on, header included.

IPv4 reads it from the header. IPv6 takes what the kernel holds of the packet, which is also right for jumbograms, whose
header says 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import IP_LENGTH, PACKET_LENGTH, Family
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import range_set, read_loose_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--length")
    low, high = read_loose_range(option.values[0], option.name, high=0xFFFF)
    field = IP_LENGTH if place.family is Family.IP else PACKET_LENGTH
    return (negated_if(FieldTest(field, range_set(field.width, low, high)), option.negated),)


EXTENSION = Match(
    name="length",
    families=BOTH,
    options=(Option(name="--length", negatable=True),),
    lower=_lower,
)
