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
through them with these values; what asks or does something else is kept. All that is not in the map passes the same rules as before; where only
frames with a wrong address can come there now, the chain keeps what is for them.

It declines where less than two rules are saved, where something stands behind the call of a port's chain, where a rule takes packets out of connection tracking or writes into their headers, and outside of bridge tables.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable, NoTrack
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.order import callees_last
from fwtrans.ir.pprint import print_rule
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump
from fwtrans.ir.walk import flat_steps, map_names, set_names
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.class_names import content_hash
from fwtrans.optimizer.first_rules import (
    ALL_STATES,
    EITHER_STATE,
    FIRST_STATES,
    IMPOSSIBLE,
    OTHER_TYPE,
    TYPES,
    Rest,
    Values,
    Walker,
    asks_address,
    facts_of,
)
from fwtrans.optimizer.names import Names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import MapValue, Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.optimizer.facts import Facts

_FEWEST_SAVED = 2
_INTERFACES = {known.IIFNAME: "iif", known.OIFNAME: "oif"}
_ENTRY = "entry"
_NAME_OF_ENTRY = re.compile(rf"({'|'.join(_INTERFACES.values())})-{_ENTRY}(-[0-9]+)?")


def port_keys(table: Table) -> Table:
    """Return the table with one look-up for what the first rules of guests' ways ask."""
    if table.family is not Family.BRIDGE or _changes_keys(table):
        return table
    for chain in table.chains:
        if chain.base is not None and chain.base.accepts:
            table = _Entering(table, chain).run()
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its bridge tables' first questions asked at once."""
    return each_table(ruleset, lambda table, _declined: port_keys(table))


PASS = Pass("port-keys", "state, ether type, port and hardware address are asked in one look-up", run)


def is_entry(map_name: str) -> bool:
    """Tell whether a map is called as this pass calls those that it makes."""
    return _NAME_OF_ENTRY.fullmatch(map_name) is not None


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
        self._at = _behind_states(base.rules)
        self._chains = {chain.name: chain for chain in table.chains}
        self._walker = Walker(table)
        self._names = Names(table)
        self._made: dict[tuple[Rule, ...], Chain] = {}
        self._known: dict[Hashable, str] = {}
        self._known_guests: list[tuple[str, int | None]] = []
        self._own: set[str] = set()

    def run(self) -> Table:
        behind = self._base.rules[self._at :]
        rules = [*behind, *(rule for name in self._walker.reached(behind) for rule in self._chains[name].rules)]
        for port, word in _INTERFACES.items():
            self._made.clear()
            self._known.clear()
            key = self._without_few_addresses(_key(port, rules), rules)
            if any(_looks_up(rule, port) for rule in behind):
                continue
            self._known_guests = self._guests(key, rules)
            elements = dict(self._elements(key))
            if any(isinstance(found.verdict, Goto) and found.saved >= _FEWEST_SAVED for found in elements.values()):
                verdicts = {values: found.verdict for values, found in elements.items()}
                return self._with(key, verdicts, self._names.new(word, _ENTRY))
        return self._table

    def _with(self, key: _Key, elements: Mapping[Values, Verdict], name: str) -> Table:
        parts, at = key.parts(), self._at
        changed = dict(self._behind_the_map(key, elements))
        wrong = self._merged(changed)
        rules = changed.get(self._base.name, self._base.rules)
        changed[self._base.name] = (
            *rules[:at],
            Rule((), Dispatch(parts, name), self._base.rules[at].origins),
            *rules[at:],
        )
        chains = (with_rules(chain, changed.get(chain.name, chain.rules)) for chain in self._table.chains)
        made = tuple(MapElement(tuple(_parts(values)), verdict) for values, verdict in elements.items())
        mapping = NamedMap(name, tuple(part.field for part in parts), "verdict", made)
        table = replace(self._table, chains=(*chains, *self._made.values()), maps=(*self._table.maps, mapping))
        return without_lost(self._table, redirected(table, wrong))

    def _merged(self, changed: dict[str, tuple[Rule, ...]]) -> dict[str, str]:
        """Give what is left for wrong addresses chains of their own, each for all ports with the same; tell which it is."""
        found: dict[str, str] = {}
        for name in sorted(changed):
            rules = changed[name]
            if name in self._own and rules != self._chains[name].rules:
                if rules not in self._made:
                    own = self._names.new("wrong-address", content_hash(map(print_rule, rules)))
                    self._made[rules] = Chain(own, rules, None, self._chains[name].origin)
                found[name] = self._made[rules].name
                del changed[name]
        return found

    # --- elements ---

    def _elements(self, key: _Key) -> Iterator[tuple[Values, _Found]]:
        for port, address in self._known_guests:
            for ether_type in TYPES if key.has_type else (None,):
                asked = (EITHER_STATE if key.has_state else None, ether_type, port, address)
                found = self._judged(key, Values(*asked))
                if found is None or (not isinstance(found.verdict, Goto) and found.saved < _FEWEST_SAVED):
                    continue
                for state in FIRST_STATES if key.has_state else (None,):
                    if (state, ether_type) not in IMPOSSIBLE:
                        yield Values(state, ether_type, port, address), found

    def _guests(self, key: _Key, rules: Sequence[Rule]) -> list[tuple[str, int | None]]:
        """Return the ports, with the hardware addresses that rules ask for together with them."""
        if not key.has_address:
            return [(port, None) for port in sorted(self._walker.ports(key.port, rules))]
        names = {step.set_name for rule in rules for step in rule.steps if asks_address(step, key.port)}
        return sorted(self._right_addresses(names))

    def _without_few_addresses(self, key: _Key, rules: Sequence[Rule]) -> _Key:
        """Leave the address out of a key that not all ports have: those without would have to pass all other rules."""
        named = {port for port, _ in self._guests(key, rules)} if key.has_address else set()
        return key._replace(has_address=key.has_address and named >= self._walker.ports(key.port, rules))

    def _right_addresses(self, sets: Iterable[str]) -> set[tuple[str, int]]:
        """Return ports with their addresses, as sets of them say."""
        return {
            (port.text, address[0])
            for name in sets
            for port, address in self._walker.members.get(name, ())
            if isinstance(port, NamePattern) and not port.is_prefix
            if not isinstance(address, NamePattern) and address[0] == address[1]
        }

    def _judged(self, key: _Key, values: Values) -> _Found | None:
        """Return what the rules do to packets of these values, None where that saves nothing."""
        rest = self._walker.rest(self._base.name, self._at, key.port, values)
        if rest is None or rest.decided < 2:
            return None
        saved = rest.decided - 1
        if rest.entered:
            return _Found(Goto(self._chain_of(rest, values)), saved)
        if not rest.before:
            return _Found(Accept(), saved)
        first = rest.before[0]
        if len(rest.before) == 1 and not first.steps and isinstance(first.verdict, (Accept, Drop)):
            return _Found(first.verdict, saved)
        return None

    def _chain_of(self, rest: Rest, values: Values) -> str:
        if not rest.before and rest.own == self._chains[rest.entered].rules:
            return rest.entered
        asked = (rest.before, rest.entered, id(rest.own))
        if asked not in self._known:
            self._known[asked] = self._made_chain(rest, values)
        return self._known[asked]

    def _made_chain(self, rest: Rest, values: Values) -> str:
        if rest.rules not in self._made:
            name = self._names.new(rest.entered, values.ether_type or "rest")
            self._made[rest.rules] = Chain(name, rest.rules, None, self._chains[rest.entered].origin)
        return self._made[rest.rules].name

    # --- what is left for packets that are not in the map ---

    def _behind_the_map(self, key: _Key, elements: Mapping[Values, Verdict]) -> Iterator[tuple[str, tuple[Rule, ...]]]:
        """Yield chains without the rules for packets that the map takes, as far as no others come there."""
        own = self._own = self._walker.port_chains(self._base.name, key.port)
        elsewhere = {*self._reached_elsewhere(elements)}
        elsewhere.update(self._walker.reached(rule for name in own for rule in self._chains[name].rules))
        matched: set[tuple[str, int]] = set()
        still: set[str] = set()
        for facts, is_right in self._not_in_the_map(key, elements.keys()):
            for chain, number in self._walker.may_match(self._base.name, facts, own):
                matched.add((chain, number))
                if is_right and number < 0:
                    still.add(chain)
        on_the_way = [name for name in self._walker.reached(self._base.rules) if self._walker.leads_on(name, key.port)]
        for name in (self._base.name, *on_the_way):
            if name not in own and name not in elsewhere:
                rules = enumerate(self._chains[name].rules)
                is_base = name == self._base.name
                kept = (
                    (is_base and at < self._at) or (name, at) in matched for at in range(len(self._chains[name].rules))
                )
                yield name, tuple(rule for (_, rule), keep in zip(rules, kept, strict=True) if keep)
        for name in own - elsewhere - still if key.has_address else ():
            yield name, self._for_wrong_addresses(name, key.port)

    def _for_wrong_addresses(self, name: str, port: Field) -> tuple[Rule, ...]:
        rules = self._chains[name].rules
        steps = [step for rule in rules for step in rule.steps if asks_address(step, port)]
        if not steps:
            return rules
        general = facts_of(port, Values(None, None, "", None))
        return tuple(self._walker.left(rules, general, port, (not step.inside for step in steps)))

    def _not_in_the_map(self, key: _Key, covered: AbstractSet[Values]) -> Iterator[tuple[Facts, bool]]:
        """Yield what is known of packets that are not in the map, and whether a port's own chain has their address."""
        types = (*TYPES, OTHER_TYPE) if key.has_type else (None,)
        kinds = [
            (state, ether_type)
            for ether_type in types
            for state in (ALL_STATES if key.has_state else (None,))
            if (state, ether_type) not in IMPOSSIBLE
        ]
        alike: dict[frozenset[tuple[str | None, str | None]], list[tuple[str, int | None]]] = {}
        for port, address in self._known_guests:
            there = frozenset(kind for kind in kinds if Values(*kind, port, address) in covered)
            alike.setdefault(there, []).append((port, address))
        ports = NameSet.exact(*{port for port, _ in self._known_guests})
        for state, ether_type in kinds:
            facts = facts_of(key.port, Values(state, ether_type, "", None))
            yield {**facts, key.port: ports.complement()}, False
            if key.has_address:
                yield {**facts, key.port: ports}, False
            for there, guests in alike.items():
                if (state, ether_type) not in there:
                    yield {**facts, **_any_of(key, guests)}, True

    def _reached_elsewhere(self, elements: Mapping[Values, Verdict]) -> Iterator[str]:
        """Yield chains to which there are other ways: from other base chains, and from the map's own chains."""
        bases = (chain for chain in self._chains.values() if chain.base is not None and chain.name != self._base.name)
        yield from self._walker.reached(rule for chain in (*bases, *self._made.values()) for rule in chain.rules)
        own = {made.name for made in self._made.values()}
        kept = [
            Rule((), verdict) for verdict in elements.values() if isinstance(verdict, Goto) and verdict.chain not in own
        ]
        yield from self._walker.reached(kept)


def _any_of(key: _Key, guests: Sequence[tuple[str, int | None]]) -> Facts:
    facts: Facts = {key.port: NameSet.exact(*(port for port, _ in guests))}
    if key.has_address:
        addresses = IntervalSet.values(
            known.ETHER_SADDR.width, (address for _, address in guests if address is not None)
        )
        facts[known.ETHER_SADDR] = addresses
    return facts


def redirected(table: Table, names: Mapping[str, str]) -> Table:
    """Return a table in which chains stand in for others wherever these were gone to."""

    def last(rule: Rule) -> Rule:
        verdict = rule.verdict
        if not isinstance(verdict, (Jump, Goto)) or verdict.chain not in names:
            return rule
        return replace(rule, verdict=replace(verdict, chain=names[verdict.chain]))

    def last_value(value: MapValue) -> MapValue:
        return replace(value, chain=names.get(value.chain, value.chain)) if isinstance(value, (Jump, Goto)) else value

    if not names:
        return table
    return replace(
        table,
        chains=tuple(with_rules(chain, tuple(map(last, chain.rules))) for chain in table.chains),
        maps=tuple(
            replace(item, elements=tuple(each._replace(value=last_value(each.value)) for each in item.elements))
            for item in table.maps
        ),
    )


def without_lost(before: Table, after: Table) -> Table:
    """Return a table without chains, sets and maps that rules led to or asked before, and now no longer do."""
    roots = {chain.name for chain in before.chains if chain.base is not None}
    # chains that nothing has led to are somebody else's business, with all that they lead to
    roots |= {chain.name for chain in before.chains} - _reached_from(before, roots)
    reached = _reached_from(after, roots)
    gone = _asked(before) - _asked(after, reached)
    return replace(
        after,
        chains=tuple(chain for chain in after.chains if chain.name in reached),
        sets=tuple(item for item in after.sets if item.name not in gone),
        maps=tuple(item for item in after.maps if item.name not in gone),
    )


def _reached_from(table: Table, roots: AbstractSet[str]) -> set[str]:
    return {chain.name for chain in callees_last(table, sorted(roots))}


def _asked(table: Table, chains: AbstractSet[str] | None = None) -> set[str]:
    """Return the sets and maps that rules of some chains ask."""
    rules = (rule for chain in table.chains if chains is None or chain.name in chains for rule in chain.rules)
    return {name for rule in rules for name in (*set_names(rule), *map_names(rule))}


def _behind_states(rules: Sequence[Rule]) -> int:
    """Return the number of the first rule that does not only accept or drop established connections.

    What is done to invalid packets alone is asked behind the look-up: few are.
    """
    for number, rule in enumerate(rules):
        if not isinstance(rule.verdict, (Accept, Drop)) or not rule.steps:
            return number
        tests = {step.field: step.values for step in rule.steps if isinstance(step, FieldTest)}
        states = tests.get(known.CT_STATE)
        if (
            len(tests) < len(rule.steps)
            or not isinstance(states, IntervalSet)
            or ALL_STATES["established"] not in states
        ):
            return number
        if not tests.keys() <= {known.CT_STATE, known.ETHER_TYPE, known.L4PROTO, known.TCP_FLAGS}:
            return number
        if len(tests) > 1 and not isinstance(rule.verdict, Accept):
            return number
    return len(rules)


def _looks_up(rule: Rule, port: Field) -> bool:
    """Tell whether the rule looks the port up together with something else, as this pass makes it and `many_ways.py` leaves it."""
    verdict = rule.verdict
    if isinstance(verdict, (Goto, Jump)):
        keys = [step.key for step in rule.steps if isinstance(step, MemberTest) and step.inside]
    else:
        keys = [verdict.key] if isinstance(verdict, Dispatch) else []
    return any(len(key) > 1 and KeyPart(port) in key for key in keys)


def _key(port: Field, rules: Sequence[Rule]) -> _Key:
    steps = [step for rule in rules for step in flat_steps(rule.steps)]
    fields = {step.field for step in steps if isinstance(step, FieldTest)}
    return _Key(
        port,
        bool(fields & {known.CT_STATE, known.HAS_CONNTRACK}),
        bool(fields & {known.ETHER_TYPE, known.ETHER_PROTOCOL, known.NFPROTO}),
        any(asks_address(step, port) for step in steps),
    )


def _parts(values: Values) -> Iterator[Part]:
    if values.state is not None:
        yield ALL_STATES[values.state], ALL_STATES[values.state]
    if values.ether_type is not None:
        yield TYPES[values.ether_type], TYPES[values.ether_type]
    yield NamePattern(values.port, is_prefix=False)
    if values.address is not None:
        yield values.address, values.address
