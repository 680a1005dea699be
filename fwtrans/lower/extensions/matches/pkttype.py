"""`-m pkttype`: whom the frame was for. Looped back copies count as multicast or broadcast, in nftables as in iptables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import PACKET_TYPE
from fwtrans.ir.match import negated_if, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_word
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_TYPES = {"unicast": 0, "broadcast": 1, "multicast": 2, "otherhost": 3, "host": 0, "bcast": 1, "mcast": 2}


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--pkt-type")
    kind = read_word(option.values[0].lower(), option.name, _TYPES, "a packet type")
    return (negated_if(number(PACKET_TYPE, kind), option.negated),)


EXTENSION = Match(
    name="pkttype",
    families=BOTH,
    options=(Option(name="--pkt-type", negatable=True),),
    lower=_lower,
)
