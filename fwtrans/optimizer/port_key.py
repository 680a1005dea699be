"""The first tests of a packet's way, asked at once: state, ether type, port and hardware address in one key.

Before:    chain prerouting {
               ct state established,related accept
               ct state invalid ether type { ip, ip6 } drop
               ether type { ip, ip6 } iifname vmap @ports                    "tap101i0" : goto class-OUT-5f0c1d
           }
           chain class-OUT-5f0c1d { ct mark set ...; iifname . ether saddr != @iif-mac drop; ... }
After:     chain prerouting {
               ct state established,related accept
               ct state . ether type . iifname . ether saddr vmap @iif-entry new . ip . "tap101i0" . bc:24:... : goto ...-ip
               ct state invalid ether type { ip, ip6 } drop                  the others go on as before
               ether type { ip, ip6 } iifname vmap @ports
           }
           chain class-OUT-5f0c1d-ip { ct mark set ...; ... }                without what the key has answered

Why it is safe: the map's elements say what the rules behind it do to a packet with exactly these values, found by going
through them until a rule asks or does something else. All that is not in the map passes the same rules as before; where only
frames with a wrong address can come there now, the chain keeps what is for them.

It declines where less than two rules are saved, where something stands behind the place where the rules stop being decided,
where a rule takes packets out of connection tracking or writes into their headers, and outside of bridge tables.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable, NoTrack
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.ir.walk import flat_steps, set_names
from fwtrans.optimizer.facts import Decider
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.port_context import PORT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedSet, Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.optimizer.facts import Facts

_ALL_STATES = {"new": 3, "untracked": 4, "invalid": 0, "established": 1, "related": 2}
# Established connections are let through before; what is invalid is rare.
_STATES = ("new", "untracked")
_TRACKED = {"new", "established", "related"}
_TYPES = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}
_OTHER = "other"
_IMPOSSIBLE = {(state, "arp") for state in _TRACKED}
_NETWORK_PROTOCOLS = {0x0800: 2, 0x86DD: 10, 0x0806: 0}
_FEWEST_SAVED = 2


def port_keys(table: Table) -> Table:
    """Return the table with one look-up for what the first rules of guests' ways ask."""
    if table.family is not Family.BRIDGE or _changes_keys(table):
        return table
    for chain in table.chains:
        if chain.base is not None and chain.base.accepts:
            table = _Entering(table, chain).run()
    return table


def _changes_keys(table: Table) -> bool:
    """Tell whether a rule changes what the key asks, or what follows from it."""
    steps = (step for chain in table.chains for rule in chain.rules for step in rule.steps)
    return any(
        isinstance(step, NoTrack)
        or (
            isinstance(step, (Assign, AssignFromMap, AssignFromTable)) and step.field not in {known.MARK, known.CT_MARK}
        )
        for step in steps
    )


def _asked_sets(table: Table) -> set[str]:
    return {name for chain in table.chains for rule in chain.rules for name in set_names(rule)}


def _is_fixed(item: NamedSet) -> bool:
    return not item.dynamic and item.timeout is None and all(element.timeout is None for element in item.elements)


class _Values(NamedTuple):
    """What an element's key says; None is not asked."""

    state: str | None
    ether_type: str | None
    port: str
    address: int | None


class _Place(NamedTuple):
    """Where the rules stop being decided: the rest of a chain, and how many rules have been passed before."""

    chain: str
    rule: int
    passed: int


class _Found(NamedTuple):
    """What the rules do to packets of some values, and how many rules fewer they pass."""

    verdict: Verdict
    saved: int


class _Key(NamedTuple):
    """The fields of the key beside the port."""

    port: Field
    has_state: bool
    has_type: bool
    has_address: bool

    def parts(self) -> tuple[KeyPart, ...]:
        """Return the key."""
        asked = (
            (self.has_state, known.CT_STATE), (self.has_type, known.ETHER_TYPE), (True, self.port),
            (self.has_address, known.ETHER_SADDR),
        )  # fmt: skip
        return tuple(KeyPart(field) for wanted, field in asked if wanted)


class _Entering:
    """One base chain."""

    def __init__(self, table: Table, base: Chain) -> None:
        self._table = table
        self._base = base
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: {element.key: element.value for element in item.elements} for item in table.maps}
        self._members = {
            item.name: {element.key for element in item.elements} for item in table.sets if _is_fixed(item)
        }
        self._exact = {name for name, found in (*self._maps.items(), *self._members.items()) if _all_exact(found)}
        self._decider = Decider(table)
        self._names = Names(table)
        self._made: dict[tuple[Rule, ...], Chain] = {}
        self._rests: dict[Hashable, tuple[Rule, ...]] = {}

    def run(self) -> Table:
        at = _behind_states(self._base.rules)
        reached = [self._base.rules[at:], *(self._chains[name].rules for name in self._reached(at))]
        rules = [rule for found in reached for rule in found]
        for port in PORT_FIELDS:
            key = _key(port, rules)
            if _is_asked(key, self._base.rules[at:]):
                continue
            elements = dict(self._elements(key, rules, at))
            if any(found.saved >= _FEWEST_SAVED for found in elements.values()):
                return self._with(key, {values: found.verdict for values, found in elements.items()}, at)
        return self._table

    def _with(self, key: _Key, elements: Mapping[_Values, Verdict], at: int) -> Table:
        name = self._names.new("iif" if key.port is known.IIFNAME else "oif", "entry")
        parts = key.parts()
        behind = self._base.rules[at]
        entry = Rule((), Dispatch(parts, name), behind.origins)
        changed = {self._base.name: (*self._base.rules[:at], entry, *self._base.rules[at:])}
        if key.has_address:
            changed |= dict(self._only_wrong_addresses(key, elements.keys()))
        chains = (replace(chain, rules=changed.get(chain.name, chain.rules)) for chain in self._table.chains)
        made = tuple(MapElement(tuple(_parts(values)), verdict) for values, verdict in elements.items())
        mapping = NamedMap(name, tuple(part.field for part in parts), "verdict", made)
        table = replace(self._table, chains=(*chains, *self._made.values()), maps=(*self._table.maps, mapping))
        gone = _asked_sets(self._table) - _asked_sets(table)
        return replace(table, sets=tuple(item for item in table.sets if item.name not in gone))

    # --- what is left for packets that are not in the map ---

    def _only_wrong_addresses(self, key: _Key, covered: AbstractSet[_Values]) -> Iterator[tuple[str, tuple[Rule, ...]]]:
        """Yield chains that ask for the address, as they are for those with a wrong one, if no other comes there now."""
        asking = {
            chain.name: {step.set_name for rule in chain.rules for step in rule.steps if _asks_address(step, key.port)}
            for chain in self._chains.values()
        }
        asking = {name: sets for name, sets in asking.items() if sets}
        elsewhere = {
            name for chain in self._chains.values() if chain.base is not None and chain.name != self._base.name
            for name in self._reached(0, chain)
        }  # fmt: skip
        right = {name: self._right_addresses(asking[name]) for name in asking if name not in elsewhere}
        still = self._still_reached(key, {one for found in right.values() for one in found}, covered, asking.keys())
        for name, addresses in right.items():
            if not addresses & still.get(name, set()):
                general = _facts(key, _Values(None, None, "", None))
                rules = self._chains[name].rules
                steps = [step for rule in rules for step in rule.steps if _asks_address(step, key.port)]
                yield name, tuple(self._left(rules, general, key.port, (not step.inside for step in steps)))

    def _right_addresses(self, sets: Iterable[str]) -> set[tuple[str, int]]:
        return {(str(port[0]), int(address[0])) for name in sets for port, address in self._members.get(name, ())}

    def _still_reached(
        self, key: _Key, pairs: AbstractSet[tuple[str, int]], covered: AbstractSet[_Values], asking: AbstractSet[str]
    ) -> dict[str, set[tuple[str, int]]]:
        """Return for each chain that asks for the address the right ones that may come there, past the map."""
        found: dict[str, set[tuple[str, int]]] = {}
        for port, address in pairs:
            for ether_type in (*_TYPES, _OTHER) if key.has_type else (None,):
                for state in _ALL_STATES if key.has_state else (None,):
                    values = _Values(state, ether_type, port, address)
                    if values not in covered and (state, ether_type) not in _IMPOSSIBLE:
                        for name in self._may_reach(_facts(key, values), asking):
                            found.setdefault(name, set()).add((port, address))
        return found

    def _may_reach(self, facts: Facts, asking: AbstractSet[str]) -> Iterator[str]:
        waiting, seen = [self._base.name], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in asking:
                yield name
            for rule in self._chains[name].rules:
                outcome = self._outcome(rule, facts)
                if outcome is _UNDECIDED:
                    waiting.extend(self._targets((rule,)))
                elif isinstance(outcome, (Jump, Goto)):
                    waiting.append(outcome.chain)
                if outcome is not _UNDECIDED and isinstance(outcome, (Accept, Drop, Return, Goto)):
                    break

    def _reached(self, at: int, base: Chain | None = None) -> Iterator[str]:
        """Yield the chains behind a base chain's rules from a number on."""
        waiting, seen = list(self._targets((base or self._base).rules[at:])), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                yield name
                waiting.extend(self._targets(self._chains[name].rules))

    def _targets(self, rules: Iterable[Rule]) -> Iterator[str]:
        for rule in rules:
            verdict = rule.verdict
            values = self._maps[verdict.map_name].values() if isinstance(verdict, Dispatch) else (verdict,)
            yield from (value.chain for value in values if isinstance(value, (Jump, Goto)))

    # --- elements ---

    def _elements(self, key: _Key, rules: Sequence[Rule], at: int) -> Iterator[tuple[_Values, _Found]]:
        addresses = self._addresses(key.port, rules)
        ports = sorted(addresses) if key.has_address else sorted(self._ports(key.port, rules))
        for port in ports:
            for address in sorted(addresses[port]) if key.has_address else (None,):
                for ether_type in _TYPES if key.has_type else (None,):
                    for state in _STATES if key.has_state else (None,):
                        values = _Values(state, ether_type, port, address)
                        found = self._judged(key, values, at) if (state, ether_type) not in _IMPOSSIBLE else None
                        if found is not None and (isinstance(found.verdict, Goto) or found.saved >= _FEWEST_SAVED):
                            yield values, found

    def _addresses(self, port: Field, rules: Iterable[Rule]) -> dict[str, set[int]]:
        """Return the hardware addresses that rules ask for together with a port."""
        found: dict[str, set[int]] = {}
        names = {step.set_name for rule in rules for step in rule.steps if _asks_address(step, port)}
        for name in names:
            for pattern, address in self._members.get(name, ()):
                if isinstance(pattern, NamePattern) and not pattern.is_prefix and not isinstance(address, NamePattern):
                    low, high = address
                    if low == high:
                        found.setdefault(pattern.text, set()).add(low)
        return found

    def _ports(self, port: Field, rules: Iterable[Rule]) -> set[str]:
        found: set[str] = set()
        for rule in rules:
            verdict = rule.verdict
            if isinstance(verdict, Dispatch) and verdict.key == (KeyPart(port),):
                for (pattern,) in self._maps[verdict.map_name]:
                    if isinstance(pattern, NamePattern) and not pattern.is_prefix:
                        found.add(pattern.text)
        return found

    # --- what the rules do to packets of some values ---

    def _judged(self, key: _Key, values: _Values, at: int) -> _Found | None:
        facts = _facts(key, values)
        place = self._walk(self._base.name, at, facts)
        if isinstance(place, _Found) or place is None:
            return place
        rest = self._rest(key, values, place)
        chain = self._chains[place.chain]
        saved = place.passed + len(chain.rules) - place.rule - len(rest) - 1
        if saved <= 0:
            return None
        return _Found(Goto(self._chain_of(chain, rest, values)), saved)

    def _walk(self, name: str, at: int, facts: Facts) -> _Place | _Found | None:
        """Go through the rules until one is not decided; None where more stands behind that place."""
        callers: list[tuple[str, int]] = []
        passed = 0
        while True:
            if at >= len(self._chains[name].rules):
                if not callers:
                    return _Found(Accept(), passed - 1)
                name, at = callers.pop()
                continue
            rule = self._chains[name].rules[at]
            outcome = self._outcome(rule, facts)
            if outcome is _UNDECIDED:
                place = _Place(name, at, passed)
                return place if all(self._does_nothing(caller, facts) for caller in callers) else None
            passed += 1
            at += 1
            if isinstance(outcome, (Accept, Drop)):
                return _Found(outcome, passed - 1)
            if isinstance(outcome, Return):
                at = len(self._chains[name].rules)
            elif isinstance(outcome, (Jump, Goto)):
                if isinstance(outcome, Jump):
                    callers.append((name, at))
                name, at = outcome.chain, 0

    def _does_nothing(self, caller: tuple[str, int], facts: Facts) -> bool:
        name, at = caller
        rules = self._chains[name].rules[at:]
        return all(self._outcome(rule, facts) is None for rule in rules)

    def _outcome(self, rule: Rule, facts: Facts) -> Verdict | object | None:
        """Return the verdict that a rule comes to, None where it does not match, or that it is not decided."""
        for step in rule.steps:
            if not is_pure(step):
                return _UNDECIDED
            left = self._decide(step, facts)
            if left is None:
                return None
            if left:
                return _UNDECIDED
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            asked = tuple(_single_part(part, facts) for part in verdict.key)
            if None in asked:
                return _UNDECIDED
            exact = verdict.map_name in self._exact
            return self._maps[verdict.map_name].get(asked) if exact else _UNDECIDED  # type: ignore[arg-type] # no None in it
        if verdict is None or isinstance(verdict, (Accept, Drop, Return, Jump, Goto)):
            return verdict
        return _UNDECIDED

    def _decide(self, test: Step, facts: Facts) -> tuple[PureTest, ...] | None:
        if isinstance(test, MemberTest) and not test.dynamic and test.set_name in self._members:
            asked = tuple(_single_part(part, facts) for part in test.key)
            there = all(self._decider.there(part.field, facts) for part in test.key)
            if there and None not in asked and test.set_name in self._exact:
                return () if (asked in self._members[test.set_name]) is test.inside else None
        return self._decider.decide(test, facts)  # type: ignore[arg-type] # only pure steps are decided

    # --- the rest of a chain ---

    def _rest(self, key: _Key, values: _Values, place: _Place) -> tuple[Rule, ...]:
        """Return the rules from a place on, without what the key has answered; the same for all ports of a class."""
        general = _facts(key, values._replace(port="", address=None))
        facts = _facts(key, values)
        rules = self._chains[place.chain].rules[place.rule :]
        answers = tuple(
            self._decide(step, facts) is not None
            for rule in rules
            for step in rule.steps
            if _asks_address(step, key.port)
        )
        asked = (place.chain, place.rule, values.state, values.ether_type, answers)
        if asked not in self._rests:
            self._rests[asked] = tuple(self._left(rules, general, key.port, iter(answers)))
        return self._rests[asked]

    def _left(self, rules: Sequence[Rule], facts: Facts, port: Field, answers: Iterator[bool]) -> Iterator[Rule]:
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

    def _left_of(self, step: Step, facts: Facts, port: Field, answers: Iterator[bool]) -> tuple[Step, ...] | None:
        if _asks_address(step, port):
            return () if next(answers) else None
        if not is_pure(step):
            return (step,)
        return self._decider.decide(step, facts)  # type: ignore[arg-type] # pure steps are tests

    def _chain_of(self, chain: Chain, rules: tuple[Rule, ...], values: _Values) -> str:
        if rules == chain.rules:
            return chain.name
        if rules not in self._made:
            words = [word for word in (values.ether_type, values.state) if word is not None]
            free = (words[:1], words) if words else ([],)
            taken = {made.name for made in self._made.values()} | self._chains.keys()
            name = next((name for part in free if (name := "-".join((chain.name, *part))) not in taken), None)
            self._made[rules] = Chain(name or self._names.new(chain.name, "rest"), rules, None, chain.origin)
        return self._made[rules].name


_UNDECIDED = object()


def _behind_states(rules: Sequence[Rule]) -> int:
    """Return the number of the first rule that is not about the state of connections alone."""
    for number, rule in enumerate(rules):
        if not isinstance(rule.verdict, (Accept, Drop)) or not rule.steps:
            return number
        if not all(isinstance(step, FieldTest) and step.field is known.CT_STATE for step in rule.steps):
            return number
    return len(rules)


def _key(port: Field, rules: Sequence[Rule]) -> _Key:
    steps = [step for rule in rules for step in flat_steps(rule.steps)]
    fields = {step.field for step in steps if isinstance(step, FieldTest)}
    return _Key(
        port,
        bool(fields & {known.CT_STATE, known.HAS_CONNTRACK}),
        bool(fields & {known.ETHER_TYPE, known.ETHER_PROTOCOL, known.NFPROTO}),
        any(_asks_address(step, port) for step in steps),
    )


def _is_asked(key: _Key, rules: Iterable[Rule]) -> bool:
    """Tell whether one of the rules looks up such a key already."""
    return any(isinstance(rule.verdict, Dispatch) and rule.verdict.key == key.parts() for rule in rules)


def _asks_address(step: Step, port: Field) -> TypeGuard[MemberTest]:
    return isinstance(step, MemberTest) and not step.dynamic and step.key == (KeyPart(port), KeyPart(known.ETHER_SADDR))


def _facts(key: _Key, values: _Values) -> Facts:
    facts: dict[Field, ValueSet] = {known.HAS_ETHERNET: _number(known.HAS_ETHERNET, 1)}
    if values.port:
        facts[key.port] = NameSet.exact(values.port)
    if values.address is not None:
        facts[known.ETHER_SADDR] = _number(known.ETHER_SADDR, values.address)
    if values.ether_type is not None:
        facts |= _type_facts(values.ether_type)
    if values.state is not None:
        facts[known.CT_STATE] = _number(known.CT_STATE, _ALL_STATES[values.state])
        facts[known.HAS_CONNTRACK] = _number(known.HAS_CONNTRACK, int(values.state in _TRACKED))
    return facts


@cache
def _type_facts(word: str) -> Facts:
    """Return what follows from a frame's type; a type of one of the protocols says that there is no VLAN tag."""
    if word == _OTHER:
        return {known.ETHER_TYPE: IntervalSet.values(16, _TYPES.values()).complement()}
    number = _TYPES[word]
    return {
        known.ETHER_TYPE: _number(known.ETHER_TYPE, number),
        known.ETHER_PROTOCOL: _number(known.ETHER_PROTOCOL, number),
        known.NFPROTO: _number(known.NFPROTO, _NETWORK_PROTOCOLS[number]),
        known.HAS_VLAN: _number(known.HAS_VLAN, 0),
    }


def _number(field: Field, value: int) -> IntervalSet:
    return IntervalSet.single(field.width, value)


def _parts(values: _Values) -> Iterator[Part]:
    if values.state is not None:
        yield _ALL_STATES[values.state], _ALL_STATES[values.state]
    if values.ether_type is not None:
        yield _TYPES[values.ether_type], _TYPES[values.ether_type]
    yield NamePattern(values.port, is_prefix=False)
    if values.address is not None:
        yield values.address, values.address


def _single_part(part: KeyPart, facts: Facts) -> Part | None:
    """Return the one value of a key's part as an element has it."""
    fact = facts.get(part.field)
    if part.mask is not None or fact is None:
        return None
    if isinstance(fact, NameSet):
        return fact.patterns[0]
    return (fact.only, fact.only) if isinstance(fact, IntervalSet) and fact.only is not None else None


def _all_exact(keys: Iterable[tuple[Part, ...]]) -> bool:
    return all(
        not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1] for key in keys for part in key
    )


def _ends(verdict: Verdict | None) -> bool:
    return verdict is not None and not isinstance(verdict, (Jump, Dispatch))
