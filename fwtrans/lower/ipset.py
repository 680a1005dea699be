"""ipsets to named sets: what the kernel decides by longest prefix becomes plain, disjoint elements.

A port is two dimensions, protocol and number, because ipset compares both. The members of a list:set are poured into
one set of their own shape. What has no exact form is not refused here but where a rule uses it: a set that nobody asks
does no harm.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, ETHER_SADDR, IIFNAME, IP6_SADDR, IP_SADDR, L4PROTO, MARK, Family, Field
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.lower.living_longest import living_longest
from fwtrans.lower.longest_prefix import Entry, resolve, touching
from fwtrans.parsers.ipset_save.elements import address_mask
from fwtrans.parsers.ipset_save.live_set import prefixes
from fwtrans.parsers.ipset_save.syntax import (
    IPV6,
    AddressPart,
    InterfacePart,
    MacPart,
    MarkPart,
    MemberPart,
    PortPart,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.intervals import Interval
    from fwtrans.parsers.ipset_save.syntax import ElementCommand, IpsetSet, Part

_PORTS = (0, 0xFFFF)
_WITH_PORTS = {1, 6, 17, 58, 132, 136}
_LONGEST_COMMENT = 120
_MOST_OF_HOLES = 65_536
"""How many elements a set may have because its bitmask has holes: an element stands for each way to fill them."""


class IpsetSets(Mapping[str, NamedSet]):
    """The sets that rules of one family can use. Asking for one that has no exact form raises the reason."""

    def __init__(self, sets: dict[str, NamedSet], unusable: dict[str, Refused]) -> None:
        self._sets = sets
        self._unusable = unusable

    def __getitem__(self, name: str) -> NamedSet:
        refused = self._unusable.get(name)
        if refused is not None:
            raise Refused(refused.code, refused.message, hint=refused.hint)
        return self._sets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)


@dataclass(frozen=True, slots=True)
class _Lowering:
    """One family's view of all sets: a list:set has other members for IPv4 than for IPv6."""

    family: Family
    by_name: Mapping[str, IpsetSet]


def lower_ipsets(sets: Iterable[IpsetSet], family: Family) -> IpsetSets:
    """Return every set as rules of the family see it."""
    by_name = {item.name: item for item in sets}
    lowering = _Lowering(family, by_name)
    done: dict[str, NamedSet] = {}
    unusable: dict[str, Refused] = {}
    for name, item in by_name.items():
        try:
            done[name] = _lower_list(lowering, item) if item.type == "list:set" else _lower_set(item)
        except Refused as refused:
            unusable[name] = refused
    return IpsetSets(done, unusable)


def _lower_set(item: IpsetSet) -> NamedSet:
    fields = _fields(item)
    elements = [_dimensions(item, element) for element in item.elements]
    header = item.header
    return NamedSet(
        item.name,
        fields,
        _elements(item, fields, [pair for group in elements for pair in group]),
        timeout=header.timeout,
        size=header.maxelem,
        has_counters=header.counters,
        takes_packets=_takes_packets(item),
        takes_ranges="net" in item.type,
        origin=item.create.source.origin(item.create.line),
    )


def _takes_packets(item: IpsetSet) -> bool:
    """Tell whether `-j SET` adds what it sees: networks take the prefix length that is in the set already."""
    masked = item.header.netmask is not None or item.header.bitmask is not None or item.header.markmask is not None
    return item.type.startswith("hash:") and "net" not in item.type and not masked


# --- dimensions ---


def _fields(item: IpsetSet) -> tuple[Field, ...]:
    address = IP6_SADDR if item.header.family == IPV6 else IP_SADDR
    words = item.type.partition(":")[2].split(",")
    found: list[Field] = []
    for word in words:
        if word in {"ip", "net"}:
            found.append(address)
        elif word == "port":
            found.extend((L4PROTO, DPORT))
        elif word == "mac":
            found.append(ETHER_SADDR)
        elif word == "mark":
            found.append(MARK)
        else:
            found.append(IIFNAME)
    return tuple(found)


Box = tuple["Interval | NamePattern", ...]


def _dimensions(item: IpsetSet, element: ElementCommand) -> list[tuple[Box, ElementCommand]]:
    """Return the element's box; two where it speaks of two protocols (bitmap:port)."""
    boxes: list[Box] = [()]
    if item.type == "bitmap:ip,mac" and len(element.parts) == 1:
        raise Refused("FWT200", f"set `{item.name}` learns MAC addresses from packets (an element without one)")
    for part in element.parts:
        boxes = [(*box, *more) for box in boxes for more in _part(item, part, wildcard=element.options.wildcard)]
    return [(box, element) for box in boxes]


def _part(item: IpsetSet, part: Part, *, wildcard: bool) -> Iterator[Box]:
    if isinstance(part, AddressPart):
        for addresses in _masked_addresses(item, part):
            yield (addresses,)
    elif isinstance(part, PortPart):
        yield from _port(part)
    elif isinstance(part, MacPart):
        yield ((part.address, part.address),)
    elif isinstance(part, MarkPart):
        if item.header.markmask not in {None, 0xFFFFFFFF}:
            raise Refused("FWT200", f"set `{item.name}` compares masked marks (markmask)")
        yield ((part.mark, part.mark),)
    elif isinstance(part, InterfacePart):
        if part.physdev:
            raise Refused("FWT201", f"set `{item.name}` asks for bridge ports (physdev:{part.name})")
        yield (NamePattern(part.name, wildcard),)
    else:
        raise Refused("FWT300", f"set `{item.name}` has a member where an address was expected")


def _masked_addresses(item: IpsetSet, part: AddressPart) -> Iterator[Interval]:
    """Yield the addresses that the kernel takes for this one: `netmask` and `bitmask` mask the packet's too."""
    mask = address_mask(item.header)
    width = 128 if item.header.family == IPV6 else 32
    free = ((1 << width) - 1) & ~mask
    host = (free & (free + 1) ^ free) if free & 1 else 0  # the lowest bits, as far as none of them is asked for
    holes = [1 << bit for bit in range(width) if (free & ~host) >> bit & 1]
    if not holes:
        yield part.first & ~host, part.last | host
        return
    if part.first != part.last:
        raise Refused("FWT200", f"set `{item.name}` holds networks under a bitmask with holes")
    if len(item.elements) << len(holes) > _MOST_OF_HOLES:
        raise Refused("FWT200", f"set `{item.name}` has a bitmask with {len(holes)} holes")
    first = part.first & mask
    for chosen in range(1 << len(holes)):
        start = first | sum(hole for number, hole in enumerate(holes) if chosen >> number & 1)
        yield start, start | host


def _port(part: PortPart) -> Iterator[Box]:
    # A bitmap:port looks at TCP and UDP alone (net/netfilter/ipset/ip_set_bitmap_port.c, ip_set_get_ip_port).
    protocols = (6, 17) if part.protocol is None else (part.protocol,)
    for protocol in protocols:
        # For other protocols the kernel takes port 0 for every packet, so an element asks for the protocol alone.
        ports = (part.first, part.last) if protocol in _WITH_PORTS else _PORTS
        yield (protocol, protocol), ports


# --- elements ---


def _elements(
    item: IpsetSet, fields: tuple[Field, ...], found: list[tuple[Box, ElementCommand]]
) -> tuple[Element, ...]:
    if not any(element.options.nomatch for _, element in found) and _are_disjoint([box for box, _ in found]):
        return tuple(sorted(_element(item, box, element) for box, element in found))
    times = {_lives(item, element) for _, element in found}
    if len(times) > 1:
        return _timed(item, found)
    return tuple(element._replace(timeout=time) for time in times for element in _resolved(item, fields, found))


def _lives(item: IpsetSet, command: ElementCommand) -> int | None:
    """Return how many seconds an element stays, None for ever."""
    own = command.options.timeout
    if item.header.timeout is None or own == 0:
        return None
    return own if own is not None else item.header.timeout or None


def _resolved(
    item: IpsetSet, fields: tuple[Field, ...], found: list[tuple[Box, ElementCommand]]
) -> tuple[Element, ...]:
    """Return what prefixes and exclusions come to, where all entries stay as long."""
    networks = _networks(item)
    if IIFNAME in fields:
        return tuple(sorted(_by_interface(item, found, networks)))
    made: list[Element] = []
    for cluster in _clusters(found):
        if not any(element.options.nomatch for _, element in cluster) and len(cluster) == 1:
            made.append(_element(item, *cluster[0]))
            continue
        entries = [
            Entry(_numbers(network), not element.options.nomatch, _weight(network, networks))
            for box, element in cluster
            for network in _as_networks(item, box, networks)
        ]
        made.extend(Element(box) for box in resolve(entries))
    return tuple(sorted(made))


def _networks(item: IpsetSet) -> tuple[int, ...]:
    """Return the dimensions that are networks; of addresses and ports the kernel keeps each by itself."""
    found: list[int] = []
    position = 0
    for word in item.type.partition(":")[2].split(","):
        if word == "net":
            found.append(position)
        position += 2 if word == "port" else 1
    return tuple(found)


def _as_networks(item: IpsetSet, box: Box, networks: Iterable[int]) -> Iterator[Box]:
    """Yield an entry as the kernel keeps it: a range of addresses is several networks, each with its own length."""
    width = 128 if item.header.family == IPV6 else 32
    boxes = [box]
    for at in networks:
        part = box[at]
        assert not isinstance(part, NamePattern)  # noqa: S101 -- a network is numbers
        pieces = tuple(prefixes(*part, width))
        boxes = [(*one[:at], piece, *one[at + 1 :]) for one in boxes for piece in pieces]
    yield from boxes


def _timed(item: IpsetSet, found: list[tuple[Box, ElementCommand]]) -> tuple[Element, ...]:
    """Return elements with times of their own: a packet is in the set while any of those that it is in lives."""
    elements = [_element(item, box, element) for box, element in found]
    if any(element.options.nomatch for _, element in found):
        raise Refused(
            "FWT200", f"set `{item.name}` has elements with nomatch and timeouts: what is in it changes with time"
        )
    if any(isinstance(part, NamePattern) for box, _ in found for part in box):
        raise Refused("FWT200", f"set `{item.name}` has overlapping elements with timeouts of their own")
    return tuple(sorted(living_longest(elements)))


def _clusters(found: list[tuple[Box, ElementCommand]]) -> Iterator[list[tuple[Box, ElementCommand]]]:
    """Divide elements of one dimension into groups that touch no other, so that most keep their comments and counters."""
    if not found or len(found[0][0]) > 1:
        yield found
        return
    yield from touching(found, lambda pair: _numbers(pair[0]))


def _by_interface(
    item: IpsetSet, found: list[tuple[Box, ElementCommand]], networks: tuple[int, ...]
) -> Iterator[Element]:
    """Resolve prefixes for each interface; that names overlap with wildcards is refused.

    The kernel looks no further than the longest network that an entry of any interface has (`multi` in
    net/netfilter/ipset/ip_set_hash_gen.h, mtype_test_cidrs): there the interface decides.
    """
    names = {part for box, _ in found for part in box if isinstance(part, NamePattern)}
    if any(name.is_prefix for name in names) and len(names) > 1:
        raise Refused("FWT200", "a set with interface wildcards beside other names and overlapping prefixes")
    kept = [(network, element) for box, element in found for network in _as_networks(item, box, networks)]
    for cluster in touching(kept, lambda pair: _numbers(pair[0])):
        groups: defaultdict[NamePattern, list[Entry]] = defaultdict(list)
        for (network, name), element in cluster:
            assert not isinstance(network, NamePattern)  # noqa: S101 -- the first dimension is the network
            assert isinstance(name, NamePattern)  # noqa: S101 -- the second one is the interface
            groups[name].append(Entry((network,), not element.options.nomatch, (network[0] - network[1],)))
        for name, own in groups.items():
            here = {entry.box for entry in own}
            others = {entry.box: entry for group in groups.values() for entry in group if entry.box not in here}
            hiding = [entry._replace(inside=False) for entry in others.values()]
            for (network,) in resolve([*own, *hiding]):
                yield Element((network, name))


def _numbers(box: Box) -> tuple[Interval, ...]:
    return tuple(part for part in box if not isinstance(part, NamePattern))


def _weight(box: Box, networks: Iterable[int]) -> tuple[int, ...]:
    """Return the prefix lengths, in order: a smaller span is a longer prefix."""
    return tuple(part[0] - part[1] for part in (box[at] for at in networks) if not isinstance(part, NamePattern))


def _are_disjoint(boxes: list[Box]) -> bool:
    """Tell whether no two boxes overlap; a plain set of points is told apart at once."""
    if all(isinstance(part, NamePattern) or part[0] == part[1] for box in boxes for part in box):
        return len(set(boxes)) == len(boxes)
    if not boxes or len(boxes[0]) > 1:
        return False
    spans = sorted(part for (part,) in boxes if not isinstance(part, NamePattern))
    return len(spans) == len(boxes) and all(left[1] < right[0] for left, right in itertools.pairwise(spans))


def _element(item: IpsetSet, box: Box, command: ElementCommand) -> Element:
    options = command.options
    counters: tuple[int, int] | None = None
    if item.header.counters:
        counters = (options.packets or 0, options.bytes or 0)
    return Element(box, timeout=_lives(item, command), comment=_comment(options.comment), counters=counters)


def _comment(text: str | None) -> str:
    """Return the comment as far as nft can hold it: no quotation marks, 128 bytes."""
    if not text:
        return ""
    safe = "".join(letter if letter.isprintable() and letter not in '"\\' else "'" for letter in text)
    return safe.encode()[:_LONGEST_COMMENT].decode(errors="ignore")


# --- list:set ---


def _lower_list(lowering: _Lowering, item: IpsetSet) -> NamedSet:
    """Pour the members of one shape into one set: the packet is in the list if it is in any of them."""
    members = [_lower_set(member) for member in _members(lowering, item, set())]
    shapes = {member.fields for member in members}
    if len(shapes) > 1:
        raise Refused("FWT200", f"set `{item.name}` lists sets of different shapes")
    origin = item.create.source.origin(item.create.line)
    if not members:
        return NamedSet(item.name, (IP6_SADDR if lowering.family is Family.IP6 else IP_SADDR,), origin=origin)
    (fields,) = shapes
    elements = [element for member in members for element in member.elements]
    if IIFNAME in fields and len(members) > 1:
        raise Refused("FWT200", f"set `{item.name}` lists several sets with interfaces")
    if len(members) > 1:
        elements = sorted(living_longest(elements))
    return NamedSet(item.name, fields, tuple(element._replace(counters=None) for element in elements), origin=origin)


def _members(lowering: _Lowering, item: IpsetSet, seen: set[str]) -> Iterator[IpsetSet]:
    """Yield the sets of the family that a list names, lists inside lists too (the kernel allows none)."""
    for element in item.elements:
        for part in element.parts:
            if not isinstance(part, MemberPart) or part.name in seen:
                continue
            seen.add(part.name)
            member = lowering.by_name.get(part.name)
            if member is None:
                raise Refused("FWT202", f"set `{item.name}` lists `{part.name}`, which is not in the input")
            if element.options.timeout:
                raise Refused("FWT200", f"set `{item.name}` lists members with timeouts")
            if member.type == "list:set":
                yield from _members(lowering, member, seen)
            elif _is_of_family(member, lowering.family):
                yield member


def _is_of_family(item: IpsetSet, family: Family) -> bool:
    if item.type in {"bitmap:port", "hash:mac"}:
        return True
    return (item.header.family == IPV6) == (family is Family.IP6)
