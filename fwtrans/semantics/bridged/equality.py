"""Do iptables' rules with firewall bridges and nftables' bridge rules do the same to every packet of the host?

    found = compare_bridged(old, new, Setting(guests, ...))
    found.comparison      equal, or packets that show where not
    found.intended        the differences that one evaluation is meant to bring, each by name

The parts of a packet's way are compared one by one (`paths`). Two things are taken for what they are and not for a fault:
where a bridge cannot answer, a REJECT counts as a drop (which of them still answer is compared for packets to the guest's
own hardware address); and the bits of the mark that only carry a decision from rule to rule need not be carried any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.rename import rename_fields
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Dispatch, Reject
from fwtrans.ir.walk import flat_steps
from fwtrans.processes import Parts, Worker
from fwtrans.semantics.bridged.paths import (
    answered_paths,
    any_bridge_paths,
    in_paths,
    local_paths,
    middle_paths,
    names_of,
    out_paths,
)
from fwtrans.semantics.bridged.reading import (
    ALWAYS,
    IP_FAMILIES,
    LIMITS_APART,
    LIMITS_ONCE,
    MARK_LEAK_CLOSED,
    REJECT_IS_DROP,
    REJECT_OF_BRIDGED,
    REJECT_ON_ARRIVAL,
    for_bridged_packets,
    for_local_packets,
)
from fwtrans.semantics.bridged.topology import ACCEPT_MARK_CHAIN, chains_at, has_firewall_bridges
from fwtrans.semantics.equivalence import compare, equal_share, together
from fwtrans.semantics.outcome import Comparison, Limits
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.session import Tables
from fwtrans.semantics.visits import base_chains

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.reading import Intended, Reading
    from fwtrans.semantics.bridged.topology import GuestPort
    from fwtrans.semantics.equivalence import Share
    from fwtrans.semantics.path import Path
    from fwtrans.source import Origin

_ONES = (1 << known.MARK.width) - 1
_SAME_STATE = "a packet's connection has the same state at every hop of its way"
_NOT_BY_IP = (
    "where the new rules are loaded net.bridge.bridge-nf-call-iptables, -ip6tables and -arptables are 0, as `apply` sets them:"
    " what a bridge forwards is judged by its own table alone"
)
_TO_ITS_GUEST = "a frame to a guest's hardware address is for that guest and goes to no other port"
_UNREAD = "nobody but the rules reads bits {mask:#x} of the mark"
_IPTABLES_NAMES = {
    known.IIFNAME: known.PORT_IN,
    known.OIFNAME: known.PORT_OUT,
    known.IBRNAME: known.IIFNAME,
    known.OBRNAME: known.OIFNAME,
}
# The mark of a connection that dies with its first packet, which is rejected: what a guest gets is compared by itself.
_UNBORN = ((known.CT_MARK, (1 << known.CT_MARK.width) - 1),)
_OF_THE_HOST = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT})
_OF_BRIDGES = frozenset({Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING})
_MOST_NEIGHBOURS = 4096
# Fewer paths are proved before another process has begun.
_MANY_PATHS = 50
# So many parts are handed out one by one; each process has most of what its parts need from the ones before.
_PARTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The host: its guests, their hardware addresses by port, and the broadcast addresses of its networks.

    `own` says that the new rules were made by fwtrans, which drops on purpose where nobody can answer. Of anybody else's rules
    a REJECT towards a guest that is a drop is a difference like any other. `processes` says how many may work side by side.
    """

    guests: Sequence[GuestPort]
    hardware: Mapping[str, int] = field(default_factory=dict)
    broadcasts: tuple[int, ...] = ()
    limits: Limits = field(default_factory=Limits)
    own: bool = True
    processes: int = 1


class _Bits(NamedTuple):
    """The bits of the mark that only carry a decision from rule to rule, and those of them that the new rules have not."""

    carried: int
    unread: int


_Local = tuple[Comparison, "tuple[Intended, ...]"]


class BridgedComparison(NamedTuple):
    """The comparison of all parts, and what is different on purpose."""

    comparison: Comparison
    intended: tuple[Intended, ...]


def compare_bridged(old: Ruleset, new: Ruleset, setting: Setting) -> BridgedComparison:
    """Return whether two rulesets do the same on every path, the old one with firewall bridges, the new one without."""
    reading = for_bridged_packets(old, setting.broadcasts)
    before = reading.ruleset
    if not has_firewall_bridges(old):
        return _without_firewall_bridges(reading, old, new, setting)
    carried = _written_and_read(old)
    unread = carried & ~_used(new)
    names = names_of(before, new)
    answered, told = _answered(before, new, setting)
    ways = [
        *_looking_away(out_paths(names, setting.guests), unread),
        *_looking_away(middle_paths(before, new, names, setting.guests), unread, answers=not setting.own),
        *_looking_away(in_paths(before, new, names, setting.guests), carried, answers=not setting.own),
        *_looking_away(answered_paths(names, answered, setting.hardware), carried, _UNBORN),
    ]

    def locally() -> _Local:
        return _local(old, new, list(local_paths(old, new, names, setting.guests)), _Bits(carried, unread), setting)

    found = _side_by_side(before, new, ways, locally, setting)
    bridged, (local, closed) = found or (None, locally())
    if bridged is None and ways:
        bridged = compare(before, new, limits=setting.limits, paths=ways)
    parts = [part for part in (bridged, local) if part is not None]
    assumptions = [_SAME_STATE, _NOT_BY_IP, *reading.assumptions]
    if answered:
        assumptions.append(_TO_ITS_GUEST)
    if carried:
        assumptions.append(_UNREAD.format(mask=carried))
    intended = (*ALWAYS, *_limits_once(before), *_limits_apart(before), *reading.intended, *told, *closed)
    return BridgedComparison(_joined(parts, assumptions), intended)


def _side_by_side(
    old: Ruleset, new: Ruleset, ways: list[Path], locally: Callable[[], _Local], setting: Setting
) -> tuple[Comparison, _Local] | None:
    """Return the proof, found by two processes; None where one has to do, or looks for packets that show what differs."""
    if setting.processes == 1 or len(ways) < _MANY_PATHS:
        return None
    tables = Tables(old, new, ways)
    parts = Parts(_PARTS)

    def share(numbers: Iterable[int]) -> Share | None:
        size = -(-len(tables.paths) // _PARTS)
        paths = (path for number in numbers for path in tables.paths[number * size : (number + 1) * size])
        return equal_share(tables, paths, setting.limits)

    def from_back(_: object) -> tuple[Share | None, _Local | None]:
        local = locally()
        # packets that show a difference, and rules that a closed leak has, are not short to tell
        told = local if local[0].equal and not local[1] else None
        return share(parts.from_back()), told

    with Worker(from_back) as worker:
        mine = share(parts.from_front())
        theirs = worker.result() if mine is not None else None
    parts.close()
    if mine is None or theirs is None:
        return None
    bridged = together((mine, theirs[0]), setting.limits)
    return None if bridged is None else (bridged, theirs[1] or locally())


def _without_firewall_bridges(reading: Reading, old: Ruleset, new: Ruleset, setting: Setting) -> BridgedComparison:
    """Compare rules for bridges of other software: one hook for whatever passes a bridge, from any port to any other."""
    before = reading.ruleset
    carried = _written_and_read(old)
    unread = carried & ~_used(new)
    paths = any_bridge_paths()
    classic, ours = _with_iptables_names(before), _with_iptables_names(new)
    bridged = compare(classic, ours, limits=setting.limits, paths=list(_looking_away(paths, unread, answers=False)))
    routed = for_local_packets(old)
    ways = list(local_paths(routed, new, names_of(before, new)))
    local, closed = _local(routed, new, ways, _Bits(carried, unread), setting)
    rejects = [rule for rule in _rules(before) if isinstance(rule.verdict, Reject)]
    origins = joined_origins(rejects)
    told = (REJECT_IS_DROP._replace(text=REJECT_OF_BRIDGED, origins=origins),) if origins else ()
    intended = (*reading.intended, *told, *closed, *_limits_apart(before, frozenset(Hook)))
    return BridgedComparison(_joined([bridged, local], (_SAME_STATE, _NOT_BY_IP, *reading.assumptions)), intended)


def _with_iptables_names(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose bridge tables call ports and bridges as iptables does under br_netfilter."""
    tables = tuple(
        rename_fields(table, _IPTABLES_NAMES) if table.family is Family.BRIDGE else table for table in ruleset.tables
    )
    return replace(ruleset, tables=tables)


def _answered(old: Ruleset, new: Ruleset, setting: Setting) -> tuple[list[GuestPort], tuple[Intended, ...]]:
    """Return the guests whose packets the new ruleset looks at by hardware address, and what that means."""
    rejects = [rule for rule in _rules(old) if isinstance(rule.verdict, Reject)]
    if not rejects or not setting.own:
        return [], ()
    known_addresses = _destinations(new)
    answered = [guest for guest in setting.guests if setting.hardware.get(guest.name) in known_addresses]
    origins = joined_origins(rejects)
    told = [REJECT_ON_ARRIVAL._replace(origins=origins)] if answered else []
    mute = [guest.name for guest in setting.guests if guest not in answered]
    if mute:
        text = f"{REJECT_IS_DROP.text}: {', '.join(mute)}"
        told.append(REJECT_IS_DROP._replace(text=text, origins=origins))
    return answered, tuple(told)


def _limits_apart(old: Ruleset, others: Collection[Hook] = _OF_THE_HOST) -> tuple[Intended, ...]:
    """Tell of limits that both bridged packets and other ones come to, by the hooks of these."""
    found: dict[Origin, None] = {}
    for table in old.tables:
        if table.family in IP_FAMILIES:
            ours, bridged = chains_at(table, others), chains_at(table, _OF_BRIDGES)
            rules = (
                rule for chain in table.chains if chain.name in ours and chain.name in bridged for rule in chain.rules
            )
            limited = (rule for rule in rules if any(isinstance(step, StatefulTest) for step in rule.steps))
            found.update(dict.fromkeys(origin for rule in limited for origin in rule.origins))
    return (LIMITS_APART._replace(origins=tuple(found)),) if found else ()


def _limits_once(old: Ruleset) -> tuple[Intended, ...]:
    """Tell of limits in PREROUTING, if there are any."""
    hooked = {
        chain.name
        for table in old.tables
        for chain in table.chains
        if chain.base and chain.base.hook is Hook.PREROUTING
    }
    if not hooked:
        return ()
    found = [
        origin
        for rule in _rules(old)
        if any(isinstance(step, StatefulTest) and step.key for step in rule.steps)
        for origin in rule.origins
    ]
    return (LIMITS_ONCE._replace(origins=tuple(dict.fromkeys(found))),) if found else ()


def _looking_away(
    paths: Iterable[Path], mark: int, also: Sequence[tuple[Field, int]] = (), *, answers: bool = True
) -> Iterator[Path]:
    """Yield paths at whose end nobody looks at some bits of the mark, and of other fields."""
    ignored = ((known.MARK, mark), *also) if mark else tuple(also)
    return (path._replace(ignored=ignored, answers=answers) for path in paths)


def _local(
    old: Ruleset, new: Ruleset, paths: list[Path], bits: _Bits, setting: Setting
) -> tuple[Comparison, tuple[Intended, ...]]:
    """Compare what the host itself does; where only a mark from before makes a difference, the leak has been closed."""
    found = _compared_locally(old, new, paths, bits, setting)
    if found.equal or found.undecided or not bits.carried:
        return found, ()
    # behind OUTPUT stand the bridge's own rules; where these never look, it does not matter what a packet brings there
    asked = _read(rule for table in new.tables if table.family is Family.BRIDGE for rule in _rules_of(table))
    away = bits._replace(unread=bits.carried & ~asked)
    closed = _compared_locally(_with_cleared_mark(old, bits.carried), new, paths, away, setting)
    if not closed.equal:
        return found, ()
    passed = (step for item in found.differences for step in item.old.outcome.trace if step.held)
    origins = (origin for step in passed if _read([step.rule]) & bits.carried for origin in step.rule.origins)
    return closed, (MARK_LEAK_CLOSED._replace(origins=tuple(dict.fromkeys(origins))),)


def _compared_locally(old: Ruleset, new: Ruleset, paths: list[Path], bits: _Bits, setting: Setting) -> Comparison:
    # the last rules that a packet to the host meets leave a mark that no rule reads any more
    ends = [path for path in paths if path.visit.hook is Hook.INPUT and path.visit.family in IP_FAMILIES]
    others = [path for path in paths if path not in ends]
    ways = [*_looking_away(others, bits.unread), *_looking_away(ends, bits.carried)]
    return compare(old, new, limits=setting.limits, paths=ways)


def _joined(parts: Iterable[Comparison], assumptions: Iterable[str]) -> Comparison:
    parts = tuple(parts)
    told = [text for part in parts for text in part.assumptions if not text.startswith("nobody else reads bits")]
    return Comparison(
        tuple(item for part in parts for item in part.differences),
        tuple(dict.fromkeys(item for part in parts for item in part.undecided)),
        tuple(dict.fromkeys((*told, *assumptions))),
        sum(part.omitted for part in parts),
    )


# --- readings of a ruleset ---


def _with_cleared_mark(ruleset: Ruleset, mask: int) -> Ruleset:
    """Return a ruleset that forgets bits of the mark before the host's own rules."""
    clear = Rule((Assign(known.MARK, _ONES & ~mask, 0),))

    def first(family: Family) -> Iterator[Chain]:
        for hook in (Hook.INPUT, Hook.OUTPUT):
            # at the priority of the first chain there is, and no earlier: where fragments are put together stays the same
            found = [chain.base.priority for _, chain in base_chains(ruleset, HookVisit(family, hook)) if chain.base]
            # and for every packet: one of type nat, as the first may be, sees those that open a connection
            if found:
                yield Chain(f"{hook.value} without mark", (clear,), BaseHook("filter", hook, found[0]))

    made = (Table(family, "without mark", tuple(first(family))) for family in (Family.IP, Family.IP6))
    return replace(ruleset, tables=(*made, *ruleset.tables))


def _rules(ruleset: Ruleset) -> Iterator[Rule]:
    return (rule for table in ruleset.tables for rule in _rules_of(table))


def _rules_of(table: Table) -> Iterator[Rule]:
    return (rule for chain in table.chains for rule in chain.rules)


def _destinations(ruleset: Ruleset) -> set[int]:
    """Return the hardware addresses that rules know a packet's destination by, in tests or as keys of sets and maps."""
    found: set[int] = set()
    for table in ruleset.tables:
        places: dict[str, int] = {}
        for chain in table.chains:
            for rule in chain.rules:
                found.update(_asked_destinations(rule))
                places.update(_keys_by_destination(rule))
        for named in table.keyed:
            if named.name in places:
                keys = (element.key[places[named.name]] for element in named.elements)
                found.update(low for low, high in keys if low == high and isinstance(low, int))
    return found


def _asked_destinations(rule: Rule) -> Iterator[int]:
    for step in flat_steps(rule.steps):
        if isinstance(step, FieldTest) and step.field is known.ETHER_DADDR and isinstance(step.values, IntervalSet):
            # neighbours are joined to a range; a wide one is the rest of all addresses
            narrow = ((low, high) for low, high in step.values.ranges if high - low < _MOST_NEIGHBOURS)
            yield from (address for low, high in narrow for address in range(low, high + 1))


def _keys_by_destination(rule: Rule) -> Iterator[tuple[str, int]]:
    """Yield the sets and maps that a rule asks with the destination as a part of the key, and which part."""
    asked = [(step.set_name, step.key) for step in flat_steps(rule.steps) if isinstance(step, MemberTest)]
    if isinstance(rule.verdict, Dispatch):
        asked.append((rule.verdict.map_name, rule.verdict.key))
    for name, key in asked:
        yield from ((name, place) for place, part in enumerate(key) if part.field is known.ETHER_DADDR)


def _written_and_read(ruleset: Ruleset) -> int:
    """Return the bits of the mark that carry a decision from rule to rule: set to constants and tested, and PVE's own."""
    written = read = own = 0
    for table in ruleset.tables:
        for chain in table.chains:
            bits = _written(rule for rule in chain.rules)
            written |= bits
            own |= bits if chain.name == ACCEPT_MARK_CHAIN else 0
            read |= _read(chain.rules)
    return (written & read) | own


def _written(rules: Iterable[Rule]) -> int:
    found = 0
    for rule in rules:
        for step in flat_steps(rule.steps):
            if isinstance(step, Assign) and step.field is known.MARK:
                found |= (_ONES & ~step.keep) | step.constant
    return found


def _read(rules: Iterable[Rule]) -> int:
    found = 0
    for rule in rules:
        for step in flat_steps(rule.steps):
            if isinstance(step, FieldTest) and isinstance(step.values, BitSet) and step.field is known.MARK:
                for mask, _ in step.values.cubes:
                    found |= mask
    return found


def _used(ruleset: Ruleset) -> int:
    """Return the bits of the mark that rules look at or write where a guest's packet may come: never in OUTPUT."""
    found = 0
    for table in ruleset.tables:
        for chain in chains_at(table, frozenset(Hook) - {Hook.OUTPUT}).values():
            found |= _written(chain.rules) | _read(chain.rules)
    return found
