"""A guest's connection mark is set by a rule that asks something beside it: one rule less is passed by all packets.

    before   ct mark set iifname map @ct-mark                        after   ct mark set iifname map @ct-mark udp sport 68 accept
             udp sport 68 accept

    before   tcp sport 0 drop                                        after   ct mark set iifname map @ct-mark tcp sport 0 drop
             ct mark set iifname map @ct-mark

    before   tcp flags syn ... limit over drop                       after   ct mark set iifname map @ct-mark tcp flags syn ... drop
             meta l4proto . th dport vmap { tcp . 21 : jump ftp }            meta l4proto . th dport vmap { tcp . 21 : jump ftp }
             ct mark set iifname map @ct-mark

A rule counts the look-ups that it does, and at least one: a rule that looks nothing up takes the other's look-up for nothing.
Where it does look something up behind tests that few packets pass, these packets pass as many steps as before.

Why it is safe: the map holds all ports from which packets come to the rule, so that the rule always goes on. In front of rules
that drop packets the mark is set of connections that never come to be, because packets are new or of no connection there;
other rules that it passes by only do something else, and none of them asks for the mark.

It declines where a packet may come whose port the map does not hold, where rules in between let packets go, and for rules
that log, which are aside.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import AssignFromMap, Log, SetHelper
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import Rule, is_pure, joined_origins
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Dispatch, Drop, Goto, Jump
from fwtrans.ir.walk import fields_read
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.known_kinds import known_kinds
from fwtrans.optimizer.reached import callees_last, reached
from fwtrans.optimizer.steps import look_ups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap

Rules = tuple[Rule, ...]
# The ports from which, or to which, packets come to a chain; None where there may be others.
Ports = frozenset[str] | None

_PORTS = (known.IIFNAME, known.OIFNAME)
# New connections never come to be where their packet is dropped, and untracked packets have none.
_UNSEEN = IntervalSet.values(known.CT_STATE.width, (3, 4))


def with_joint_marks(table: Table) -> Table:
    """Return the table with connection marks set by rules that ask something as well."""
    if not any(_of_port(rule) is not None for chain in table.chains for rule in chain.rules):
        return table
    joining = _Joining(table)
    chains = tuple(with_rules(chain, joining.changed(chain)) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with connection marks set by rules that ask something as well."""
    return each_table(ruleset, lambda table, _declined: with_joint_marks(table))


PASS = Pass("joint-marks", "a guest's connection mark is set by a rule that asks something as well", run)


def _of_port(rule: Rule) -> AssignFromMap | None:
    """Return the step of a rule that does nothing but look up the connection mark of a port."""
    step = rule.steps[0] if len(rule.steps) == 1 and rule.verdict is None else None
    if not isinstance(step, AssignFromMap) or step.field is not known.CT_MARK:
        return None
    (part, *more) = step.key
    return step if not more and part.mask is None and part.field in _PORTS else None


class _Joining:
    """One table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._maps = {item.name: item for item in table.maps}
        self._kinds = known_kinds(table, whole=False)
        self._ports = {field: _ports_by_chain(table, field) for field in _PORTS}

    def changed(self, chain: Chain) -> Rules:
        """Return a chain's rules with a mark set by one of its neighbours."""
        rules = chain.rules
        for at, rule in enumerate(rules):
            step = _of_port(rule)
            if step is None or not self._always_finds(chain.name, step):
                continue
            place = next(self._places(chain, at), None)
            if place is not None:
                other = rules[place]
                joint = replace(other, steps=(step, *other.steps), origins=joined_origins((rule, other)))
                left = [joint if number == place else each for number, each in enumerate(rules)]
                return (*left[:at], *left[at + 1 :])
        return rules

    def _always_finds(self, chain: str, step: AssignFromMap) -> bool:
        ports = self._ports[step.key[0].field].get(chain)
        return ports is not None and ports <= _held(self._maps[step.map_name])

    def _places(self, chain: Chain, at: int) -> Iterator[int]:
        """Yield the places of rules that may set the mark as well, the best first."""
        rules = chain.rules
        states = self._kinds.of(chain.name).get(known.CT_STATE)
        is_unseen = isinstance(states, IntervalSet) and states.difference(_UNSEEN).is_empty
        behind, before = range(at + 1, len(rules)), range(at - 1, -1, -1)
        dropping = sum(1 for _ in takewhile(lambda place: is_unseen and self._drops(rules[place]), behind))
        passed = takewhile(lambda place: is_unseen and self._is_passed(rules[place]), before)
        dropped = [place for place in passed if self._drops(rules[place])]
        yield from (place for place in (*behind[: dropping + 1], *dropped) if _asks_only(rules[place]))
        yield from (place for place in dropped if _asks_first(rules[place]))

    def _drops(self, rule: Rule) -> bool:
        """Tell whether a rule does nothing to packets but drop them, whatever their mark."""
        if isinstance(rule.verdict, Goto):
            return not _asks_mark(rule) and self._drops_all(rule.verdict.chain)
        return isinstance(rule.verdict, Drop) and not _asks_mark(rule)

    def _drops_all(self, name: str) -> bool:
        (*rules, last) = self._rules_behind(name) or (None,)
        if last is None or last.steps or not isinstance(last.verdict, Drop):
            return False
        return all(rule is not None and _only_tells(rule) for rule in rules)

    def _is_passed(self, rule: Rule) -> bool:
        """Tell whether it is all the same if the mark is set before the rule."""
        led = (rule, *self._called(rule))
        return self._drops(rule) or (all(map(self._only_helps, led)) and not any(map(_asks_mark, led)))

    def _called(self, rule: Rule) -> Iterator[Rule]:
        """Yield the rules to which a rule leads."""
        values: set[object] = {rule.verdict}
        if isinstance(rule.verdict, Dispatch):
            values = {element.value for element in self._maps[rule.verdict.map_name].elements}
        for value in values:
            if isinstance(value, Jump):
                yield from self._rules_behind(value.chain)

    def _rules_behind(self, name: str) -> Rules:
        return tuple(rule for chain in reached(self._table, [name]).chains for rule in chain.rules)

    def _only_helps(self, rule: Rule) -> bool:
        """Tell whether a rule does nothing but set a helper, or lead to where it may be set."""
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            comes_back = all(isinstance(element.value, Jump) for element in self._maps[verdict.map_name].elements)
        else:
            comes_back = verdict is None or isinstance(verdict, Jump)
        return comes_back and all(is_pure(step) or isinstance(step, SetHelper) for step in rule.steps)


def _asks_mark(rule: Rule) -> bool:
    return known.CT_MARK in fields_read(rule)


def _asks_only(rule: Rule) -> bool:
    """Tell whether a rule looks nothing up."""
    return not _logs(rule) and not isinstance(rule.verdict, Dispatch) and not any(map(look_ups, rule.steps))


def _asks_first(rule: Rule) -> bool:
    """Tell whether a rule looks something up only for packets that have passed a test."""
    return not _logs(rule) and bool(rule.steps) and is_pure(rule.steps[0]) and not look_ups(rule.steps[0])


def _logs(rule: Rule) -> bool:
    return any(isinstance(step, Log) for step in rule.steps)


def _only_tells(rule: Rule) -> bool:
    """Tell whether a rule logs or drops packets, or does nothing."""
    tells = all(is_pure(step) or isinstance(step, (Log, StatefulTest)) for step in rule.steps)
    return tells and (rule.verdict is None or isinstance(rule.verdict, Drop)) and not _asks_mark(rule)


# --- the ports from which, or to which, packets come to chains ---


@once
def _held(item: NamedMap) -> frozenset[str]:
    """Return the names under which a map of ports holds something."""
    names = (part for element in item.elements for part in element.key if isinstance(part, NamePattern))
    return frozenset(name.text for name in names if not name.is_prefix)


def _ports_by_chain(table: Table, field: Field) -> dict[str, Ports]:
    """Return the ports of the packets that come to each chain, as far as look-ups have told them."""
    maps = {item.name: item for item in table.maps}
    found: dict[str, Ports] = {chain.name: None for chain in table.chains if chain.base is not None}
    for chain in callees_last(table, list(found)):
        for rule in chain.rules:
            for target, ports in _ways(rule, found[chain.name], field, maps):
                before = found.get(target, frozenset())
                found[target] = None if before is None or ports is None else before | ports
    return found


def _ways(rule: Rule, ports: Ports, field: Field, maps: Mapping[str, NamedMap]) -> Iterator[tuple[str, Ports]]:
    verdict = rule.verdict
    if isinstance(verdict, (Jump, Goto)):
        yield verdict.chain, ports
    if not isinstance(verdict, Dispatch):
        return
    place = next((at for at, part in enumerate(verdict.key) if part == KeyPart(field)), None)
    targets: dict[str, set[str] | None] = {}
    for element in maps[verdict.map_name].elements:
        if not isinstance(element.value, (Jump, Goto)):
            continue
        part = element.key[place] if place is not None else None
        there = targets.setdefault(element.value.chain, set())
        if not isinstance(part, NamePattern) or part.is_prefix:
            targets[element.value.chain] = None
        elif there is not None:
            there.add(part.text)
    for target, names in targets.items():
        yield target, ports if names is None else frozenset(names)
