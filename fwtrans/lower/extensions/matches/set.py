"""`-m set`: is the packet in an ipset?

The words behind the set's name say for each dimension of the set which end of the packet is meant; more words than
dimensions are ignored, fewer make a match that never holds (net/netfilter/ipset/ip_set_core.c). Which part of the packet
a dimension takes (ip_set_getport.c and the set types):

- an address, a MAC address, an interface: of the source or destination, in or out;
- a port: with its protocol. TCP, UDP, UDP-Lite and SCTP have ports; ICMP has type * 256 + code there, for `src` and
  `dst` alike; any other protocol has 0, and the elements that lower/ipset.py makes for these hold every port. Later
  fragments of protocols that have ports are in no such set;
- the packet's mark, whatever the word.

Where a dimension is missing in the packet it is in no set, so that the negated match holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import (
    DPORT,
    ETHER_DADDR,
    ETHER_SADDR,
    IIFNAME,
    IP6_DADDR,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    MARK,
    OIFNAME,
    PACKET_LENGTH,
    PORT_IN,
    PORT_OUT,
    SPORT,
    Family,
    Field,
    FieldKind,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest, PureTest, opposite
from fwtrans.ir.names import NamePattern
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.extensions.targets.set import changed_sets
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import NamedSet

Branch = tuple[PureTest, ...]

_MOST_WORDS = 6
_CHANGED = "names of the sets that rules change"
_LONGEST_NAME = 31

# ICMP and ICMPv6: the protocols whose type and code ipset takes for a port.
_WITH_TYPES = IntervalSet.values(8, (1, 58))
_WITHOUT_PORTS = IntervalSet.values(8, (1, 6, 17, 58, 132, 136)).complement()
_ANY_PROTOCOL = IntervalSet.full(8)

# The first two bytes behind the IP header.
_TYPE_AND_CODE = SPORT

# (for src, for dst) by the example field of a dimension
_ENDS: dict[Field, tuple[Field, Field]] = {
    IP_SADDR: (IP_SADDR, IP_DADDR),
    IP6_SADDR: (IP6_SADDR, IP6_DADDR),
    ETHER_SADDR: (ETHER_SADDR, ETHER_DADDR),
    IIFNAME: (IIFNAME, OIFNAME),
    PORT_IN: (PORT_IN, PORT_OUT),
    DPORT: (SPORT, DPORT),
    MARK: (MARK, MARK),
}


class Ends(NamedTuple):
    """Which end each dimension takes: True for the source."""

    sources: tuple[bool, ...]


def read_ends(text: str, option: str) -> Ends:
    """Return what `src,dst,...` says."""
    words = text.split(",")
    if any(word not in {"src", "dst"} for word in words):
        raise bad_value(text, "a list of `src` and `dst`", option)
    if len(words) > _MOST_WORDS:
        raise Refused("FWT112", f"`{option}` takes at most 6 of `src` and `dst`; here are {len(words)}", option=option)
    return Ends(tuple(word == "src" for word in words))


def find_set(name: str, option: str, place: Place) -> NamedSet:
    """Return the set of the input; one of the other IP family is refused, as iptables refuses it."""
    if len(name.encode()) > _LONGEST_NAME:
        raise bad_value(name, "a set's name: at most 31 bytes", option)
    found = place.sets.get(name)
    if found is None:
        raise Refused(
            "FWT202", f"set `{name}` is not in the input", option=option,
            hint="give the output of `ipset save` together with the dump",
        )  # fmt: skip
    other = FieldKind.IPV6 if place.family is Family.IP else FieldKind.IPV4
    if any(field.kind is other for field in found.fields):
        raise Refused("FWT112", f"set `{name}` holds addresses of the other IP family", option=option)
    return found


def _is_port(fields: tuple[Field, ...], index: int) -> bool:
    """Tell whether a protocol and its port begin here, which are one dimension of an ipset."""
    return fields[index] is L4PROTO and fields[index + 1 : index + 2] == (DPORT,)


def dimensions(found: NamedSet) -> int:
    """Return how many dimensions the ipset has."""
    return len(found.fields) - sum(_is_port(found.fields, index) for index in range(len(found.fields)))


def _protocols(found: NamedSet, *, is_changed: bool) -> IntervalSet:
    """Return the protocols of the set's elements; all where rules may add others, none where protocols do not matter."""
    if L4PROTO not in found.fields:
        return IntervalSet.empty(8)
    if is_changed:
        return _ANY_PROTOCOL
    place = found.fields.index(L4PROTO)
    parts = (element.key[place] for element in found.elements)
    return IntervalSet.of(8, (part for part in parts if not isinstance(part, NamePattern)))


def _key(fields: tuple[Field, ...], ends: Ends, *, typed: bool) -> tuple[KeyPart, ...]:
    parts: list[KeyPart] = []
    dimension = 0
    for index, field in enumerate(fields):
        if _is_port(fields, index):
            parts.append(KeyPart(L4PROTO))
            continue
        source, destination = _ENDS[field]
        if field is DPORT and typed:
            parts.append(KeyPart(_TYPE_AND_CODE))
        else:
            parts.append(KeyPart(source if ends.sources[dimension] else destination))
        dimension += 1
    return tuple(parts)


def _branches(found: NamedSet, ends: Ends, protocols: IntervalSet, *, is_changed: bool) -> tuple[Branch, ...]:
    """Return the ways to be in the set. One without elements of ICMP is asked with ports alone."""
    by_port = MemberTest(_key(found.fields, ends, typed=False), found.name, dynamic=is_changed)
    if protocols.intersection(_WITH_TYPES).is_empty:
        return ((by_port,),)
    by_type = MemberTest(_key(found.fields, ends, typed=True), found.name, dynamic=is_changed)
    return (
        (FieldTest(L4PROTO, _WITH_TYPES.complement()), by_port),
        (FieldTest(L4PROTO, _WITH_TYPES), by_type),
    )


def _is_always_there(key: tuple[KeyPart, ...]) -> bool:
    """Tell whether every packet of the family has what the key asks for."""
    return all(name == "nfproto" for part in key for name, _ in part.field.requires)


def _negated(branches: tuple[Branch, ...]) -> Step:
    (first, *more), *others = branches
    assert isinstance(first, (MemberTest, FieldTest))  # noqa: S101 -- what _branches makes
    if isinstance(first, MemberTest) and not more and not others and _is_always_there(first.key):
        return replace(first, inside=False)
    return AnyOf(opposite(AnyOf(branches)))


def _check_counters(use: Use, found: NamedSet, place: Place) -> None:
    """Counters are compared only in sets that have them; nftables cannot compare an element's counter at all."""
    for what in ("packets", "bytes"):
        names = tuple(f"--{what}-{comparison}" for comparison in ("eq", "lt", "gt"))
        use.exclusive(*names)
        for name in names:
            option = use.find(name)
            if option is None:
                continue
            read_number(option.values[0], name, high=(1 << 64) - 1)
            if found.has_counters:
                raise no_exact_form("set", "it cannot compare the counters of a set's elements", option=name)
    if found.has_counters and (use.negated("--update-counters") or use.negated("--update-subcounters")):
        place.assume(
            f"nobody reads the counters of set `{found.name}`: nftables counts every look-up that finds an element"
        )


def _is_changed(found: NamedSet, place: Place) -> bool:
    """Tell whether packets change the set, by `-j SET` anywhere in the dump."""
    if found.dynamic or place.dump is None or place.shared is None:
        return found.dynamic
    changed = place.shared.get(_CHANGED)
    if not isinstance(changed, frozenset):
        changed = place.shared[_CHANGED] = changed_sets(place.dump)
    return found.name in changed


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--match-set")
    found = find_set(option.values[0], option.name, place)
    ends = read_ends(option.values[1], option.name)
    if use.has("--return-nomatch"):
        raise no_exact_form(
            "set", "entries with nomatch are resolved into the addresses that are in the set", option="--return-nomatch"
        )
    _check_counters(use, found, place)
    if len(ends.sources) < dimensions(found):
        return () if option.negated else (FieldTest(PACKET_LENGTH, IntervalSet.empty(32)),)
    is_changed = _is_changed(found, place)
    protocols = _protocols(found, is_changed=is_changed)
    if not is_changed and not protocols.intersection(_WITHOUT_PORTS).is_empty:
        place.assume("fragments of protocols without ports are put together before a set with such protocols is asked")
    branches = _branches(found, ends, protocols, is_changed=is_changed)
    if option.negated:
        return (_negated(branches),)
    return branches[0] if len(branches) == 1 else (AnyOf(branches),)


EXTENSION = Match(
    name="set",
    families=BOTH,
    options=(
        Option(name="--match-set", aliases=("--set",), arity=2, negatable=True),
        Option(name="--return-nomatch", arity=0),
        Option(name="--update-counters", arity=0, negatable=True),
        Option(name="--update-subcounters", arity=0, negatable=True),
        Option(name="--packets-eq", negatable=True),
        Option(name="--packets-lt"),
        Option(name="--packets-gt"),
        Option(name="--bytes-eq", negatable=True),
        Option(name="--bytes-lt"),
        Option(name="--bytes-gt"),
    ),
    lower=_lower,
    in_context=True,
)
