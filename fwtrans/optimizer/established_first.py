"""Established connections are let through by a base chain's first rule, where all its rules together let them through.

    before   ether type ip jump out-v4;  out-v4: ct state invalid drop; ct state established,related accept; ...
    after    ct state established,related accept
             ether type ip jump out-v4

Most packets belong to connections that were judged when they were new. Why it is safe: with the state known, every way
through the rules is followed, whatever else the packet is; the rule is added only if all ways accept it or come to the end of
a chain that accepts, and none does anything else. On a bridge the rule may ask for IP as well, where the link layer's frames
are judged otherwise, and stand behind rules that do more (count SYNs) to all packets. It declines for chains that let such
packets through only because no rule is for them, where one rule more would cost the others something and save nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Count
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated, number
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule, is_pure, joined_origins
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept, Dispatch, Goto, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.facts import Facts, decider_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.source import Origin

_STATES = (1, 2)
_FACTS: Facts = {
    known.CT_STATE: IntervalSet.values(3, _STATES),
    known.HAS_CONNTRACK: IntervalSet.single(1, 1),
}
# Frames with a VLAN tag can be in a connection as well, and be judged by rules of the link layer.
_CARRIED = (number(known.ETHER_TYPE, 0x0800, 0x86DD),)
_CARRIED_FACTS: Facts = {
    **_FACTS,
    known.ETHER_TYPE: IntervalSet.values(16, (0x0800, 0x86DD)),
    known.NFPROTO: IntervalSet.values(8, (2, 10)),
}


_TCP_FACTS: Facts = {known.L4PROTO: IntervalSet.single(8, 6), known.HAS_TRANSPORT: IntervalSet.single(1, 1)}
_NOT_TCP = negated(number(known.L4PROTO, 6))
_VALID = IntervalSet.values(3, (1, 2, 3, 4))
# A rule more in front is worth it where packets pass so many by it.
_FEWEST_PASSED = 2


class _DoesMoreError(Exception):
    """A rule does something else to such packets than accept them."""


def established_first(table: Table) -> Table:
    """Return the table with a rule for established connections in front of chains that let them all through."""
    follower = _Follower(table)
    chains = tuple(follower.changed(chain) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with established connections first."""
    return each_table(ruleset, lambda table, _declined: established_first(table))


PASS = Pass("established-first", "a base chain that lets all established connections through does so first", run)


class _Follower:
    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {item.name: item for item in table.maps}
        self._decider = decider_of(table)
        self._is_bridge = table.family is Family.BRIDGE
        self._facts: Facts = _FACTS
        self._coming_back: dict[str, bool] = {}
        self._accepting: dict[Origin, None] = {}
        self._place = self._next = 0

    def changed(self, chain: Chain) -> Chain:
        """Return the chain with the rule in front, or as it is."""
        base = chain.base
        if base is None or base.kind != "filter" or not chain.rules:
            return chain
        changed = self._with_established(chain)
        return self._without_idle(self._past_the_others(self._past_limits(changed))) if self._is_bridge else changed

    def _without_idle(self, chain: Chain) -> Chain:
        """Leave out the rule where one other is behind it that would let such packets go on as well."""
        if len(chain.rules) != _FEWEST_PASSED or not _lets_established_through(chain.rules[0]):
            return chain
        self._facts = {step.field: step.values for step in chain.rules[0].steps if isinstance(step, FieldTest)}
        accepts = chain.base is not None and chain.base.accepts
        try:
            is_idle = accepts and self._all_pass(chain.rules[1]) is None
        except _DoesMoreError:
            return chain
        return replace(chain, rules=chain.rules[1:]) if is_idle else chain

    def _with_established(self, chain: Chain) -> Chain:
        places = range(max(len(chain.rules) - 1, 1)) if self._is_bridge else range(1)
        accepting = len(list(takewhile(lambda rule: isinstance(rule.verdict, Accept), chain.rules)))
        kinds = (((), _FACTS), (_CARRIED, _CARRIED_FACTS)) if self._is_bridge else (((), _FACTS),)
        first = [0] * len(kinds)  # the rules in front of these cannot let all such packets through
        asked = [0] * len(kinds)  # the rules in front of these do not by themselves
        for at in places:
            for kind, (test, facts) in enumerate(kinds):
                self._facts = facts
                end = max(at + 1, accepting)
                if any(map(self._outright, chain.rules[asked[kind] : end])):
                    return chain
                asked[kind] = end
                if at < first[kind]:
                    continue
                if self._lets_through(chain, at):
                    rule = Rule((number(known.CT_STATE, *_STATES), *test), Accept(), tuple(self._accepting))
                    return replace(chain, rules=(*chain.rules[:at], rule, *chain.rules[at:]))
                first[kind] = self._next
        return chain

    def _past_limits(self, chain: Chain) -> Chain:
        """Let established TCP through in front of what is done to some of its flags (SYNs are counted), and all that is not TCP."""
        at = next((place for place, rule in enumerate(chain.rules) if _lets_established_through(rule)), 0)
        flags = {
            step.values
            for rule in self._reached(chain.rules[:at])
            for step in rule.steps
            if isinstance(step, FieldTest) and step.field is known.TCP_FLAGS
        }
        if len(flags) != 1 or any(map(_lets_some_through, chain.rules[:2])):
            return chain
        others = flags.pop().complement()
        found: list[Rule] = []
        protocols = (
            (FieldTest(known.TCP_FLAGS, others), {**_TCP_FACTS, known.TCP_FLAGS: others}),
            (_NOT_TCP, {known.L4PROTO: _NOT_TCP.values}),
        )
        # what passes second where a packet comes in passes first where it leaves
        is_first = chain.base is not None and chain.base.hook is Hook.PREROUTING
        for test, facts in reversed(protocols) if is_first else protocols:
            self._facts = {**_CARRIED_FACTS, **facts}
            if self._lets_through(chain, 0):
                rule = chain.rules[at]
                steps = tuple(step for step in rule.steps if step not in _CARRIED)
                found.append(replace(rule, steps=(*steps, *_CARRIED, test)))
        return replace(chain, rules=(*found, *chain.rules))

    def _reached(self, rules: Iterable[Rule]) -> Iterator[Rule]:
        """Yield rules and those of the chains that they jump or go to."""
        waiting, seen = list(rules), set[str]()
        while waiting:
            rule = waiting.pop()
            yield rule
            if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain not in seen:
                seen.add(rule.verdict.chain)
                waiting.extend(self._chains[rule.verdict.chain].rules)

    def _past_the_others(self, chain: Chain) -> Chain:
        """Let through in front what comes in by ports for which no rule is, whatever its connection, unless that is invalid."""
        asked = [_ports_left_out(rule) for rule in chain.rules]
        ports = next((found for found in asked if found is not None), None)
        if ports is None or sum(found == ports for found in asked) < _FEWEST_PASSED:
            return chain
        self._facts = {known.IIFNAME: ports, known.CT_STATE: _VALID}
        if any(map(self._outright, chain.rules[:1])) or not self._lets_through(chain, 0, asking_nothing=True):
            return chain
        origins = joined_origins(chain.rules)
        rule = Rule((FieldTest(known.CT_STATE, _VALID), FieldTest(known.IIFNAME, ports)), Accept(), origins)
        return replace(chain, rules=(rule, *chain.rules))

    def _lets_through(self, chain: Chain, at: int, *, asking_nothing: bool = False) -> bool:
        """Tell whether the rules from one on let all such packets through, not only because no rule is for them.

        If not, it is not before the rule `_next` that it can be otherwise: packets come from all rules in front of one that
        does more to them to that one, and where none accepts them none of the last of these does.
        """
        self._coming_back, self._accepting = {}, {}
        try:
            ends_behind = self._follow(self._noted(chain.rules, at))
        except _DoesMoreError:
            self._next = self._place + 1
            return False
        self._next = (at if self._accepting else self._place) + 1
        is_dropped = ends_behind and chain.base is not None and not chain.base.accepts
        return (asking_nothing or bool(self._accepting)) and not is_dropped

    def _noted(self, rules: Sequence[Rule], start: int) -> Iterator[Rule]:
        """Yield the rules from one on, and note where that is."""
        for self._place in range(start, len(rules)):
            yield rules[self._place]

    def _outright(self, rule: Rule) -> bool:
        return isinstance(rule.verdict, Accept) and all(
            isinstance(step, FieldTest) and self._decider.decide(step, self._facts) == () for step in rule.steps
        )

    def _comes_back(self, name: str) -> bool:
        """Tell whether such packets may come to a chain's end; raise where they are not simply let through."""
        if name not in self._coming_back:
            self._coming_back[name] = True  # what a loop of jumps would find
            self._coming_back[name] = self._follow(self._chains[name].rules)
        return self._coming_back[name]

    def _follow(self, rules: Iterable[Rule]) -> bool:
        comes_back = False
        for rule in rules:
            sure = self._all_pass(rule)
            if sure is None:
                continue
            verdicts: tuple[object, ...] = (rule.verdict,)
            if isinstance(rule.verdict, Dispatch):
                verdicts = tuple(self._found(rule.verdict))
            for verdict in verdicts:
                if isinstance(verdict, Accept):
                    if sure and _asks_state(rule):
                        self._accepting |= dict.fromkeys(rule.origins)
                elif isinstance(verdict, (Jump, Goto)):
                    back = self._comes_back(verdict.chain)
                    comes_back = comes_back or (back and isinstance(verdict, Goto))
                elif isinstance(verdict, Return):
                    comes_back = True
                elif verdict is not None:
                    raise _DoesMoreError
            if sure and self._ends(rule):
                return comes_back
        return True

    def _found(self, look_up: Dispatch) -> Iterator[object]:
        """Yield what such packets may find in a map."""
        at = next((place for place, part in enumerate(look_up.key) if part.field is known.CT_STATE), None)
        states = self._facts[known.CT_STATE]
        for element in self._maps[look_up.map_name].elements:
            part = element.key[at] if at is not None else None
            if (
                part is None
                or isinstance(part, NamePattern)
                or not isinstance(states, IntervalSet)
                or not states.intersection(IntervalSet(known.CT_STATE.width, (part,))).is_empty
            ):
                yield element.value

    def _all_pass(self, rule: Rule) -> bool | None:
        """Tell whether all such packets pass the rule's tests, or None for none of them."""
        sure = True
        for step in rule.steps:
            if not is_pure(step):
                if not isinstance(step, Count):
                    raise _DoesMoreError
                continue
            left = self._decider.decide(step, self._facts)
            if left is None:
                return None
            sure = sure and not left
        return sure

    def _ends(self, rule: Rule) -> bool:
        if isinstance(rule.verdict, Jump):
            return not self._comes_back(rule.verdict.chain)
        return isinstance(rule.verdict, (Accept, Goto, Return))


def _lets_established_through(rule: Rule) -> bool:
    tests = {step.field: step.values for step in rule.steps if isinstance(step, FieldTest)}
    return (
        isinstance(rule.verdict, Accept)
        and len(tests) == len(rule.steps)
        and tests.keys() <= {known.CT_STATE, known.ETHER_TYPE}
        and tests.get(known.CT_STATE) == _FACTS[known.CT_STATE]
    )


def _lets_some_through(rule: Rule) -> bool:
    """Tell whether a rule lets established connections of some protocol through."""
    tests = {step.field for step in rule.steps if isinstance(step, FieldTest)}
    return (
        isinstance(rule.verdict, Accept) and known.CT_STATE in tests and bool({known.TCP_FLAGS, known.L4PROTO} & tests)
    )


def _ports_left_out(rule: Rule) -> NameSet | None:
    """Return the ports to which a rule does not apply, where it asks for all others."""
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field is known.IIFNAME and isinstance(step.values, NameSet):
            return step.values.complement() if step.values.by_default else None
    return None


def _asks_state(rule: Rule) -> bool:
    return any(isinstance(step, FieldTest) and step.field is known.CT_STATE for step in rule.steps)
