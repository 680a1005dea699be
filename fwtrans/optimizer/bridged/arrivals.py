"""The base chain that answers on arrival: packets to a guest's own hardware address pass a copy of what the guest gets.

    chain reject-in { type filter hook prerouting priority -100; policy accept;
        ether type ip ether daddr bc:24:11:a7:35:6c ct state { new, untracked } jump reject-tap101i0-v4

See `early_reject` for what the copies are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, number
from fwtrans.ir.names import NameSet
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.verdict import Drop, Jump, Reject
from fwtrans.optimizer.bridged.early_reject import rejecting_copies
from fwtrans.optimizer.bridged.reach import reached
from fwtrans.optimizer.specialise import Entry, specialise, specialise_entries
from fwtrans.semantics.domain import POSSIBLE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.semantics.bridged.topology import GuestPort
    from fwtrans.source import Origin

# Behind what guests send has been judged, before conntrack's confirmation.
_PRIORITY = -100
_INVALID, _ESTABLISHED, _RELATED = 0, 1, 2
_ALL_STATES = POSSIBLE[known.CT_STATE]
_ETHER_TYPES = {Family.IP: 0x0800, Family.IP6: 0x86DD}
_NETWORK = {Family.IP: 2, Family.IP6: 10}
_VERSIONS = {Family.IP: "v4", Family.IP6: "v6"}


class Answers(NamedTuple):
    """The table with the chain that answers, the ports of guests for which it does, and why not for others."""

    table: Table
    answered: frozenset[str]
    declined: tuple[tuple[str, str], ...]


def answering_on_arrival(
    table: Table,
    guests: Sequence[GuestPort],
    hardware: Mapping[str, int],
    own: Collection[str],
    *,
    stopped: bool = False,
) -> Answers:
    """Return a bridge table that answers packets to guests as its chains for the host's own packets would, if they could.

    `own` are these chains: what a guest gets and nothing else. Where packets may be `stopped` before they come so far, an
    answer on arrival would be for packets that the guest never gets.
    """
    departures = [chain for chain in table.chains if chain.name in own]
    rejecting = [chain for chain in departures if _leads_to_reject(table, chain.name)]
    ports = [guest.name for guest in guests]
    if not rejecting:
        return Answers(table, frozenset(ports), ())
    if stopped:
        reason = "other rules may stop the packet, or note that it came, on the host's own bridge, which comes before"
        return Answers(table, frozenset(), tuple((port, reason) for port in ports))
    if len(rejecting) > 1 or any(
        chain is not rejecting[0] and _leads_to(table, chain.name, Drop) for chain in departures
    ):
        reason = "several base chains decide about what guests get"
        return Answers(table, frozenset(), tuple((port, reason) for port in ports))
    known_ports = [port for port in ports if port in hardware]
    declined = [(port, "its hardware address is not known") for port in ports if port not in hardware]
    states = _states(table, rejecting[0].name)
    entries = [
        Entry(rejecting[0].name, _facts(port, family, states), f"{port}-{version}")
        for port in known_ports
        for family, version in _VERSIONS.items()
    ]
    special = specialise_entries(table, entries).table
    copies = rejecting_copies(special, tuple(entry.name for entry in entries))
    failed = {name.rpartition("-")[0]: reason for name, reason in copies.declined}
    declined.extend(failed.items())
    rules = [
        Rule(_tests(family, hardware[port], states), Jump(copies.copy_of[name]), _origins(special, name))
        for port in known_ports
        if port not in failed
        for family, version in _VERSIONS.items()
        if (name := f"{port}-{version}") in copies.copy_of
    ]
    base = Chain("reject-in", tuple(rules), BaseHook("filter", Hook.PREROUTING, _PRIORITY))
    copied = {chain.name: chain for chain in copies.chains}
    used = set(reached(copied, *(rule.verdict.chain for rule in rules if isinstance(rule.verdict, Jump))))
    more = [chain for chain in copies.chains if chain.name in used]
    answered = frozenset(port for port in known_ports if port not in failed)
    if not rules:
        return Answers(table, answered, tuple(declined))
    taken = {item.name for item in table.sets}
    sets = [item for item in special.sets if item.name not in taken]
    return Answers(
        replace(table, chains=(base, *table.chains, *more), sets=(*table.sets, *sets)), answered, tuple(declined)
    )


def _states(table: Table, chain: str) -> IntervalSet:
    """Return the connection states in which a packet can be rejected; mostly all but new ones are decided about before."""
    going_on = IntervalSet.values(3, (_ESTABLISHED, _RELATED))
    special = specialise(table, chain, {known.CT_STATE: going_on}).table
    if _leads_to_reject(special, chain):
        return _ALL_STATES
    invalid = IntervalSet.single(3, _INVALID)
    decided = going_on.union(invalid)
    for family, ether_type in _ETHER_TYPES.items():
        facts = {
            known.CT_STATE: invalid,
            known.ETHER_TYPE: IntervalSet.single(16, ether_type),
            known.NFPROTO: IntervalSet.single(8, _NETWORK[family]),
        }
        if _leads_to_reject(specialise(table, chain, facts).table, chain):
            decided = going_on
    return _ALL_STATES.difference(decided)


def _facts(port: str, family: Family, states: IntervalSet) -> Mapping[Field, ValueSet]:
    return {
        known.OIFNAME: NameSet.exact(port),
        known.ETHER_TYPE: IntervalSet.single(16, _ETHER_TYPES[family]),
        known.NFPROTO: IntervalSet.single(8, _NETWORK[family]),
        known.CT_STATE: states,
        known.HAS_ETHERNET: IntervalSet.single(1, 1),
    }


def _tests(family: Family, address: int, states: IntervalSet) -> tuple[PureTest, ...]:
    state = () if states == _ALL_STATES else (FieldTest(known.CT_STATE, states),)
    return (number(known.ETHER_TYPE, _ETHER_TYPES[family]), number(known.ETHER_DADDR, address), *state)


def _origins(table: Table, name: str) -> tuple[Origin, ...]:
    chain = table.chain(name)
    assert chain is not None  # noqa: S101 -- an entry of the table
    return next((rule.origins for rule in chain.rules if rule.origins), ())


def _leads_to_reject(table: Table, name: str) -> bool:
    return _leads_to(table, name, Reject)


def _leads_to(table: Table, name: str, kind: type) -> bool:
    chains = {chain.name: chain for chain in table.chains}
    return any(isinstance(rule.verdict, kind) for other in reached(chains, name) for rule in chains[other].rules)
