"""Neighbouring rules that each ask for one port and lead to its chain become one look-up.

    before   iifname "tap101i0" jump class-OUT-5f0c1d       after   iifname vmap @out-ports
             iifname "tap102i0" jump class-OUT-5f0c1d

The general pass (dispatch.py) does that too, and much more: this one does nothing else, so that what stands behind the ports
can be looked through (port_key.py) before ports of services and addresses become maps.

Why it is safe: a packet has one port, so it passes at most one of the rules; a call comes back behind all of them, as it
did, since none of the others matches. Where a port is asked for twice, the run ends. It declines for fewer than three rules,
for which a map is a loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.port_context import PORT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_FEWEST = 3


def dispatch_ports(table: Table) -> Table:
    """Return the table with a look-up for each run of rules that lead to ports' chains."""
    names = Names(table)
    maps: list[NamedMap] = []
    chains = tuple(_changed(chain, names, maps) for chain in table.chains)
    return replace(table, chains=chains, maps=(*table.maps, *maps)) if maps else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with its ports in maps."""
    return each_table(ruleset, lambda table, _declined: dispatch_ports(table))


PASS = Pass("port-dispatch", "rules that lead to ports' chains become a verdict map", run)


def _changed(chain: Chain, names: Names, maps: list[NamedMap]) -> Chain:
    rules: list[Rule] = []
    for run_of_rules in _runs(chain):
        port = _port(run_of_rules[0])
        if len(run_of_rules) < _FEWEST or port is None:
            rules.extend(run_of_rules)
            continue
        field = port[0]
        name = names.new(chain.name, "ports")
        pairs = sorted((_port(rule)[1], rule) for rule in run_of_rules)  # type: ignore[index] # all have one
        elements = tuple(MapElement((NamePattern(text, is_prefix=False),), rule.verdict) for text, rule in pairs)  # type: ignore[arg-type] # verdicts
        maps.append(NamedMap(name, (field,), "verdict", elements))
        origins = tuple(dict.fromkeys(origin for rule in run_of_rules for origin in rule.origins))
        rules.append(Rule((), Dispatch((KeyPart(field),), name), origins))
    return replace(chain, rules=tuple(rules)) if len(rules) != len(chain.rules) else chain


def _runs(chain: Chain) -> Iterator[list[Rule]]:
    """Yield neighbours that ask one field for different ports, and all other rules by themselves."""
    current: list[Rule] = []
    seen: set[str] = set()
    for rule in chain.rules:
        port = _port(rule)
        first = _port(current[0]) if current else None
        if port is None or first is None or first[0] is not port[0] or port[1] in seen:
            if current:
                yield current
            current, seen = [], set()
        current.append(rule)
        if port is not None:
            seen.add(port[1])
    if current:
        yield current


def _port(rule: Rule) -> tuple[Field, str] | None:
    if len(rule.steps) != 1 or not isinstance(rule.verdict, (Jump, Goto, Accept, Drop, Return)):
        return None
    (step,) = rule.steps
    if not isinstance(step, FieldTest) or step.field not in PORT_FIELDS or not isinstance(step.values, NameSet):
        return None
    patterns = step.values.patterns
    is_one = len(patterns) == 1 and not patterns[0].is_prefix and step.values == NameSet.exact(patterns[0].text)
    return (step.field, patterns[0].text) if is_one else None
