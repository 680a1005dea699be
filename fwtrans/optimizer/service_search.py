"""A chain of rules for services becomes a search: one look-up by protocol and port, then the few rules left for it.

    before   jump group-ops; tcp dport 22 saddr 10/8 accept; udp dport 33434-33524 accept; jump policy; drop
    after    meta l4proto . th dport vmap { tcp . 22 : goto chain-tcp-22, tcp . 113 : drop, ... }
             meta l4proto vmap { icmp : goto chain-icmp, udp : goto chain-udp }
             drop

The chain is seen as one list, calls of others put in their places. Behind the look-up stands, for each key, what of the
list a packet with it can still meet, in the old order and without the tests that are settled: rules for other ports are
gone, so are rules behind one that takes all, and rules at the end that decide as the end does. Leaves are shared by
content, among all chains of the table. A packet whose port nothing asks for finds the leaf of its protocol.

Why it is safe: a leaf holds, in order, all rules that a packet with the key can match. It is entered by a goto, so its end
is the chain's end. What stands in front of the first rule for a port stays where it is.

Few keys are asked by rules, where a bridge has not so many guests that they could share a map (`small_maps`).

It declines where the worst packet takes no fewer steps, or by the model more time (a little more is taken for chains of
guests, so that they can share one search), where a packet would take more steps than in a chain that is nothing but a list
of rules, where the leaves would have more rules than a multiple of the list, and for long
lists that ask for addresses too, which are cut by whatever parts them best (`fwtrans.optimizer.cuts`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.ending import ending_chains
from fwtrans.ir.fields import CT_STATE, DPORT, L4PROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import Rule, counts_alone, is_pure, joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.ir.walk import flat_steps, targets_of
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.clauses import (
    Clauses,
    clauses_of,
    met,
    tests_of,
    touches,
)
from fwtrans.optimizer.cuts import is_list, is_long, is_of_a_cut
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.few_guests import has_many_guests
from fwtrans.optimizer.flat_lists import FlatLists, always_ends
from fwtrans.optimizer.keys import guard
from fwtrans.optimizer.listed import Led, takes_more
from fwtrans.optimizer.names import CUT, Names, digest
from fwtrans.optimizer.reached import reached, rule_targets
from fwtrans.optimizer.services import Rules, Service, Services, asked_service, named_protocols, up_to_the_end
from fwtrans.optimizer.sets import joined
from fwtrans.optimizer.small_maps import are_few, rules_in_place
from fwtrans.optimizer.steps import NOTHING, ChainCosts, Price, Worst, chain_costs, rule_price
from fwtrans.optimizer.tracking import if_tracked
from fwtrans.optimizer.tuples import RANGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.verdict import Verdict

MOST_KEYS = 400
MOST_GROWTH = 3
# So many nanoseconds chains that maps lead to may lose by the model for fewer steps: one search is then for all guests.
MOST_LOST = cost.HASH


class _Searched(NamedTuple):
    """A chain's new form: what stays in front, what is found under keys, and what is left for all others."""

    front: Rules
    ports: Mapping[tuple[int, int], Rules]
    protocols: Mapping[int, Rules]
    rest: Rules
    listed: bool


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with searches in the place of chains of services."""
    return if_tracked(ruleset, each_table(ruleset, _table))


PASS = Pass("service-search", "a chain of rules for services becomes a look-up by protocol and port", run)


def _table(table: Table, declined: list[str]) -> Table:
    bases = [chain.name for chain in table.chains if chain.base is not None]
    if not bases:
        return table
    searching = _Searching(table, declined)
    maps = {item.name: item for item in table.maps}
    wanted = set(bases)
    for chain in callees_last(table, bases):
        if chain.name not in wanted:
            continue
        addition = searching.chain(chain)
        rules = chain.rules if addition is None else _rules_of(addition)
        more = {item.name: item for item in addition.maps} if addition is not None else {}
        wanted.update(target for rule in rules for target in rule_targets(rule, {**maps, **more} if more else maps))
    if not searching.additions:
        return table
    return reached(with_additions(table, searching.additions), bases)


def _rules_of(addition: Addition) -> Iterator[Rule]:
    yield from addition.chain.rules
    for chain in addition.chains:
        yield from chain.rules


@dataclass(slots=True)
class _Searching:
    """One table."""

    table: Table
    declined: list[str]
    additions: list[Addition] = field(default_factory=list)
    clauses: Clauses = field(init=False)
    flat: FlatLists = field(init=False)
    costs: ChainCosts = field(init=False)
    names: Names = field(init=False)
    states: dict[str, IntervalSet] = field(init=False)
    led_to: frozenset[str] = field(init=False)
    room: Mapping[str, int] = field(init=False)
    many_guests: bool = field(init=False)
    _leaves: dict[Rules, str] = field(default_factory=dict)
    _prices: dict[Rules, Price] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look at the table as a whole."""
        self.clauses = clauses_of(self.table)
        self.flat = FlatLists(self.table, self.clauses, ending_chains(self.table))
        self.costs = chain_costs(self.table)
        self.names = Names(self.table)
        self.states = _states(self.table)
        # what is found by addresses and ports only is part of a long list, which was cut where that is quickest
        guests = (item for item in self.table.maps if not RANGED.issuperset(item.fields))
        self.led_to = frozenset(name for item in guests for name in targets_of(item))
        self.room = room_below(self.table)
        self.many_guests = has_many_guests(self.table)

    def chain(self, chain: Chain) -> Addition | None:
        """Return the chain's new form, if that is better."""
        if self.room.get(chain.name, 0) < 1 or is_of_a_cut(chain):
            return None
        searched = self._search(chain)
        if searched is None:
            return None
        before = self.costs.worst_of(_with_policy_said(chain)).any
        after = self._worst(searched)
        lost = MOST_LOST if chain.name in self.led_to else 0
        if after.steps >= before.steps or after.nanoseconds >= before.nanoseconds + lost:
            self.declined.append(f"chain {chain.name}: look-ups by port would be no cheaper")
            return None
        addition = self._applied(chain, searched)
        self.additions.append(addition)
        return addition

    # --- the list and its parts ---

    def _search(self, chain: Chain) -> _Searched | None:
        flat = _with_policy_said(replace(chain, rules=self.flat.of(chain.name))).rules
        rules = up_to_the_end(self._possible(chain.name, flat))
        listed = chain.name not in self.led_to and is_list(map(self.clauses.of, chain.rules))
        if chain.name not in self.led_to and is_long([*map(self.clauses.of, chain.rules)]):
            self.declined.append(f"chain {chain.name}: a long list that asks for addresses is cut by these too")
            return None
        services = [Service(self.clauses.of(rule), asked_service(rule)) for rule in rules]
        keys = {key for item in services for key in item.asked.exact}
        if not 0 < len(keys) <= MOST_KEYS:
            return None
        start = next((place for place, item in enumerate(services) if item.asked.exact), len(services))
        if _only_keeps_from_answers(rules, start):
            # who meets none of the rules behind need not be asked: only leaves where something else happens ask first
            start = 0
        front, services = joined(rules[:start], self.clauses), services[start:]
        if any(touches(asked, item.clause.writes) for item in services for asked in (DPORT, L4PROTO)):
            return None
        parts = Services(services)
        named = sorted({protocol for item in services for protocol in named_protocols(item.asked.protocols)})
        rest = parts.for_others(named)
        protocols = {protocol: found for protocol in named if (found := parts.for_protocol(protocol)) != rest}
        ports = {key: found for key in sorted(keys) if (found := parts.for_port(*key)) != protocols.get(key[0], rest)}
        leaves = {*ports.values(), *protocols.values()}
        if not ports:
            return None
        if sum(map(len, leaves)) > MOST_GROWTH * (len(rules) + 8):
            self.declined.append(
                f"chain {chain.name}: leaves of a search by port would be more than {MOST_GROWTH} times as big"
            )
            return None
        if _counts_apart(chain, [front, *leaves, rest]):
            self.declined.append(f"chain {chain.name}: leaves of a search by port would share a count that has no name")
            return None
        searched = _Searched(front, ports, protocols, rest, listed)
        if listed and takes_more(self._led(searched, parts), start - sum(rule_price(rule).steps for rule in front)):
            self.declined.append(f"chain {chain.name}: some packets would take more steps than in the list")
            return None
        return searched

    def _led(self, searched: _Searched, parts: Services) -> Iterator[Led]:
        """Yield what packets find, and how many look-ups lead there: few keys are asked one after the other."""
        ports, protocols = (
            len(keys) if self._are_few(fields, len(keys)) and not searched.listed else int(bool(keys))
            for fields, keys in (((L4PROTO, DPORT), searched.ports), ((L4PROTO,), searched.protocols))
        )
        for key in {key for item in parts.services for key in item.asked.exact}:
            leaf = searched.ports.get(key)
            if leaf is not None:
                yield Led(ports, parts.named(*key), len(leaf), not leaf or _value(leaf) is not None)
            else:
                others = searched.protocols.get(key[0], searched.rest)
                yield Led(ports + protocols, parts.named(*key), len(others), direct=False)
        for protocol in {protocol for item in parts.services for protocol in named_protocols(item.asked.protocols)}:
            leaf = searched.protocols.get(protocol, searched.rest)
            direct = protocol in searched.protocols and (not leaf or _value(leaf) is not None)
            yield Led(ports + protocols, parts.of_protocol(protocol), len(leaf), direct)
        yield Led(ports + protocols, parts.of_others(searched.protocols), len(searched.rest), direct=False)

    def _possible(self, name: str, rules: Rules) -> Rules:
        """Leave out what no packet matches that comes to the chain, by the states that lead there."""
        states = self.states.get(name)
        if states is None or touches(CT_STATE, self.clauses.chain_writes(name)):
            return rules
        return tuple(
            rule for rule in rules if (asked := tests_of(rule).get(CT_STATE)) is None or not met(asked, states).is_empty
        )

    def _worst(self, searched: _Searched) -> Price:
        """Return what the dearest packet costs."""
        front = self._worst_of(searched.front)
        ports = max(map(self._led_price, searched.ports.values()), default=NOTHING)
        protocols = max(map(self._led_price, searched.protocols.values()), default=NOTHING)
        others = max(protocols, self._worst_of(searched.rest).any)
        if searched.protocols:
            others = others.plus(self._look_up((L4PROTO,), len(searched.protocols)))
        behind = self._look_up((L4PROTO, DPORT), len(searched.ports)).plus(max(ports, others))
        return max(front.through.plus(behind) if front.through is not None else NOTHING, front.ending or NOTHING)

    def _look_up(self, fields: tuple[Field, ...], keys: int) -> Price:
        """Return what it costs to find one of so many keys, or none: few become rules (`small_maps`)."""
        if self._are_few(fields, keys):
            return Price(keys, keys * (cost.VERDICT + sum(map(cost.test_cost, fields))) + cost.JUMP)
        return Price(1, cost.HASH + cost.JUMP)

    def _are_few(self, fields: tuple[Field, ...], keys: int) -> bool:
        return not self.many_guests and are_few(fields, keys)

    def _led_price(self, rules: Rules) -> Price:
        value = _value(rules) if rules else Return()
        if value is not None:
            return self.costs.worst(value.chain).any if isinstance(value, Goto) else NOTHING
        found = self._prices.get(rules)
        if found is None:
            found = self._prices[rules] = self._worst_of(rules).any
        return found

    def _worst_of(self, rules: Rules) -> Worst:
        return self.costs.worst_of(Chain("", rules))

    # --- the new form ---

    def _applied(self, chain: Chain, searched: _Searched) -> Addition:
        chains: list[Chain] = []
        maps: list[NamedMap] = []
        rules = [*searched.front]
        origins = joined_origins(chain.rules)
        for fields, found in (((L4PROTO, DPORT), searched.ports), ((L4PROTO,), searched.protocols)):
            if not found:
                continue
            elements = []
            for key, leaf in found.items():
                numbers = key if isinstance(key, tuple) else (key,)
                value = self._led_to(chain, leaf, chains)
                elements.append(MapElement(tuple((number, number) for number in numbers), value))
            kind = (CUT,) if searched.listed else ()
            name = self.names.new(chain.name, *kind, "by", *(item.name for item in fields))
            rule = Rule(guard(fields), look_up := Dispatch(tuple(map(KeyPart, fields)), name), origins)
            if self._are_few(fields, len(elements)) and not searched.listed:
                rules.extend(rules_in_place(rule, look_up, elements))
            else:
                rules.append(rule)
                maps.append(NamedMap(name, fields, "verdict", tuple(elements), chain.origin))
        rules.extend(searched.rest)
        return Addition(replace(chain, rules=tuple(rules)), tuple(chains), tuple(maps))

    def _led_to(self, chain: Chain, leaf: Rules, chains: list[Chain]) -> Verdict:
        """Return what a map holds for a leaf: its verdict, or the way to it."""
        if not leaf or (len(leaf) == 1 and not leaf[0].steps and isinstance(leaf[0].verdict, Return)):
            if chain.base is None:
                return Return()
            return Accept() if chain.base.accepts else Drop()
        value = _value(leaf)
        if value is not None:
            return value
        name = self._leaves.get(leaf)
        if name is None:
            name = self.names.new("service", digest(map(repr, ((r.steps, r.verdict) for r in leaf))))
            self._leaves[leaf] = name
            chains.append(Chain(name, leaf, origin=chain.origin))
        return Goto(name)


def _with_policy_said(chain: Chain) -> Chain:
    """Return a chain as it is printed: a policy that drops is its last rule, which ends what stands in front of it."""
    if chain.base is None or chain.base.accepts or (chain.rules and always_ends(chain.rules[-1])):
        return chain
    return replace(chain, rules=(*chain.rules, Rule((), Drop(), chain.rules[-1].origins if chain.rules else ())))


def _states(table: Table) -> dict[str, IntervalSet]:
    """Return the states of connections that lead to chains to which only maps lead that ask for them."""
    found: dict[str, IntervalSet | None] = {}
    for chain in table.chains:
        for rule in chain.rules:
            if isinstance(rule.verdict, (Jump, Goto)):
                found[rule.verdict.chain] = None
    for item in table.maps:
        place = item.fields.index(CT_STATE) if CT_STATE in item.fields else None
        for element in item.elements:
            if not isinstance(element.value, (Jump, Goto)):
                continue
            name = element.value.chain
            before = found.get(name, IntervalSet.empty(CT_STATE.width))
            part = element.key[place] if place is not None else None
            if before is None or not isinstance(part, tuple) or isinstance(part, NamePattern):
                found[name] = None
            else:
                found[name] = before.union(IntervalSet(CT_STATE.width, (part,)))
    return {name: states for name, states in found.items() if states is not None}


def _only_keeps_from_answers(rules: Rules, count: int) -> bool:
    """Tell whether the first rules only accept what would else be answered, as in copies in which only REJECT decides."""
    if not all(isinstance(rule.verdict, Accept) and all(map(is_pure, rule.steps)) for rule in rules[:count]):
        return False
    return not any(isinstance(rule.verdict, Drop) for rule in rules)


def _counts_apart(chain: Chain, lists: Iterable[Rules]) -> bool:
    """Tell whether something that counts without a name stands in several lists, or in a chain that others may call."""
    held = [set(_counts(rules)) for rules in lists]
    every = set().union(*held)
    return len(every) < sum(map(len, held)) or not every <= set(_counts(chain.rules))


def _counts(rules: Iterable[Rule]) -> Iterator[Step]:
    return (step for rule in rules for step in flat_steps(rule.steps) if counts_alone(step))


def _value(rules: Rules) -> Verdict | None:
    """Return the verdict that a map can hold in the place of the rules."""
    if len(rules) == 1 and not rules[0].steps and isinstance(rules[0].verdict, (Accept, Drop, Goto)):
        return rules[0].verdict
    return None
