"""Chains that are equal but for constants of their port become one chain; the constants go into sets and maps keyed by it.

Before, one chain for each port:

    chain tap101i0-OUT { ct mark set 0x65; ether saddr != bc:24:11:a7:35:6c drop; tcp dport 443 accept; drop }
    chain tap102i0-OUT { ct mark set 0x66; ether saddr != bc:24:11:00:01:02 drop; tcp dport 443 accept; drop }

After, one for each class:

    chain class-OUT-5f0c1d {
        ct mark set iifname map @ct-mark
        iifname . ether saddr != @iif-mac drop
        tcp dport 443 accept
        drop
    }

Why it is safe: a chain is only taken where every way to it asks for one port (port_context.py), so behind it the look-up
under the packet's port finds that port's constant and no other. A limit keeps its identity: the map holds the objects.

Log prefixes cannot come from a map. What a rule does from its log on goes to a chain of the port (log_chains.py).

It declines: bridges with one port, where a rule's test is quicker than the look-up of the only element; constants of other
kinds, sets that rules change or whose elements have times or counters, classes that would need many look-ups for few members
(policy_members.py), chains that would share no rule. Names of classes come from what the chain says (class_names.py), so that
one more guest renames nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from fwtrans.ir.effect import Assign, AssignFromMap, Log
from fwtrans.ir.fields import ETHER_DADDR
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest, OpaqueTest
from fwtrans.ir.names import NamePattern
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.stateful import Limit, StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.ir.walk import chain_targets, map_names, set_names, targets_of
from fwtrans.optimizer.as_read import is_for_whom
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.class_names import Texts, class_name, content_hash, is_named_by_content
from fwtrans.optimizer.constants import ConstantKind, Sets, membership, part_rule, refill, words_of
from fwtrans.optimizer.few_guests import has_one_port
from fwtrans.optimizer.log_chains import LogPlace, can_move, chain_words, log_kind, log_place
from fwtrans.optimizer.policy_members import Member, classes_of, columns, has_own_constants, leaves, step_of_all
from fwtrans.optimizer.port_context import Context, ask_ports, port_contexts
from fwtrans.optimizer.port_slots import PortSlots, side_of
from fwtrans.optimizer.reached import distinct_ways

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapValue, NamedMap, Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.optimizer.constants import Constant
    from fwtrans.optimizer.port_slots import Elements
    from fwtrans.source import Origin


def share_policies(table: Table) -> Table:
    """Return the table with one chain for each class of chains that differ in their ports' constants only."""
    shared = _Sharing(ask_ports(table)).run()
    return table if shared is None else shared


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its tables' policies shared."""
    return each_table(ruleset, lambda table, _declined: table if has_one_port(table) else share_policies(table))


PASS = Pass(
    "policy-classes", "chains that differ in their port's constants become one, the constants go into maps", run
)


_FROM_A_MAP = OpaqueTest("from a map")


class _Class(NamedTuple):
    name: str
    members: tuple[Member, ...]
    logs: tuple[LogPlace, ...]

    @property
    def port(self) -> Field:
        return self.members[0].context.field

    @property
    def is_entered(self) -> bool:
        return self.members[0].context.entered and not self.members[0].is_shared


class _Sharing:
    """One run over one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._contexts = {
            name: context
            for name, context in port_contexts(table).items()
            if context.port is not None or is_named_by_content(name)
        }
        self._ports = {context.name for context in self._contexts.values() if context.name}
        ports = {name: context.port for name, context in self._contexts.items()}
        self._sets = Sets(table, ports)
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: item for item in table.maps}
        self._texts = Texts(self._chains, {item.name: item for item in table.sets}, self._maps)
        self._final: dict[str, str] = {}
        self._taken = set(self._chains)
        self._slots = PortSlots({*self._maps, *(item.name for item in table.sets)})
        self._log_chains: dict[Hashable, Chain] = {}
        self._tails: dict[tuple[Rule, Rule], Chain] = {}

    def run(self) -> Table | None:
        classes = [found for level in self._levels() for found in self._classes_at(level)]
        if not classes:
            return None
        classes.sort(key=lambda found: (not found.is_entered, found.name))
        made = [self._class_chain(found) for found in classes]
        members = {member.chain.name for found in classes for member in found.members}
        kept = [self._retargeted(chain) for chain in self._table.chains if chain.name not in members]
        maps = [self._retargeted_map(item) for item in self._table.maps]
        logs = sorted((*self._tails.values(), *self._log_chains.values()), key=lambda chain: chain.name)
        chains = (*kept, *made, *logs)
        return self._without_unused(
            replace(
                self._table,
                chains=chains,
                sets=(*self._table.sets, *self._slots.sets()),
                maps=(*maps, *self._slots.maps()),
            )
        )

    # --- which chains go together ---

    def _levels(self) -> list[list[str]]:
        """Return the chains that have a port, those first that call none of the others."""
        heights: dict[str, int] = {}

        def height(name: str) -> int:
            if name not in heights:
                heights[name] = 0
                called = [one for one in distinct_ways(self._chains[name], self._maps) if one in self._contexts]
                heights[name] = max((height(one) + 1 for one in called), default=0)
            return heights[name]

        levels: dict[int, list[str]] = {}
        for chain in self._table.chains:
            if chain.name in self._contexts:
                levels.setdefault(height(chain.name), []).append(chain.name)
        return [levels[number] for number in sorted(levels)]

    def _classes_at(self, level: Sequence[str]) -> Iterator[_Class]:
        groups: dict[Hashable, list[Member]] = {}
        for name in sorted(level, key=self._order):
            member = self._member(self._chains[name], self._contexts[name])
            groups.setdefault((member.context.field, member.shape), []).append(member)
        for group in groups.values():
            for members in classes_of(group):
                if not _is_named_by_content(members):
                    continue
                logs = tuple(_log_places(members))
                if _shares_something(members, logs):
                    yield self._named(members, logs)

    def _order(self, name: str) -> tuple[bool, str]:
        """Return by what chains are ordered: those of ports as they stand, for a port's may be alike; the others by name."""
        is_shared = is_named_by_content(name)
        return is_shared, name if is_shared else ""

    def _member(self, chain: Chain, context: Context) -> Member:
        rules = tuple(_in_context(chain.rules, context))
        is_shared = is_named_by_content(chain.name)
        parted = tuple(part_rule(rule, self._sets, self._shape_of, owns=not is_shared) for rule in rules)
        return Member(chain, context, rules, parted, is_shared)

    def _shape_of(self, verdict: Verdict | None) -> Hashable:
        """Return what two verdicts have in common that do the same once chains have their last names."""
        if isinstance(verdict, Dispatch):
            elements = self._retargeted_map(self._maps[verdict.map_name]).elements
            return verdict.key, self._maps[verdict.map_name].fields, elements
        return self._last(verdict)

    def _named(self, members: tuple[Member, ...], logs: tuple[LogPlace, ...]) -> _Class:
        digest = content_hash(self._lines(members, logs))
        wanted = class_name((member.chain.name for member in members), self._ports, digest)
        name = wanted if any(member.chain.name == wanted for member in members) else self._free(wanted)
        for member in members:
            self._final[member.chain.name] = name
            self._texts.settle(member.chain.name, digest)
        return _Class(name, members, logs)

    def _lines(self, members: Sequence[Member], logs: Sequence[LogPlace]) -> Iterator[str]:
        """Yield what the class's rules say, with question marks for what comes from maps."""
        first, starts = members[0], {place.rule: place.start for place in logs}
        for number, rule in enumerate(first.rules):
            markers = (
                (_FROM_A_MAP,) if leaves(column) else None
                for at in range(len(rule.steps))
                for column in columns(members, number, at)
            )
            said = (step_of_all(members, number, at) for at in range(len(rule.steps)))
            steps = (new for step in said for new in refill(step, self._sets, markers))
            log = f"log from {starts[number]}" if number in starts else ""
            yield "; ".join([*map(self._texts.step, steps), self._texts.verdict(rule), log])

    # --- the chain of a class ---

    def _class_chain(self, found: _Class) -> Chain:
        rules: list[Rule] = []
        places = {place.rule: place for place in found.logs}
        moved = {place.rule + 1 for place in found.logs if place.with_next}
        for number in range(len(found.members[0].rules)):
            if number in moved:
                continue
            steps = tuple(self._steps(found, number, places.get(number)))
            origins = _origins(found.members, number)
            if number in places:
                rules.extend(self._logging(found, places[number], steps, origins))
            else:
                rules.append(Rule(steps, self._last(found.members[0].rules[number].verdict), origins))
        return Chain(found.name, tuple(rules), None, found.members[0].chain.origin)

    def _steps(self, found: _Class, number: int, place: LogPlace | None) -> Iterator[Step]:
        end = len(found.members[0].rules[number].steps) if place is None else place.start
        for at in range(end):
            constants = columns(found.members, number, at)
            answers = (self._from_map(found, column) if leaves(column) else None for column in constants)
            yield from refill(step_of_all(found.members, number, at), self._sets, answers)

    def _from_map(self, found: _Class, column: Sequence[Constant]) -> tuple[Step, ...]:
        """Return the steps that take a constant from under the packet's port."""
        field = found.port
        by_port: object = {
            port: one.content
            for member, one in zip(found.members, column, strict=True)
            for port in member.context.ports
        }
        step = column[0].step
        if isinstance(step, (FieldTest, MemberTest)):
            asked = membership(step, self._sets)
            assert asked is not None  # noqa: S101 -- it is a constant because it is a membership
            contents = cast("dict[Part, Elements]", by_port)
            return self._slots.members(field, asked.key, contents, inside=asked.inside)
        if isinstance(step, Assign):
            name = self._slots.numbers(field, step.field, cast("dict[Part, int]", by_port))
            return (AssignFromMap(step.field, (KeyPart(field),), name),)
        assert isinstance(step, StatefulTest)  # noqa: S101 -- logs are cut off before
        kind = "limit" if isinstance(step.object.kind, Limit) else "quota"
        name = self._slots.values(field, kind, cast("dict[Part, MapValue]", by_port), f"{side_of(field)}-{kind}")
        return (StatefulFromMap((KeyPart(field),), name),)

    def _logging(
        self, found: _Class, place: LogPlace, steps: tuple[Step, ...], origins: tuple[Origin, ...]
    ) -> tuple[Rule, ...]:
        """Return the rules in the place of a log: the way to it, and what is done to the packet then."""
        first = found.members[0].rules
        dispatch = Rule((), self._to_logs(found, place), origins)
        if place.with_next:
            verdict, behind = first[place.rule + 1].verdict, _origins(found.members, place.rule + 1)
        else:
            verdict, behind = first[place.rule].verdict if place.verdict_stays else None, origins
        if verdict is None:
            return (replace(dispatch, steps=steps),)
        ending = Rule((), self._last(verdict), behind)
        if not steps:
            return dispatch, ending
        jumps = isinstance(verdict, Jump)
        if jumps:
            ending = replace(ending, verdict=Goto(ending.verdict.chain))  # type: ignore[union-attr] # a jump has one
        tail = self._tail(dispatch, ending)
        return (Rule(steps, Jump(tail) if jumps else Goto(tail), (*origins, *behind)),)

    def _tail(self, dispatch: Rule, ending: Rule) -> str:
        """Return the name of the chain that logs for all ports and then ends so."""
        tail = self._tails.get((dispatch, ending))
        if tail is None:
            assert isinstance(dispatch.verdict, Dispatch)  # noqa: S101 -- that is what it is
            said = re.sub(r"\W+", "-", self._texts.verdict(ending)).strip("-").lower()
            name = self._free(f"{dispatch.verdict.map_name}-{said}")
            tail = self._tails[dispatch, ending] = Chain(name, (dispatch, ending))
        else:
            both = [
                replace(one, origins=joined_origins((one, other)))
                for one, other in zip(tail.rules, (dispatch, ending), strict=True)
            ]
            tail = self._tails[dispatch, ending] = replace(tail, rules=tuple(both))
        return tail.name

    def _to_logs(self, found: _Class, place: LogPlace) -> Dispatch:
        """Make the chains of a place where ports go their own ways, and return the way there."""
        ways: dict[Part, MapValue] = {}
        words: dict[str, None] = {}
        for member in found.members:
            own = member.rules[place.rule]
            verdict = None if place.verdict_stays or place.with_next else self._last(own.verdict)
            rules = (replace(own, steps=own.steps[place.start :], verdict=verdict),)
            prefix = next((step.prefix for step in rules[0].steps if isinstance(step, Log)), "")
            kind = log_kind(prefix, self._ports)
            said = chain_words(member.chain.name, self._ports)
            words[f"{said}-{kind}" if said else kind] = None
            ways[_only(member)] = Jump(self._log_chain(rules, said, kind, prefix, member))
        word = next(iter(words)) if len(words) == 1 else f"{side_of(found.port)}-log"
        return Dispatch((KeyPart(found.port),), self._slots.values(found.port, "verdict", ways, word))

    def _log_chain(self, rules: tuple[Rule, ...], said: str, kind: str, prefix: str, member: Member) -> str:
        key = (_only(member), rules)
        if key not in self._log_chains:
            port = member.context.name or next((word for word in words_of(prefix) if word in self._ports), "")
            name = self._free("-".join(word for word in (port, said, kind) if word))
            self._log_chains[key] = Chain(name, rules, None, member.chain.origin)
        return self._log_chains[key].name

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}-{number}", number + 1
        self._taken.add(name)
        return name

    # --- the rest of the table ---

    def _last(self, verdict: Verdict | None) -> Verdict | None:
        if isinstance(verdict, (Jump, Goto)):
            name = self._final.get(verdict.chain, verdict.chain)
            return verdict if name == verdict.chain else replace(verdict, chain=name)
        return verdict

    def _retargeted(self, chain: Chain) -> Chain:
        if not any(target in self._final for target in chain_targets(chain)):
            return chain
        return replace(chain, rules=tuple(replace(rule, verdict=self._last(rule.verdict)) for rule in chain.rules))

    def _retargeted_map(self, item: NamedMap) -> NamedMap:
        if item.value != "verdict" or self._final.keys().isdisjoint(targets_of(item)):
            return item
        return replace(
            item,
            elements=tuple(element._replace(value=self._last(element.value)) for element in item.elements),  # type: ignore[arg-type] # verdicts
        )

    def _without_unused(self, table: Table) -> Table:
        """Drop sets and maps that rules asked before and that none asks now."""
        gone = _asked(self._table) - _asked(table)
        return replace(
            table,
            sets=tuple(item for item in table.sets if item.name not in gone),
            maps=tuple(item for item in table.maps if item.name not in gone),
        )


def _asked(table: Table) -> set[str]:
    return {name for chain in table.chains for rule in chain.rules for name in (*set_names(rule), *map_names(rule))}


def _only(member: Member) -> Part:
    """Return the port of a chain that is one port's own; only these are told apart by their logs."""
    (port,) = member.context.ports  # a chain of several has no log that differs
    return port


def _in_context(rules: Sequence[Rule], context: Context) -> Iterator[Rule]:
    """Yield the rules without what they ask of the port, and not those that ask for another one."""
    for rule in rules:
        asked = [step for step in rule.steps if isinstance(step, FieldTest) and step.field is context.field]
        settled = [step for step in asked if all(_holds(step, port) for port in context.ports)]
        if any(all(_holds(step, port) for step in asked) for port in context.ports):
            yield replace(rule, steps=tuple(step for step in rule.steps if step not in settled)) if settled else rule


def _holds(test: FieldTest, port: Part) -> bool:
    value: object = port.text if isinstance(port, NamePattern) else port[0]
    return value in test.values  # type: ignore[operator] # a field's values are of its kind


def _origins(members: Sequence[Member], number: int) -> tuple[Origin, ...]:
    """Return where a rule of all members is from."""
    return joined_origins(member.rules[number] for member in members)


def _is_named_by_content(members: Sequence[Member]) -> bool:
    """Tell whether members are worth a chain with a name that comes from what it says.

    Chains that are the same in all are for the pass that shares equal ones, but for those that only members call. What is
    reached by hardware address was made by us, for a guest that its name may tell: the next guest may have the same.
    """
    if has_own_constants(members):
        return True
    first = members[0]
    if first.is_shared:
        return False
    if first.context.field is ETHER_DADDR and not _looks_up_port(first):
        return True
    return len(members) > 1 and not first.context.entered


def _looks_up_port(member: Member) -> bool:
    """Tell whether a chain looks something up under its port: it is one of this pass, for all ports there are."""
    key = KeyPart(member.context.field)
    return any(isinstance(rule.verdict, Dispatch) and key in rule.verdict.key for rule in member.rules)


def _log_places(members: Sequence[Member]) -> Iterator[LogPlace]:
    """Yield the places where the logs of members differ, none of them inside what another takes along."""
    rules = [member.rules for member in members]
    for number in range(len(rules[0])):
        for step in range(len(rules[0][number].steps)):
            constants = columns(members, number, step)
            logs = any(column[0].kind is ConstantKind.LOG and leaves(column) for column in constants)
            if logs and can_move(rules[0][number]):
                yield log_place(rules, number, step)
                break


def _shares_something(members: Sequence[Member], logs: Sequence[LogPlace]) -> bool:
    """Tell whether the class has a rule that is not one of those which ports carry out on their own.

    A log and an answer are a port's own, whether the answer's own test is said (as it is read) or known from the way.
    """
    rules = members[0].rules
    own = {place.rule for place in logs if not place.start}
    own |= {place.rule + 1 for place in logs if place.with_next or _only_answers(rules[place.rule + 1 :])}
    return any(number not in own for number in range(len(rules)))


def _only_answers(rules: Sequence[Rule]) -> bool:
    return len(rules) == 1 and all(is_for_whom(rules[0], step) for step in rules[0].steps)
