# ruff: noqa: S311 -- seeds make failures repeatable
"""What is left of rules where something is known does what the rules do, for packets of which that is true."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, KeyPart, MemberTest, negated, number
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.verdict import Dispatch, Jump
from fwtrans.semantics.domain import fixed_values
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop, Path
from fwtrans.semantics.residue import Members, listed
from fwtrans.semantics.session import Session
from fwtrans.semantics.summary import mapped
from fwtrans.semantics.visits import visits_of
from tests.growth import assert_grows_with
from tests.semantics.builders import ACCEPT, DROP, base, chain, dport, limit, log, rule, ruleset, source, table
from tests.semantics.rulesets import VALUES, random_ruleset

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.summary import Summary

NODES = 2_000_000
NAMES = (known.IIFNAME, known.OIFNAME)
NOT_IP = negated(number(known.ETHER_TYPE, 0x0800, 0x86DD))
NOT_A_TAP = FieldTest(known.OIFNAME, NameSet.prefix("wg").complement())


def parts(summary: Summary, where: Node) -> dict[Hashable, Node]:
    """Return all functions of a summary for some packets, without those that hold for none of them."""
    false = where & ~where

    def named() -> Iterator[tuple[Hashable, Node]]:
        yield "through", summary.through
        for leaving, packets in summary.exits.items():
            yield ("exit", leaving), packets
        for stream, events in summary.events.items():
            for place, packets in enumerate(events.reached):
                yield ("reached", stream, place), packets
            for place, contents in enumerate(events.contents):
                yield from ((("content", stream, place, what), node) for what, node in contents.items())
        for field, groups in summary.writes.items():
            for mask, written, ones in groups:
                for bit in range(field.width):
                    if mask >> bit & 1:
                        yield ("written", field, bit), written
                        yield ("ones", field, bit), ones & written

    found = {name: packets & where for name, packets in named()}
    return {name: packets for name, packets in found.items() if packets != false}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_what_is_left_of_a_random_ruleset_is_the_ruleset_with_the_values_put_in(seed: int) -> None:
    random = Random(seed)
    rules = random_ruleset(random)
    paths = [_random_path(random, visit) for visit in visits_of(rules)]
    session = Session(rules, rules, NODES, paths)
    assert not session.failed
    for path in paths:
        (hop,) = path.old
        evaluator = session.evaluator(hop.visit)
        whole = evaluator.visit(session.old.compiled(hop.visit))
        bits = list(session.variables.bits_of(hop.known))
        put_in = session.bdd.substitution({at: session.bdd.true if one else session.bdd.false for at, one in bits})
        where = session.bdd.true
        for fact in path.facts:
            where = where & put_in(evaluator.sets.pure(fact))
        left = session.summary(session.old, path.old, facts=path.facts)
        assert parts(left, where) == parts(mapped(whole, put_in), where)


def _random_path(random: Random, visit: HookVisit) -> Path:
    free = [field for field in NAMES if field not in fixed_values(visit) and random.random() < 0.8]
    pairs: list[tuple[Field, int | str]] = [(field, random.choice((*VALUES[field], "other0"))) for field in free]
    if visit.family is Family.BRIDGE and random.random() < 0.5:
        pairs.append((known.HAS_VLAN, random.choice((0, 1))))
    facts = [fact for fact in (NOT_IP, NOT_A_TAP) if random.random() < 0.3 and fact.field not in fixed_values(visit)]
    if visit.family is not Family.BRIDGE:
        facts = [fact for fact in facts if fact is not NOT_IP]
    hops = (Hop(visit, tuple(pairs)),)
    return Path(str(visit), hops, hops, tuple(facts))


FORWARD = HookVisit(Family.BRIDGE, Hook.FORWARD)


def to_guest(port: str) -> Hop:
    return Hop(FORWARD, ((known.IIFNAME, "eth0"), (known.OIFNAME, port)))


def test_guests_that_differ_by_their_port_only_have_one_chain_left() -> None:
    ports = [f"tap{number}" for number in range(5)]
    elements = tuple(
        MapElement((NamePattern(port, is_prefix=False), (at, at)), Jump("web" if at < 2 else port))
        for port in ports
        for at in range(3)
    )
    by_port = NamedMap("by-port", (known.OIFNAME, known.DPORT), "verdict", elements)
    rules = ruleset(
        table(
            base(rule(Dispatch((KeyPart(known.OIFNAME), KeyPart(known.DPORT)), "by-port"))),
            chain("web", rule(dport(80), ACCEPT), rule(DROP)),
            *(chain(port, rule(log("the same"), DROP)) for port in ports),
            family=Family.BRIDGE,
            maps=(by_port,),
        )
    )
    hops = [to_guest(port) for port in ports]
    session = Session(rules, rules, NODES, [Path(str(hop), (hop,), (hop,)) for hop in hops])
    first, *others = (session.summary(session.old, (hop,)) for hop in hops)
    assert all(left.exits == first.exits and left.events == first.events for left in others)
    assert len(set(map(id, (compared.packets for compared in session.compared)))) == 1


def guests(count: int) -> tuple[Ruleset, Ruleset, list[Path]]:
    """Return guests with an address, a limit and a log each, found rule by rule and by maps, and the ways to them."""
    ports = [f"tap{number}" for number in range(count)]
    own = [
        chain(f"{port}-in", rule(source(at), dport(80), ACCEPT), rule(limit(port), log(port), DROP), rule(DROP))
        for at, port in enumerate(ports)
    ]
    one_by_one = base(*(rule(FieldTest(known.OIFNAME, NameSet.exact(port)), Jump(f"{port}-in")) for port in ports))
    names = [NamePattern(port, is_prefix=False) for port in ports]
    accepted = NamedSet(
        "accepted", (known.OIFNAME, known.IP_SADDR), tuple(Element((name, (at, at))) for at, name in enumerate(names))
    )
    rest = tuple(MapElement((name,), Jump(f"{name.text}-rest")) for name in names)
    by_maps = base(
        rule(MemberTest((KeyPart(known.OIFNAME), KeyPart(known.IP_SADDR)), "accepted"), dport(80), ACCEPT),
        rule(Dispatch((KeyPart(known.OIFNAME),), "rest")),
    )
    ending = [chain(f"{port}-rest", rule(limit(f"of {port}"), log(port), DROP), rule(DROP)) for port in ports]
    maps = (NamedMap("rest", (known.OIFNAME,), "verdict", rest),)
    old = ruleset(table(one_by_one, *own, family=Family.BRIDGE))
    new = ruleset(table(by_maps, *ending, family=Family.BRIDGE, sets=(accepted,), maps=maps))
    hops = [to_guest(port) for port in ports]
    return old, new, [Path(str(hop), (hop,), (hop,)) for hop in hops]


def test_work_grows_with_the_number_of_guests() -> None:
    few, many = guests(30), guests(120)
    proofs = [partial(compare, old, new, paths=paths) for old, new, paths in (few, many)]
    assert all(proof().equal for proof in proofs)
    assert_grows_with(4, *proofs)


def test_one_guest_that_differs_is_found_among_many() -> None:
    old, new, paths = guests(30)
    (only,) = new.tables
    (accepted,) = only.sets
    fewer = replace(only, sets=(replace(accepted, elements=accepted.elements[:-1]),))
    found = compare(old, ruleset(fewer), paths=paths)
    assert {(item.path, item.confirmed) for item in found.differences} == {(paths[-1], True)}


def test_members_are_what_the_set_says() -> None:
    names = NameSet.decided(
        {
            NamePattern("tap", is_prefix=True): True,
            NamePattern("tap1", is_prefix=False): False,
            NamePattern("eth0", is_prefix=False): True,
        }
    )
    for name in ("tap1", "tap2", "tap10", "eth0", "eth1", ""):
        assert (name in Members(names)) == (name in names)
        assert (name in Members(names.complement())) == (name not in names)
    assert listed(names) is None
    assert listed(NameSet.exact("b", "", "a")) == ["", "a", "b"]
    assert listed(NameSet.exact("a").complement()) is None
    assert listed(number(known.ETHER_DADDR, 5, 6, 9).values) == [5, 6, 9]
    assert listed(negated(number(known.ETHER_DADDR, 5)).values) is None
