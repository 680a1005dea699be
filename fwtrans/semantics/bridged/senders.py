"""Which guests no rule tells apart, as the sender of what passes the host's own bridge.

A rule at forward can ask for both ports, so what a guest gets may depend on who sent it. All pairs of guests are too many to
be compared; but rules that ask for the port in mostly ask whether it is a guest's at all. Guests that stand in the same
tests and sets of ports, with the same other parts of the keys and the same values, are one to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import AssignFromMap, SetUpdate
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.sets import MapElement
from fwtrans.ir.stateful import StatefulFromMap
from fwtrans.ir.verdict import Dispatch
from fwtrans.ir.walk import flat_steps
from fwtrans.semantics.bridged.topology import chains_at, names_tested
from fwtrans.semantics.residue import Members, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedMap, NamedSet
    from fwtrans.semantics.bridged.topology import GuestPort

_PORTS_IN = {Family.BRIDGE: known.IIFNAME}


class Sender(NamedTuple):
    """A port that packets come by: what iptables and what nftables call it, and the guest, if it is one's."""

    outer: str
    name: str
    guest: GuestPort | None = None


class _Asked:
    """Sets of names; those that have a name are found by it where they list theirs, as most do, a guest's port each."""

    def __init__(self, sets: Iterable[NameSet]) -> None:
        self._listing: dict[int | str, list[int]] = {}
        self._others: list[tuple[int, Members]] = []
        for number, values in enumerate(sets):
            names = listed(values)
            if names is None:
                self._others.append((number, Members(values)))
            else:
                for name in names:
                    self._listing.setdefault(name, []).append(number)

    def with_name(self, name: str) -> frozenset[int]:
        """Return the numbers of the sets that have the name."""
        others = (number for number, members in self._others if name in members)
        return frozenset((*self._listing.get(name, ()), *others))


def told_apart(
    old: Ruleset, new: Ruleset, guests: Sequence[GuestPort], others: Sequence[str] = ()
) -> tuple[Sender, ...]:
    """Return one sender of each kind, among guests and other ports: those that some rule tells from others.

    Rules of iptables' PREROUTING have met a guest's packet before it comes to the host's own bridge, and nobody else's. Where
    there are such, other ports are no senders like guests.
    """
    outer = _Asked(NameSet.of((pattern,)) for table in old.tables for pattern in _outer_patterns(table))
    asked = _Asked(values for table in new.tables for values in _asked_at_forward(table))
    rows = [row for table in new.tables for row in _rows_at_forward(table)]
    apart = _has_prerouting(old)
    kinds: dict[object, Sender] = {}
    for sender in (
        *(Sender(guest.outer, guest.name, guest) for guest in guests),
        *(Sender(port, port) for port in others),
    ):
        tests = (outer.with_name(sender.outer), asked.with_name(sender.name))
        held = tuple(frozenset(row.get(sender.name, ())) for row in rows)
        kinds.setdefault((tests, held, apart and sender.guest is None), sender)
    return tuple(kinds.values())


def _has_prerouting(ruleset: Ruleset) -> bool:
    return any(
        chain.base is not None and chain.base.hook is Hook.PREROUTING and (chain.rules or not chain.base.accepts)
        for table in ruleset.tables
        for chain in table.chains
    )


def _outer_patterns(table: Table) -> Iterator[NamePattern]:
    yield from names_tested(table, (_PORTS_IN.get(table.family, known.PORT_IN),))


def _asked_at_forward(table: Table) -> Iterator[NameSet]:
    for rule in _rules_at_forward(table):
        for step in flat_steps(rule.steps):
            if isinstance(step, FieldTest) and step.field is known.IIFNAME and isinstance(step.values, NameSet):
                yield step.values
    for named, place in _keyed_at_forward(table):
        parts = (element.key[place] for element in named.elements)
        yield from (NameSet.of((part,)) for part in parts if isinstance(part, NamePattern) and part.is_prefix)


def _rows_at_forward(table: Table) -> Iterator[dict[str, set[object]]]:
    """Yield for each set or map that is asked by the port in what it holds for each port."""
    for named, place in _keyed_at_forward(table):
        row: dict[str, set[object]] = {}
        for element in named.elements:
            part = element.key[place]
            if isinstance(part, NamePattern) and not part.is_prefix:
                rest = (*element.key[:place], *element.key[place + 1 :])
                value = element.value if isinstance(element, MapElement) else None
                row.setdefault(part.text, set()).add((rest, value))
        yield row


def _keyed_at_forward(table: Table) -> Iterator[tuple[NamedSet | NamedMap, int]]:
    """Yield the sets and maps that are asked by the port in, and which part of the key that is."""
    asked = dict.fromkeys(use for rule in _rules_at_forward(table) for use in _uses(rule))
    for named in table.keyed:
        yield from ((named, place) for name, place in asked if name == named.name)


def _uses(rule: Rule) -> Iterator[tuple[str, int]]:
    keyed: list[tuple[str, tuple[KeyPart, ...]]] = []
    for step in flat_steps(rule.steps):
        if isinstance(step, (MemberTest, SetUpdate)):
            keyed.append((step.set_name, step.key))
        elif isinstance(step, (AssignFromMap, StatefulFromMap)):
            keyed.append((step.map_name, step.key))
    if isinstance(rule.verdict, Dispatch):
        keyed.append((rule.verdict.map_name, rule.verdict.key))
    for name, key in keyed:
        yield from ((name, place) for place, part in enumerate(key) if part.field is known.IIFNAME)


def _rules_at_forward(table: Table) -> Iterator[Rule]:
    """Yield the rules that a packet at the bridge's forward hook may meet."""
    if table.family is Family.BRIDGE:
        for chain in chains_at(table, (Hook.FORWARD,)).values():
            yield from chain.rules
