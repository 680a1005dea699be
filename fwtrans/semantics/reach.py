"""Which packets get to each rule of a ruleset, at one hook visit, as the packets are when they get there.

A rule's packets are told by the fields as they stand in front of the rule: what a mark was before a rule has written it is
forgotten, and so is what a limit has answered once it is charged again. Where several ways lead to a chain, its packets are
those of all of them together. Whatever is not followed exactly makes a set larger, never smaller: where a set is empty, no
packet gets there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.semantics.packet import UnknownKind
from fwtrans.semantics.program import Call, Choice, CompiledRule
from fwtrans.semantics.symbolic import NAT_TESTS
from fwtrans.semantics.variables import Slot
from fwtrans.semantics.visits import base_chains

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.session import Session
    from fwtrans.semantics.summary import Bits, Summary

# More ways to write fields than this at one rule, and what the fields were is forgotten.
_MOST_PARTS = 32


class Site(NamedTuple):
    """A rule that leads to a chain: the chain it stands in and its number, with the packets that its tests ask for."""

    chain: str
    number: int
    asked: Node


@dataclass(slots=True)
class Walked:
    """A chain, the numbers of its rules, the packets in front of each rule and behind the last, and who leads here."""

    table: Table
    chain: Chain
    rules: tuple[int, ...]
    before: list[Node]
    sites: list[Site] = field(default_factory=list)

    @property
    def entered(self) -> Node:
        """Return the packets that get to the chain."""
        return self.before[0]


def walked(session: Session, visit: HookVisit) -> list[Walked]:
    """Return the chains that base chains of a visit lead to, callers before those they call."""
    return _Walk(session, visit).run()


class Tests(NamedTuple):
    """What a rule asks before it does anything, and the steps behind that."""

    asked: Node
    rest: int


class _Walk:
    def __init__(self, session: Session, visit: HookVisit) -> None:
        self._session = session
        self._visit = visit
        self._program = session.program
        self._evaluator = session.evaluator(visit)
        self._bdd = session.bdd
        self._found: dict[tuple[int, str], Walked] = {}

    def run(self) -> list[Walked]:
        starts = self._enter_bases()
        for table in {id(table): table for table, _ in starts}.values():
            chains = {chain.name: chain for chain in table.chains}
            names = [chain.name for owner, chain in starts if owner is table]
            for name in _callers_first(table, chains, names):
                self._chain(table, chains[name])
        return list(self._found.values())

    def _enter_bases(self) -> list[tuple[Table, Chain]]:
        side = self._session.old
        starts = base_chains(side.ruleset, self._visit)
        packets = next(item.possible for item in self._session.compared if item.path.visit == self._visit)
        for (table, chain), base in zip(starts, side.compiled(self._visit), strict=True):
            entering = packets
            if base.kind == "nat":
                entering = packets & self._evaluator.sets.pure(NAT_TESTS[0]) & self._evaluator.sets.pure(NAT_TESTS[1])
            self._arrive(table, chain, entering)
            packets = after(self._session, packets, self._evaluator.visit([base]))
        return starts

    def _arrive(self, table: Table, chain: Chain, packets: Node, site: Site | None = None) -> None:
        found = self._found.get((id(table), chain.name))
        if found is None:
            number = self._session.old.chain_number(table, chain.name)
            rules = self._program.chains.items[number] if number is not None else ()
            found = self._found[id(table), chain.name] = Walked(table, chain, rules, [packets])
        else:
            found.before[0] = found.before[0] | packets
        if site is not None:
            found.sites.append(site)

    def _chain(self, table: Table, chain: Chain) -> None:
        found = self._found[id(table), chain.name]
        packets = found.entered
        for at, (number, rule) in enumerate(zip(found.rules, chain.rules, strict=True)):
            self._calls(table, chain, at, (rule, number), packets)
            packets = after(self._session, packets, self._evaluator.rule(number))
            found.before.append(packets)
        self._bdd.collect()

    def _calls(self, table: Table, chain: Chain, at: int, numbered: tuple[Rule, int], packets: Node) -> None:
        rule, number = numbered
        compiled = self._program.rules.items[number]
        tests = leading(self._session, self._visit, compiled)
        chains = {called: table.chain(called) for called in _targets(table, rule)}
        if not chains:
            return
        steps = compiled.steps[tests.rest :]
        before = steps[:-1] if compiled.verdict is None else steps
        entering = packets & tests.asked
        if before:
            only_steps = self._program.rules.number(CompiledRule(before))
            entering = after(self._session, entering, self._evaluator.rule(only_steps))
        for name, called in chains.items():
            if called is not None:
                some = self._chosen(table, name, compiled)
                self._arrive(table, called, entering & some, Site(chain.name, at, tests.asked & some))

    def _chosen(self, table: Table, name: str, compiled: CompiledRule) -> Node:
        """Return the packets for which a map's element names the chain; all, where the rule itself names it."""
        choice = compiled.steps[-1] if compiled.steps else None
        if not isinstance(choice, Choice) or compiled.verdict is not None:
            return self._bdd.true
        wanted = self._session.old.chain_number(table, name)
        rules = map(self._program.rules.items.__getitem__, choice.rules)
        keys = [
            self._evaluator.sets.node(rule.steps[0])  # type: ignore[arg-type] # an element's key comes first
            for rule in rules
            if isinstance(rule.verdict, Call) and rule.verdict.chain == wanted
        ]
        return self._bdd.any_of(keys)


# --- what packets are behind a rule ---


def after(session: Session, packets: Node, summary: Summary) -> Node:
    """Return the packets that come through, with the fields as they are then."""
    packets = packets & summary.through
    if not summary.changes or packets == session.bdd.false:
        return packets
    return _forgotten(session, _rewritten(session, packets, summary), summary)


def _rewritten(session: Session, packets: Node, summary: Summary) -> Node:
    parts: list[tuple[Node, dict[int, bool]]] = [(packets, {})]
    for target, groups in summary.writes.items():
        for bits in groups:
            numbers = _numbers(session, target, bits)
            parts = [
                (some, {**known, **dict.fromkeys(numbers, value)} if value is not None else known)
                for part, known in parts
                for some, value in (
                    (part & ~bits.written, None),
                    (part & bits.written & bits.ones, True),
                    (part & bits.written & ~bits.ones, False),
                )
                if some != session.bdd.false
            ]
            if len(parts) > _MOST_PARTS:
                return session.bdd.exists(packets, _all_numbers(session, summary))
    return session.bdd.any_of([_holding(session, some, known) for some, known in parts])


def _numbers(session: Session, target: Field, bits: Bits) -> list[int]:
    slots = session.variables.slots
    wanted = (Slot(target, bit) for bit in range(target.width) if bits.mask >> bit & 1)
    return [slots[slot] for slot in wanted if slot in slots]


def _all_numbers(session: Session, summary: Summary) -> set[int]:
    return {
        number
        for target, groups in summary.writes.items()
        for bits in groups
        for number in _numbers(session, target, bits)
    }


def _holding(session: Session, packets: Node, known: dict[int, bool]) -> Node:
    found = session.bdd.exists(packets, known) if known else packets
    for number in sorted(known, reverse=True):
        variable = session.bdd.variables[number]
        found = found & (variable if known[number] else ~variable)
    return found


def _forgotten(session: Session, packets: Node, summary: Summary) -> Node:
    """Return the packets without what is known of answers that may be others when they are asked for again."""
    touched = {str(stream.object) for stream in summary.events if stream.object >= 0}
    numbers = [
        number
        for unknown, number in session.variables.unknowns.items()
        if unknown.kind is not UnknownKind.OPAQUE and (summary.writes or unknown.identity in touched)
    ]
    return session.bdd.exists(packets, numbers) if numbers else packets


def leading(session: Session, visit: HookVisit, compiled: CompiledRule) -> Tests:
    """Return what a rule asks before its first effect; where a map's keys come next, one of them has to be there."""
    sets = session.evaluator(visit).sets
    asked, at = session.bdd.true, 0
    for step in compiled.steps:
        if not isinstance(step, int):
            break
        asked, at = sets.node(step) & asked, at + 1
    following = compiled.steps[at] if at < len(compiled.steps) else None
    if isinstance(following, Choice):
        rules = map(session.program.rules.items.__getitem__, following.rules)
        asked = asked & session.bdd.any_of([sets.node(rule.steps[0]) for rule in rules])  # type: ignore[arg-type]
    return Tests(asked, at)


def changing(session: Session, summary: Summary) -> Node:
    """Return the packets with which a rule does something beside deciding."""
    written = [bits.written for groups in summary.writes.values() for bits in groups]
    reached = [events.reached[0] for events in summary.events.values() if events.reached]
    return session.bdd.any_of([*written, *reached])


def _targets(table: Table, rule: Rule) -> Iterator[str]:
    """Yield the chains that a rule may lead to."""
    if isinstance(rule.verdict, (verdicts.Jump, verdicts.Goto)):
        yield rule.verdict.chain
    elif isinstance(rule.verdict, verdicts.Dispatch):
        name = rule.verdict.map_name
        for mapping in table.maps:
            if mapping.name == name:
                values = (element.value for element in mapping.elements)
                yield from (value.chain for value in values if isinstance(value, (verdicts.Jump, verdicts.Goto)))


def _callers_first(table: Table, chains: dict[str, Chain], starts: Iterable[str]) -> list[str]:
    """Return every chain that the starts lead to, each behind all that lead to it."""
    done: list[str] = []
    seen: set[str] = set()
    for start in starts:
        waiting = [(start, False)]
        while waiting:
            name, left = waiting.pop()
            if left:
                done.append(name)
            elif name not in seen and name in chains:
                seen.add(name)
                waiting.append((name, True))
                waiting.extend((called, False) for rule in chains[name].rules for called in _targets(table, rule))
    return done[::-1]
