"""`-m ecn`: the congestion bits of the IP and TCP headers. The TCP ones need `-p tcp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import HAS_TRANSPORT, IP6_CLASS, IP_TOS, TCP_FLAGS, Family
from fwtrans.ir.match import bits, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_TCP_BITS = {"--ecn-tcp-ece": 0x40, "--ecn-tcp-cwr": 0x80}


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`ecn` needs one of `--ecn-tcp-cwr`, `--ecn-tcp-ece`, `--ecn-ip-ect`", option="ecn")
    steps: list[Step] = []
    for option in use.options:
        if option.name == "--ecn-ip-ect":
            field = IP_TOS if place.family is Family.IP else IP6_CLASS
            value = read_number(option.values[0], option.name, high=3)
            steps.append(negated_if(bits(field, 3, value), option.negated))
            continue
        place.require_protocol(f"ecn {option.name}", 6)
        place.assume("ecn: fragments are put together (iptables takes the payload of later ones for a TCP header)")
        bit = _TCP_BITS[option.name]
        steps.extend((present(HAS_TRANSPORT), negated_if(bits(TCP_FLAGS, bit, bit), option.negated)))
    return tuple(steps)


EXTENSION = Match(
    name="ecn",
    families=BOTH,
    options=(
        Option(name="--ecn-tcp-cwr", arity=0, negatable=True),
        Option(name="--ecn-tcp-ece", arity=0, negatable=True),
        Option(name="--ecn-ip-ect", negatable=True),
    ),
    lower=_lower,
    in_context=True,
)
