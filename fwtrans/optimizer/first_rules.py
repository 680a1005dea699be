"""What a chain's rules do to a packet of which the first things asked are known: until which rule, and what is left of it.

values: state new, type ip, port tap101i0, address bc:24:11:a7:35:6c

ct state invalid drop                             does not match
ether type ip jump out                            matches
out: iifname vmap { "tap101i0" : goto tap101 }    leads to tap101
tap101: udp dport 67 accept                       not decided: here the known values end
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.order import targets_by_last
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump, Return
from fwtrans.optimizer.facts import decider_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import MapValue, NamedSet, Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.optimizer.facts import Facts

ALL_STATES = {"new": 3, "untracked": 4, "invalid": 0, "established": 1, "related": 2}
# Established connections are let through before; what is invalid is rare.
FIRST_STATES = ("new", "untracked")
EITHER_STATE = "new or untracked"
_TRACKED = {"new", "established", "related"}
TYPES = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}
OTHER_TYPE = "other"
IMPOSSIBLE = {(state, "arp") for state in _TRACKED}
_NETWORK_PROTOCOLS = {0x0800: 2, 0x86DD: 10, 0x0806: 0}


class Values(NamedTuple):
    """What is known of a packet; None is not known. An empty port is any."""

    state: str | None
    ether_type: str | None
    port: str
    address: int | None


class Rest(NamedTuple):
    """What is left to do for packets of some values.

    `entered` is the chain of the port that they come to, whose rest the last rules are; empty where they come to none.
    `before` are the rules in front of it, `decided` how many rules need not be looked at any more.
    """

    before: tuple[Rule, ...]
    entered: str
    own: tuple[Rule, ...]
    decided: int

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return all rules."""
        return (*self.before, *self.own)


UNDECIDED = object()


class Walker:
    """Goes through the rules of one table."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain.rules for chain in table.chains}
        self._items = {item.name: item for item in table.maps}
        self._maps: dict[str, Mapping[tuple[Part, ...], MapValue]] = {
            item.name: {element.key: element.value for element in item.elements} for item in table.maps
        }
        self.members: dict[str, AbstractSet[tuple[Part, ...]]] = {
            item.name: {element.key for element in item.elements} for item in table.sets if _is_fixed(item)
        }
        self._exact: dict[str, bool] = {}
        self._decider = decider_of(table)
        self._leading: dict[tuple[str, Field], bool] = {}
        self._rests: dict[Hashable, tuple[Rule, ...]] = {}

    def _is_exact(self, name: str) -> bool:
        """Tell whether a map or a set that no rule changes has nothing but single values for keys."""
        found = self._exact.get(name)
        if found is None:
            keyed = (keys[name] for keys in (self._maps, self.members) if name in keys)
            found = self._exact[name] = any(map(_all_exact, keyed))
        return found

    def rest(self, name: str, at: int, port: Field, values: Values) -> Rest | None:
        """Return what is left of a base chain's rules; None where that cannot be said by rules one behind the other."""
        facts = facts_of(port, values)
        callers: list[tuple[str, int]] = []
        before: list[Rule] = []
        decided = 0
        while True:
            if at >= len(self._chains[name]):
                if not callers:
                    return Rest(tuple(before), "", (), decided)
                name, at = callers.pop()
                continue
            rule = self._chains[name][at]
            at += 1
            decided += 1
            steps = self._left_steps(rule, facts)
            if steps is None:
                continue
            verdict = self._looked_up(rule.verdict, facts) if not steps else UNDECIDED
            if verdict is UNDECIDED:
                if callers and isinstance(rule.verdict, (Return, Goto, Dispatch)):
                    return None
                before.append(replace(rule, steps=steps))
                decided -= 1
            elif isinstance(verdict, Return):
                at = len(self._chains[name])
            elif isinstance(verdict, (Jump, Goto)):
                following = [*callers, (name, at)] if isinstance(verdict, Jump) else callers
                if _asks_port(rule, port):
                    if not all(self._does_nothing(caller, facts) for caller in following):
                        return None
                    own = self._own_rest(verdict.chain, port, values)
                    gone = len(self._chains[verdict.chain]) - len(own)
                    return Rest(tuple(before), verdict.chain, own, decided + gone)
                if isinstance(verdict, Jump) and not self.leads_on(verdict.chain, port):
                    if not self._comes_back(verdict.chain, facts):
                        before.append(replace(rule, steps=()))
                        decided -= 1
                else:
                    callers, name, at = following, verdict.chain, 0
            elif verdict is not None:
                last = Rule((), verdict, rule.origins)  # type: ignore[arg-type] # a verdict
                return Rest((*before, last), "", (), decided)

    def _left_steps(self, rule: Rule, facts: Facts) -> tuple[Step, ...] | None:
        """Return what is left of a rule's steps, None where it does nothing at all to such packets."""
        found: list[Step] = []
        for step in rule.steps:
            left = self.decide(step, facts) if is_pure(step) else (step,)
            if left is None:
                return None if all(map(is_pure, found)) else tuple(rule.steps)
            found.extend(left)
        return tuple(found)

    def _looked_up(self, verdict: Verdict | None, facts: Facts) -> Verdict | object | None:
        """Return the verdict that a map holds for such packets, or a verdict that is none of a map's."""
        if not isinstance(verdict, Dispatch):
            return verdict
        asked = tuple(_single_part(part, facts) for part in verdict.key)
        if not self._is_exact(verdict.map_name):
            return UNDECIDED
        if None in asked:
            return None if self._misses(verdict, facts) else UNDECIDED
        return self._maps[verdict.map_name].get(asked)  # type: ignore[arg-type] # no None in it

    def _misses(self, verdict: Dispatch, facts: Facts) -> bool:
        """Tell whether no key of a map is a name that a packet may have."""
        for at, part in enumerate(verdict.key):
            fact = facts.get(part.field)
            if isinstance(fact, NameSet):
                names = (key[at] for key in self._maps[verdict.map_name])
                return not any(isinstance(name, NamePattern) and name.text in fact for name in names)
        return False

    def leads_on(self, name: str, port: Field) -> bool:
        """Tell whether a chain or one behind it leads to chains of ports."""
        if (name, port) not in self._leading:
            self._leading[name, port] = False  # a loop of jumps does not load anyway
            rules = self._chains[name]
            asks = any(_asks_port(rule, port) for rule in rules)
            self._leading[name, port] = asks or any(self.leads_on(target, port) for target in self._last_targets(rules))
        return self._leading[name, port]

    def port_chains(self, base: str, port: Field) -> set[str]:
        """Return the chains of ports that a base chain leads to: where a rule has asked for one port."""
        found: set[str] = set()
        waiting, seen = [base], set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                for rule in self._chains[name]:
                    targets = list(self.targets((rule,)))
                    if _asks_port(rule, port):
                        found.update(targets)
                    else:
                        waiting.extend(target for target in targets if self.leads_on(target, port))
        return found

    def _own_rest(self, name: str, port: Field, values: Values) -> tuple[Rule, ...]:
        """Return what is left of a port's chain, without what the key has answered; the same for all ports of a class."""
        facts = facts_of(port, values)
        rules = self._chains[name]
        asking = (step for rule in rules for step in rule.steps if asks_address(step, port))
        answers = tuple(self._answer(step, facts) for step in asking)
        asked = (name, values.state, values.ether_type, answers)
        if asked not in self._rests:
            general = facts_of(port, values._replace(port="", address=None))
            self._rests[asked] = tuple(self.left(rules, general, port, iter(answers)))
        return self._rests[asked]

    def _answer(self, step: Step, facts: Facts) -> bool | None:
        """Tell whether such packets pass a step; None where that is not known."""
        left = self.decide(step, facts)
        return left == () if not left else None

    def _does_nothing(self, caller: tuple[str, int], facts: Facts) -> bool:
        name, at = caller
        rules = self._chains[name][at:]
        return all(self.outcome(rule, facts) is None for rule in rules)

    def _comes_back(self, name: str, facts: Facts) -> bool:
        """Tell whether nothing is done in a chain to such packets, which all come back from it."""
        for rule in self._chains[name]:
            outcome = self.outcome(rule, facts)
            if isinstance(outcome, Return):
                return True
            if isinstance(outcome, (Jump, Goto)):
                if not self._comes_back(outcome.chain, facts):
                    return False
                if isinstance(outcome, Goto):
                    return True
            elif outcome is not None or (rule.verdict is None and self._left_steps(rule, facts) is not None):
                return False
        return True

    def _ends_all(self, name: str, facts: Facts) -> bool:
        """Tell whether a verdict is reached in a chain for all such packets, so that none comes back."""
        for rule in self._chains[name]:
            outcome = self.outcome(rule, facts)
            if isinstance(outcome, TERMINAL):
                return True
            if isinstance(outcome, (Jump, Goto)) and self._ends_all(outcome.chain, facts):
                return True
            if isinstance(outcome, (Goto, Return)):
                return False
            if outcome is UNDECIDED and isinstance(rule.verdict, (Return, Goto, Dispatch)):
                return False
        return False

    def outcome(self, rule: Rule, facts: Facts) -> Verdict | object | None:
        """Return the verdict that a rule comes to, None where it does not match, or that it is not decided."""
        steps = self._left_steps(rule, facts)
        if steps is None:
            return None
        return UNDECIDED if steps else self._looked_up(rule.verdict, facts)

    def decide(self, test: Step, facts: Facts) -> tuple[PureTest, ...] | None:
        """Return what is left of a test: nothing where such packets pass, None where they do not."""
        if isinstance(test, MemberTest) and not test.dynamic and test.set_name in self.members:
            asked = tuple(_single_part(part, facts) for part in test.key)
            there = all(self._decider.there(part.field, facts) for part in test.key)
            if there and None not in asked and self._is_exact(test.set_name):
                return () if (asked in self.members[test.set_name]) is test.inside else None
        return self._decider.decide(test, facts)  # type: ignore[arg-type] # only pure steps are decided

    def may_match(self, start: str, facts: Facts, leaves: AbstractSet[str]) -> Iterator[tuple[str, int]]:
        """Yield the rules, by chain and number, that such packets may match; chains of `leaves` are not gone through.

        Of these the number is -1. What is not decided may match.
        """
        waiting, seen = [start], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in leaves:
                yield name, -1
                continue
            for at, rule in enumerate(self._chains[name]):
                outcome = self.outcome(rule, facts)
                if outcome is None and rule.verdict is not None:
                    continue
                yield name, at
                if outcome is UNDECIDED:
                    waiting.extend(self.targets((rule,)))
                elif isinstance(outcome, (Jump, Goto)):
                    waiting.append(outcome.chain)
                if outcome is not UNDECIDED and isinstance(outcome, (*TERMINAL, Return, Goto)):
                    break
                if isinstance(outcome, Jump) and self._ends_all(outcome.chain, facts):
                    break

    def targets(self, rules: Iterable[Rule]) -> Iterator[str]:
        """Yield the chains that rules lead to."""
        for rule in rules:
            verdict = rule.verdict
            values = self._maps[verdict.map_name].values() if isinstance(verdict, Dispatch) else (verdict,)
            yield from (value.chain for value in values if isinstance(value, (Jump, Goto)))

    def reached(self, rules: Iterable[Rule]) -> Iterator[str]:
        """Yield the chains behind some rules."""
        waiting, seen = list(self._last_targets(rules)), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                yield name
                waiting.extend(self._last_targets(self._chains[name]))

    def _last_targets(self, rules: Iterable[Rule]) -> Iterator[str]:
        """Yield the chains that rules lead to, those behind a map once, so that the last one comes where it does among all."""
        for rule in rules:
            verdict = rule.verdict
            if isinstance(verdict, Dispatch):
                yield from targets_by_last(self._items[verdict.map_name])
            elif isinstance(verdict, (Jump, Goto)):
                yield verdict.chain

    def ports(self, port: Field, rules: Iterable[Rule]) -> set[str]:
        """Return the ports that rules look up in maps."""
        found: set[str] = set()
        for rule in rules:
            verdict = rule.verdict
            if isinstance(verdict, Dispatch) and verdict.key == (KeyPart(port),):
                for (pattern,) in self._maps[verdict.map_name]:
                    if isinstance(pattern, NamePattern) and not pattern.is_prefix:
                        found.add(pattern.text)
        return found

    # --- the rest of a chain ---

    def left(self, rules: Sequence[Rule], facts: Facts, port: Field, answers: Iterator[bool | None]) -> Iterator[Rule]:
        """Yield rules without what the facts decide; `answers` are those to what asks for the port's address."""
        for rule in rules:
            steps = [self._left_of(step, facts, port, answers) for step in rule.steps]
            fails = next((number for number, left in enumerate(steps) if left is None), None)
            if fails is None:
                kept = tuple(part for left in steps for part in left or ())
                if kept == rule.steps:
                    yield rule
                elif kept or rule.verdict is not None:
                    yield replace(rule, steps=kept)
                if not kept and _ends(rule.verdict):
                    return
            elif not all(is_pure(step) for step in rule.steps[:fails]):
                yield rule

    def _left_of(
        self, step: Step, facts: Facts, port: Field, answers: Iterator[bool | None]
    ) -> tuple[Step, ...] | None:
        if asks_address(step, port):
            answer = next(answers)
            if answer is None:
                return (step,)
            return () if answer else None
        if not is_pure(step):
            return (step,)
        return self.decide(step, facts)


def _asks_port(rule: Rule, port: Field) -> bool:
    """Tell whether a rule leads to one port's chain."""
    if isinstance(rule.verdict, Dispatch) and any(part.field is port for part in rule.verdict.key):
        return True
    return any(
        isinstance(step, FieldTest)
        and step.field is port
        and isinstance(step.values, NameSet)
        and step.values.names_one
        for step in rule.steps
    )


def asks_address(step: Step, port: Field) -> TypeGuard[MemberTest]:
    """Tell whether a step asks for the hardware address that belongs to a port."""
    return isinstance(step, MemberTest) and not step.dynamic and step.key == (KeyPart(port), KeyPart(known.ETHER_SADDR))


def facts_of(port: Field, values: Values) -> Facts:
    """Return what is known of a frame with these values."""
    facts: dict[Field, ValueSet] = {known.HAS_ETHERNET: _number(known.HAS_ETHERNET, 1)}
    if values.port:
        facts[port] = NameSet.exact(values.port)
    if values.address is not None:
        facts[known.ETHER_SADDR] = _number(known.ETHER_SADDR, values.address)
    if values.ether_type is not None:
        facts |= _type_facts(values.ether_type)
    if values.state == EITHER_STATE:
        facts[known.CT_STATE] = IntervalSet.values(3, (ALL_STATES[state] for state in FIRST_STATES))
    elif values.state is not None:
        facts[known.CT_STATE] = _number(known.CT_STATE, ALL_STATES[values.state])
        facts[known.HAS_CONNTRACK] = _number(known.HAS_CONNTRACK, int(values.state in _TRACKED))
    return facts


@cache
def _type_facts(word: str) -> Facts:
    """Return what follows from a frame's type; a type of one of the protocols says that there is no VLAN tag."""
    if word == OTHER_TYPE:
        return {known.ETHER_TYPE: IntervalSet.values(16, TYPES.values()).complement()}
    number = TYPES[word]
    return {
        known.ETHER_TYPE: _number(known.ETHER_TYPE, number),
        known.ETHER_PROTOCOL: _number(known.ETHER_PROTOCOL, number),
        known.NFPROTO: _number(known.NFPROTO, _NETWORK_PROTOCOLS[number]),
        known.HAS_VLAN: _number(known.HAS_VLAN, 0),
    }


def _number(field: Field, value: int) -> IntervalSet:
    return IntervalSet.single(field.width, value)


def _single_part(part: KeyPart, facts: Facts) -> Part | None:
    """Return the one value of a key's part as an element has it."""
    fact = facts.get(part.field)
    if part.mask is not None or fact is None:
        return None
    if isinstance(fact, NameSet):
        return NamePattern(fact.only, is_prefix=False) if fact.only is not None else None
    return (fact.only, fact.only) if isinstance(fact, IntervalSet) and fact.only is not None else None


def _all_exact(keys: Iterable[tuple[Part, ...]]) -> bool:
    return all(
        not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1] for key in keys for part in key
    )


def _is_fixed(item: NamedSet) -> bool:
    return not item.dynamic and item.timeout is None and all(element.timeout is None for element in item.elements)


def _ends(verdict: Verdict | None) -> bool:
    return verdict is not None and not isinstance(verdict, (Jump, Dispatch))
