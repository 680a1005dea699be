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

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable, NoTrack
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto
from fwtrans.ir.walk import flat_steps, set_names
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.first_rules import (
    ALL_STATES,
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
    from fwtrans.ir.sets import Part
    from fwtrans.ir.verdict import Verdict

# Established connections are let through before; what is invalid is rare.
_STATES = ("new", "untracked")
# Only with `notrack`. With addresses it is needed: where all kinds of packets are in the map, the others have a wrong one.
_RARE = ("untracked", "ip")
_FEWEST_SAVED = 2
_INTERFACES = {known.IIFNAME: "iif", known.OIFNAME: "oif"}


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

    def run(self) -> Table:
        behind = self._base.rules[self._at :]
        rules = [*behind, *(rule for name in self._walker.reached(behind) for rule in self._chains[name].rules)]
        for port, word in _INTERFACES.items():
            self._made.clear()
            self._known.clear()
            key = _key(port, rules)
            if any(_looks_up(rule, port) for rule in behind):
                continue
            elements = dict(self._elements(key, rules))
            if any(isinstance(found.verdict, Goto) and found.saved >= _FEWEST_SAVED for found in elements.values()):
                verdicts = {values: found.verdict for values, found in elements.items()}
                return self._with(key, verdicts, self._names.new(word, "entry"))
        return self._table

    def _with(self, key: _Key, elements: Mapping[Values, Verdict], name: str) -> Table:
        parts, at = key.parts(), self._at
        entry = Rule((), Dispatch(parts, name), self._base.rules[at].origins)
        changed = {self._base.name: (*self._base.rules[:at], entry, *self._base.rules[at:])}
        if key.has_address:
            changed |= dict(self._only_wrong_addresses(key, elements))
        chains = (replace(chain, rules=changed.get(chain.name, chain.rules)) for chain in self._table.chains)
        made = tuple(MapElement(tuple(_parts(values)), verdict) for values, verdict in elements.items())
        mapping = NamedMap(name, tuple(part.field for part in parts), "verdict", made)
        table = replace(self._table, chains=(*chains, *self._made.values()), maps=(*self._table.maps, mapping))
        gone = _asked_sets(self._table) - _asked_sets(table)
        return replace(table, sets=tuple(item for item in table.sets if item.name not in gone))

    # --- elements ---

    def _elements(self, key: _Key, rules: Sequence[Rule]) -> Iterator[tuple[Values, _Found]]:
        for port, address in self._guests(key, rules):
            for ether_type in TYPES if key.has_type else (None,):
                for state in _STATES if key.has_state else (None,):
                    values = Values(state, ether_type, port, address)
                    if (state, ether_type) in IMPOSSIBLE or ((state, ether_type) == _RARE and not key.has_address):
                        continue
                    found = self._judged(key, values)
                    if found is not None and (isinstance(found.verdict, Goto) or found.saved >= _FEWEST_SAVED):
                        yield values, found

    def _guests(self, key: _Key, rules: Sequence[Rule]) -> list[tuple[str, int | None]]:
        """Return the ports, with the hardware addresses that rules ask for together with them."""
        if not key.has_address:
            return [(port, None) for port in sorted(self._walker.ports(key.port, rules))]
        names = {step.set_name for rule in rules for step in rule.steps if asks_address(step, key.port)}
        return sorted(self._right_addresses(names))

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
            words = [word for word in (values.ether_type, values.state) if word is not None]
            taken = {made.name for made in self._made.values()} | self._chains.keys()
            wanted = ("-".join((rest.entered, *words[:number])) for number in range(1, len(words) + 1))
            name = next((name for name in wanted if name not in taken), None)
            origin = self._chains[rest.entered].origin
            self._made[rest.rules] = Chain(name or self._names.new(rest.entered, "rest"), rest.rules, None, origin)
        return self._made[rest.rules].name

    # --- what is left for packets that are not in the map ---

    def _only_wrong_addresses(
        self, key: _Key, elements: Mapping[Values, Verdict]
    ) -> Iterator[tuple[str, tuple[Rule, ...]]]:
        """Yield chains that ask for the address, as they are for those with a wrong one, if no other comes there now."""
        asking = {
            chain.name: {step.set_name for rule in chain.rules for step in rule.steps if asks_address(step, key.port)}
            for chain in self._chains.values()
        }
        asking = {name: sets for name, sets in asking.items() if sets}
        elsewhere = set(self._reached_elsewhere(elements))
        right = {name: self._right_addresses(asking[name]) for name in asking if name not in elsewhere}
        still = self._still_reached(key, set().union(*right.values()), elements.keys(), asking.keys())
        for name, addresses in right.items():
            if not addresses & still.get(name, set()):
                rules = self._chains[name].rules
                steps = [step for rule in rules for step in rule.steps if asks_address(step, key.port)]
                general = facts_of(key.port, Values(None, None, "", None))
                yield name, tuple(self._walker.left(rules, general, key.port, (not step.inside for step in steps)))

    def _reached_elsewhere(self, elements: Mapping[Values, Verdict]) -> Iterator[str]:
        """Yield chains to which there are other ways: from other base chains, and from the map's own chains."""
        for chain in self._chains.values():
            if chain.base is not None and chain.name != self._base.name:
                yield from self._walker.reached(chain.rules)
        for chain in self._made.values():
            yield from self._walker.reached(chain.rules)
        own = {made.name for made in self._made.values()}
        kept = [
            Rule((), verdict) for verdict in elements.values() if isinstance(verdict, Goto) and verdict.chain not in own
        ]
        yield from self._walker.reached(kept)

    def _still_reached(
        self, key: _Key, pairs: AbstractSet[tuple[str, int]], covered: AbstractSet[Values], asking: AbstractSet[str]
    ) -> dict[str, set[tuple[str, int]]]:
        """Return for each chain that asks for the address the right ones that may come there, past the map."""
        found: dict[str, set[tuple[str, int]]] = {}
        for port, address in pairs:
            for ether_type in (*TYPES, OTHER_TYPE) if key.has_type else (None,):
                for state in ALL_STATES if key.has_state else (None,):
                    values = Values(state, ether_type, port, address)
                    if values not in covered and (state, ether_type) not in IMPOSSIBLE:
                        for name in self._walker.may_reach(self._base.name, facts_of(key.port, values), asking):
                            found.setdefault(name, set()).add((port, address))
        return found


def _asked_sets(table: Table) -> set[str]:
    return {name for chain in table.chains for rule in chain.rules for name in set_names(rule)}


def _behind_states(rules: Sequence[Rule]) -> int:
    """Return the number of the first rule that is not about the state of connections alone."""
    for number, rule in enumerate(rules):
        if not isinstance(rule.verdict, (Accept, Drop)) or not rule.steps:
            return number
        if not all(isinstance(step, FieldTest) and step.field is known.CT_STATE for step in rule.steps):
            return number
    return len(rules)


def _looks_up(rule: Rule, port: Field) -> bool:
    """Tell whether the rule looks the port up together with something else, as this pass would make it."""
    verdict = rule.verdict
    return isinstance(verdict, Dispatch) and len(verdict.key) > 1 and KeyPart(port) in verdict.key


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
