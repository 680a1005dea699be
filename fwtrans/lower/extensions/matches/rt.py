"""`-m rt`: the IPv6 routing header.

net/ipv6/netfilter/ip6t_rt.c is false where there is none, negated or not. `--rt-len` is the length of the whole header
in bytes, while the header counts units of eight bytes beyond the first. The addresses of type 0 are compared one by one
from the first; unless `--rt-0-not-strict` is given there must be no more than these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family, Field, FieldKind, header_field, header_present
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, PureTest, negated_if, number, present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use, no_exact_form
from fwtrans.lower.values import read_address, read_loose_range, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

TYPE = header_field("exthdr", "rt", "type", 8)
SEGMENTS_LEFT = header_field("exthdr", "rt", "seg-left", 8)
HEADER_LENGTH = header_field("exthdr", "rt", "hdrlength", 8)
_MOST_ADDRESSES = 16
# nft numbers the addresses of a routing header from 1; 1.0.6 has no type for those behind the second.
NFT_ADDRESSES = 2


def low_numbers(field: Field, low: int, high: int) -> FieldTest:
    """Return the test that a field lies in low..high, which may lie beyond what the field can hold."""
    top = (1 << field.width) - 1
    return FieldTest(field, IntervalSet.of(field.width, ((low, min(high, top)),) if low <= min(high, top) else ()))


def _length(text: str) -> FieldTest:
    size = read_number(text, "--rt-len")
    units = size // 8 - 1
    return low_numbers(HEADER_LENGTH, units, units) if size % 8 == 0 and size else low_numbers(HEADER_LENGTH, 1, 0)


def _reserved() -> tuple[FieldTest, ...]:
    """Return the test that the four reserved bytes of type 0 are zero, by the names that nft has for the place."""
    return tuple(number(header_field("exthdr", "srh", name, width), 0) for name, width in _RESERVED)


_RESERVED = (("last-entry", 8), ("flags", 8), ("tag", 16))


def _addresses(use: Use) -> tuple[PureTest, ...]:
    option = use.need("--rt-0-addrs")
    words = option.values[0].split(",")
    if len(words) > _MOST_ADDRESSES:
        raise Refused("FWT112", f"`--rt-0-addrs` takes 16 addresses; here are {len(words)}", option=option.name)
    addresses = [read_address(word, option.name, Family.IP6) for word in words]
    if use.has("--rt-0-not-strict"):
        raise no_exact_form(
            "rt", "it compares addresses of a routing header by their place only", option="--rt-0-not-strict"
        )
    if len(addresses) > NFT_ADDRESSES:
        raise no_exact_form(
            "rt", "nft 1.0.6 reaches the first two addresses of a routing header only", option=option.name
        )
    # nft lists the addresses of type 0 as the segments of type 4, which lie in the same place
    fields = (header_field("exthdr", "srh", f"sid[{place}]", 128, FieldKind.IPV6) for place in range(1, 17))
    exactly = number(HEADER_LENGTH, 2 * len(addresses))
    odd = number(HEADER_LENGTH, 2 * len(addresses) + 1)
    count = FieldTest(HEADER_LENGTH, exactly.values.union(odd.values))  # type: ignore[arg-type] # both are numbers
    return count, *(number(field, address) for field, address in zip(fields, addresses, strict=False))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    is_type_0 = use.has("--rt-type") and use.value("--rt-type") == "0" and not use.negated("--rt-type")
    for name in ("--rt-0-res", "--rt-0-addrs"):
        if use.has(name) and not is_type_0:
            raise Refused("FWT116", f"`{name}` needs `--rt-type 0`", option=name)
    if use.has("--rt-0-not-strict") and not use.has("--rt-0-addrs"):
        raise Refused("FWT116", "`--rt-0-not-strict` needs `--rt-0-addrs`", option="--rt-0-not-strict")
    place.assume("no packet ends inside its routing header")
    steps: list[Step] = [present(header_present("exthdr", "rt"))]
    for option in use.options:
        if option.name == "--rt-type":
            kind = read_number(option.values[0], option.name)
            steps.append(negated_if(low_numbers(TYPE, kind, kind), option.negated))
        elif option.name == "--rt-segsleft":
            left = low_numbers(SEGMENTS_LEFT, *read_loose_range(option.values[0], option.name))
            steps.append(negated_if(left, option.negated))
        elif option.name == "--rt-len":
            steps.append(negated_if(_length(option.values[0]), option.negated))
    if use.has("--rt-0-res"):
        steps.extend(_reserved())
    if use.has("--rt-0-addrs"):
        steps.extend(_addresses(use))
    return tuple(steps)


EXTENSION = Match(
    name="rt",
    families=IP6_ONLY,
    options=(
        Option(name="--rt-type", negatable=True),
        Option(name="--rt-segsleft", negatable=True),
        Option(name="--rt-len", negatable=True),
        Option(name="--rt-0-res", arity=0),
        Option(name="--rt-0-addrs"),
        Option(name="--rt-0-not-strict", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
