"""Which chains are reached for the packets of one port only, because every way to them asks for it.

    iifname vmap { "tap101i0" : goto tap101i0-OUT }        tap101i0-OUT has the context iifname "tap101i0",
    chain tap101i0-OUT { jump tap101i0-OUT-ARP }           and so has tap101i0-OUT-ARP, as nobody else goes there

No rule can write the name of an interface, so what a rule or a map's key has asked holds in every chain behind it. So does
the hardware address that a frame goes to, by which guests are told apart where nobody knows yet by which port it will leave;
in a table whose rules write it, it counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable
from fwtrans.ir.fields import ETHER_DADDR, IIFNAME, OIFNAME, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.verdict import Dispatch, Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap, Part

# By what guests are told apart; where several are known of a chain, the first.
PORT_FIELDS = (IIFNAME, OIFNAME, ETHER_DADDR)


class Context(NamedTuple):
    """The port of all packets that reach a chain. `entered` says that the chain is where the port has been asked for."""

    field: Field
    port: Part
    entered: bool

    @property
    def name(self) -> str:
        """Return the port's name, if it is known by one."""
        return self.port.text if isinstance(self.port, NamePattern) else ""


class _Way(NamedTuple):
    """A jump or goto: to which chain, and with which port, if one is known. `asked` where the way itself asks for it."""

    chain: str
    port: Part | None
    asked: bool


def _only_value(values: ValueSet) -> Part | None:
    """Return the value where the set holds exactly one."""
    if isinstance(values, NameSet) and len(values.patterns) == 1:
        pattern = values.patterns[0]
        return pattern if not pattern.is_prefix and values == NameSet.exact(pattern.text) else None
    if isinstance(values, IntervalSet) and values.only is not None:
        return values.only, values.only
    return None


def port_contexts(table: Table) -> dict[str, Context]:
    """Return the context of every user chain that has one."""
    found: dict[str, Context] = {}
    for field in reversed(PORT_FIELDS):
        if not _is_written(table, field):
            found |= _contexts(table, field)
    return found


def _is_written(table: Table, field: Field) -> bool:
    steps = (step for chain in table.chains for rule in chain.rules for step in rule.steps)
    return any(isinstance(step, (Assign, AssignFromMap, AssignFromTable)) and step.field is field for step in steps)


def _contexts(table: Table, field: Field) -> dict[str, Context]:
    maps = {item.name: item for item in table.maps}
    chains = {chain.name: chain for chain in table.chains}
    reached: dict[str, set[Part | None]] = {chain.name: {None} for chain in table.chains if chain.base is not None}
    entered: set[str] = set()
    waiting = list(reached)
    while waiting:
        name = waiting.pop()
        ports = reached[name]
        known = next(iter(ports)) if len(ports) == 1 else None
        for way in _ways(chains[name], field, known, maps):
            if way.asked and known is None:
                entered.add(way.chain)
            before = reached.setdefault(way.chain, set())
            if way.port not in before and len(before) < 2:
                before.add(way.port)
                waiting.append(way.chain)
    # a second port that comes in later takes back what was passed on, so the walk above runs until nothing changes
    return {
        name: Context(field, port, name in entered)
        for name, ports in reached.items()
        if len(ports) == 1 and (port := next(iter(ports))) is not None and chains[name].base is None
    }


def _ways(chain: Chain, field: Field, known: Part | None, maps: Mapping[str, NamedMap]) -> Iterator[_Way]:
    for rule in chain.rules:
        asked = _asked(rule, field)
        port = asked or known
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)):
            yield _Way(verdict.chain, port, asked is not None)
        elif isinstance(verdict, Dispatch):
            place = next((at for at, part in enumerate(verdict.key) if part.field is field and part.mask is None), None)
            for element in maps[verdict.map_name].elements:
                if isinstance(element.value, (Jump, Goto)):
                    own = _exact(element, place)
                    yield _Way(element.value.chain, own or port, own is not None or asked is not None)


def _asked(rule: Rule, field: Field) -> Part | None:
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field is field:
            value = _only_value(step.values)
            if value is not None:
                return value
    return None


def _exact(element: MapElement, place: int | None) -> Part | None:
    if place is None:
        return None
    part = element.key[place]
    is_one = not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1]
    return part if is_one else None
