"""Packets for rulesets: at every boundary that a rule names, led to a rule, or random; and outcomes made comparable."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.walk import fields_read, flat_steps, map_names, map_targets
from fwtrans.semantics.domain import POSSIBLE, contradictions, fixed_values
from fwtrans.semantics.packet import Packet
from fwtrans.semantics.visible import visible

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping
    from random import Random

    from fwtrans.ir.match import KeyPart, ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Hook, Ruleset, Table
    from fwtrans.ir.sets import Part
    from fwtrans.semantics.concrete import Outcome
    from fwtrans.semantics.packet import HookVisit

Boundaries = dict[Field, tuple[int | str, ...]]
Wishes = dict[Field, "ValueSet"]

# A field that rules copy from or write, and no rule tests.
_USUAL = {known.IP_TTL: (1, 64), known.IP6_HOPLIMIT: (1, 64), known.PACKET_LENGTH: (40, 60, 1500)}
_ALWAYS = (known.L4PROTO, known.HAS_TRANSPORT, known.HAS_CONNTRACK, known.CT_STATE)


# --- boundaries ------------------------------------------------------------------------------------------------------


def boundaries(*rulesets: Ruleset) -> Boundaries:
    """Return for each field that a ruleset looks at or writes the ends of all sets of values, and their neighbours."""
    found: dict[Field, set[int | str]] = {field: set() for field in _ALWAYS}
    for ruleset in rulesets:
        for table in ruleset.tables:
            for field, values in _asked(table):
                _with_needed(found, field)
                found[field].update(values)
    return {field: tuple(sorted(_fitting(field, values), key=str)) for field, values in found.items()}


def _asked(table: Table) -> Iterator[tuple[Field, Iterable[int | str]]]:
    for chain in table.chains:
        for rule in chain.rules:
            yield from ((field, ()) for field in fields_read(rule))
            for step in flat_steps(rule.steps):
                if isinstance(step, FieldTest):
                    yield step.field, _ends(step.values)
                elif isinstance(step, MemberTest):
                    yield from _set_ends(table, step)
                elif isinstance(step, (does.Assign, does.AssignFromMap, does.AssignFromTable)):
                    yield step.field, ()


def _set_ends(table: Table, test: MemberTest) -> Iterator[tuple[Field, Iterable[int | str]]]:
    for named in table.sets:
        if named.name == test.set_name:
            for element in named.elements:
                for part, key in zip(element.key, test.key, strict=True):
                    yield key.field, _part_ends(part)


def _part_ends(part: Part) -> Iterator[int | str]:
    if isinstance(part, NamePattern):
        yield from (part.text, f"{part.text}9")
    else:
        yield from (part[0] - 1, part[0], part[1], part[1] + 1)


def _ends(values: ValueSet) -> Iterator[int | str]:
    if isinstance(values, IntervalSet):
        for low, high in values.ranges:
            yield from (low - 1, low, high, high + 1)
    elif isinstance(values, BitSet):
        for mask, value in values.cubes:
            yield from (value, value | ~mask & (1 << values.width) - 1)
            yield from (value ^ 1 << bit for bit in range(values.width) if mask >> bit & 1)
    else:
        for pattern in values.patterns:
            yield from (pattern.text, f"{pattern.text}9")


def _with_needed(found: dict[Field, set[int | str]], field: Field) -> None:
    if field not in found:
        found[field] = set()
        for name, value in field.requires:
            _with_needed(found, FIELDS[name])
            found[FIELDS[name]].update((value, value + 1))


def _fitting(field: Field, values: set[int | str]) -> set[int | str]:
    if field.kind is FieldKind.NAME:
        return {*(text for text in values if isinstance(text, str) and len(text) <= 15), "zz0", ""}
    last = (1 << field.width) - 1
    possible = POSSIBLE.get(field, IntervalSet.full(field.width))
    usual = _USUAL.get(field, (0, 1)) if field.width <= 8 or len(values) < 4 else (0, last)
    if field is known.CT_STATE:
        usual = (0, 1, 2, 3, 4)
    if field is known.L4PROTO:
        usual = (6, 17, 1, 58, 200)
    return {value for value in (*values, *usual) if isinstance(value, int) and 0 <= value <= last and value in possible}


# --- packets ---------------------------------------------------------------------------------------------------------


def random_packet(
    source: Random, visit: HookVisit, bounds: Boundaries, wishes: Wishes, *, whole: bool = False
) -> Packet | None:
    """Return a possible packet, well formed, whose fields are boundaries, with the wishes granted where that can be; None if hard to find."""
    for attempt in range(20):
        values = {field: source.choice(choices) for field, choices in bounds.items()}
        if attempt < 15:
            for field, wanted in wishes.items():
                value = _one_of(source, wanted, bounds.get(field, ()))
                if value is not None:
                    values[field] = value
        packet = settled(source, visit, values, whole=whole)
        if packet is not None:
            return packet
    return None


def settled(source: Random, visit: HookVisit, values: dict[Field, int | str], *, whole: bool = False) -> Packet | None:
    """Return the values as a possible packet of the visit, what depends on others put right; None where it cannot be."""
    values |= {
        field: value for field, value in fixed_values(visit).items() if field in values or field is known.NFPROTO
    }
    tracked = values[known.CT_STATE] in {1, 2, 3}
    values[known.HAS_CONNTRACK] = int(tracked)
    if values[known.CT_STATE] == 3 and known.CT_DIRECTION in values:
        values[known.CT_DIRECTION] = 0
    if isinstance(fragment := values.get(known.IP_FRAGMENT), int):
        values[known.HAS_TRANSPORT] = int(not fragment & 0x1FFF)
    for field, other_way in ((known.IIFNAME, _NO_IIF), (known.OIFNAME, _NO_OIF)):
        if values.get(field) == "" and visit.hook.value not in other_way:
            values[field] = "zz0"
    _settle_ports(source, values)
    there = {field: value for field, value in values.items() if _is_there(field, values)}
    packet = Packet(there)
    return None if contradictions(visit, packet, malformed=False, whole=whole) else packet


_NO_IIF, _NO_OIF = {"output", "postrouting"}, {"ingress", "prerouting", "input"}


def _settle_ports(source: Random, values: dict[Field, int | str]) -> None:
    """Give a bridged packet two ports and any other no port out."""
    if known.PORT_OUT in values or known.BRIDGED in values:
        values.setdefault(known.PORT_IN, "")
        bridged = (
            values.get(known.PORT_OUT, "x") != "" and values.get(known.BRIDGED) != 0 and values[known.PORT_IN] != ""
        )
        bridged = bridged and source.random() < 0.9
        values[known.BRIDGED] = int(bridged)
        values[known.PORT_OUT] = values.get(known.PORT_OUT) or "zz1" if bridged else ""


def _is_there(field: Field, values: Mapping[Field, int | str]) -> bool:
    return all(
        values.get(FIELDS[name]) == needed and _is_there(FIELDS[name], values) for name, needed in field.requires
    )


def _one_of(source: Random, wanted: ValueSet, known_values: tuple[int | str, ...]) -> int | str | None:
    fitting = [value for value in known_values if value in wanted]  # type: ignore[operator]
    if fitting:
        return source.choice(fitting)
    if isinstance(wanted, IntervalSet):
        return wanted.ranges[0][0] if wanted.ranges else None
    if isinstance(wanted, BitSet):
        return wanted.cubes[0][1] if wanted.cubes else None
    return next((text for pattern in wanted.patterns if (text := pattern.text) in wanted), None)


# --- led to a rule ---------------------------------------------------------------------------------------------------


class Ways:
    """How packets come to a rule: from which rules chains are jumped to."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._callers: dict[tuple[int, str], list[tuple[str, Rule]]] = defaultdict(list)
        self._tables = ruleset.tables
        for at, table in enumerate(ruleset.tables):
            for chain in table.chains:
                for rule in chain.rules:
                    targets = {
                        *chain_targets_of(rule),
                        *(t for name in map_names(rule) for t in map_targets(table, name)),
                    }
                    for target in targets:
                        self._callers[at, target].append((chain.name, rule))

    def wishes(self, source: Random, at: int, chain: str, rule: Rule | None) -> tuple[Wishes, str]:
        """Return what a packet must have on a random way to a rule, and the base chain where that begins."""
        wishes: Wishes = {}
        table = self._tables[at]
        for _ in range(20):
            if rule is not None:
                self._wish(source, table, rule.steps, wishes)
            callers = self._callers[at, chain]
            if not callers:
                break
            chain, rule = source.choice(callers)
        return wishes, chain

    def hooks(self, at: int, chain: str) -> set[Hook]:
        """Return the hooks whose packets may come through a chain."""
        waiting, known_chains = [chain], {chain}
        found: set[Hook] = set()
        while waiting:
            name = waiting.pop()
            base = next(item.base for item in self._tables[at].chains if item.name == name)
            if base is not None:
                found.add(base.hook)
            callers = {caller for caller, _ in self._callers[at, name]} - known_chains
            known_chains |= callers
            waiting.extend(callers)
        return found

    def _wish(self, source: Random, table: Table, steps: Iterable[Step], wishes: Wishes) -> None:
        for step in steps:
            if isinstance(step, AnyOf):
                self._wish(source, table, source.choice(step.branches), wishes)
            elif isinstance(step, FieldTest):
                self._want(wishes, step.field, step.values)
            elif isinstance(step, MemberTest) and step.inside and not step.dynamic:
                named = next(item for item in table.sets if item.name == step.set_name)
                if named.elements:
                    for part, key in zip(source.choice(named.elements).key, step.key, strict=True):
                        self._want(wishes, key.field, _as_set(part, key))

    def _want(self, wishes: Wishes, field: Field, values: ValueSet) -> None:
        wishes[field] = values.intersection(wishes[field]) if field in wishes else values  # type: ignore[arg-type]
        for name, needed in field.requires:
            need = FIELDS[name]
            self._want(
                wishes,
                need,
                BitSet.exact(need.width, needed)
                if need.kind is FieldKind.BITS
                else IntervalSet.single(need.width, needed),
            )


def chain_targets_of(rule: Rule) -> Iterator[str]:
    target = getattr(rule.verdict, "chain", None)
    if target is not None:
        yield target


def _as_set(part: Part, key: KeyPart) -> ValueSet:
    if isinstance(part, NamePattern):
        return NameSet.of((part,))
    if key.field.kind is FieldKind.BITS:
        return BitSet.from_range(key.field.width, *part)
    return IntervalSet.of(key.field.width, (part,))


# --- outcomes --------------------------------------------------------------------------------------------------------


def seen(outcome: Outcome, packet: Packet, family: Family, *, by_name: bool) -> Hashable:
    """Return what can be seen of an outcome; objects and sets count by what they are unless `by_name`."""
    shown = visible(outcome, packet, family)
    fields = frozenset((field, value) for field, value in shown.fields.items() if value != packet.values.get(field))
    streams: Counter[Hashable] = Counter()
    for (kind, name), contents in shown.streams.items():
        if kind == "touch":
            objects = [effect[1] for effect in outcome.effects if isinstance(effect, tuple) and effect[0] == "touch"]
            what = next(item.kind for item in objects if item.identity == name)
            streams[kind, name if by_name else "", what, contents] += 1
        elif kind == "set":
            streams[kind, name if by_name else "", tuple(_update(item, by_name=by_name) for item in contents)] += 1
        else:
            streams[kind, name, contents] += 1
    return shown.verdict, fields, frozenset(streams.items())


def _update(item: object, *, by_name: bool) -> Hashable:
    assert isinstance(item, does.SetUpdate)
    return item if by_name else (item.key, item.operation, item.timeout)
