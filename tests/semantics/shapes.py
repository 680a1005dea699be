# ruff: noqa: S311 -- seeds make rulesets repeatable
"""Rulesets as an optimiser leaves them, each beside the plain rules that mean the same: big maps, sets, nested dispatch."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest, number, number_range
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.stateful import StatefulFromMap
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Reject
from tests.semantics.builders import (
    ACCEPT,
    DADDR,
    DROP,
    HAS_PORTS,
    SADDR,
    TCP,
    base,
    chain,
    dport,
    iifname,
    limit,
    log,
    rule,
    ruleset,
    source,
    state,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fwtrans.ir.intervals import Interval
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset
    from fwtrans.ir.sets import MapValue, Part
    from fwtrans.ir.verdict import Verdict

Pair = tuple["Ruleset", "Ruleset"]
NAMES = (KeyPart(known.IIFNAME),)
_LENGTHS = (8, 9, 10, 12, 14, 16, 20, 24, 24, 24, 26, 28, 30, 32, 32, 32, 32)


class Asked(NamedTuple):
    """A rule of an access list: source, destination, protocol, ports, verdict."""

    source: Interval
    destination: Interval
    protocol: int
    ports: Interval
    verdict: Verdict


def guest(at: int) -> NamePattern:
    return NamePattern(f"tap{at}i0", is_prefix=False)


def points(values: Iterable[int]) -> tuple[Part, ...]:
    return tuple((value, value) for value in values)


def mapping(name: str, key: tuple[KeyPart, ...], elements: Iterable[tuple[tuple[Part, ...], MapValue]]) -> NamedMap:
    held = tuple(MapElement(parts, value) for parts, value in elements)
    return NamedMap(name, tuple(part.field for part in key), "verdict", held)


def network(draw: Random) -> Interval:
    length = draw.choice(_LENGTHS)
    address = draw.getrandbits(32) if draw.random() < 0.2 else 10 << 24 | draw.getrandbits(24)
    size = 1 << 32 - length
    return address - address % size, address - address % size + size - 1


def within(field: known.Field, interval: Interval) -> FieldTest:
    return FieldTest(field, IntervalSet(field.width, (interval,)))


def masked_keys(count: int) -> Pair:
    """`ip saddr & m . ip daddr . meta l4proto . th dport vmap @m` for rules that do not overlap."""
    draw = Random(1)
    keys = {
        (10 << 24 | draw.getrandbits(16) << 8, 10 << 24 | draw.getrandbits(24), draw.choice((6, 17)), draw.getrandbits(16)):
        draw.choice((ACCEPT, DROP))
        for _ in range(count)
    }  # fmt: skip
    key = (KeyPart(known.IP_SADDR, 0xFFFFFF00), *DADDR, KeyPart(known.L4PROTO), KeyPart(known.DPORT))
    flat = (
        rule(within(known.IP_SADDR, (src, src | 255)), number(known.IP_DADDR, dst), number(known.L4PROTO, protocol), dport(port), verdict)
        for (src, dst, protocol, port), verdict in keys.items()
    )  # fmt: skip
    held = mapping("m", key, ((points(values), verdict) for values, verdict in keys.items()))
    return ruleset(*flat), ruleset(table(base(rule(HAS_PORTS, Dispatch(key, "m"))), maps=(held,)))


def concatenated_set(count: int) -> Pair:
    """One set of addresses, protocols and ports, and its halves in two sets."""
    draw = Random(2)
    key = (*SADDR, KeyPart(known.L4PROTO), KeyPart(known.DPORT))
    keys = [(draw.getrandbits(32), draw.choice((6, 17)), draw.getrandbits(16)) for _ in range(count)]

    def named(name: str, some: Sequence[tuple[int, ...]]) -> NamedSet:
        return NamedSet(name, tuple(part.field for part in key), tuple(Element(points(values)) for values in some))

    asking = [rule(MemberTest(key, name), DROP) for name in ("all", "some", "others")]
    halves = (named("some", keys[::2]), named("others", keys[1::2]))
    return (
        ruleset(table(base(asking[0]), sets=(named("all", sorted(keys)),))),
        ruleset(table(base(*asking[1:]), sets=halves)),
    )


def _guest_rules(draw: Random, at: int) -> list[Rule]:
    verdicts = (ACCEPT, DROP)
    own = [
        rule(TCP, within(known.IP_DADDR, network(draw)), dport(draw.randrange(1, 65536)), draw.choice(verdicts))
        for _ in range(8)
    ]
    charged = rule(limit(f"guest {at}", 1), log(f"guest {at} "))
    marked = rule(source(10 << 24 | at), Assign(known.MARK, 0xFFFFFFFE, 1))
    return [marked, *own, rule(state("established", "related"), ACCEPT), charged, rule(DROP)]


def guests(count: int) -> Pair:
    """A chain for each guest, with marks, a limit and a log of its own: jumped to rule by rule, or by one map."""
    draw = Random(3)
    chains = [chain(f"guest{at}", *_guest_rules(draw, at)) for at in range(count)]
    flat = base(*(rule(iifname(guest(at).text), Jump(f"guest{at}")) for at in range(count)))
    held = mapping("m", NAMES, (((guest(at),), Jump(f"guest{at}")) for at in range(count)))
    return ruleset(flat, *chains), ruleset(table(base(rule(Dispatch(NAMES, "m"))), *chains, maps=(held,)))


def guest_elements(count: int) -> Pair:
    """`ct state . iifname . ip saddr . th dport vmap @m`, ten elements for each guest."""
    draw = Random(4)
    key = (KeyPart(known.CT_STATE), *NAMES, *SADDR, KeyPart(known.DPORT))
    chains: list[Chain] = []
    elements: list[tuple[tuple[Part, ...], MapValue]] = []
    for at in range(count):
        rules: list[Rule] = []
        for address in range(10 << 24 | at << 8, (10 << 24 | at << 8) + 10):
            which, port, verdict = draw.choice((1, 2, 3)), draw.getrandbits(16), draw.choice((ACCEPT, DROP))
            rules.append(rule(number(known.CT_STATE, which), source(address), dport(port), verdict))
            elements.append((((which, which), guest(at), (address, address), (port, port)), verdict))
        chains.append(chain(f"guest{at}", *rules))
    draw.shuffle(elements)
    flat = base(*(rule(iifname(guest(at).text), Jump(f"guest{at}")) for at in range(count)))
    held = mapping("m", key, elements)
    return ruleset(flat, *chains), ruleset(table(base(rule(Dispatch(key, "m"))), maps=(held,)))


def _disjoint(draw: Random, count: int) -> list[Interval]:
    cuts = sorted(draw.sample(range(1 << 32), 2 * count))
    return list(zip(cuts[::2], cuts[1::2], strict=True))


def intervals(count: int) -> Pair:
    """`ip saddr vmap { a-b : accept, ... }`."""
    draw = Random(5)
    verdicts: tuple[Verdict, ...] = (ACCEPT, DROP, Reject("icmp", "port-unreachable"))
    held = [(part, draw.choice(verdicts)) for part in _disjoint(draw, count)]
    flat = [rule(within(known.IP_SADDR, part), verdict) for part, verdict in held]
    draw.shuffle(held)
    mapped = mapping("m", SADDR, (((part,), verdict) for part, verdict in held))
    return ruleset(*flat), ruleset(table(base(rule(Dispatch(SADDR, "m"))), maps=(mapped,)))


def concatenated_intervals(count: int) -> Pair:
    """`ip saddr . th dport vmap { a-b . c-d : accept, ... }`."""
    draw = Random(6)
    key = (*SADDR, KeyPart(known.DPORT))
    held: list[tuple[tuple[Interval, Interval], Verdict]] = []
    for part in _disjoint(draw, count):
        low = draw.randrange(60_000)
        held.append(((part, (low, low + draw.randrange(5_000))), draw.choice((ACCEPT, DROP))))
    flat = [
        rule(within(known.IP_SADDR, part), number_range(known.DPORT, *ports), verdict)
        for (part, ports), verdict in held
    ]
    draw.shuffle(held)
    return ruleset(*flat), ruleset(table(base(rule(Dispatch(key, "m"))), maps=(mapping("m", key, held),)))


def _plain(asked: Asked) -> Rule:
    return rule(
        within(known.IP_SADDR, asked.source), within(known.IP_DADDR, asked.destination),
        number(known.L4PROTO, asked.protocol), HAS_PORTS, number_range(known.DPORT, *asked.ports), asked.verdict,
    )  # fmt: skip


def access_list(count: int) -> Pair:
    """Overlapping rules over five fields, and the same cut by destination, then by source, into chains behind maps."""
    draw = Random(7)
    asked: list[Asked] = []
    for _ in range(count):
        low = draw.choice((22, 25, 53, 80, 443, draw.randrange(60_000)))
        ports = (low, low) if low < 1_000 else (low, low + 900)
        asked.append(Asked(network(draw), network(draw), draw.choice((6, 6, 17)), ports, draw.choice((ACCEPT, DROP))))
    cut = _Cut(draw)
    cut.by_destination(asked, count // 80 + 1)
    entry = base(rule(Dispatch(DADDR, "all")))
    return ruleset(*map(_plain, asked)), ruleset(table(entry, *cut.chains, maps=tuple(cut.maps)))


class _Cut:
    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self.chains: list[Chain] = []
        self.maps: list[NamedMap] = []

    def by_destination(self, asked: list[Asked], pieces: int) -> None:
        elements: list[tuple[tuple[Part, ...], MapValue]] = []
        for at, (low, high) in enumerate(self._parts([item.destination[0] for item in asked], pieces)):
            here = [item for item in asked if item.destination[0] <= high and item.destination[1] >= low]
            self._by_source(f"part{at}", here)
            elements.append((((low, high),), Goto(f"part{at}")))
        self.maps.append(mapping("all", DADDR, elements))

    def _by_source(self, name: str, asked: list[Asked]) -> None:
        elements: list[tuple[tuple[Part, ...], MapValue]] = []
        for at, (low, high) in enumerate(self._parts([item.source[0] for item in asked], len(asked) // 20)):
            here = [item for item in asked if item.source[0] <= high and item.source[1] >= low]
            self.chains.append(chain(f"{name}-{at}", *map(_plain, here)))
            elements.append((((low, high),), Goto(f"{name}-{at}")))
        self.maps.append(mapping(name, SADDR, elements))
        self.chains.append(chain(name, rule(Dispatch(SADDR, name))))

    def _parts(self, starts: list[int], pieces: int) -> Iterable[Interval]:
        chosen = set(starts)
        cuts = sorted({0, *self._draw.sample(sorted(chosen), min(pieces, len(chosen)))})
        return zip(cuts, (cut - 1 for cut in (*cuts[1:], 1 << 32)), strict=True)


def limits_in_a_map(count: int) -> Pair:
    """`limit name iifname map @limits` for limits that have other names on the other side."""
    held = NamedMap(
        "limits", (known.IIFNAME,), "limit",
        tuple(MapElement((guest(at),), limit(f"new {at}", 1 + at % 7)) for at in range(count)),
    )  # fmt: skip
    flat = (rule(iifname(guest(at).text), limit(f"old {at}", 1 + at % 7), log("much"), DROP) for at in range(count))
    asked = rule(StatefulFromMap(NAMES, "limits"), log("much"), DROP)
    return ruleset(*flat), ruleset(table(base(asked), maps=(held,)))


def marks_in_a_map(count: int) -> Pair:
    """`ct mark set iifname map @marks`."""
    draw = Random(8)
    marks = [draw.getrandbits(32) for _ in range(count)]
    held = NamedMap(
        "marks", (known.IIFNAME,), "mark", tuple(MapElement((guest(at),), mark) for at, mark in enumerate(marks))
    )
    flat = (rule(iifname(guest(at).text), Assign(known.CT_MARK, 0, mark)) for at, mark in enumerate(marks))
    return ruleset(*flat), ruleset(table(base(rule(AssignFromMap(known.CT_MARK, NAMES, "marks"))), maps=(held,)))


# By name: how it is made, and how large the bench wants it.
SHAPES: dict[str, tuple[Callable[[int], Pair], int]] = {
    "a vmap with a masked key of four fields": (masked_keys, 10_000),
    "a set of concatenations in two halves": (concatenated_set, 10_000),
    "guests behind a vmap of interfaces": (guests, 1_000),
    "a vmap of ten elements a guest, of four fields": (guest_elements, 1_000),
    "an interval map": (intervals, 10_000),
    "a map of concatenated intervals": (concatenated_intervals, 5_000),
    "an access list, cut by destination and source": (access_list, 5_000),
    "a limit for each guest in a map": (limits_in_a_map, 1_000),
    "a connection mark for each guest in a map": (marks_in_a_map, 1_000),
}
