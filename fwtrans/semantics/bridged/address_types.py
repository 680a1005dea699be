"""Broadcast and multicast addresses without a routing table: the bridge family has no fib.

    fib daddr type broadcast          ->  ip daddr { 0.0.0.0, 10.0.0.255, 255.255.255.255 }
    fib saddr type multicast          ->  ip saddr 224.0.0.0/4

iptables' addrtype asks the host's own routing tables, also for packets that only pass its bridge (inet_addr_type): an
address is a broadcast one if it is 0.0.0.0 or 255.255.255.255, or the broadcast address of a network that an
interface of the host has. So the answer is known where the host's addresses are known, which is an assumption that goes
with the result. Only the types named here have an answer; a rule that asks for another one keeps its question, and the
printer refuses it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import ADDRESS_TYPES, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Interface, IPv6Interface

    from fwtrans.ir.fields import Field
    from fwtrans.ir.intervals import Interval
    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Table

_TYPES = dict(ADDRESS_TYPES)
_ENDS = {"saddr": known.source_address, "daddr": known.destination_address}
# 0.0.0.0 alone: the rest of 0.0.0.0/8 is like any other address since Linux 5.3 (seen on 6.12)
_NO_ADDRESS = (0, 0)
_EVERYONE = (0xFFFFFFFF, 0xFFFFFFFF)
_MULTICAST = {Family.IP: (0xE0000000, 0xEFFFFFFF), Family.IP6: (0xFF << 120, (1 << 128) - 1)}


def host_broadcasts(addresses: Iterable[IPv4Interface | IPv6Interface]) -> tuple[int, ...]:
    """Return the broadcast addresses that the host's own addresses bring with them."""
    found = {
        int(address.network.broadcast_address)
        for address in addresses
        if address.version == 4 and address.network.prefixlen < 31
    }
    return tuple(sorted(found))


def without_fib(table: Table, broadcasts: tuple[int, ...]) -> Table:
    """Return the table with address types told from addresses."""
    known_types = _known_types(table.family, broadcasts)

    def changed(rule: Rule) -> Rule:
        steps = tuple(_step(step, table.family, known_types) for step in rule.steps)
        return rule if steps == rule.steps else replace(rule, steps=steps)

    chains = tuple(replace(chain, rules=tuple(map(changed, chain.rules))) for chain in table.chains)
    return replace(table, chains=chains)


def asks_for_types(table: Table) -> bool:
    """Tell whether rules of the table ask for address types."""
    return any(_asks(step) for chain in table.chains for rule in chain.rules for step in rule.steps)


def _asks(step: Step) -> bool:
    if isinstance(step, AnyOf):
        return any(_asks(test) for branch in step.branches for test in branch)
    return isinstance(step, FieldTest) and _end(step.field) != ""


def _known_types(family: Family, broadcasts: tuple[int, ...]) -> dict[str, tuple[Interval, ...]]:
    broadcast: tuple[Interval, ...] = ()
    if family is Family.IP:
        broadcast = (_NO_ADDRESS, *((address, address) for address in broadcasts), _EVERYONE)
    return {"broadcast": broadcast, "multicast": (_MULTICAST[family],), "anycast": ()}


def _step(step: Step, family: Family, types: dict[str, tuple[Interval, ...]]) -> Step:
    if isinstance(step, AnyOf):
        return AnyOf(tuple(tuple(_test(test, family, types) for test in branch) for branch in step.branches))
    return _test(step, family, types) if isinstance(step, FieldTest) else step


def _test(test: PureTest, family: Family, types: dict[str, tuple[Interval, ...]]) -> PureTest:
    if isinstance(test, AnyOf):
        return AnyOf(tuple(tuple(_test(part, family, types) for part in branch) for branch in test.branches))
    if not isinstance(test, FieldTest) or not isinstance(test.values, IntervalSet):
        return test
    end = _end(test.field)
    if not end:
        return test
    address = _ENDS[end](family)
    inside, outside = IntervalSet.of(address.width, ()), IntervalSet.of(address.width, ())
    for name, intervals in types.items():
        part = IntervalSet.of(address.width, intervals)
        if _TYPES[name] in test.values:
            inside = inside.union(part)
        else:
            outside = outside.union(part)
    others = {number for name, number in ADDRESS_TYPES if name not in types}
    asked = {number for number in others if number in test.values}
    if asked and asked != others:
        return test
    return FieldTest(address, outside.complement() if asked else inside)


def _end(field: Field) -> str:
    """Return the end whose type is asked, for all interfaces alike; empty for another field."""
    is_type = field.spelling[0] == "fib" and field.spelling[2] == "type" and field.spelling[1] in _ENDS
    return field.spelling[1] if is_type else ""
