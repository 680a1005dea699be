"""Mistakes that rulesets made by other translators, or by hand, often hold: each loads, and does not do what it says.

Every finding is a rule or chain that stands so in the ruleset, with what it does instead. What can be decided by the packets
that get there (ARP that has no connection) is; the rest is told by its form.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Reject
from fwtrans.ir.walk import flat_steps
from fwtrans.semantics.bridged.topology import ACCEPT_MARK_CHAIN
from fwtrans.semantics.domain import ARP_PROTOCOL, fixed_values
from fwtrans.semantics.outcome import Place
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.side import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.source import SourceFile

_CONNTRACK_PRIORITY = -200
_INVALID = 0
_NOT_TRANSLATED = re.compile(r"\s*#\s*(?:(?:ip6?tables|ebtables)\s+)?(?:-t \S+ )?-[AI] [A-Za-z0-9_.-]+ ")
_NEGATED_PORTS = re.compile(r"!\s*--(?:(?:source|destination)-ports?|[ds]?ports?)\s")
# Tests that ARP does not pass, whatever they ask for.
_NOT_ARP = ("ip.", "ip6.", "th.", "tcp.", "udp.", "icmp.", "icmp6.", "l4proto")


class MistakeKind(Enum):
    """What is wrong, as a short name."""

    NO_INTERFACE = "interface that is never there"
    FLAG_VALUES = "flags compared as exact values"
    LOST_NEGATION = "lost negation"
    BEFORE_TRACKING = "state asked before it is known"
    ARP_IS_INVALID = "ARP counts as invalid"
    FAILS_OPEN = "priority that fails open"
    LEFT_OUT = "rule left as a comment"
    MARK_LEAK = "mark leak"


class Mistake(NamedTuple):
    """One mistake: where, and what happens instead of what is meant."""

    kind: MistakeKind
    place: Place
    text: str


def mistakes(ruleset: Ruleset) -> tuple[Mistake, ...]:
    """Return the known mistakes in a ruleset."""
    return tuple(_found(ruleset))


def left_out(source: SourceFile) -> Iterator[int]:
    """Yield the lines of an nft text that hold an iptables rule as a comment: other translators leave what they cannot."""
    for number, line in enumerate(source.lines, 1):
        if _NOT_TRANSLATED.match(line):
            yield number


def _found(ruleset: Ruleset) -> Iterator[Mistake]:
    for table in ruleset.tables:
        reaching = _hooks(table)
        with_arp = _chains_with_arp(table)
        for chain in table.chains:
            yield from _fails_open(table, chain)
            for number, rule in enumerate(chain.rules):
                place = Place(table_name(table), chain.name, number, rule.origins)
                for kind, text in _of_rule(table, chain, rule, reaching.get(chain.name, set())):
                    yield Mistake(kind, place, text)
                if chain.name in with_arp and _drops_arp(chain, rule):
                    yield Mistake(MistakeKind.ARP_IS_INVALID, place, _ARP_IS_INVALID)
        yield from _mark_leak(table)


def _hooks(table: Table) -> dict[str, set[tuple[Hook, int]]]:
    """Return for each chain the hooks, with their priorities, that a packet can get to it from."""
    found: dict[str, set[tuple[Hook, int]]] = {}
    calls = {chain.name: set(_called(table, chain)) for chain in table.chains}
    for chain in table.chains:
        if chain.base is None:
            continue
        waiting, seen = [chain.name], {chain.name}
        while waiting:
            name = waiting.pop()
            found.setdefault(name, set()).add((chain.base.hook, chain.base.priority))
            new = calls.get(name, set()) - seen
            seen |= new
            waiting.extend(new)
    return found


def _called(table: Table, chain: Chain) -> Iterator[str]:
    maps = {item.name: item for item in table.maps}
    for rule in chain.rules:
        name = getattr(rule.verdict, "chain", None)
        if name is not None:
            yield name
        mapping = maps.get(getattr(rule.verdict, "map_name", ""))
        for element in mapping.elements if mapping is not None else ():
            called = getattr(element.value, "chain", None)
            if called is not None:
                yield called


def _of_rule(table: Table, chain: Chain, rule: Rule, hooks: set[tuple[Hook, int]]) -> Iterator[tuple[MistakeKind, str]]:
    for step in flat_steps(rule.steps):
        if not isinstance(step, FieldTest):
            continue
        if hooks and all(_is_never_there(table.family, step, hook) for hook, _ in hooks):
            where = " and ".join(sorted({hook.value for hook, _ in hooks}))
            yield MistakeKind.NO_INTERFACE, f"no packet has {step.field.name} at {where}: the rule never matches"
        if _is_list_of_flags(step):
            yield (
                MistakeKind.FLAG_VALUES,
                f"{step.field.name} has to be exactly one of the values: a packet with two of the flags matches none of them",
            )
        if step.field.name.startswith("ct.") and hooks and all(_is_early(hook, priority) for hook, priority in hooks):
            yield (
                MistakeKind.BEFORE_TRACKING,
                f"chain {chain.name} runs before connection tracking: {step.field.name} is not known there, so that what it denies passes",
            )
    if _NEGATED_PORTS.search(rule.comment) and not _has_negated_port(rule):
        yield MistakeKind.LOST_NEGATION, "its comment negates ports, the rule does not"


def _is_never_there(family: Family, step: FieldTest, hook: Hook) -> bool:
    # what an inet table says holds for both families alike
    visit = HookVisit(Family.IP if family is Family.INET else family, hook)
    value = fixed_values(visit).get(step.field)
    return value == "" and isinstance(step.values, NameSet) and "" not in step.values


def _is_list_of_flags(step: FieldTest) -> bool:
    if step.field.kind is not FieldKind.BITS or not step.field.symbols or not isinstance(step.values, BitSet):
        return False
    ones = (1 << step.field.width) - 1
    cubes = step.values.cubes
    return len(cubes) > 1 and all(mask == ones and value and not value & (value - 1) for mask, value in cubes)


def _is_early(hook: Hook, priority: int) -> bool:
    return hook in {Hook.PREROUTING, Hook.OUTPUT} and priority <= _CONNTRACK_PRIORITY


def _has_negated_port(rule: Rule) -> bool:
    ports = [
        step.values
        for step in flat_steps(rule.steps)
        if isinstance(step, FieldTest) and step.field in {known.DPORT, known.SPORT}
    ]
    return any(isinstance(values, IntervalSet) and values.size > (1 << values.width) // 2 for values in ports)


def _fails_open(table: Table, chain: Chain) -> Iterator[Mistake]:
    """Tell of a bridge's forward chain at priority 0: where iptables sees bridged packets, kernels before 6.12 pass it by."""
    base = chain.base
    if (
        table.family is Family.BRIDGE
        and base is not None
        and base.hook is Hook.FORWARD
        and base.priority == 0
        and _denies(table)
    ):
        text = "at priority 0 the chain sees no IPv4 where net.bridge.bridge-nf-call-iptables is 1 (kernel 6.1): everything passes; any other priority does"
        origins = (chain.origin,) if chain.origin is not None else ()
        yield Mistake(MistakeKind.FAILS_OPEN, Place(table_name(table), chain.name, -1, origins), text)


def _denies(table: Table) -> bool:
    return any(not chain.base.accepts for chain in table.chains if chain.base is not None) or any(
        isinstance(rule.verdict, (Drop, Reject)) for chain in table.chains for rule in chain.rules
    )


def _chains_with_arp(table: Table) -> set[str]:
    """Return the chains of a bridge table that ARP can get to: a jump or a map may be for IP only."""
    if table.family is not Family.BRIDGE:
        return set()
    chains = {chain.name: chain for chain in table.chains}
    waiting = [chain.name for chain in table.chains if chain.base is not None]
    seen = set(waiting)
    while waiting:
        for rule in chains[waiting.pop()].rules:
            if not _takes_arp([step for step in rule.steps if isinstance(step, FieldTest)]):
                continue
            new = {name for name in _called_with_arp(table, rule) if name in chains} - seen
            seen |= new
            waiting.extend(new)
    return seen


def _called_with_arp(table: Table, rule: Rule) -> Iterator[str]:
    if not isinstance(rule.verdict, Dispatch):
        yield getattr(rule.verdict, "chain", "")
        return
    mapping = next((item for item in table.maps if item.name == rule.verdict.map_name), None)
    fields = [part.field for part in rule.verdict.key]
    if mapping is None or any(field is known.NFPROTO or field.name.startswith(_NOT_ARP) for field in fields):
        return
    for element in mapping.elements:
        types = [part for field, part in zip(fields, element.key, strict=True) if field in _TYPES]
        if all(not isinstance(part, tuple) or _holds_arp(part) for part in types):
            yield getattr(element.value, "chain", "")


def _holds_arp(part: object) -> bool:
    """Tell whether a range of ether types holds ARP's."""
    return isinstance(part, tuple) and len(part) == 2 and part[0] <= ARP_PROTOCOL <= part[1]


def _drops_arp(chain: Chain, rule: Rule) -> bool:
    """Tell whether a bridge rule denies what is invalid, ARP included."""
    if not isinstance(rule.verdict, (Drop, Reject)):
        return False
    tests = [step for step in rule.steps if isinstance(step, FieldTest)]
    states = [step.values for step in tests if step.field is known.CT_STATE]
    if not any(isinstance(values, IntervalSet) and _INVALID in values for values in states) or not _takes_arp(tests):
        return False
    earlier = chain.rules[: chain.rules.index(rule)]
    return not any(
        isinstance(before.verdict, Accept) and _takes_arp([step for step in before.steps if isinstance(step, FieldTest)])
        and all(isinstance(step, FieldTest) and step.field in _TYPES for step in before.steps)
        for before in earlier
    )  # fmt: skip


_ARP_IS_INVALID = "ARP has no connection and counts as invalid: without `meta protocol ip` (or ip6) the rule denies it, and neighbours are not found"
_TYPES = (known.ETHER_TYPE, known.ETHER_PROTOCOL)


def _takes_arp(tests: list[FieldTest]) -> bool:
    for test in tests:
        if test.field in _TYPES and isinstance(test.values, IntervalSet) and ARP_PROTOCOL not in test.values:
            return False
        if test.field is known.NFPROTO or test.field.name.startswith(_NOT_ARP):
            return False
    return True


def _mark_leak(table: Table) -> Iterator[Mistake]:
    """Yield the node's rules that trust PVE's accept mark without having cleared it: a guest's rules may have set it."""
    setting = table.chain(ACCEPT_MARK_CHAIN)
    host = table.chain("PVEFW-HOST-IN")
    if setting is None or host is None:
        return
    for number, rule in enumerate(host.rules):
        writes = any(isinstance(step, Assign) and step.field is known.MARK for step in rule.steps)
        called = table.chain(getattr(rule.verdict, "chain", ""))
        first = called.rules[0].steps if called is not None and called.rules and not rule.steps else ()
        if writes or any(isinstance(step, Assign) and step.field is known.MARK for step in first):
            return
        if any(isinstance(step, FieldTest) and step.field is known.MARK for step in rule.steps):
            text = "the mark may be a guest's: what the guest's own rules accepted passes the node's rules"
            yield Mistake(MistakeKind.MARK_LEAK, Place(table_name(table), host.name, number, rule.origins), text)
            return
