"""What two rulesets do differently, split by the changed rules that bring it about.

    found = regions(old, new)
    found.regions[0].change, .packets     a changed rule, and the packets that are treated differently because of it
    found.exact                           the regions together are exactly the difference

A packet belongs to the last changed rule that it meets (on either side): later rules are the same for both, so that rule has
sent it another way. What is different and meets no changed rule would be a fault of ours; it is not lost, but is a region
without a change. Rules that say something particular go before those that take whatever is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import is_pure
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.semantics.aspects import Comparer, describe
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.boxes import Boxes, boxes
from fwtrans.semantics.bridged.topology import ACCEPT_MARK_CHAIN, guest_port
from fwtrans.semantics.changes import (
    Changes,
    Nature,
    RuleChange,
    Sited,
    changes,
    with_objects_called,
    with_same_objects,
)
from fwtrans.semantics.compiler import Mark
from fwtrans.semantics.objects import pairings
from fwtrans.semantics.outcome import DifferenceKind, Limits, SideResult, Undecided
from fwtrans.semantics.path import visit_path
from fwtrans.semantics.program import Stream
from fwtrans.semantics.reach import leading
from fwtrans.semantics.session import Session
from fwtrans.semantics.side import table_name
from fwtrans.semantics.sides import confirms, judge
from fwtrans.semantics.visits import visits_of
from fwtrans.semantics.witness import Witnesses

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.aspects import Aspect
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.bridged.topology import GuestPort
    from fwtrans.semantics.compiler import Spot
    from fwtrans.semantics.packet import Packet
    from fwtrans.semantics.path import Path
    from fwtrans.semantics.session import Compared
    from fwtrans.semantics.side import Side

_DEFAULT = Limits()
_MOST_BOXES = 200
_STREAMS = {nature: Stream(f"change that {nature.value}") for nature in Nature}
# Which changed rules can be behind a difference, those that are likeliest first.
_BEHIND = {
    DifferenceKind.VERDICT: (Nature.DECIDES, Nature.MARKS, Nature.LOGS),
    DifferenceKind.LOG: (Nature.LOGS, Nature.DECIDES, Nature.MARKS),
    DifferenceKind.LOG_ORDER: (Nature.LOGS, Nature.DECIDES, Nature.MARKS),
}
_ANY_NATURE = (Nature.MARKS, Nature.DECIDES, Nature.LOGS)
_STATES = {1: "established or related", 3: "new", 2: "invalid", 0: "invalid", 4: "untracked"}


class Way(NamedTuple):
    """Where packets go: "to guest", "from guest", "to the host", "from the host", "through the host", or a hook's name."""

    text: str
    guests: tuple[GuestPort, ...] = ()


class Part(NamedTuple):
    """One way that packets of a region go, with the packets as boxes and one of them that both sides were asked about."""

    way: Way
    boxes: Boxes
    states: tuple[str, ...]
    packet: Packet
    old: SideResult
    new: SideResult
    confirmed: bool


class Region(NamedTuple):
    """Packets of one path that are treated differently because of one changed rule.

    `gained` says that the rule meets them on the new side, `lost` on the old one: what a rule that was made wider or
    narrower is meant by. `passed_before` and `passes_now` say whether they are let through.
    """

    change: RuleChange | None
    path: Path
    kind: DifferenceKind
    subject: str
    gained: bool
    lost: bool
    passed_before: bool
    passes_now: bool
    parts: tuple[Part, ...]
    context: tuple[Sited, ...] = ()


class Regions(NamedTuple):
    """All regions. `exact` says that they were proved to be the whole difference, `undecided` what was not compared."""

    changes: Changes
    regions: tuple[Region, ...]
    exact: bool
    undecided: tuple[Undecided, ...]
    assumptions: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Tell whether both do the same with every possible packet."""
        return not self.regions and not self.undecided


def regions(old: Ruleset, new: Ruleset, *, limits: Limits = _DEFAULT, found: Changes | None = None) -> Regions:
    """Return what differs, by changed rule, at every hook where either ruleset has a base chain.

    `found` are the changes, if they are known, of a new ruleset `with_same_objects`.
    """
    if found is None:
        new = with_same_objects(old, new)
        found = changes(old, new)
    try:
        session = Session(old, new, limits.nodes)
        names = _paired_objects(session)
        if names:
            new = with_objects_called(new, names)
            found = changes(old, new)
            session = Session(old, new, limits.nodes)
    except OutOfNodes:
        visits = dict.fromkeys((*visits_of(old), *visits_of(new)))
        lost = tuple(Undecided(visit_path(visit), "out of memory", ()) for visit in visits)
        return Regions(found, (), exact=False, undecided=lost, assumptions=())
    splitting = _Splitting(session, found)
    return splitting.run()


def _paired_objects(session: Session) -> dict[str, str]:
    """Return names of the new side's limits with the old side's, where rules did not tell which is which: their packets do.

    A rule that calls a chain and its only limit, put in the chain's place, has the same limit in a rule of another chain.
    """
    items = session.program.objects.items
    return {items[later].identity: items[earlier].identity for later, earlier in next(pairings(session)).items()}


class _Met(NamedTuple):
    """For each changed rule the packets that meet it and none behind it, on the old side and on the new one."""

    old: Mapping[Nature, Mapping[Hashable, Node]]
    new: Mapping[Nature, Mapping[Hashable, Node]]


class _Splitting:
    def __init__(self, session: Session, found: Changes) -> None:
        self._session = session
        self._found = found
        self._bdd = session.bdd
        one_sided = {(chain.table, chain.name) for chain in found.chains}
        behind = (change for change in found.rules if not _only_leads(change, one_sided))
        self._changes = sorted(behind, key=lambda change: not _is_particular(change))
        self._spots = {sited.spot for change in found.rules for sited in (change.old, change.new) if sited is not None}
        carried = _carried(session)
        self._ignored: dict[Field, int] = {known.MARK: carried} if carried else {}
        self._undecided = [Undecided(path, error.reason, ()) for path, error in session.failed]
        self._exact = True

    def run(self) -> Regions:
        found: list[Region] = []
        for compared in self._session.compared:
            try:
                found.extend(self._path(compared))
            except OutOfNodes:
                self._undecided.append(Undecided(compared.path, "out of memory", ()))
        told = dict.fromkeys((*self._session.old.assumptions, *self._session.new.assumptions))
        if self._ignored:
            told[f"nobody but the rules reads bits {self._ignored[known.MARK]:#x} of the mark"] = None
        exact = self._exact and not self._undecided
        return Regions(self._found, tuple(found), exact, tuple(self._undecided), tuple(told))

    # --- one path ---

    def _path(self, compared: Compared) -> Iterator[Region]:
        sets = self._session.evaluator(compared.path.visit).sets
        conceivable = Comparer(sets, compared.packets.conceivable, self._ignored)
        met: _Met | None = None
        for aspect in conceivable.aspects(compared.old, compared.new):
            packets = aspect.packets & compared.possible
            if packets == self._bdd.false:
                continue
            met = met or self._met(compared)
            yield from self._split(compared, aspect._replace(packets=packets), met)

    def _met(self, compared: Compared) -> _Met:
        sides = (self._session.old, compared.path.old, "old"), (self._session.new, compared.path.new, "new")
        return _Met(*(self._last_met(side, hops, which) for side, hops, which in sides))

    def _last_met(self, side: Side, hops: Sequence[object], which: str) -> dict[Nature, Mapping[Hashable, Node]]:
        marks: dict[Spot, Mark] = {}
        for number, change in enumerate(self._changes):
            sited = change.old if which == "old" else change.new
            if sited is not None:
                marks[sited.spot] = Mark(_STREAMS[change.nature], number, early=True)
        summary = self._session.summary(side, hops, marks)  # type: ignore[arg-type]
        found: dict[Nature, Mapping[Hashable, Node]] = {}
        for nature, stream in _STREAMS.items():
            events = summary.events.get(stream)
            by_change: dict[Hashable, Node] = {}
            for place, contents in enumerate(events.contents if events is not None else ()):
                assert events is not None  # noqa: S101 -- there is a place in it
                later = events.reached[place + 1] if place + 1 < len(events.reached) else self._bdd.false
                for content, packets in contents.items():
                    by_change[content] = by_change.get(content, self._bdd.false) | (packets & ~later)
            found[nature] = by_change
        return found

    def _split(self, compared: Compared, aspect: Aspect, met: _Met) -> Iterator[Region]:
        rest = aspect.packets
        false = self._bdd.false
        for nature in _BEHIND.get(aspect.kind, _ANY_NATURE):
            for number, change in enumerate(self._changes):
                if rest == false:
                    return
                gained = met.new[nature].get(number, false) & rest
                lost = met.old[nature].get(number, false) & rest
                both = gained & lost
                for packets, flags in (
                    (both, (True, True)),
                    (gained & ~both, (True, False)),
                    (lost & ~both, (False, True)),
                ):
                    yield from self._regions(compared, aspect, packets & rest, change, flags)
                rest = rest & ~(gained | lost)
        if rest != false:
            self._exact = False
            yield from self._regions(compared, aspect, rest, None, (False, False))

    def _regions(
        self, compared: Compared, aspect: Aspect, packets: Node, change: RuleChange | None, flags: tuple[bool, bool]
    ) -> Iterator[Region]:
        """Yield one region for each way in which the answer has changed: let through now, no longer, otherwise."""
        before, now = compared.old.through, compared.new.through
        names = [item.identity for item in self._session.program.objects.items]
        for passed, passes in ((False, True), (True, False), (False, False), (True, True)):
            some = packets & (before if passed else ~before) & (now if passes else ~now)
            if some == self._bdd.false:
                continue
            parts = tuple(self._parts(compared, aspect, some))
            subject = describe(aspect.subject, names)
            context = tuple(self._context(compared.path, change)) if change is not None else ()
            yield Region(change, compared.path, aspect.kind, subject, *flags, passed, passes, parts, context)

    def _context(self, path: Path, change: RuleChange) -> Iterator[Sited]:
        """Yield the rules before a changed one, the same on both sides, that take some of what it asks for."""
        side = self._session.new if change.new is not None else self._session.old
        sited = change.sited
        number = side.chain_number(sited.table, sited.chain.name)
        if number is None or sited.number < 0:
            return
        rules = self._session.program.chains.items[number]
        if len(rules) != len(sited.chain.rules):
            return
        evaluator = self._session.evaluator(path.visit)
        asked = leading(self._session, path.visit, self._session.program.rules.items[rules[sited.number]]).asked
        for at in range(sited.number):
            earlier = Sited(sited.table, sited.chain, at)
            taken = asked & ~evaluator.rule(rules[at]).through
            if taken != self._bdd.false and earlier.spot not in self._spots:
                yield earlier

    # --- ways ---

    def _parts(self, compared: Compared, aspect: Aspect, packets: Node) -> Iterator[Part]:
        for way, some in self._ways(compared.path, packets):
            states = tuple(self._states(some))
            yield Part(
                way, boxes(self._session.variables, some, _MOST_BOXES), states, *self._witness(compared, aspect, some)
            )

    def _ways(self, path: Path, packets: Node) -> Iterator[tuple[Way, Node]]:
        """Yield packets to guests, from guests, and others."""
        whole = packets
        for field, text in _ENDS.get((path.visit.family is Family.BRIDGE, path.visit.hook), ()):
            guests, some = self._of_guests(field, packets)
            if guests and not self._for_all(field, whole):
                yield Way(text, tuple(guests)), some
                packets = packets & ~some
        if packets != self._bdd.false:
            yield Way(_way_of(path)), packets

    def _for_all(self, field: Field, packets: Node) -> bool:
        """Tell whether some packets are in, whatever their port is."""
        return self._bdd.forall(packets, self._session.variables.spans[field]) != self._bdd.false

    def _of_guests(self, field: Field, packets: Node) -> tuple[list[GuestPort], Node]:
        variables = self._session.variables
        found: list[GuestPort] = []
        parts: list[Node] = []
        names = variables.names.get(field)
        for number in range(names.count if names is not None else 0):
            members = names.members(number) if names is not None else ()
            guests = [port for item in members if not item.is_prefix and (port := guest_port(item.text))]
            some = packets & variables.at_value(field, guests[0].name) if guests else self._bdd.false
            if some != self._bdd.false:
                found.extend(guests)
                parts.append(some)
        return sorted(set(found)), self._bdd.any_of(parts)

    def _states(self, packets: Node) -> Iterator[str]:
        variables = self._session.variables
        if known.CT_STATE not in variables.fields:
            return
        told = {
            text: None
            for value, text in _STATES.items()
            if packets & variables.at_value(known.CT_STATE, value) != self._bdd.false
        }
        if "new" not in told or len(told) < 3:  # with three of them a person reads: all
            yield from told

    def _witness(
        self, compared: Compared, aspect: Aspect, packets: Node
    ) -> tuple[Packet, SideResult, SideResult, bool]:
        path = compared.path
        witnesses = Witnesses(self._session.evaluator(path.visit).sets, (*path.old, *path.new)[0])
        complete = packets & compared.packets.complete
        packet, assignment = witnesses.pick(complete if complete != self._bdd.false else packets)
        old = judge(self._session, self._session.old, path.old, packet, assignment, {})
        new = judge(self._session, self._session.new, path.new, packet, assignment, {})
        names = {item.identity: item.identity for item in self._session.program.objects.items}
        sure = confirms(aspect.kind, aspect.subject, packet, old.outcome, new.outcome, path.visit.family, names)
        return packet, old, new, sure


# The fields that say which guest sends or gets a packet, by whether the bridge judges it, and hook.
_TO, _FROM = "to guest", "from guest"
_ENDS: Mapping[tuple[bool, Hook], tuple[tuple[Field, str], ...]] = {
    (False, Hook.FORWARD): ((known.PORT_OUT, _TO), (known.PORT_IN, _FROM)),
    (True, Hook.FORWARD): ((known.OIFNAME, _TO), (known.IIFNAME, _FROM)),
    (True, Hook.PREROUTING): ((known.IIFNAME, _FROM),),
    (True, Hook.POSTROUTING): ((known.OIFNAME, _TO),),
}
_HOST = {Hook.INPUT: "to the host", Hook.OUTPUT: "from the host", Hook.FORWARD: "through the host"}


def _way_of(path: Path) -> str:
    visit = path.visit
    if visit.family is Family.BRIDGE and visit.hook is Hook.FORWARD:
        return "over bridges"
    return _HOST.get(visit.hook, f"at {visit.hook.value}")


def _only_leads(change: RuleChange, one_sided: Collection[tuple[str, str]]) -> bool:
    """Tell whether a rule does nothing but lead to a chain that came or went with it: that chain's rules are behind it all."""
    sited = change.sited
    if change.old is not None and change.new is not None:
        return False
    verdict = sited.rule.verdict if sited.rule is not None else None
    return isinstance(verdict, (Jump, Goto)) and (table_name(sited.table), verdict.chain) in one_sided


def _is_particular(change: RuleChange) -> bool:
    """Tell whether a rule asks for something."""
    rule = change.sited.rule
    return rule is not None and any(is_pure(step) for step in rule.steps)


def _carried(session: Session) -> int:
    """Return the bits of the mark that PVE's rules accept with, which nothing but these rules reads."""
    found = 0
    for side in (session.old, session.new):
        for table in side.ruleset.tables:
            chain = table.chain(ACCEPT_MARK_CHAIN)
            for rule in chain.rules if chain is not None else ():
                for step in rule.steps:
                    if isinstance(step, Assign) and step.field is known.MARK:
                        found |= step.constant
    return found
