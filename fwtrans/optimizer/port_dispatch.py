"""Neighbouring rules that each ask for ports and lead to their chain become one look-up.

    before   iifname "tap101i0" jump class-OUT-5f0c1d       after   iifname vmap @out-ports
             iifname "tap102i0" jump class-OUT-5f0c1d

The general pass (dispatch.py) does that too, and much more: this one does nothing else, so that what stands behind the ports
can be looked through (port_key.py) before ports of services and addresses become maps.

Why it is safe: a packet has one port, so it passes at most one of the rules; a call comes back behind all of them, as it
did, since none of the others matches. Where a port is asked for twice, the run ends. It declines for fewer than three rules
that ask for one port each, for which a map is a loss; two that ask for lists of ports are two look-ups already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule, joined_origins
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.port_context import PORT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

MADE = "-ports"
"""How the names of these maps end."""
_FEWEST = 3
_FEWEST_WITH_LISTS = 2


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
        asked = [_ports(rule) for rule in run_of_rules]
        field = asked[0][0] if asked[0] is not None else None
        lists = any(ports is not None and len(ports[1]) > 1 for ports in asked)
        if field is None or len(run_of_rules) < (_FEWEST_WITH_LISTS if lists else _FEWEST):
            rules.extend(run_of_rules)
            continue
        name = names.new(f"{chain.name}{MADE}")
        pairs = sorted(
            ((text, rule) for rule, ports in zip(run_of_rules, asked, strict=True) if ports for text in ports[1]),
            key=lambda pair: pair[0],
        )
        elements = tuple(MapElement((NamePattern(text, is_prefix=False),), rule.verdict) for text, rule in pairs)  # type: ignore[arg-type] # verdicts
        maps.append(NamedMap(name, (field,), "verdict", elements))
        origins = joined_origins(run_of_rules)
        rules.append(Rule((), Dispatch((KeyPart(field),), name), origins))
    return replace(chain, rules=tuple(rules)) if len(rules) != len(chain.rules) else chain


def _runs(chain: Chain) -> Iterator[list[Rule]]:
    """Yield neighbours that ask one field for different ports, and all other rules by themselves."""
    current: list[Rule] = []
    asked: Field | None = None
    seen: set[str] = set()
    for rule in chain.rules:
        field, ports = _ports(rule) or (None, ())
        if field is None or field is not asked or not seen.isdisjoint(ports):
            if current:
                yield current
            current, seen = [], set()
        current.append(rule)
        asked = field
        seen.update(ports)
    if current:
        yield current


def _ports(rule: Rule) -> tuple[Field, tuple[str, ...]] | None:
    """Return the ports that a rule asks for, if it asks for nothing else."""
    if len(rule.steps) != 1 or not isinstance(rule.verdict, (Jump, Goto, Accept, Drop, Return)):
        return None
    (step,) = rule.steps
    if not isinstance(step, FieldTest) or step.field not in PORT_FIELDS or not isinstance(step.values, NameSet):
        return None
    texts = tuple(pattern.text for pattern in step.values.patterns)
    return (step.field, texts) if texts and step.values == NameSet.exact(*texts) else None
