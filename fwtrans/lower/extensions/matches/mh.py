"""`-m mh`: the type of a Mobility Header (mobile IPv6).

The kernel (net/ipv6/netfilter/ip6t_mh.c) looks at first fragments only, where alone nftables finds the header, and drops
what claims to have a payload behind it; such packets do not match here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import header_field
from fwtrans.ir.match import FieldTest, negated_if, number
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use
from fwtrans.lower.values import bad_value, range_set, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_NO_PAYLOAD = 59
_NAMES = (
    ("binding-refresh-request", "brr"),
    ("home-test-init", "hoti"),
    ("careof-test-init", "coti"),
    ("home-test", "hot"),
    ("careof-test", "cot"),
    ("binding-update", "bu"),
    ("binding-acknowledgement", "ba"),
    ("binding-error", "be"),
)


def _read_type(text: str, option: str) -> int:
    """Return a type by number, name, short name, or the beginning of one (the first that fits)."""
    if text[:1].isdigit():
        return read_number(text, option, high=255)
    wanted = text.lower()
    for number_of, names in enumerate(_NAMES):
        if wanted in names:
            return number_of
    for number_of, names in enumerate(_NAMES):
        if wanted and any(name.startswith(wanted) for name in names):
            return number_of
    raise bad_value(text, "a type of Mobility Header", option)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("mh", 135)
    steps: list[Step] = [number(header_field("exthdr", "mh", "nexthdr", 8), _NO_PAYLOAD)]
    option = use.find("--mh-type")
    if option is not None:
        first, found, last = option.values[0].partition(":")
        low = _read_type(first, option.name) if first else 0
        high = (_read_type(last, option.name) if last else 255) if found else low
        if low > high:
            raise bad_value(option.values[0], "a range: its first type is larger than its last", option.name)
        types = FieldTest(header_field("exthdr", "mh", "type", 8), range_set(8, low, high))
        steps.append(negated_if(types, option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="mh",
    families=IP6_ONLY,
    options=(Option(name="--mh-type", negatable=True),),
    lower=_lower,
)
