"""Which packets there can be on a path: the facts of its hops as functions of the fields that rules read.

Facts lead from field to field: that a tracked packet is no fragment, and that what has no ports is one, says something
about ports and tracking where no rule reads the fragment offset. So all facts are taken that hang together with the fields
in use, and the fields that come in only by them are taken out at the end: they may have any value that fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.semantics import domain
from fwtrans.semantics.classes import NumberClasses
from fwtrans.semantics.residue import OF_GUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import FieldTest, PureTest
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.packetset import PacketSets
    from fwtrans.semantics.path import Hop, Path
    from fwtrans.semantics.variables import Demand, Variables

_ETHER_FIELDS = (known.ETHER_TYPE, known.ETHER_PROTOCOL)
_ETHER_CONSTANTS = (domain.IP_PROTOCOL, domain.ARP_PROTOCOL, domain.IP6_PROTOCOL, 0x8100, 0x88A8)


class Packets(NamedTuple):
    """The packets of a path.

    `possible` are those for which all facts hold, `conceivable` those that break only what is assumed; neither depends on
    fields that no rule reads. `complete` does, so that a packet can be picked of which all fields fit each other.
    """

    possible: Node
    conceivable: Node
    complete: Node
    assumptions: tuple[str, ...]


class Facts:
    """The facts that matter for the fields in use. Collects the constants that they name; variables come after that."""

    def __init__(self, demand: Demand, visits: Collection[HookVisit]) -> None:
        self._read = frozenset(demand.fields)
        is_link = any(visit.family in {Family.BRIDGE, Family.NETDEV} for visit in visits)
        parts = _link_types(demand) if is_link else ()
        self._chosen: dict[HookVisit, list[domain.Constraint]] = {visit: [] for visit in visits}
        self._held: dict[HookVisit, tuple[Node, Node]] = {}
        self._held_at: dict[Hashable, tuple[Node, Node]] = {}
        self._found: dict[Hashable, Packets] = {}
        self._seen_of: dict[Hop, Hashable] = {}
        self._asked: dict[HookVisit, dict[Field, dict[FieldTest, None]]] = {}
        self._unread: Node | None = None
        waiting = [(visit, fact) for visit in visits for fact in domain.constraints(visit, parts)]
        added = True
        while added:
            used = demand.fields
            matching = [item for item in waiting if not used.isdisjoint(domain.tested_fields(item[1].test))]
            added = bool(matching)
            waiting = [item for item in waiting if item not in matching]
            for visit, fact in matching:
                self._chosen[visit].append(fact)
                demand.add_test(fact.test)

    def packets(self, path: Path, sets: Callable[[HookVisit], PacketSets], *, whole: bool) -> Packets:
        """Return the packets of a path; `whole` says that connection tracking puts fragments together at all its hops."""
        own = sets(path.visit)
        whole = whole and known.HAS_TRANSPORT in own.variables.fields
        hops = dict.fromkeys((*path.old, *path.new))
        key = (path.visit, path.facts, whole, frozenset(map(self._seen, hops)))
        if key not in self._found:
            self._found[key] = self._packets(path.facts, hops, own, sets, whole=whole)
        return self._found[key]

    def _of_path(self, facts: Iterable[PureTest], hops: Collection[Hop], own: PacketSets) -> Node:
        """Return the packets for which facts hold at the hops that tell: the name of a port is not there yet at prerouting."""
        fixed = [domain.fixed_values(hop.visit).keys() for hop in hops]
        anywhere = own.of_any_hook()
        found = own.bdd.true
        for fact in facts:
            asked = domain.tested_fields(fact)
            is_told_later = not asked.isdisjoint(fixed[0]) and any(asked.isdisjoint(there) for there in fixed)
            found = found & (anywhere if is_told_later else own).pure(fact)
        return found

    def _packets(
        self,
        facts: Iterable[PureTest],
        hops: Collection[Hop],
        own: PacketSets,
        sets: Callable[[HookVisit], PacketSets],
        *,
        whole: bool,
    ) -> Packets:
        certain = complete = self._of_path(facts, hops, own)
        assumed: dict[str, None] = {}
        if whole:
            assumed[domain.WHOLE.assumed] = None
        for hop in hops:
            holds, granted = self._holding_at(hop, sets(hop.visit), whole=whole)
            certain = certain & holds
            complete = complete & granted
            assumed.update((fact.assumed, None) for fact in self._chosen[hop.visit] if fact.assumed)
        if self._unread is None:
            self._unread = own.bdd.cube(self._find_unread(own.variables))
        possible, conceivable = complete.exists(self._unread), certain.exists(self._unread)
        return Packets(possible, conceivable, complete, tuple(assumed) if possible != conceivable else ())

    def _find_unread(self, variables: Variables) -> set[int]:
        found = {number for field, span in variables.spans.items() if field not in self._read for number in span}
        return found | {
            number for slot, number in variables.slots.items() if self._only_in_facts(slot.field, variables)
        }

    def _only_in_facts(self, field: Field, variables: Variables) -> bool:
        return field not in self._read and field not in variables.writable

    def _holding_at(self, hop: Hop, sets: PacketSets, *, whole: bool) -> tuple[Node, Node]:
        """Return the same as `_holding` for what is known at a hop; `whole` says that fragments are put together."""
        key = (self._seen(hop), whole)
        found = self._held_at.get(key)
        if found is None:
            holds, granted = self._holding(hop.visit, sets)
            if whole:
                granted = granted & sets.pure(domain.WHOLE.test)
            change = sets.bdd.assignment(tuple(sets.variables.bits_of(hop.known)))
            found = self._held_at[key] = change(holds), change(granted)
        return found

    def _seen(self, hop: Hop) -> Hashable:
        """Return all that facts see of a hop: of a guest's port no more than what they ask of it."""
        found = self._seen_of.get(hop)
        if found is None:
            tests = self._tests_of_guests(hop.visit)
            seen = (
                (field, tuple(value in test.values for test in tests.get(field, ())))  # type: ignore[operator] # a field's values are of its kind
                if field.kind in OF_GUESTS
                else (field, value)
                for field, value in hop.known
            )
            found = self._seen_of[hop] = (hop.visit, *seen)
        return found

    def _tests_of_guests(self, visit: HookVisit) -> Mapping[Field, Collection[FieldTest]]:
        found = self._asked.get(visit)
        if found is None:
            found = self._asked[visit] = {}
            for fact in self._chosen[visit]:
                for test in domain.field_tests(fact.test):
                    if test.field.kind in OF_GUESTS:
                        found.setdefault(test.field, {})[test] = None
        return found

    def _holding(self, visit: HookVisit, sets: PacketSets) -> tuple[Node, Node]:
        """Return where all facts hold that are never broken, and where those that are assumed hold as well."""
        found = self._held.get(visit)
        if found is None:
            certain = sets.bdd.true
            for field, values in domain.POSSIBLE.items():
                if sets.variables.is_exact(field):
                    certain = certain & sets.variables.in_values(field, values)
            granted = sets.bdd.true
            for fact in self._chosen[visit]:
                if fact.assumed:
                    granted = granted & sets.pure(fact.test)
                else:
                    certain = certain & sets.pure(fact.test)
            found = self._held[visit] = (certain, certain & granted)
        return found


def _link_types(demand: Demand) -> tuple[IntervalSet, ...]:
    """Return the parts into which tests cut ether types; both fields that hold one are cut alike."""
    sets = {IntervalSet.single(16, value): None for value in _ETHER_CONSTANTS}
    for field in _ETHER_FIELDS:
        sets.update(demand.intervals.get(field, {}))
    for field in _ETHER_FIELDS:
        if field in demand.intervals:
            demand.intervals[field].update(sets)
    classes = NumberClasses(16, sets)
    return tuple(IntervalSet.of(16, classes.members(number)) for number in range(classes.count))
