"""A list of rules by the services that they are for: what of it is left for a packet of one protocol to one port.

Of the list `tcp dport 22 saddr 10/8 accept; udp dport 33434-33524 accept; saddr 10/8 drop; drop` there is left for packets to
tcp 22 `saddr 10/8 accept; drop`, for those to udp 33500 `accept`, and for all others `drop`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import DPORT, L4PROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import Return
from fwtrans.optimizer.clauses import Clause, disjoint, met, settled_by, tests_of, without_settled
from fwtrans.optimizer.flat_lists import always_ends
from fwtrans.optimizer.keys import exact_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.verdict import Verdict

Rules = tuple[Rule, ...]


class Asked(NamedTuple):
    """The protocols and ports that a rule asks for; None where it asks for none, or not exactly."""

    protocols: IntervalSet | None
    ports: IntervalSet | None
    exact: frozenset[tuple[int, int]]


class Service(NamedTuple):
    """A rule of the list with the protocols and ports that it asks for."""

    clause: Clause
    asked: Asked


@once
def asked_service(rule: Rule) -> Asked:
    """Return the protocols and ports that a rule asks for."""
    tests = tests_of(rule)
    protocols, ports = tests.get(L4PROTO), tests.get(DPORT)
    found = [
        exact_values(asked, values) for asked, values in ((L4PROTO, protocols), (DPORT, ports)) if values is not None
    ]
    exact: frozenset[tuple[int, int]] = frozenset()
    if len(found) == 2 and all(found):
        exact = frozenset((int(one[0]), int(other[0])) for one in found[0] or () for other in found[1] or ())
    return Asked(protocols, ports, exact)  # type: ignore[arg-type] # both are numbers


def named_protocols(values: IntervalSet | None) -> tuple[int, ...]:
    """Return the protocols that a rule names; none where it names whole ranges, or asks for none."""
    parts = exact_values(L4PROTO, values) if values is not None else None
    return tuple(int(part[0]) for part in parts or ())


@dataclass(slots=True)
class Services:
    """The rules of one list, and what is left of it for each service."""

    services: Sequence[Service]
    _known: dict[tuple[int, tuple[int, ...]], Rules] = field(default_factory=dict)
    _named: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    _general: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note which services each key names."""
        for place, item in enumerate(self.services):
            for key in item.asked.exact:
                self._named.setdefault(key, []).append(place)

    def for_port(self, protocol: int, port: int) -> Rules:
        """Return what packets of a protocol to a port can match."""
        kept = self.named(protocol, port)
        key = (protocol, kept)
        found = self._known.get(key)
        if found is None:
            known: dict[Field, ValueSet] = {
                L4PROTO: IntervalSet.single(8, protocol),
                DPORT: _common(self.services, kept),
            }
            found = self._known[key] = _left([self.services[place].clause for place in kept], settled_by(known))
        return found

    def named(self, protocol: int, port: int) -> tuple[int, ...]:
        """Return the services for packets of a protocol to a port, by number."""
        others = (place for place in self.of_protocol(protocol) if _takes(self.services[place].asked.ports, port))
        return tuple(sorted((*self._named.get((protocol, port), ()), *others)))

    def for_protocol(self, protocol: int) -> Rules:
        """Return what packets of a protocol can match whose port no rule asks for exactly."""
        kept = [self.services[place].clause for place in self.of_protocol(protocol)]
        return _left(kept, settled_by({L4PROTO: IntervalSet.single(8, protocol)}))

    def of_protocol(self, protocol: int) -> list[int]:
        """Return the services for packets of a protocol that no keys name."""
        if protocol not in self._general:
            self._general[protocol] = [
                place
                for place, item in enumerate(self.services)
                if not item.asked.exact and _takes(item.asked.protocols, protocol)
            ]
        return self._general[protocol]

    def for_others(self, named: Iterable[int]) -> Rules:
        """Return what packets of other protocols can match."""
        return _left([self.services[place].clause for place in self.of_others(named)], {})

    def of_others(self, named: Iterable[int]) -> list[int]:
        """Return the services for packets of other protocols, by number."""
        others = IntervalSet.values(8, named).complement()
        return [
            place
            for place, item in enumerate(self.services)
            if not item.asked.exact and (item.asked.protocols is None or not met(item.asked.protocols, others).is_empty)
        ]


def _takes(values: IntervalSet | None, value: int) -> bool:
    return values is None or value in values


def _common(services: Sequence[Service], kept: Sequence[int]) -> IntervalSet:
    """Return the ports that all kept rules for ports ask for: so much is known of all packets that come there."""
    found = IntervalSet.full(16)
    for place in kept:
        ports = services[place].asked.ports
        if ports is not None:
            found = found.intersection(ports)
    return found


def _left(clauses: Sequence[Clause], settled: Mapping[Field, ValueSet]) -> Rules:
    """Return what is left of rules for packets of which so much is settled."""
    found: list[tuple[Clause, Rule]] = []
    for clause in clauses:
        rule = without_settled(clause, settled)
        found.append((clause, rule))
        if always_ends(rule):
            break
    return _that_decide(found)


def _that_decide(found: list[tuple[Clause, Rule]]) -> Rules:
    """Leave out rules that end a packet's way as it would end behind them, if nothing more is done to it there."""
    end: Verdict = Return()
    kept: list[tuple[Clause, Rule]] = []
    if found and always_ends(found[-1][1]):
        *found, last = found
        assert last[1].verdict is not None  # noqa: S101 -- that is what always_ends says
        end = last[1].verdict
        kept = [] if isinstance(end, Return) else [last]
    behind: list[Clause] = []
    for clause, rule in reversed(found):
        plain = rule.verdict == end and all(map(is_pure, rule.steps))
        if plain and all(disjoint(clause, other) for other in behind):
            continue
        behind.append(clause)
        kept.append((clause, rule))
    return tuple(rule for _, rule in reversed(kept))


def up_to_the_end(rules: Rules) -> Rules:
    """Return the rules up to the first one that ends every packet's way."""
    for place, rule in enumerate(rules):
        if always_ends(rule):
            return rules[: place + 1]
    return rules
