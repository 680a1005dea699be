"""One packet through one hook: slow, obvious, and sharing no code with the symbolic evaluation that it checks.

Input: a ruleset, a hook visit, a packet, and somebody who answers what the packet cannot (`Unknown`). Output: the
verdict, the effects in order, the rules passed, and what it cost. What is taken for granted about the IR stands in
packet.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import CT_STATE, FIELDS, HAS_CONNTRACK, MARK, Family, Field
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest, OpaqueTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.semantics.packet import Unknown, UnknownKind, set_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapValue, NamedMap, NamedSet, Part
    from fwtrans.semantics.packet import HookVisit, Packet

# iptables' kernel part refuses deeper nesting, and so does nftables' (NFT_JUMP_STACK_SIZE).
MOST_NESTED = 16

_STATE_NEW, _STATE_RELATED, _STATE_UNTRACKED = 3, 2, 4

_FAMILIES = {
    Family.IP: {Family.IP, Family.INET},
    Family.IP6: {Family.IP6, Family.INET},
    Family.ARP: {Family.ARP},
    Family.BRIDGE: {Family.BRIDGE},
    Family.NETDEV: {Family.NETDEV},
}


class Decision(Enum):
    """How a visit ends."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    PROXY = "synproxy"


class Passed(NamedTuple):
    """A rule that was looked at: where it stands, whether it held, and how many look-ups it took."""

    table: Table
    chain: Chain
    number: int
    held: bool
    lookups: int

    @property
    def rule(self) -> Rule:
        """Return the rule itself."""
        return self.chain.rules[self.number]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the packet. `effects` are in order and hold reject and queue verdicts too.

    An update of a set tells the set by its name with its table (`set_identity`).
    """

    decision: Decision
    effects: tuple[object, ...]
    values: dict[Field, int | str]
    trace: tuple[Passed, ...]
    decided_by: Passed | None

    @property
    def rules_evaluated(self) -> int:
        """Return how many rules were looked at."""
        return len(self.trace)

    @property
    def lookups(self) -> int:
        """Return how many look-ups in sets and maps were made."""
        return sum(passed.lookups for passed in self.trace)

    @property
    def steps(self) -> int:
        """Return the cost: each rule counts the look-ups it does, and at least one."""
        return sum(max(passed.lookups, 1) for passed in self.trace)


def evaluate(
    ruleset: Ruleset, visit: HookVisit, packet: Packet, answer: Callable[[Unknown], bool] = lambda _unknown: False
) -> Outcome:
    """Return what the ruleset's base chains at this hook do to the packet."""
    return _Run(ruleset, visit, dict(packet.values), answer).run()


class _Stop(Exception):  # noqa: N818 -- leaves a base chain from any depth
    def __init__(self, verdict: verdicts.Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class _Break(Exception):  # noqa: N818 -- nftables' NFT_BREAK: this rule ends, the next one goes on
    pass


@dataclass(slots=True)
class _Run:
    ruleset: Ruleset
    visit: HookVisit
    values: dict[Field, int | str]
    answer: Callable[[Unknown], bool]
    effects: list[object] = field(default_factory=list)
    trace: list[Passed] = field(default_factory=list)
    translated: bool = False
    touches: dict[tuple[object, ...], int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    lookups: int = 0
    last: Passed | None = None

    def run(self) -> Outcome:
        for table, chain in self._base_chains():
            if chain.base is not None and chain.base.kind == "nat" and not self._sees_nat():
                continue
            decision = self._base_chain(table, chain)
            if decision is not Decision.ACCEPT:
                return self._outcome(decision)
        return self._outcome(Decision.ACCEPT)

    def _outcome(self, decision: Decision) -> Outcome:
        return Outcome(decision, tuple(self.effects), self.values, tuple(self.trace), self.last)

    def _base_chains(self) -> list[tuple[Table, Chain]]:
        found: list[tuple[int, Table, Chain]] = []
        for table in self.ruleset.tables:
            if table.family not in _FAMILIES[self.visit.family]:
                continue
            for chain in table.chains:
                base = chain.base
                if base is None or base.hook is not self.visit.hook:
                    continue
                if base.device and base.device != self.visit.device:
                    continue
                found.append((base.priority, table, chain))
        return [(table, chain) for _, table, chain in sorted(found, key=lambda item: item[0])]

    def _sees_nat(self) -> bool:
        tracked = self.values.get(HAS_CONNTRACK) == 1
        return tracked and not self.translated and self.values.get(CT_STATE) in {_STATE_NEW, _STATE_RELATED}

    def _base_chain(self, table: Table, chain: Chain) -> Decision:
        self.last = None
        try:
            self._chain(table, chain, 0)
        except _Stop as stop:
            return self._end(stop.verdict)
        assert chain.base is not None  # noqa: S101 -- only base chains come here
        if not chain.base.accepts:
            self.last = None
            return Decision.DROP
        return Decision.ACCEPT

    def _end(self, verdict: verdicts.Verdict) -> Decision:
        if isinstance(verdict, verdicts.Accept):
            return Decision.ACCEPT
        if isinstance(verdict, verdicts.Drop):
            return Decision.DROP
        self.effects.append(verdict)
        if isinstance(verdict, verdicts.Reject):
            return Decision.REJECT
        if isinstance(verdict, verdicts.SynProxy):
            return Decision.PROXY
        if isinstance(verdict, verdicts.TransparentProxy):
            self._assign(does.Assign(MARK, verdict.mark_keep, verdict.mark_constant))
        return Decision.ACCEPT

    def _chain(self, table: Table, chain: Chain, depth: int) -> None:
        """Go through a chain; come back at its end or its return, leave by _Stop."""
        if depth > MOST_NESTED:
            message = f"chain {chain.name}: more than {MOST_NESTED} nested jumps"
            raise RecursionError(message)
        for number, rule in enumerate(chain.rules):
            self.lookups = 0
            held, verdict = self._rule(table, rule)
            self.trace.append(Passed(table, chain, number, held, self.lookups))
            if verdict is None:
                continue
            self.last = self.trace[-1]
            if isinstance(verdict, verdicts.Return):
                return
            if isinstance(verdict, verdicts.Jump):
                self._chain(table, self._target(table, verdict.chain), depth + 1)
            elif isinstance(verdict, verdicts.Goto):
                self._chain(table, self._target(table, verdict.chain), depth)
                return
            else:
                raise _Stop(verdict)

    def _target(self, table: Table, name: str) -> Chain:
        found = table.chain(name)
        if found is None:
            message = f"no chain {name} in table {table.name}"
            raise KeyError(message)
        return found

    def _rule(self, table: Table, rule: Rule) -> tuple[bool, verdicts.Verdict | None]:
        try:
            for step in rule.steps:
                if not self._step(table, step):
                    return False, None
        except _Break:
            return False, None
        verdict = rule.verdict
        if isinstance(verdict, verdicts.Dispatch):
            self.lookups += 1
            return True, self._dispatch(table, verdict)
        return True, verdict

    def _dispatch(self, table: Table, verdict: verdicts.Dispatch) -> verdicts.Verdict | None:
        value = self._looked_up(_map(table, verdict.map_name), verdict.key)
        if value is None:
            return None
        assert not isinstance(value, (int, str, tuple, StatefulTest))  # noqa: S101 -- a verdict map holds verdicts
        return value

    # --- tests ---

    def _step(self, table: Table, step: Step) -> bool:
        if isinstance(step, (FieldTest, MemberTest, OpaqueTest, AnyOf)):
            return self._test(table, step)
        if isinstance(step, StatefulTest):
            return self._stateful(step)
        if isinstance(step, StatefulFromMap):
            self.lookups += 1
            found = self._looked_up(_map(table, step.map_name), step.key)
            return isinstance(found, StatefulTest) and self._stateful(found)
        self._effect(table, step)
        return True

    def _test(self, table: Table, test: PureTest) -> bool:
        if isinstance(test, FieldTest):
            return self._field_test(test)
        if isinstance(test, OpaqueTest):
            return self.answer(Unknown(UnknownKind.OPAQUE, test.identity)) == test.holds
        if isinstance(test, AnyOf):
            return any(all(self._test(table, part) for part in branch) for branch in test.branches)
        return self._member(table, test)

    def _field_test(self, test: FieldTest) -> bool:
        value = self._read(test.field)
        if value is None:
            return False
        self.lookups += _is_set(test)
        if isinstance(test.values, NameSet):
            return str(value) in test.values
        assert isinstance(value, int)  # noqa: S101 -- only name fields hold text
        return value in test.values

    def _read(self, wanted: Field) -> int | str | None:
        """Return the value, None where the field is absent."""
        for name, needed in wanted.requires:
            if self._read(FIELDS[name]) != needed:
                return None
        return self.values.get(wanted)

    def _key(self, key: tuple[KeyPart, ...]) -> tuple[int | str, ...] | None:
        found: list[int | str] = []
        for part in key:
            value = self._read(part.field)
            if value is None:
                return None
            if part.mask is not None:
                assert isinstance(value, int)  # noqa: S101 -- names have no mask
                value &= part.mask
            found.append(value)
        return tuple(found)

    def _member(self, table: Table, test: MemberTest) -> bool:
        self.lookups += 1
        key = self._key(test.key)
        if key is None:
            return False
        if test.dynamic:
            identity = set_identity(table.family, table.name, test.set_name)
            unknown = Unknown(UnknownKind.MEMBER, identity, test.key, self.updates.get(identity, 0))
            return self.answer(unknown) == test.inside
        named = _set(table, test.set_name)
        return any(_fits(element.key, key) for element in named.elements) == test.inside

    def _stateful(self, test: StatefulTest) -> bool:
        if test.key:
            self.lookups += 1
            if self._key(test.key) is None:
                return False
        touched = (test.object.identity,)
        nth = self.touches.get(touched, 0)
        self.touches[touched] = nth + 1
        self.effects.append(("touch", test.object, test.key))
        passes = self.answer(Unknown(UnknownKind.STATEFUL, test.object.identity, test.key, nth))
        return passes != test.over

    def _looked_up(self, mapping: NamedMap, key: tuple[KeyPart, ...]) -> MapValue | None:
        found = self._key(key)
        if found is None:
            return None
        for element in mapping.elements:
            if _fits(element.key, found):
                return element.value
        return None

    # --- effects ---

    def _effect(self, table: Table, step: object) -> None:
        if isinstance(step, does.Count):
            return
        if isinstance(step, does.Assign):
            self._assign(step)
        elif isinstance(step, does.AssignFromTable):
            value = self._read(step.field)
            written = dict(step.table).get(value) if isinstance(value, int) else None
            if written is not None:
                self.values[step.field] = written
        elif isinstance(step, does.AssignFromMap):
            self._assign_from_map(table, step)
        elif isinstance(step, does.NoTrack):
            self.values[CT_STATE] = _STATE_UNTRACKED
            self.values[HAS_CONNTRACK] = 0
        elif isinstance(step, does.Nat):
            self._nat(table, step)
        elif isinstance(step, does.SetUpdate):
            self._set_update(table, step)
        else:
            self.effects.append(step)

    def _assign(self, step: does.Assign) -> None:
        source = 0
        if step.source is not None:
            value = self._read(step.source.field)
            if value is None:
                raise _Break
            assert isinstance(value, int)  # noqa: S101 -- only numbers are assigned
            source = value & step.source.mask
            source = source << step.source.shift if step.source.shift >= 0 else source >> -step.source.shift
        current = self._read(step.field)
        if current is None:
            return
        assert isinstance(current, int)  # noqa: S101 -- only numbers are assigned
        ones = (1 << step.field.width) - 1
        self.values[step.field] = ((current & step.keep) ^ source ^ step.constant) & ones

    def _assign_from_map(self, table: Table, step: does.AssignFromMap) -> None:
        self.lookups += 1
        value = self._looked_up(_map(table, step.map_name), step.key)
        if value is None:
            raise _Break
        if self._read(step.field) is not None:
            assert isinstance(value, int)  # noqa: S101 -- only numbers are assigned
            self.values[step.field] = value

    def _nat(self, table: Table, step: does.Nat) -> None:
        value: object = step
        if step.map_name:
            self.lookups += 1
            looked_up = self._looked_up(_map(table, step.map_name), step.key)
            if looked_up is None:
                raise _Break
            value = (step, looked_up)
            if isinstance(looked_up, int):
                value = does.Nat(step.kind, (looked_up, looked_up), step.ports, step.flags, step.prefix)
        self.effects.append(value)
        self.translated = True

    def _set_update(self, table: Table, step: does.SetUpdate) -> None:
        self.lookups += 1
        if self._key(step.key) is None:
            raise _Break
        identity = set_identity(table.family, table.name, step.set_name)
        self.updates[identity] = self.updates.get(identity, 0) + 1
        self.effects.append(replace(step, set_name=identity))


def _is_set(test: FieldTest) -> bool:
    """Tell whether nftables needs a set for the values: one comparison does not say them. States are bits there."""
    if isinstance(test.values, NameSet):
        return len(test.values.patterns) > 1
    if isinstance(test.values, BitSet):
        return len(test.values.cubes) > 1 and len(test.values.complement().cubes) > 1
    ranges, others = test.values.ranges, test.values.complement().ranges
    return test.field is not CT_STATE and len(ranges) > 1 and len(others) > 1


def _set(table: Table, name: str) -> NamedSet:
    return next(item for item in table.sets if item.name == name)


def _map(table: Table, name: str) -> NamedMap:
    return next(item for item in table.maps if item.name == name)


def _fits(parts: tuple[Part, ...], key: tuple[int | str, ...]) -> bool:
    return all(_part_fits(part, value) for part, value in zip(parts, key, strict=True))


def _part_fits(part: Part, value: int | str) -> bool:
    if isinstance(part, NamePattern):
        return str(value).startswith(part.text) if part.is_prefix else value == part.text
    assert isinstance(value, int)  # noqa: S101 -- number dimensions hold numbers
    return part[0] <= value <= part[1]


def held_rules(outcome: Outcome) -> Iterator[Passed]:
    """Yield the rules that held, in order: what a trace shows a person first."""
    return (passed for passed in outcome.trace if passed.held)
