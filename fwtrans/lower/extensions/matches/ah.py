"""`-m ah`: the SPI of an authentication header, in IPv6 also its length and reserved field.

In IPv4 AH is a protocol and needs `-p ah`. In IPv6 it is a header in the chain: ip6tables finds it and, independent of
that, the protocol behind it. nftables stops at it, so that there the protocol *is* AH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import AH_HEADER_LENGTH, AH_RESERVED, AH_SPI, HAS_TRANSPORT, L4PROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated_if, number, present
from fwtrans.lower.extensions.base import IP6_ONLY, IP_ONLY, Match, Place, Use, no_exact_form
from fwtrans.lower.values import range_set, read_loose_range, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_AH = 51


def _spi(option: OptionUse) -> FieldTest:
    values = range_set(32, *read_loose_range(option.values[0], option.name))
    return negated_if(FieldTest(AH_SPI, values), option.negated)


def _lower_ipv4(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("ah", _AH)
    return (present(HAS_TRANSPORT), *(_spi(option) for option in use.options))


def _length(option: OptionUse) -> tuple[FieldTest, ...]:
    """Return the test of the length in bytes; the header holds it in words less two. 0 asks for nothing."""
    length = read_number(option.values[0], option.name)
    if not length:
        return ()
    words, rest = divmod(length, 4)
    values = IntervalSet.empty(8) if rest or not 2 <= words <= 257 else IntervalSet.single(8, words - 2)
    return (negated_if(FieldTest(AH_HEADER_LENGTH, values), option.negated),)


def _lower_ipv6(use: Use, place: Place) -> tuple[Step, ...]:
    if not place.protocols.is_full:
        raise no_exact_form(
            "ah",
            "with `-p` the rule asks for the protocol behind the authentication header, and nftables sees no protocol behind it",
            option="ah",
        )
    steps: list[Step] = [number(L4PROTO, _AH), present(HAS_TRANSPORT)]
    for option in use.options:
        if option.name == "--ahspi":
            steps.append(_spi(option))
        elif option.name == "--ahlen":
            steps.extend(_length(option))
        else:
            steps.append(number(AH_RESERVED, 0))
    return tuple(steps)


EXTENSION = Match(
    name="ah",
    families=IP_ONLY,
    options=(Option(name="--ahspi", negatable=True),),
    lower=_lower_ipv4,
)
ALSO = (
    Match(
        name="ah",
        families=IP6_ONLY,
        options=(
            Option(name="--ahspi", negatable=True),
            Option(name="--ahlen", negatable=True),
            Option(name="--ahres", arity=0),
        ),
        lower=_lower_ipv6,
    ),
)
