"""`-m srh`: the segment routing header, a routing header of type 4.

net/ipv6/netfilter/ip6t_srh.c is false for any other, and where more segments are left than there are. libxtables has one
place for the number of `-eq`, `-gt` and `-lt`: the last one given holds for all three. It hands the tag over in the
machine's byte order, and the kernel compares it with the packet's as it is: on little-endian machines the two bytes are
swapped. The previous segment is the entry behind the current one, the next the entry before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import Family, FieldKind, header_field, header_present
from fwtrans.ir.match import FieldTest, PureTest, negated_if, number, present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use, no_exact_form
from fwtrans.lower.extensions.matches.rt import HEADER_LENGTH, SEGMENTS_LEFT, TYPE, low_numbers
from fwtrans.lower.values import network_set, read_network, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_SEGMENT_ROUTING = 4
_LAST_ENTRY = header_field("exthdr", "srh", "last-entry", 8)
_TAG = header_field("exthdr", "srh", "tag", 16)
_COMPARED = {"--srh-hdr-len": HEADER_LENGTH, "--srh-segs-left": SEGMENTS_LEFT, "--srh-last-entry": _LAST_ENTRY}
_COMPARISONS = ("eq", "gt", "lt")


def _compare(use: Use, name: str) -> Iterator[FieldTest]:
    """Yield the tests of one number: all use the value that was given last."""
    options = [option for option in use.options if option.name[:-3] == name]
    if not options:
        return
    bound = [read_number(option.values[0], option.name, high=255) for option in options][-1]
    spans = {"eq": (bound, bound), "gt": (bound + 1, 255), "lt": (0, bound - 1)}
    for option in options:
        yield negated_if(low_numbers(_COMPARED[name], *spans[option.name[-2:]]), option.negated)


def _segment(option: OptionUse) -> PureTest:
    address, mask = read_network(option.values[0], option.name, Family.IP6)
    if option.name != "--srh-lsid":
        raise no_exact_form(
            "srh", "nft 1.0.6 reaches the first two segments only, and these depend on how many are left",
            option=option.name,
        )  # fmt: skip
    # nftables numbers the segments from 1; the first is the last to be visited.
    last = header_field("exthdr", "srh", "sid[1]", 128, FieldKind.IPV6)
    return negated_if(FieldTest(last, network_set(address, mask, 128)), option.negated)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.assume("no segment routing header has more segments left than it has segments, or ends behind the packet")
    steps: list[Step] = [present(header_present("exthdr", "rt")), number(TYPE, _SEGMENT_ROUTING)]
    for option in use.options:
        if option.name == "--srh-next-hdr":
            following = number(
                header_field("exthdr", "rt", "nexthdr", 8), read_number(option.values[0], option.name, high=255)
            )
            steps.append(negated_if(following, option.negated))
        elif option.name == "--srh-tag":
            tag = read_number(option.values[0], option.name, high=0xFFFF)
            place.assume("the machine is little-endian, as x86 and arm64 are: there --srh-tag 1 finds the tag 256")
            steps.append(negated_if(number(_TAG, tag >> 8 | (tag & 0xFF) << 8), option.negated))
        elif option.name in {"--srh-psid", "--srh-nsid", "--srh-lsid"}:
            steps.append(_segment(option))
    for name in _COMPARED:
        steps.extend(_compare(use, name))
    return tuple(steps)


EXTENSION = Match(
    name="srh",
    families=IP6_ONLY,
    options=(
        Option(name="--srh-next-hdr", negatable=True),
        *(Option(name=f"{name}-{how}", negatable=True) for name in _COMPARED for how in _COMPARISONS),
        Option(name="--srh-tag", negatable=True),
        Option(name="--srh-psid", negatable=True),
        Option(name="--srh-nsid", negatable=True),
        Option(name="--srh-lsid", negatable=True),
    ),
    lower=_lower,
    in_context=True,
)
