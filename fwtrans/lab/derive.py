"""Probes out of the meaning of two rulesets: for each rule a packet that it holds for, and one on the far side of each test.

What gets to a rule, and what its tests leave of that, are sets of packets (semantics/reach.py); a packet out of such a set
is made into a probe that can be sent: an interface that it comes in by, one that it leaves by or the host, a conversation
before it where it belongs to a known connection. Packets on both sides of each boundary are sent as well
(boundaries.py), and random mixtures of all values that were found. No probe says what should become of it: that is what
the kernel is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain as joined
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept, Drop, Reject
from fwtrans.lab.boundaries import variants
from fwtrans.lab.realise import realise
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.outcome import Limits
from fwtrans.semantics.packet import HookVisit, Packet
from fwtrans.semantics.path import Hop
from fwtrans.semantics.program import Undecidable
from fwtrans.semantics.reach import leading, walked
from fwtrans.semantics.session import Session
from fwtrans.semantics.witness import Witnesses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.lab.probe import Probe
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.reach import Walked
    from fwtrans.source import Origin

DEFAULT_BUDGET = 1000
_TUPLE = (
    (known.SPORT, known.IP_SADDR, known.IP_DADDR, known.DPORT),
    (known.SPORT, known.IP6_SADDR, known.IP6_DADDR, known.DPORT),
)
_TRIES, _TRIES_EACH = 40, 20
_USUAL_ADDRESSES = {0xC000020A, 0xC6336414, 0x20010DB8 << 96 | 0x10, 0x20010DB80001 << 80 | 0x20}
"""Addresses that witnesses have where no rule asks for any."""
_ENDS = (
    (known.IP_SADDR, known.IIFNAME), (known.IP6_SADDR, known.IIFNAME), (known.IP_DADDR, known.OIFNAME),
    (known.IP6_DADDR, known.OIFNAME),
)  # fmt: skip
_ANY_PORT = {40000, 50000, 33000, 60000}
"""Source ports that witnesses have where no rule asks for one."""


Realise = Callable[[HookVisit, Packet, str, Random], "Probe | None"]


class Aim(NamedTuple):
    """A packet at a hook, and the rule that it was made for."""

    visit: HookVisit
    packet: Packet
    origin: Origin | None


class Derived(NamedTuple):
    """A probe and where it came from."""

    probe: Probe
    aim: Aim


@dataclass(slots=True)
class _Pool:
    """Values that no test of either side tells apart."""

    session: Session

    def near(self, which: Field, value: int, name: str) -> int:
        """Return an address for an interface, one that no test tells from this one: so that one set of routes does for many."""
        found = value + 256 * (sum(name.encode()) % 31) if name else value
        classes = self.session.variables.numbers.get(which)
        return found if classes is None or classes.class_of(found) == classes.class_of(value) else value

    def others(self, which: Field, value: int, source: Random) -> Iterator[int]:
        """Yield values that no test tells from this one."""
        classes = self.session.variables.numbers.get(which)
        number = classes.class_of(value) if classes is not None else 0
        spans = list(classes.members(number)) if classes is not None and number >= 0 else [(1, (1 << which.width) - 1)]
        for _ in range(_TRIES):
            low, high = source.choice(spans)
            near = min(high, max(low, value) + 4096) if which.kind in _ADDRESS_KINDS and low <= value <= high else high
            yield source.randint(max(low, value if near != high else low), near)


_ADDRESS_KINDS = {FieldKind.IPV4, FieldKind.IPV6}


def derive(
    old: Ruleset,
    new: Ruleset,
    *,
    budget: int = DEFAULT_BUDGET,
    seed: int = 0,
    limits: Limits | None = None,
    realised: Realise = realise,
) -> list[Derived]:
    """Return at most `budget` probes for two rulesets; `realised` makes a probe of a packet at a hook."""
    source = Random(seed)  # noqa: S311 -- the same probes in every run
    nodes = (limits or Limits()).nodes
    sides = [_Deriving(old, new, nodes, source), _Deriving(new, old, nodes, source)]
    found: list[Derived] = []
    seen: set[object] = set()
    pool = sides[0].pool
    taking = _Taking(seen, found, pool, source, realised)
    # what every rule is for comes first, then what it is not for, then the boundaries, then chance
    taking.take(_in_turn([side.hits() for side in sides]), budget * 3 // 10)
    taking.take(_in_turn([side.misses() for side in sides]), budget // 2)
    taking.take(_in_turn([side.boundaries() for side in sides]), budget * 9 // 10)
    if found:
        taking.take(_mixed(found, source), budget)
    return found


def _in_turn(streams: list[Iterator[Aim]]) -> Iterator[Aim]:
    open_streams = list(streams)
    while open_streams:
        for stream in list(open_streams):
            item = next(stream, None)
            if item is None:
                open_streams.remove(stream)
            else:
                yield item


class _Taking(NamedTuple):
    """Collects probes for aims; each gets a connection of its own."""

    seen: set[object]
    found: list[Derived]
    pool: _Pool
    source: Random
    realised: Realise

    def take(self, aims: Iterator[Aim], most: int) -> None:
        """Add probes until there are `most`."""
        tries = 0
        for aim in aims:
            tries += 1
            if len(self.found) >= most or tries > _TRIES_EACH * most:
                break
            if _is_known(aim, self.seen):
                continue
            fresh = _fresh(aim, self.seen, self.pool, self.source)
            if fresh is None:
                continue
            probe = self.realised(fresh.visit, fresh.packet, f"{len(self.found) + 1}", self.source)
            if probe is not None:
                self.found.append(Derived(probe, fresh))


def _is_known(aim: Aim, seen: set[object]) -> bool:
    """Tell whether the same packet has been taken for another rule, or for the same rule of the other side."""
    values = aim.packet.values.items()
    key = (aim.visit, frozenset(item for item in values if item[0] is not known.SPORT or item[1] not in _ANY_PORT))
    if key in seen:
        return True
    seen.add(key)
    return False


def _fresh(aim: Aim, seen: set[object], pool: _Pool, source: Random) -> Aim | None:
    """Give the packet a 5-tuple that no probe has had, out of values that no rule tells from its own."""
    values = dict(aim.packet.values)
    if values.get(known.SPORT) in _ANY_PORT:
        # ports of their own, so that translated sources do not meet
        values[known.SPORT] = next(pool.others(known.SPORT, int(values[known.SPORT]), source))
    for end, name in _ENDS:
        if values.get(end) in _USUAL_ADDRESSES:
            values[end] = pool.near(end, int(values[end]), str(values.get(name, "")))
    fields = _TUPLE[known.IP6_SADDR in values or values.get(known.NFPROTO) == 10]
    present = [one for one in fields if one in values]
    for which in (None, *present):
        candidates = joined([None], pool.others(which, int(values[which]), source)) if which is not None else [None]
        for value in candidates:
            tried = {**values, which: value} if which is not None and value is not None else values
            key = (tried.get(known.L4PROTO), *(tried.get(one) for one in fields))
            if key not in seen and (value is not None or which is None):
                seen.add(key)
                return aim._replace(packet=Packet(tried))
    return None


def _mixed(found: list[Derived], source: Random) -> Iterator[Aim]:
    """Yield packets that take each value from one of two others at the same hook."""
    by_visit: dict[HookVisit, list[Aim]] = {}
    for derived in found:
        by_visit.setdefault(derived.aim.visit, []).append(derived.aim)
    aims = [derived.aim for derived in found]
    while True:
        one = source.choice(aims)
        other = source.choice(by_visit[one.visit])
        values = dict(one.packet.values)
        for which, value in other.packet.values.items():
            if which in values and which not in _KEPT and source.random() < 0.3:
                values[which] = value
        yield Aim(one.visit, Packet(values), None)


_KEPT = {known.L4PROTO, known.NFPROTO, known.HAS_TRANSPORT, known.ETHER_PROTOCOL, known.CT_STATE}


class _Deriving:
    """One ruleset's rules as sets of packets, cut by the constants of both."""

    def __init__(self, ruleset: Ruleset, other: Ruleset, nodes: int, source: Random) -> None:
        self.session = Session(ruleset, other, nodes)
        self.pool = _Pool(self.session)
        self._source = source
        self._places: list[tuple[HookVisit, Walked, int]] = []
        self._through = {compared.path.visit: compared.old.through for compared in self.session.compared}
        for compared in self.session.compared:
            visit = compared.path.visit
            try:
                chains = walked(self.session, visit)
            except (OutOfNodes, Undecidable, RecursionError):
                continue
            self._places.extend((visit, found, at) for found in chains for at in range(len(found.rules) + 1))
        source.shuffle(self._places)

    def hits(self) -> Iterator[Aim]:
        """Yield for each rule a packet that all its tests hold for; for a chain's end, one that gets there."""
        for visit, found, at in self._places:
            packets = found.before[at]
            if at < len(found.rules):
                packets = packets & self._asked(visit, found, at)
            yield from self._picked(visit, packets, found, at)

    def misses(self) -> Iterator[Aim]:
        """Yield for each test of each rule a packet that only this test stops."""
        for visit, found, at in self._places:
            if at == len(found.rules):
                continue
            sets = self.session.evaluator(visit).sets
            steps = [step for step in self.session.program.rules.items[found.rules[at]].steps if isinstance(step, int)]
            nodes = [sets.node(step) for step in steps]
            for stopped in range(len(nodes)):
                packets = found.before[at] & ~nodes[stopped]
                for place, node in enumerate(nodes):
                    packets = packets & node if place != stopped else packets
                yield from self._picked(visit, packets, found, at)

    def boundaries(self) -> Iterator[Aim]:
        """Yield packets beside the boundaries that the rules draw, one of each rule in turn."""
        yield from _in_turn([self._beside(*place) for place in self._places])

    def _beside(self, visit: HookVisit, found: Walked, at: int) -> Iterator[Aim]:
        if at == len(found.rules):
            return
        rule = found.chain.rules[at]
        aim = next(self._picked(visit, found.before[at] & self._asked(visit, found, at), found, at), None)
        if aim is not None:
            changed = list(variants(rule, found.table, aim.packet.values, self._source))
            self._source.shuffle(changed)
            yield from (aim._replace(packet=Packet(values)) for values in changed)

    def _asked(self, visit: HookVisit, found: Walked, at: int) -> Node:
        return leading(self.session, visit, self.session.program.rules.items[found.rules[at]]).asked

    def _picked(self, visit: HookVisit, packets: Node, found: Walked, at: int) -> Iterator[Aim]:
        if packets == self.session.bdd.false:
            return
        visit, packets = self._telling(visit, packets, self._matters(visit, found, at))
        packet, _ = Witnesses(self.session.evaluator(visit).sets, Hop(visit)).pick(packets)
        rule = found.chain.rules[at] if at < len(found.rules) else None
        origin = rule.origins[0] if rule is not None and rule.origins else None
        yield Aim(visit, packet, origin)

    def _telling(self, visit: HookVisit, packets: Node, matters: Node) -> tuple[HookVisit, Node]:
        """Prefer packets whose end depends on the rule, then those that come through: the rest nobody sees."""
        hooks = list(_GOES_THROUGH.get(visit.hook, (visit.hook,)))
        self._source.shuffle(hooks)
        through = self._through.get(visit, self.session.bdd.true)
        for preferred in (packets & matters & through, packets & matters, packets & through):
            for hook in hooks:
                way = visit._replace(hook=hook)
                closer = preferred & self._through.get(way, self.session.bdd.true) if way != visit else preferred
                if closer != self.session.bdd.false:
                    return way, closer
        return visit, packets

    def _matters(self, visit: HookVisit, found: Walked, at: int) -> Node:
        """Return the packets that the rest of the chain decides otherwise than the rule does."""
        verdict = found.chain.rules[at].verdict if at < len(found.rules) else None
        if not isinstance(verdict, (Accept, Drop, Reject)) or len(found.rules) > _LONG_CHAIN:
            return self.session.bdd.true
        rest = self.session.evaluator(visit).run(found.rules[at + 1 :])
        accepted = rest.exits.get(Accept(), self.session.bdd.false)
        base = found.chain.base
        if base is None or base.accepts:
            accepted = accepted | rest.through
        if isinstance(verdict, Accept):
            return ~accepted if base is not None else ~accepted | rest.through
        return accepted


_LONG_CHAIN = 400
"""Rules of a chain up to which it is worth while to ask for each rule what those behind it do."""
_GOES_THROUGH = {Hook.PREROUTING: (Hook.FORWARD, Hook.INPUT), Hook.POSTROUTING: (Hook.FORWARD, Hook.OUTPUT)}
"""Where packets go from one hook to the next, or where they come from."""


def interfaces_of(probes: list[Probe], host: str) -> tuple[str, ...]:
    """Return the interfaces that probes name, in a stable order."""
    names = dict.fromkeys(joined.from_iterable((probe.source, probe.target) for probe in probes))
    return tuple(sorted(name for name in names if name and name != host))


def renumbered(probes: list[Probe]) -> list[Probe]:
    """Return the probes with ids in order."""
    return [replace(probe, id=str(number)) for number, probe in enumerate(probes, start=1)]
