"""Several hook visits as one journey: what PVE judges at three hops, a bridge ruleset judges at two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family, Field
from fwtrans.ir.match import FieldTest, bits, negated, number
from fwtrans.ir.names import NameSet
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.verdict import Goto, Jump, Return
from fwtrans.semantics.concrete import Decision
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.outcome import DifferenceKind, Limits
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop, Path
from fwtrans.semantics.session import Session
from fwtrans.semantics.summary import mapped, without_empty
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    TCP,
    UDP,
    base,
    chain,
    dport,
    limit,
    log,
    rule,
    ruleset,
    source,
    table,
)

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.semantics.side import Side

ACCEPTED = 1 << 31
NO_MARKS = Limits(ignored={known.MARK: ACCEPTED})


def name(field: Field, text: str) -> FieldTest:
    return FieldTest(field, NameSet.prefix(text[:-1]) if text.endswith("+") else NameSet.exact(text))


def hop(port_in: str, port_out: str) -> Hop:
    ports = ((known.PORT_IN, port_in), (known.PORT_OUT, port_out), (known.BRIDGED, 1))
    return Hop(HookVisit(Family.IP, Hook.FORWARD), (*ports, (known.IIFNAME, "br"), (known.OIFNAME, "br")))


def frame(hook: Hook, *values: tuple[Field, int | str]) -> Hop:
    carried = ((known.NFPROTO, 2), (known.ETHER_PROTOCOL, 0x800), (known.HAS_VLAN, 0))
    return Hop(HookVisit(Family.BRIDGE, hook), (*carried, *values))


GUEST_TO_GUEST = Path(
    "tap1 to tap2",
    (hop("tap1", "fwln1"), hop("fwpr1", "fwpr2"), hop("fwln2", "tap2")),
    (frame(Hook.PREROUTING, (known.IIFNAME, "tap1")), frame(Hook.POSTROUTING, (known.OIFNAME, "tap2"))),
)


def pve(out_rules: tuple[Rule, ...], in_rules: tuple[Rule, ...]) -> Ruleset:
    """Return a node with two guests in the shape that PVE gives it: linear, with the accept mark."""
    marks = Assign(known.MARK, 0xFFFFFFFF & ~ACCEPTED, 0)
    return ruleset(
        base(
            rule(name(known.PORT_IN, "fwln+"), number(known.BRIDGED, 1), Jump("fwbr-in")),
            rule(name(known.PORT_OUT, "fwln+"), number(known.BRIDGED, 1), Jump("fwbr-out")),
        ),
        chain("fwbr-in", rule(name(known.PORT_OUT, "tap2"), Jump("tap2-in"))),
        chain("fwbr-out", rule(name(known.PORT_IN, "tap1"), Jump("tap1-out"))),
        chain("tap1-out", rule(marks), *out_rules, rule(bits(known.MARK, ACCEPTED, ACCEPTED), Return()), rule(DROP)),
        chain("tap2-in", *in_rules, rule(log("policy"), DROP)),
        chain("accept", rule(Assign(known.MARK, 0xFFFFFFFF & ~ACCEPTED, ACCEPTED))),
    )


def bridge(out_rules: tuple[Rule, ...], in_rules: tuple[Rule, ...]) -> Ruleset:
    return ruleset(
        table(
            base(rule(name(known.IIFNAME, "tap1"), Jump("out")), name="pre", hook=Hook.PREROUTING),
            base(rule(name(known.OIFNAME, "tap2"), Goto("in")), name="post", hook=Hook.POSTROUTING),
            chain("out", *out_rules, rule(DROP)),
            chain("in", *in_rules, rule(log("policy"), DROP)),
            family=Family.BRIDGE,
        )
    )


OLD = pve((rule(TCP, Goto("accept")), rule(UDP, dport(53), Goto("accept"))), (rule(dport(22), ACCEPT),))
NEW = bridge((rule(TCP, ACCEPT), rule(UDP, dport(53), ACCEPT)), (rule(dport(22), ACCEPT),))


def test_three_hops_are_two() -> None:
    assert compare(OLD, NEW, paths=[GUEST_TO_GUEST], limits=NO_MARKS).equal


def assert_narrowed(session: Session, side: Side, path_hop: Hop) -> None:
    """What a side does at a hop is what it does at the visit, with what is known at the hop put in."""
    bdd = session.bdd
    whole = session.evaluator(path_hop.visit).visit(side.compiled(path_hop.visit))
    known_bits = list(session.variables.bits_of(path_hop.known))
    put_in = bdd.substitution({number: bdd.true if value else bdd.false for number, value in known_bits})
    narrow = session.summary(side, (path_hop,))
    wanted = without_empty(mapped(whole, put_in), bdd.false)
    assert (narrow.through, narrow.exits, narrow.writes, narrow.events) == (
        wanted.through,
        wanted.exits,
        wanted.writes,
        wanted.events,
    )
    assert len(wanted.exits) + len(wanted.events) <= len(whole.exits) + len(whole.events)


def test_a_narrowed_summary_is_the_summary_with_the_values_put_in() -> None:
    session = Session(OLD, NEW, 1_000_000, [GUEST_TO_GUEST])
    for path_hop in (*GUEST_TO_GUEST.old, *GUEST_TO_GUEST.new):
        assert_narrowed(session, session.old if path_hop in GUEST_TO_GUEST.old else session.new, path_hop)


PORTS, ADDRESSES = [f"tap{at}" for at in range(6)], list(range(0x10, 0x16))
BY_PORT_AND_ADDRESS = (
    *(rule(name(known.IIFNAME, port), dport(at), DROP) for at, port in enumerate(PORTS)),
    *(rule(number(known.ETHER_DADDR, at), dport(at), ACCEPT) for at in ADDRESSES),
    rule(name(known.IIFNAME, PORTS[0]), number(known.ETHER_DADDR, ADDRESSES[0]), Assign(known.MARK, 0, 7)),
    rule(bits(known.MARK, 7, 7), log("marked"), DROP),
)


def by_port_and_address(*rules: Rule) -> Ruleset:
    return ruleset(table(base(*rules, hook=Hook.PREROUTING), family=Family.BRIDGE))


def arrivals() -> list[Path]:
    """One address by each port, each address by one port; both may come with a mark."""
    ways = [*((port, ADDRESSES[0]) for port in PORTS), *((PORTS[0], at) for at in ADDRESSES[1:])]
    values = [((known.IIFNAME, port), (known.ETHER_DADDR, at), (known.MARK, 7)) for port, at in ways]
    hops = [frame(Hook.PREROUTING, *pairs) for pairs in values]
    return [Path(str(way), (place,), (place,)) for way, place in zip(ways, hops, strict=True)]


def test_ports_and_addresses_are_put_into_rules_of_which_no_hop_has_all() -> None:
    before = by_port_and_address(*BY_PORT_AND_ADDRESS)
    paths = arrivals()
    session = Session(before, before, 1_000_000, paths)
    for path in paths:
        assert_narrowed(session, session.old, path.old[0])


def test_a_difference_where_two_things_are_known_in_common_is_found_on_its_path_only() -> None:
    before = by_port_and_address(*BY_PORT_AND_ADDRESS)
    last = number(known.ETHER_DADDR, ADDRESSES[-1])
    met = by_port_and_address(rule(name(known.IIFNAME, PORTS[0]), last, dport(99), DROP), *BY_PORT_AND_ADDRESS)
    never = by_port_and_address(rule(name(known.IIFNAME, PORTS[1]), last, dport(99), DROP), *BY_PORT_AND_ADDRESS)
    paths = arrivals()
    assert compare(before, never, paths=paths).equal
    found = compare(before, met, paths=paths)
    assert [(item.path, item.confirmed) for item in found.differences] == [(paths[-1], True)]


def test_the_mark_that_stays_is_a_difference_unless_it_is_told_not_to_matter() -> None:
    found = compare(OLD, NEW, paths=[GUEST_TO_GUEST])
    assert [(item.kind, item.subject) for item in found.differences] == [(DifferenceKind.FIELD, "mark")]


def test_a_difference_at_a_later_hop_is_shown_with_the_rules_of_each_side() -> None:
    other = bridge((rule(TCP, ACCEPT), rule(UDP, dport(53), ACCEPT)), (rule(dport(22), source(1), ACCEPT),))
    (difference,) = compare(
        OLD, other, paths=[GUEST_TO_GUEST], limits=Limits(ignored={known.MARK: ACCEPTED})
    ).differences
    assert difference.confirmed
    assert difference.path is GUEST_TO_GUEST
    assert (difference.old.outcome.decision, difference.new.outcome.decision) == (Decision.ACCEPT, Decision.DROP)
    assert [place[:3] for place in difference.old.decided_by] == [("ip filter", "tap2-in", 0)]
    assert [place[:3] for place in difference.new.decided_by] == [("bridge filter", "in", 1)]
    assert difference.packet.values[known.DPORT] == 22


def test_of_many_paths_that_differ_only_some_are_shown() -> None:
    other = bridge((rule(DROP),), (rule(DROP),))
    paths = [GUEST_TO_GUEST._replace(name=str(at)) for at in range(5)]
    found = compare(OLD, other, paths=paths, limits=Limits(total=3, ignored={known.MARK: ACCEPTED}))
    assert len(found.differences) == 3
    assert found.omitted
    assert len(compare(OLD, other, paths=paths, limits=NO_MARKS).differences) > 3


def test_what_an_earlier_hop_drops_reaches_no_later_one() -> None:
    strict = bridge(
        (rule(TCP, dport(22), ACCEPT),), (rule(negated(dport(22)), log("never"), DROP), rule(dport(22), ACCEPT))
    )
    loose = bridge((rule(TCP, dport(22), ACCEPT),), (rule(dport(22), ACCEPT),))
    path = Path("same", GUEST_TO_GUEST.new, GUEST_TO_GUEST.new)
    assert compare(strict, loose, paths=[path]).equal


def test_a_bucket_at_every_hop_is_charged_at_every_hop() -> None:
    three = ruleset(rule(limit("a"), log("x")))
    one = Path("once", GUEST_TO_GUEST.old[:1], GUEST_TO_GUEST.old[:1])
    assert compare(three, three, paths=[GUEST_TO_GUEST._replace(new=GUEST_TO_GUEST.old)]).equal
    assert compare(three, three, paths=[one]).equal
    found = compare(three, three, paths=[GUEST_TO_GUEST._replace(new=GUEST_TO_GUEST.old[:1])])
    assert {item.kind for item in found.differences} == {DifferenceKind.STATEFUL, DifferenceKind.LOG}
    assert all(item.confirmed for item in found.differences)
