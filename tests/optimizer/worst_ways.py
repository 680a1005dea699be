"""The dearest way of packets over a whole path of hooks, and a packet that takes it.

Ways are followed rule by rule with what is known of the packet so far, a set of values for each field: where some packets
pass a test and some do not, both ways are followed. What comes out is a way with the most steps, and a packet made of what
is known at its end; the concrete evaluator says whether that packet takes as many, which shows that no impossible way was
counted. Log rules, chains that hold nothing else, and look-ups of these chains count nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Log
from fwtrans.ir.fields import FIELDS, Family, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.optimizer.facts import meet
from fwtrans.optimizer.steps import is_set
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import HookVisit, Packet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import Part

Facts = dict["Field", "ValueSet"]
NEW, ESTABLISHED, UNTRACKED = 3, 1, 4
_TYPES = {Family.IP: (0x0800, 2), Family.IP6: (0x86DD, 10)}
# of each rule and each test: passes, look-ups so far, what is known then
_Branch = tuple[bool, int, Facts]


class Visit(NamedTuple):
    """One hook of the path, and the interfaces there."""

    hook: Hook
    iif: str
    oif: str


class Way(NamedTuple):
    """The steps of a way, what is known of its packets, and the rules passed."""

    steps: int
    facts: Facts
    trace: tuple[tuple[str, int, int], ...]


def single(asked: Field, value: int | str) -> ValueSet:
    """Return the set of one value."""
    if isinstance(value, str):
        return NameSet.exact(value)
    return BitSet.exact(asked.width, value) if asked.kind is FieldKind.BITS else IntervalSet.single(asked.width, value)


def part_set(asked: Field, part: Part) -> ValueSet:
    """Return the values of a part of a key."""
    if isinstance(part, NamePattern):
        return NameSet.of((part,))
    if asked.kind is FieldKind.BITS:
        return BitSet.from_range(asked.width, *part)
    return IntervalSet(asked.width, (part,))


def packet_class(
    family: Family, protocol: int, state: int, *, saddr: int | None = None, daddr: int | None = None
) -> Facts:
    """Return what is known of the packets of a kind: of a family, a transport protocol, a state, and hardware addresses."""
    ether_type, number = _TYPES[family]
    values: dict[Field, int] = {
        known.ETHER_TYPE: ether_type, known.ETHER_PROTOCOL: ether_type, known.NFPROTO: number, known.HAS_VLAN: 0,
        known.HAS_ETHERNET: 1, known.CT_STATE: state, known.HAS_CONNTRACK: int(state not in {0, UNTRACKED}), known.L4PROTO: protocol,
        known.HAS_TRANSPORT: 1, known.IP_FRAGMENT: 0,
    }  # fmt: skip
    found = {asked: single(asked, value) for asked, value in values.items()}
    for asked, address in ((known.ETHER_SADDR, saddr), (known.ETHER_DADDR, daddr)):
        if address is not None:
            found[asked] = single(asked, address)
    return found


@dataclass(slots=True)
class Ways:
    """The ways through one bridge table."""

    table: Table
    limit: int = 2_000_000
    chains: dict[str, Chain] = field(init=False)
    looked: int = 0

    def __post_init__(self) -> None:
        """Find chains and maps by name."""
        self.chains = {chain.name: chain for chain in self.table.chains}
        self._maps = {item.name: item for item in self.table.maps}
        self._sets = {item.name: item for item in self.table.sets}
        self._only_logs = {name for name, chain in self.chains.items() if _is_for_logs(chain)}
        self._matching: dict[object, object] = {}

    _maps: dict[str, Any] = field(init=False)
    _sets: dict[str, Any] = field(init=False)
    _only_logs: set[str] = field(init=False)
    _matching: dict[object, Any] = field(init=False)

    def bases(self, hook: Hook) -> list[str]:
        """Return the base chains of a hook in their order."""
        found = [chain for chain in self.table.chains if chain.base is not None and chain.base.hook is hook]
        return [chain.name for chain in sorted(found, key=lambda chain: chain.base.priority)]  # type: ignore[union-attr]

    def path(self, visits: Sequence[Visit]) -> list[tuple[str, Facts]]:
        """Return the base chains that a packet passes, with what is known at each beside the packet's own fields."""
        found: list[tuple[str, Facts]] = []
        for visit in visits:
            ports: Facts = {known.IIFNAME: NameSet.exact(visit.iif), known.OIFNAME: NameSet.exact(visit.oif)}
            found += [(name, ports) for name in self.bases(visit.hook)]
        return found

    def worst(
        self, visits: Sequence[Visit], facts: Facts, *, bounds: Sequence[int] = (), above: int = -1
    ) -> Way | None:
        """Return the dearest way; `bounds` are the most that is behind each base chain, ways no dearer than `above` are left out."""
        path = self.path(visits)
        best: list[Way | None] = [None]

        def go(at: int, facts: Facts, steps: int, trace: tuple[tuple[str, int, int], ...]) -> None:
            least = best[0].steps if best[0] is not None else above
            if at == len(path):
                if steps > least:
                    best[0] = Way(steps, facts, trace)
                return
            if bounds and steps + sum(bounds[at:]) <= least:
                return
            name, ports = path[at]
            found = sorted(self._through(name, {**facts, **ports}), key=lambda item: -item[1])
            for goes_on, more, rest, passed in found:
                if goes_on:
                    go(at + 1, rest, steps + more, (*trace, *passed))
                elif steps + more > (best[0].steps if best[0] is not None else above):
                    best[0] = Way(steps + more, rest, (*trace, *passed))

        go(0, facts, 0, ())
        return best[0]

    def bound(self, base: str, ports: Facts, facts: Facts) -> int:
        """Return the most steps of a base chain for packets of a kind."""
        return max((steps for _, steps, _, _ in self._through(base, {**facts, **ports})), default=0)

    # --- one base chain ---

    def _through(self, base: str, facts: Facts) -> Iterator[tuple[bool, int, Facts, tuple[tuple[str, int, int], ...]]]:
        chain = self.chains[base]
        assert chain.base is not None
        for verdict, steps, rest, trace in self._from(base, 0, (), facts):
            accepts = verdict in {"end", "accept"} if verdict != "end" else chain.base.accepts
            yield accepts, steps, rest, trace

    def _from(
        self, name: str, at: int, callers: tuple[tuple[str, int], ...], facts: Facts
    ) -> Iterator[tuple[str, int, Facts, tuple[tuple[str, int, int], ...]]]:
        waiting: list[Any] = [(name, at, callers, facts, 0, ())]
        while waiting:
            name, at, callers, facts, steps, trace = waiting.pop()
            rules = self.chains[name].rules
            if at >= len(rules):
                if not callers:
                    yield "end", steps, facts, trace
                else:
                    (name, at), callers = callers[-1], callers[:-1]
                    waiting.append((name, at, callers, facts, steps, trace))
                continue
            self.looked += 1
            if self.looked > self.limit:
                message = "too many ways"
                raise RuntimeError(message)
            rule = rules[at]
            free = name in self._only_logs or self._is_for_logs(rule)
            for held, looked_up, rest in self._steps(rule.steps, 0, facts):
                for verdict, more, last in self._verdicts(rule, rest) if held else ((None, 0, rest),):
                    price = 0 if free else max(looked_up + more, 1)
                    passed = (*trace, (name, at, price))
                    now = steps + price
                    if verdict is None:
                        waiting.append((name, at + 1, callers, last, now, passed))
                    elif isinstance(verdict, verdicts.Return):
                        waiting.append((name, len(rules), callers, last, now, passed))
                    elif isinstance(verdict, verdicts.Jump):
                        waiting.append((verdict.chain, 0, (*callers, (name, at + 1)), last, now, passed))
                    elif isinstance(verdict, verdicts.Goto):
                        waiting.append((verdict.chain, 0, callers, last, now, passed))
                    else:
                        yield (
                            ("accept" if isinstance(verdict, (verdicts.Accept, verdicts.Queue)) else "drop"),
                            now,
                            last,
                            passed,
                        )

    def _is_for_logs(self, rule: Rule) -> bool:
        return _leads_to_logs(rule, self._maps, self._only_logs)

    def _verdicts(self, rule: Rule, facts: Facts) -> Iterator[tuple[object, int, Facts]]:
        verdict = rule.verdict
        if not isinstance(verdict, verdicts.Dispatch):
            yield verdict, 0, facts
            return
        item = self._maps[verdict.map_name]
        keys = {element.key: element.value for element in item.elements}
        for key, rest in self._keys(
            ("map", verdict.map_name),
            keys,
            [part.field for part in verdict.key],
            [part.mask for part in verdict.key],
            facts,
        ):
            yield (keys[key] if key is not None else None), 1, rest

    def _keys(
        self,
        label: object,
        keys: Mapping[tuple[Part, ...], object] | Iterable[tuple[Part, ...]],
        fields: Sequence[Field],
        masks: Sequence[int | None],
        facts: Facts,
    ) -> Iterator[tuple[tuple[Part, ...] | None, Facts]]:
        """Yield keys that a packet can have with what is known then, and None for those that are not there."""
        if any(self._there(asked, facts) is False for asked in fields):
            yield None, facts
            return
        token = (label, tuple(facts.get(asked) for asked in fields))
        found = self._matching.get(token)
        if found is None:
            found = []
            left: list[Any] = [facts.get(asked) for asked in fields]
            open_fields = [at for at, asked in enumerate(fields) if masks[at] is None and not _is_one(facts.get(asked))]
            covered: Any = None
            for key in keys:
                rest: Any = {}
                for at, (asked, part) in enumerate(zip(fields, key, strict=True)):
                    if masks[at] is not None:
                        continue
                    values = part_set(asked, part)
                    both = values if left[at] is None else meet(left[at], values)
                    if both.is_empty:
                        rest = None
                        break
                    rest[asked] = both
                if rest is not None:
                    found.append((key, rest))
                    if len(open_fields) == 1:
                        mine = rest[fields[open_fields[0]]]
                        covered = mine if covered is None else covered.union(mine)
            if not found or any(mask is not None for mask in masks):
                found.append((None, {}))
            elif len(open_fields) == 1 and covered is not None:
                asked = fields[open_fields[0]]
                rest_set = (
                    covered.complement() if facts.get(asked) is None else meet(facts[asked], covered.complement())
                )
                if not rest_set.is_empty:
                    found.append((None, {asked: rest_set}))
            elif open_fields:
                found.append((None, {}))
            self._matching[token] = found
        for key, more in found:
            yield key, {**facts, **more}

    def _there(self, asked: Field, facts: Facts) -> bool | None:
        for name, value in asked.requires:
            needed = FIELDS[name]
            there = self._there(needed, facts)
            if there is False:
                return False
            fact = facts.get(needed)
            if fact is not None and meet(fact, single(needed, value)).is_empty:
                return False
        return None

    def _steps(self, steps: tuple[Step, ...], looked_up: int, facts: Facts) -> Iterator[_Branch]:
        if not steps:
            yield True, looked_up, facts
            return
        for held, more, rest in self._step(steps[0], facts):
            if held:
                yield from self._steps(steps[1:], looked_up + more, rest)
            else:
                yield False, looked_up + more, rest

    def _step(self, step: Step, facts: Facts) -> Iterator[_Branch]:
        if isinstance(step, (FieldTest, MemberTest, AnyOf)):
            yield from self._test(step, facts)
        elif isinstance(step, (StatefulTest, StatefulFromMap)):
            more = 1 if isinstance(step, StatefulFromMap) or step.key else 0
            yield True, more, facts
            yield False, more, facts
        elif isinstance(step, does.AssignFromMap):
            keys = {element.key: element.value for element in self._maps[step.map_name].elements}
            fields, masks = [part.field for part in step.key], [part.mask for part in step.key]
            for key, rest in self._keys(("map", step.map_name), keys, fields, masks, facts):
                yield key is not None, 1, _without(rest, step.field)
        elif isinstance(step, (does.Assign, does.AssignFromTable)):
            yield True, 0, _without(facts, step.field)
        elif isinstance(step, does.SetUpdate):
            yield True, 1, facts
        else:
            yield True, 0, facts

    def _test(self, test: PureTest, facts: Facts) -> Iterator[_Branch]:
        if isinstance(test, FieldTest):
            yield from _field_test(self, test, facts)
        elif isinstance(test, MemberTest):
            named = self._sets[test.set_name]
            if test.dynamic or named.dynamic:
                yield True, 1, facts
                yield False, 1, facts
                return
            keys = tuple(element.key for element in named.elements)
            fields, masks = [part.field for part in test.key], [part.mask for part in test.key]
            if any(self._there(asked, facts) is False for asked in fields):
                yield False, 1, facts
                return
            inside: dict[object, list[Facts]] = {True: [], False: []}
            for key, rest in self._keys(("set", test.set_name), keys, fields, masks, facts):
                inside[key is not None].append(rest)
            yield from ((True is test.inside, 1, rest) for rest in _joined(inside[True], fields, facts))
            yield from ((False is test.inside, 1, rest) for rest in inside[False])
        elif isinstance(test, AnyOf):
            yield from self._any_of(test.branches, 0, facts)
        else:
            yield True, 0, facts
            yield False, 0, facts

    def _any_of(self, branches: Sequence[tuple[PureTest, ...]], looked_up: int, facts: Facts) -> Iterator[_Branch]:
        if not branches:
            yield False, looked_up, facts
            return
        for held, more, rest in self._steps(branches[0], looked_up, facts):
            if held:
                yield True, more, rest
            else:
                yield from self._any_of(branches[1:], more, rest)


def _field_test(ways: Ways, test: FieldTest, facts: Facts) -> Iterator[_Branch]:
    if ways._there(test.field, facts) is False:
        yield False, 0, facts
        return
    looked_up = int(is_set(test))
    fact = facts.get(test.field)
    yes = test.values if fact is None else meet(fact, test.values)
    no = test.values.complement() if fact is None else meet(fact, test.values.complement())
    if not no.is_empty:
        yield False, looked_up, {**facts, test.field: no}
    if not yes.is_empty:
        yield True, looked_up, {**facts, test.field: yes}


def _joined(found: list[Facts], fields: Sequence[Field], facts: Facts) -> Iterator[Facts]:
    """Yield what is known in each case, cases that differ in one field only as one."""
    if len(found) < 2:
        yield from found
        return
    open_fields = [asked for asked in fields if not _is_one(facts.get(asked))]
    if len(open_fields) != 1:
        yield from found
        return
    asked = open_fields[0]
    if asked not in found[0]:
        # under a mask nothing is known of the value
        yield facts
        return
    values: Any = found[0][asked]
    for other in found[1:]:
        values = values.union(other[asked])
    yield {**facts, asked: values}


def _without(facts: Facts, asked: Field) -> Facts:
    return {other: values for other, values in facts.items() if other is not asked}


def _is_one(values: ValueSet | None) -> bool:
    if isinstance(values, IntervalSet):
        return values.only is not None
    if isinstance(values, NameSet):
        return len(values.patterns) == 1 and not values.by_default and not values.patterns[0].is_prefix
    return False


def _is_for_logs(chain: Chain) -> bool:
    logs = [any(isinstance(step, Log) for step in rule.steps) for rule in chain.rules]
    return any(logs) and all(log or not rule.steps for log, rule in zip(logs, chain.rules, strict=True))


def _leads_to_logs(rule: Rule, maps: Mapping[str, Any], only_logs: Collection[str]) -> bool:
    """Tell whether a rule logs, or does nothing but look up the port's log rules."""
    verdict = rule.verdict
    if isinstance(verdict, verdicts.Dispatch):
        values = [element.value for element in maps[verdict.map_name].elements]
        return all(isinstance(value, (verdicts.Jump, verdicts.Goto)) and value.chain in only_logs for value in values)
    return any(isinstance(step, Log) for step in rule.steps)


# --- a packet that takes the way ---


def packet_of(facts: Facts) -> dict[Field, int | str]:
    """Return a packet of which so much is known."""
    found: dict[Field, int | str] = {known.CT_MARK: 0, known.MARK: 0, known.SPORT: 40000, known.DPORT: 40001}
    found |= {known.IP_SADDR: 0x0A636363, known.IP_DADDR: 0x0A636364, known.IP_TOS: 0, known.TCP_FLAGS: 2}
    for asked in (known.ICMP_TYPE, FIELDS["icmp.code"], FIELDS.get("icmpv6.type"), FIELDS.get("icmpv6.code")):
        if asked is not None:
            found[asked] = 200
    for name in ("ip6.saddr", "ip6.daddr"):
        if name in FIELDS:
            found[FIELDS[name]] = 0x20010DB8 << 96 | 0x77
    for asked, values in facts.items():
        value = found.get(asked)
        if value is None or value not in values:  # type: ignore[operator]
            found[asked] = _some(values)
    return found


def _some(values: ValueSet) -> int | str:
    if isinstance(values, IntervalSet):
        return values.ranges[0][0]
    if isinstance(values, BitSet):
        return values.cubes[0][1]
    return next((p.text for p in values.patterns if not p.is_prefix), "port0") if not values.by_default else "port0"


def steps_of(table: Table, visits: Sequence[Visit], packet: Mapping[Field, int | str]) -> int:
    """Return the steps of one packet over a path of hooks, as the concrete evaluator counts them; log rules count as well."""
    total, values = 0, dict(packet)
    maps = {item.name: item for item in table.maps}
    only_logs = {chain.name for chain in table.chains if _is_for_logs(chain)}
    for visit in visits:
        values |= {known.IIFNAME: visit.iif, known.OIFNAME: visit.oif}
        outcome = evaluate(
            Ruleset((table,)), HookVisit(Family.BRIDGE, visit.hook), Packet(values), lambda _unknown: True
        )
        total += sum(
            max(passed.lookups, 1)
            for passed in outcome.trace
            if not _leads_to_logs(passed.rule, maps, only_logs) and not _is_for_logs(passed.chain)
        )
        values = dict(outcome.values)
        if outcome.decision is not Decision.ACCEPT:
            break
    return total


def between(sender: str, receiver: str) -> tuple[Visit, ...]:
    """Return the hooks of a packet between ports of one bridge."""
    return (
        Visit(Hook.PREROUTING, sender, ""),
        Visit(Hook.FORWARD, sender, receiver),
        Visit(Hook.POSTROUTING, "", receiver),
    )


def over_firewall_bridges(sender: str, receiver: str) -> tuple[Visit, ...]:
    """Return the hooks of a packet between guests with firewall bridges: three bridges, three hooks each."""
    out, back = sender.replace("tap", "").replace("veth", ""), receiver.replace("tap", "").replace("veth", "")
    ends = ((sender, f"fwln{out}"), (f"fwpr{out}", f"fwpr{back}"), (f"fwln{back}", receiver))
    return tuple(visit for pair in ends for visit in between(*pair))
