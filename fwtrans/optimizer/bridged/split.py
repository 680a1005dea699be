"""One iptables ruleset becomes two: what is routed stays with the IP families, what a bridge forwards goes to the bridge.

    ip FORWARD                      ip FORWARD         for routed packets
        ...                    ->   bridge out-...     prerouting: what guests send, by the port that it comes in by
                                    bridge middle-...  forward: what other ports send
                                    bridge in-...      forward: what guests get, by the port that it leaves by
                                    bridge own-...     output: the same, for what the host itself sends or routes

Each base chain is specialised to each case, and where nothing is left of it in a case nothing is printed. Accepting ends
one base chain in iptables and nftables alike, so each stays a base chain of its own unless that makes no difference (see
`joining`); their order is iptables', at priorities above -200, where bridge conntrack sits, and never 0, where Linux 6.1 shows IPv4 packets to nobody while
bridge-nf-call-iptables is on.

What a guest gets could be judged at postrouting as well, in one place for both. Then each packet would pass a chain more on
every bridge, and exceptions for what only the host sends (fragments, answers of `reject`) would stand in everybody's way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, Duplicate, Forward, Log, NoTrack, OpaqueEffect, SetUpdate
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, number
from fwtrans.ir.names import NameSet
from fwtrans.ir.rename import rename_fields
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Drop, Jump, Queue, Reject
from fwtrans.optimizer.bridged.joining import (
    IP_TYPES,
    alike,
    always_drops,
    does_nothing,
    lets_ip_through,
    never_accepts,
    returning,
)
from fwtrans.optimizer.bridged.merging import merged_tables
from fwtrans.optimizer.bridged.reach import reached
from fwtrans.optimizer.bridged.roles import BRIDGE_NAMES, Role, facts
from fwtrans.optimizer.specialise import Entry, specialise, specialise_entries
from fwtrans.semantics.bridged.reading import ZONES
from fwtrans.semantics.bridged.topology import names_tested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.topology import GuestPort

_HOOKS = (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)
_ETHER_TYPES = {Family.IP: 0x0800, Family.IP6: 0x86DD}
_VERSIONS = {Family.IP: "v4", Family.IP6: "v6", Family.BRIDGE: "l2"}
# Above bridge conntrack's -200 and below the kernels' 0.
_FIRST_PRIORITY = -190
# Before conntrack, where a packet can still be kept out of it.
_RAW_PRIORITY = -300
_OWN = "own"
_NOT_INVALID = IntervalSet(3, ((1, (1 << 3) - 1),))
_NEW = IntervalSet(3, ((3, (1 << 3) - 1),))
"""States of packets that belong to no connection and are not invalid."""
_SEEN = (Log, SetUpdate, Duplicate, Forward, OpaqueEffect)
"""What is left behind of a packet that is rejected later."""


class Piece(NamedTuple):
    """A base chain of the original in one case: where it stood, and what it is called now."""

    role: Role
    family: Family
    base: BaseHook
    original: str
    name: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge table, which of its chains are which piece of the original, and what judges the host's own packets to guests."""

    table: Table
    pieces: tuple[Piece, ...]
    own: tuple[str, ...]


def local_table(table: Table) -> Table:
    """Return a table of the IP families (or ARP's) for packets that no bridge forwards."""
    entries = [
        Entry(chain.name, facts(Role.LOCAL, chain.base.hook)) for chain in table.chains if chain.base is not None
    ]
    return specialise_entries(table, entries).table


def bridge_table(ruleset: Ruleset, guests: Sequence[GuestPort], roles: Sequence[Role], name: str) -> Bridge:
    """Return the bridge family's table of a ruleset that has been read for bridged packets."""
    parts: list[tuple[Table, list[Piece]]] = []
    for table in ruleset.tables:
        if table.family in _VERSIONS:
            pieces = list(_pieces(table, roles))
            parts.append((_specialised(table, pieces, guests), pieces))
    merged = merged_tables([part for part, _ in parts], name)
    pieces = [piece for _, found in parts for piece in found]
    kept = [chain for chain in _places(merged, pieces, guests) if chain.rules]
    hung = {chain.name for chain in kept}
    others = [chain for chain in merged.chains if chain.rules and chain.name not in hung]
    local = {piece.name for piece in pieces if piece.role is Role.LOCAL}
    own = [chain.name for chain in kept if chain.base is not None and chain.base.hook is Hook.OUTPUT]
    return Bridge(
        replace(merged, chains=(*kept, *others)), tuple(pieces), tuple(name for name in own if name not in local)
    )


def _pieces(table: Table, roles: Sequence[Role]) -> Iterator[Piece]:
    version = _VERSIONS[table.family]
    for chain in table.chains:
        base = chain.base
        if base is None:
            continue
        if table.family is Family.BRIDGE and base.hook is not Hook.FORWARD:
            yield Piece(Role.LOCAL, table.family, base, chain.name, chain.name)
        elif base.hook in _HOOKS:
            # the packet's third PREROUTING, before the receiving guest, has been its first and second already
            wanted = [role for role in roles if not (role is Role.IN and base.hook is Hook.PREROUTING)]
            yield from (
                Piece(role, table.family, base, chain.name, f"{role.value}-{chain.name}-{version}") for role in wanted
            )


def _specialised(table: Table, pieces: Sequence[Piece], guests: Sequence[GuestPort]) -> Table:
    entries = [Entry(piece.original, _facts(table, piece, guests), piece.name) for piece in pieces]
    if _drops_invalid(table, pieces, entries):
        # no packet of this state comes to a guest's own rules: at output it is let out (`own_answers`)
        entries = [
            entry._replace(facts={**entry.facts, known.CT_STATE: _NOT_INVALID}) if piece.role is Role.IN else entry
            for piece, entry in zip(pieces, entries, strict=True)
        ]
    found = specialise_entries(table, entries).table
    return found if table.family is Family.BRIDGE else rename_fields(found, BRIDGE_NAMES)


def _drops_invalid(table: Table, pieces: Sequence[Piece], entries: Sequence[Entry]) -> bool:
    """Tell whether all that passes the host's own bridge in state invalid is dropped there."""
    invalid = {known.CT_STATE: _NOT_INVALID.complement()}
    for piece, entry in zip(pieces, entries, strict=True):
        if piece.role is Role.MIDDLE and piece.base.hook is Hook.FORWARD and table.family is not Family.BRIDGE:
            found = specialise(table, entry.chain, {**entry.facts, **invalid})
            if always_drops({chain.name: chain for chain in found.table.chains}, found.entry.name):
                return True
    return False


def stops_between(ruleset: Ruleset, guests: Sequence[GuestPort]) -> bool:
    """Tell whether a new packet may be stopped on the host's own bridge, between two guests or to one, or leave a trace there.

    Rates do not count: what exceeds one is stopped at any of its hooks. Marks go with the packet that is rejected.
    """
    return any(
        _may_stop(table, piece, facts_there)
        for table in ruleset.tables
        if table.family in _VERSIONS
        for piece in _pieces(table, (Role.MIDDLE,))
        if piece.role is Role.MIDDLE
        for facts_there in _on_each_bridge(table, _facts(table, piece, guests))
    )


def _may_stop(table: Table, piece: Piece, facts_there: Mapping[Field, ValueSet]) -> bool:
    special = specialise(table, piece.original, {**facts_there, known.CT_STATE: _NEW})
    chains = {chain.name: chain for chain in special.table.chains}
    rules = (rule for name in reached(chains, special.entry.name) for rule in chains[name].rules)
    return not piece.base.accepts or any(map(_stops_or_is_seen, rules))


def _on_each_bridge(table: Table, facts_there: Mapping[Field, ValueSet]) -> Iterator[Mapping[Field, ValueSet]]:
    """Yield the facts for each bridge that rules tell from others: a bridged packet leaves by the bridge that it came by."""
    asked = [field for field in (known.IIFNAME, known.OIFNAME) if field in facts_there]
    if table.family is Family.BRIDGE or not asked:
        yield facts_there
        return
    named = [NameSet.of((pattern,)) for pattern in names_tested(table, asked)]
    others = reduce(NameSet.union, named, NameSet.empty()).complement()
    for bridge in (*named, others):
        there = {
            field: values.intersection(bridge) for field in asked if isinstance(values := facts_there[field], NameSet)
        }
        if not any(values.is_empty for values in there.values()):
            yield {**facts_there, **there}


def _stops_or_is_seen(rule: Rule) -> bool:
    if any(isinstance(step, _SEEN) for step in rule.steps):
        return True
    is_rated = any(isinstance(step, StatefulTest) for step in rule.steps)
    return isinstance(rule.verdict, (Drop, Reject, Queue)) and not is_rated


def _facts(table: Table, piece: Piece, guests: Sequence[GuestPort]) -> Mapping[Field, ValueSet]:
    known_facts = facts(piece.role, piece.base.hook, guests) if piece.role is not Role.LOCAL else {}
    if table.family is not Family.BRIDGE or piece.role is Role.LOCAL:
        return known_facts
    # ebtables' interfaces are the ports, where iptables' are the bridge
    return {BRIDGE_NAMES[field]: values for field, values in known_facts.items() if field in BRIDGE_NAMES}


# --- where each piece stands ---


def _places(merged: Table, pieces: Sequence[Piece], guests: Sequence[GuestPort]) -> Iterator[Chain]:
    ports = NameSet.exact(*(guest.name for guest in guests))
    bodies = {chain.name: chain for chain in merged.chains}
    for piece in pieces:
        if piece.role is Role.LOCAL:
            yield replace(bodies[piece.name], base=piece.base)
    found = {
        role: [
            stage
            for stage in _joined(merged, _stages([piece for piece in pieces if piece.role is role]), bodies)
            if not _is_idle(role, stage, bodies)
        ]
        for role in (Role.BRIDGED, Role.OUT, Role.MIDDLE, Role.IN)
    }
    # nftables' hooks see other things than iptables' did: prerouting no port out, output no port in
    for role, hook in ((Role.BRIDGED, Hook.FORWARD), (Role.OUT, Hook.PREROUTING)):
        yield from _hung(found[role], role.value, hook, bodies, ports)
    yield from _at_forward(found[Role.MIDDLE], found[Role.IN], bodies, ports)
    yield from _hung(found[Role.IN], _OWN, Hook.OUTPUT, bodies, ports)


def _hung(
    stages: Sequence[Sequence[Piece]], prefix: str, hook: Hook, bodies: dict[str, Chain], ports: NameSet, first: int = 0
) -> Iterator[Chain]:
    for priority, stage in zip(count(_FIRST_PRIORITY + first), stages, strict=False):
        yield _base_chain(prefix, hook, stage, bodies, ports, priority)


def _at_forward(
    middle: Sequence[Sequence[Piece]], into: Sequence[Sequence[Piece]], bodies: dict[str, Chain], ports: NameSet
) -> Iterator[Chain]:
    """Yield what stands at forward: between bridges, then to guests; the last of the one and the first of the other as one."""
    before = list(_hung(middle, Role.MIDDLE.value, Hook.FORWARD, bodies, ports))
    tracked = before and into and not _goes_first(middle[-1], bodies)
    going_on = returning(bodies, before[-1]) if tracked and all(_accepts(middle[-1])) else None
    if going_on is None:
        yield from (*before, *_hung(into, Role.IN.value, Hook.FORWARD, bodies, ports, len(before)))
        return
    last, *called = going_on
    first, *others = _hung(into, Role.IN.value, Hook.FORWARD, bodies, ports, len(before) - 1)
    yield from (*called, *before[:-1], replace(first, rules=(*last.rules, *first.rules)), *others)


def _is_idle(role: Role, stage: Sequence[Piece], bodies: Mapping[str, Chain]) -> bool:
    """Tell whether a stage does nothing in this case; what its rules are is told by the case of what guests send."""
    names = [piece.name for piece in stage]
    return role in {Role.MIDDLE, Role.IN} and all(_accepts(stage)) and does_nothing(bodies, names)


def _joined(merged: Table, stages: Sequence[list[Piece]], bodies: Mapping[str, Chain]) -> list[list[Piece]]:
    """Return the stages, those as one that may stand in one base chain: each never lets a packet past the next.

    Rules of the link layer that let IP through without a look come last.
    """
    found: list[list[Piece]] = []
    waiting: list[Piece] = []
    for stage in stages:
        if _is_link(stage) and all(_accepts(stage)) and all(lets_ip_through(merged, piece.name) for piece in stage):
            waiting.extend(stage)
        elif (
            found
            and not _goes_first(found[-1], bodies)
            and all(_accepts(found[-1]))
            and not _is_link(found[-1])
            and (not _is_link(stage) and never_accepts(bodies, [piece.name for piece in found[-1]]))
        ):
            found[-1] = [*found[-1], *stage]
        else:
            found.append(stage)
    if waiting and found and not _goes_first(found[-1], bodies) and not _is_link(found[-1]):
        found[-1] = [*found[-1], *waiting]
    elif waiting:
        found.append(waiting)
    return found


def _is_link(stage: Sequence[Piece]) -> bool:
    return stage[0].family is Family.BRIDGE


def _accepts(stage: Sequence[Piece]) -> Iterator[bool]:
    return (piece.base.accepts for piece in stage)


def _stages(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return pieces by their place in iptables' order; those of both IP families stand side by side."""
    places: dict[tuple[int, int, int], list[Piece]] = {}
    for piece in pieces:
        # ebtables' FORWARD comes behind PREROUTING of the IP families and before their FORWARD
        is_link = piece.family is Family.BRIDGE
        place = (_HOOKS.index(piece.base.hook), 0 if is_link else 1, piece.base.priority)
        places.setdefault(place, []).append(piece)
    return [places[place] for place in sorted(places)]


def _base_chain(
    prefix: str, place: Hook, stage: Sequence[Piece], bodies: dict[str, Chain], ports: NameSet, priority: int
) -> Chain:
    rules: list[Rule] = []
    for piece in stage:
        body = bodies[piece.name]
        twin = _twin(piece, stage, bodies)
        if (body.rules or not piece.base.accepts) and (twin is None or piece.family is Family.IP):
            rules.extend(_entering(piece, body, ports, both=twin is not None, beside_ip=len(stage) > 1))
    first = next((piece for piece in reversed(stage) if piece.family is not Family.BRIDGE), stage[0])
    layer = "-frames" if first.family is Family.BRIDGE else ""
    hook = BaseHook("filter", place, priority)
    if _goes_first(stage, bodies):
        hook = BaseHook("filter", Hook.PREROUTING, _RAW_PRIORITY)
    return Chain(f"{prefix}-{first.original}{layer}", tuple(rules), hook, bodies[first.name].origin)


def _twin(piece: Piece, stage: Sequence[Piece], bodies: Mapping[str, Chain]) -> Piece | None:
    """Return the same piece of the other IP family, where that does the very same."""
    if piece.family not in _ETHER_TYPES:
        return None
    others = (other for other in stage if other.family in _ETHER_TYPES and other.family is not piece.family)
    return next(
        (
            other
            for other in others
            if other.base == piece.base and other.original == piece.original and alike(bodies, piece.name, other.name)
        ),
        None,
    )


def _entering(piece: Piece, body: Chain, ports: NameSet, *, both: bool, beside_ip: bool) -> Iterator[Rule]:
    tests: list[PureTest] = []
    if both:
        tests.append(number(known.ETHER_TYPE, *_ETHER_TYPES.values()))
    elif piece.family is not Family.BRIDGE:
        tests.append(number(known.ETHER_TYPE, _ETHER_TYPES[piece.family]))
    elif beside_ip:
        tests.append(FieldTest(known.ETHER_TYPE, IP_TYPES.complement()))
    if piece.role is Role.OUT:
        tests.append(FieldTest(known.IIFNAME, ports))
    elif piece.role is Role.IN:
        tests.append(FieldTest(known.OIFNAME, ports))
    elif piece.role is Role.MIDDLE and piece.base.hook is Hook.PREROUTING:
        tests.append(FieldTest(known.IIFNAME, ports.complement()))
    origins = (body.origin,) if body.origin is not None else body.rules[0].origins if body.rules else ()
    if body.rules:
        yield Rule(tuple(tests), Jump(piece.name), origins)
    if not piece.base.accepts:
        yield Rule(tuple(tests), Drop(), origins)


def _goes_first(stage: Sequence[Piece], bodies: Mapping[str, Chain]) -> bool:
    """Tell whether a chain has to stand before conntrack: it keeps packets out of it, or says in which zone to look."""
    return stage[0].base.hook is Hook.PREROUTING and any(
        isinstance(step, NoTrack) or (isinstance(step, Assign) and step.field in ZONES)
        for piece in stage
        for name in reached(bodies, piece.name)
        for rule in bodies[name].rules
        for step in rule.steps
    )
