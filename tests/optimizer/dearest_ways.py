"""The dearest way between any two guests of a node: over all pairs, families and transport protocols."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.walk import fields_read
from fwtrans.optimizer.reached import reached
from fwtrans.semantics.bridged.topology import guest_port
from tests.optimizer.worst_ways import Ways, between, packet_class, packet_of, single, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Hook, Table
    from fwtrans.ir.sets import Part
    from tests.optimizer.worst_ways import Facts, Visit, Way

# TCP, UDP, the family's ICMP, and one that has no ports.
PROTOCOLS = {Family.IP: (6, 17, 1, 47), Family.IP6: (6, 17, 58, 47)}
_MOST_WAYS = 50_000_000
_PORTS = (known.IIFNAME, known.OIFNAME)
# A guest of whom no rule knows the hardware address: any will do.
_ANY_ADDRESS = {known.ETHER_SADDR: 0x020000000001, known.ETHER_DADDR: 0x020000000002}


class Dearest(NamedTuple):
    """A way with the most steps, and what the concrete evaluator counts for its packet."""

    way: Way
    counted: int


def guests_of(table: Table) -> dict[str, int | None]:
    """Return the guests' ports that sets and maps name, with the hardware address that each sends from where one is asked."""
    found: dict[str, int | None] = {}
    for item in table.keyed:
        for element in item.elements:
            key: dict[Field, Part] = dict(zip(item.fields, element.key, strict=True))
            names = (key[asked] for asked in _PORTS if asked in key)
            address = key.get(known.ETHER_SADDR) if known.IIFNAME in key else None
            for name in names:
                if isinstance(name, NamePattern) and guest_port(name.text) is not None:
                    found.setdefault(name.text, None)
                    if address is not None and not isinstance(address, NamePattern):
                        found[name.text] = address[0]
    return dict(sorted(found.items()))


def dearest(table: Table, state: int) -> Dearest:
    """Return the dearest way of packets in a state of a connection between two guests without firewall bridges."""
    ways, guests = Ways(table, _MOST_WAYS), guests_of(table)
    best: Dearest | None = None
    for family, protocols in PROTOCOLS.items():
        for protocol in protocols:
            kind = _Kind(ways, guests, packet_class(family, protocol, state))
            for most, sender, receiver in sorted(kind.pairs(), key=lambda item: -item[0]):
                least = best.way.steps if best is not None else -1
                if most <= least:
                    break
                visits, facts = between(sender, receiver), kind.facts(sender, receiver)
                way = ways.worst(visits, facts, bounds=kind.bounds(sender, receiver), above=least)
                if way is not None:
                    best = Dearest(way, steps_of(table, visits, packet_of(way.facts)))
    assert best is not None
    return best


def most_at(table: Table, hook: Hook, state: int, protocols: Mapping[Family, tuple[int, ...]]) -> int:
    """Return the most steps that packets between guests take at a hook, whatever the rules at other hooks let through."""
    ways, guests = Ways(table, _MOST_WAYS), guests_of(table)
    kinds = (
        _Kind(ways, guests, packet_class(family, protocol, state))
        for family, many in protocols.items()
        for protocol in many
    )
    names = list(guests)
    pairs = [(name, names[place - 1]) for place, name in enumerate(names)]
    visits = [(pair, visit) for pair in pairs for visit in between(*pair) if visit.hook is hook]
    return max(sum(kind.at(visit, *pair)) for kind, (pair, visit) in product(kinds, visits))


class _Kind:
    """Packets of a family, a protocol and a state, between any two guests."""

    def __init__(self, ways: Ways, guests: Mapping[str, int | None], facts: Facts) -> None:
        self._ways, self._guests, self._facts = ways, guests, facts
        self._bounds: dict[tuple[str, ...], int] = {}
        self._asked = _fields_asked(ways.table)

    def pairs(self) -> Iterator[tuple[int, str, str]]:
        """Yield all pairs with a bound of the steps between them."""
        for sender, receiver in product(self._guests, repeat=2):
            if sender != receiver:
                yield sum(self.bounds(sender, receiver)), sender, receiver

    def facts(self, sender: str, receiver: str) -> Facts:
        """Return what is known of a packet from one to the other."""
        ends = ((known.ETHER_SADDR, sender), (known.ETHER_DADDR, receiver))
        addresses = ((asked, self._guests[name] or _ANY_ADDRESS[asked]) for asked, name in ends)
        return {**self._facts, **{asked: single(asked, address) for asked, address in addresses}}

    def bounds(self, sender: str, receiver: str) -> list[int]:
        """Return the most steps of each base chain on the way."""
        return [steps for visit in between(sender, receiver) for steps in self.at(visit, sender, receiver)]

    def at(self, visit: Visit, sender: str, receiver: str) -> Iterator[int]:
        """Yield the most steps of each base chain at a hook."""
        for name in self._ways.bases(visit.hook):
            asked = self._asked[name]
            ends = {
                known.IIFNAME: visit.iif, known.OIFNAME: visit.oif, known.ETHER_SADDR: sender, known.ETHER_DADDR: receiver,
            }  # fmt: skip
            key = (name, *(text if which in asked else "" for which, text in ends.items()))
            if key not in self._bounds:
                ports: Facts = {known.IIFNAME: NameSet.exact(visit.iif), known.OIFNAME: NameSet.exact(visit.oif)}
                self._bounds[key] = self._ways.bound(name, ports, self.facts(sender, receiver))
            yield self._bounds[key]


def _fields_asked(table: Table) -> dict[str, set[Field]]:
    """Return the fields that each base chain asks, itself or in chains that it leads to."""
    return {
        chain.name: {
            asked
            for led_to in reached(table, [chain.name]).chains
            for rule in led_to.rules
            for asked in fields_read(rule)
        }
        for chain in table.chains
        if chain.base is not None
    }
