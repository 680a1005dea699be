"""Rules as they are read back from nftables' text: what is said there by itself is no step of a rule.

    a table of IPv4:                  ip.saddr 0.0.0.0/0, accept              becomes   accept
    ports are there in whole packets:  has.transport, th.dport 22, accept            becomes   th.dport 22, accept
    all ways here have asked for TCP:  l4proto tcp, reject with tcp reset            becomes   reject with tcp reset
    fragments are put together:        l4proto icmp, has.transport, accept           becomes   l4proto icmp, accept

nft tests by itself whom an answer is for, and whether ports are there, and whoever reads the text reads these tests. Where
a pass had left them out, it would find another ruleset in its own output and go on changing it.

Why it is safe: a test goes only where another one of its rule says the same, or all ways to its chain do.
"""

from __future__ import annotations

from dataclasses import replace
from operator import is_not
from typing import TYPE_CHECKING, TypeGuard

from fwtrans.ir.expand import always_holds, settled_by
from fwtrans.ir.fields import DPORT, FIELDS, HAS_TRANSPORT, L4PROTO, NFPROTO, SPORT
from fwtrans.ir.match import FieldTest, number, present
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import is_pure, pure_front
from fwtrans.ir.verdict import Dispatch, Reject
from fwtrans.ir.walk import tracks_early
from fwtrans.optimizer.base import with_rules
from fwtrans.optimizer.clauses import needs
from fwtrans.optimizer.facts import decider_of, meet
from fwtrans.optimizer.known_kinds import known_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.optimizer.facts import Decider, Facts
    from fwtrans.optimizer.known_kinds import KnownKinds

_PORTS_ARE_THERE = present(HAS_TRANSPORT)
_NAMED_BEFORE = frozenset({L4PROTO, SPORT, DPORT})
_PROTOCOLS = {
    field: number(L4PROTO, value) for field in FIELDS.values() for name, value in field.requires if name == L4PROTO.name
}


def with_protocols_named(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset with the protocol named in front of its header's fields: passes that sort by protocol look for it.

    A rule of iptables always names it, one of nftables need not.
    """
    return replace(ruleset, tables=tuple(_each_rule(table, _with_protocol) for table in ruleset.tables))


def without_said(table: Table, *, whole: bool) -> Table:
    """Return the table without tests that others say as well; `whole`: fragments are put together before."""
    table = _without_nothing(table)
    if not any(map(_may_say_too_much, table.chains)):
        return table
    table = _with_chains(table, (_said_once(chain, whole=whole) for chain in table.chains))
    wanted = [chain for chain in table.chains if _may_say_too_much(chain) and _has_more(chain, whole)]
    if not wanted:
        return table
    decider, kinds = decider_of(table), known_kinds(table, whole=whole)
    found = {chain.name: _with_less(chain, decider, kinds, whole=whole) for chain in wanted}
    return _with_chains(table, (found.get(chain.name, chain) for chain in table.chains))


def _without_nothing(table: Table) -> Table:
    """Return the table without tests that ask for any value at all, which the printer leaves out."""
    if not any(map(_asks_for_anything, table.chains)):
        return table
    settled = settled_by(table.family, conntrack=tracks_early(table))

    def asking(rule: Rule) -> Rule:
        left = tuple(step for step in rule.steps if not (isinstance(step, FieldTest) and always_holds(step, settled)))
        return rule if len(left) == len(rule.steps) else replace(rule, steps=left)

    return _each_rule(table, asking)


@once
def _asks_for_anything(chain: Chain) -> bool:
    return any(map(_takes_any_value, chain.rules))


@once
def _takes_any_value(rule: Rule) -> bool:
    return any(isinstance(step, FieldTest) and step.values.is_full for step in rule.steps)


def as_asked(rule: Rule) -> Rule:
    """Return the rule without the test for ports' being there, if it looks up ports: it is printed alike."""
    if not isinstance(rule.verdict, Dispatch) or rule.steps != (_PORTS_ARE_THERE,):
        return rule
    asks_ports = any(HAS_TRANSPORT in needs(part.field) for part in rule.verdict.key)
    return replace(rule, steps=()) if asks_ports else rule


def _each_rule(table: Table, change: Callable[[Rule], Rule]) -> Table:
    return _with_chains(table, (with_rules(chain, tuple(map(change, chain.rules))) for chain in table.chains))


def _with_chains(table: Table, chains: Iterable[Chain]) -> Table:
    found = tuple(chains)
    return replace(table, chains=found) if any(map(is_not, found, table.chains)) else table


def without_presence(rule: Rule, *, whole: bool) -> Rule:
    """Return the rule without tests for what is there wherever another thing is that it asks for: ports, a protocol.

    So are protocols of which a field is that the rule asks for: what is read back names that field's one.

    Where fragments are not put together, `th dport` alone compares the bytes that a later one has in the port's place.
    """
    if not any(_is_for_presence(step) or _is_of_protocols(step) for step in rule.steps):
        return rule
    asked = pure_front(rule)
    named = {_PROTOCOLS[step.field] for step in asked if isinstance(step, FieldTest) and step.field in _PROTOCOLS}
    there = {need for step in asked if isinstance(step, FieldTest) for need in needs(step.field)}
    if NFPROTO in there:  # both families' packets have a protocol
        there.add(L4PROTO)
    if not whole:
        there.discard(HAS_TRANSPORT)
    front = tuple(
        step for step in asked if not (_is_for_presence(step) and step.field in there) and not _is_said_by(step, named)
    )
    return rule if len(front) == len(asked) else replace(rule, steps=(*front, *rule.steps[len(asked) :]))


def _is_for_presence(step: Step) -> TypeGuard[FieldTest]:
    return step == _PORTS_ARE_THERE or (isinstance(step, FieldTest) and step.field is L4PROTO and step.values.is_full)


def _is_of_protocols(step: Step) -> TypeGuard[FieldTest]:
    return isinstance(step, FieldTest) and step.field is L4PROTO and step.values.only is None  # type: ignore[union-attr] # a number's values are intervals


def _is_said_by(step: Step, named: Collection[FieldTest]) -> bool:
    """Tell whether one of the protocols in whose headers a rule looks is the only one left that a step asks for."""
    return _is_of_protocols(step) and any(meet(step.values, test.values) == test.values for test in named)


def _with_protocol(rule: Rule) -> Rule:
    """Return the rule with the protocol in front of the first field of its header.

    Who asks for ports without it knows it from the way, and says so by `th dport` in the place of `tcp dport`.
    """
    for place, step in enumerate(rule.steps):
        if not is_pure(step):
            break
        if not isinstance(step, FieldTest):
            continue
        if step.field in _NAMED_BEFORE:
            return rule
        if (protocol := _PROTOCOLS.get(step.field)) is not None:
            behind = rule.steps[place:]
            if protocol in behind:  # as in `tcp flags syn ct state new tcp dport 22`, where nft names it for the port
                behind = tuple(one for one in behind if one != protocol)
            elif any(isinstance(one, FieldTest) and one.field in _NAMED_BEFORE for one in behind):
                return rule
            return replace(rule, steps=(*rule.steps[:place], protocol, *behind))
    return rule


@once
def _may_say_too_much(chain: Chain) -> bool:
    """Tell whether a chain has tests of the kinds that may be said already; most chains have none."""
    return any(
        _is_for_presence(step) or _is_of_protocols(step) or is_for_whom(rule, step)
        for rule in chain.rules
        for step in rule.steps
    )


def _said_once(chain: Chain, *, whole: bool) -> Chain:
    return (
        with_rules(chain, tuple(without_presence(rule, whole=whole) for rule in chain.rules))
        if _may_say_too_much(chain)
        else chain
    )


def _has_more(chain: Chain, whole: bool) -> bool:
    return any(_says_too_much(rule, whole) for rule in chain.rules)


def _says_too_much(rule: Rule, whole: bool) -> bool:
    whole = whole and not isinstance(rule.verdict, Dispatch)  # which is printed alike, and passes know that
    return any(is_for_whom(rule, step) or (whole and step == _PORTS_ARE_THERE) for step in rule.steps)


def is_for_whom(rule: Rule, step: Step) -> bool:
    """Tell whether a step is the test that nft makes by itself in front of a rule's answer."""
    if not isinstance(rule.verdict, Reject) or not isinstance(step, FieldTest):
        return False
    return step.field is (L4PROTO if rule.verdict.protocol == "tcp reset" else NFPROTO)


def _with_less(chain: Chain, decider: Decider, kinds: KnownKinds, *, whole: bool) -> Chain:
    facts = kinds.of(chain.name)

    def less(rule: Rule) -> Rule:
        if not _says_too_much(rule, whole):
            return rule
        front = pure_front(rule)
        left = [step for step in front if not (is_for_whom(rule, step) and decider.decide(step, facts) == ())]
        if whole and _PORTS_ARE_THERE in left:
            others = [step for step in left if step != _PORTS_ARE_THERE]
            left = others if _are_there(kinds.completed(decider.learn(others, facts))) else left
        return rule if len(left) == len(front) else replace(rule, steps=(*left, *rule.steps[len(front) :]))

    return with_rules(chain, tuple(map(less, chain.rules)))


def _are_there(facts: Facts) -> bool:
    return facts.get(HAS_TRANSPORT) == _PORTS_ARE_THERE.values
