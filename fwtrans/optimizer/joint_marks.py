"""A guest's connection mark is set by the rule behind, if that looks nothing up: one rule less is passed by all packets.

    before   ct mark set iifname map @ct-mark                        after   ct mark set iifname map @ct-mark udp sport 68 accept
             udp sport 68 accept

A rule counts the look-ups that it does, and at least one: a rule that looks nothing up takes the other's look-up for nothing.
A mark that is not looked up, as on a bridge with one port, is set by a rule that looks up as well.

Why it is safe: the map holds all ports from which packets come to the rule, so that the rule always goes on. What is set is
set before anything is asked.

It declines where a packet may come whose port the map does not hold, and for rules that log, which are aside. It does not
pass rules that drop packets: one of a connection that nobody has answered yet is `new` as well, and would set its mark.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap, Log
from fwtrans.ir.fields import Family
from fwtrans.ir.match import AnyOf, KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.order import callees_last
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table, with_rules
from fwtrans.optimizer.steps import look_ups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap

Rules = tuple[Rule, ...]
# The ports from which, or to which, packets come to a chain; None where there may be others.
Ports = frozenset[str] | None

_PORTS = (known.IIFNAME, known.OIFNAME)


def with_joint_marks(table: Table) -> Table:
    """Return the table with connection marks set by the rules behind."""
    if not any(_of_port(rule) or _of_all(rule) for chain in table.chains for rule in chain.rules):
        return table
    joining = _Joining(table)
    chains = tuple(with_rules(chain, joining.changed(chain)) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with connection marks set by the rules behind."""
    return each_table(ruleset, lambda table, _declined: with_joint_marks(table))


PASS = Pass("joint-marks", "a guest's connection mark is set by the rule behind", run)


def _of_port(rule: Rule) -> AssignFromMap | None:
    """Return the step of a rule that does nothing but look up the connection mark of a port."""
    step = rule.steps[0] if len(rule.steps) == 1 and rule.verdict is None else None
    if not isinstance(step, AssignFromMap) or step.field is not known.CT_MARK:
        return None
    (part, *more) = step.key
    return step if not more and part.mask is None and part.field in _PORTS else None


def _of_all(rule: Rule) -> Assign | None:
    """Return the step of a rule that does nothing but set the connection mark to a number."""
    step = rule.steps[0] if len(rule.steps) == 1 and rule.verdict is None else None
    is_set = isinstance(step, Assign) and step.field is known.CT_MARK and not step.keep and step.source is None
    return step if isinstance(step, Assign) and is_set else None


class _Joining:
    """One table."""

    def __init__(self, table: Table) -> None:
        self._is_bridge = table.family is Family.BRIDGE
        self._maps = {item.name: item for item in table.maps}
        self._ports = {field: _ports_by_chain(table, field) for field in _PORTS}

    def changed(self, chain: Chain) -> Rules:
        """Return a chain's rules with marks set by the rules behind those that only set them."""
        found: list[Rule] = []
        for rule in chain.rules:
            step = self._step(chain.name, found[-1], rule) if found else None
            if step is None:
                found.append(rule)
            else:
                origins = joined_origins((found.pop(), rule))
                found.append(replace(rule, steps=(step, *rule.steps), origins=origins))
        return tuple(found)

    def _step(self, chain: str, first: Rule, second: Rule) -> Step | None:
        """Return the step by which a rule sets a mark, if the rule behind it can do so."""
        by_port = _of_port(first)
        if by_port is not None:
            return by_port if _asks_only(second) and self._always_finds(chain, by_port) else None
        return _of_all(first) if self._is_bridge and _is_one(second) else None

    def _always_finds(self, chain: str, step: AssignFromMap) -> bool:
        ports = self._ports[step.key[0].field].get(chain)
        return ports is not None and ports <= _held(self._maps[step.map_name])


def _asks_only(rule: Rule) -> bool:
    """Tell whether a rule looks nothing up, and does not log."""
    logs = any(isinstance(step, Log) for step in rule.steps)
    return not logs and not isinstance(rule.verdict, Dispatch) and not any(map(look_ups, rule.steps))


def _is_one(rule: Rule) -> bool:
    """Tell whether a rule is one in nftables, and does not log."""
    return bool(rule.steps or rule.verdict) and not any(isinstance(step, (Log, AnyOf)) for step in rule.steps)


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
