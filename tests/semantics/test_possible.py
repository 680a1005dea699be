# ruff: noqa: S311 -- seeds make failures repeatable
"""Facts are laid on the fields that rules read: what they say of others counts only for what follows from it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, absent, bits, full_values, negated, number, present
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.semantics.domain import contradictions
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.session import Session
from fwtrans.semantics.variables import Demand
from fwtrans.semantics.visits import arrives_whole, visits_of
from fwtrans.semantics.witness import Witnesses
from tests.semantics.builders import ACCEPT, DROP, TCP, base, dport, rule, ruleset, state, table
from tests.semantics.rulesets import mutant, random_ruleset

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule

NODES = 2_000_000
NOT_SHORT = "no packet ends inside its transport header"
FRAGMENT = negated(bits(known.IP_FRAGMENT, 0x1FFF, 0))
SHORT = absent(known.HAS_TRANSPORT)


def in_family(family: Family, *rules: Rule, hook: Hook = Hook.FORWARD) -> Ruleset:
    return ruleset(table(base(*rules, hook=hook), family=family))


def test_without_ports_is_a_later_fragment() -> None:
    found = compare(ruleset(rule(SHORT, DROP)), ruleset(rule(FRAGMENT, DROP)))
    assert found.equal
    assert found.assumptions == (NOT_SHORT,)


def test_so_it_is_in_ipv6_and_on_a_bridge() -> None:
    offset = known.header_field("exthdr", "frag", "frag-off", 13)
    for family in (Family.IP6, Family.BRIDGE):
        is_ip6 = number(known.NFPROTO, 10)
        found = compare(
            in_family(family, rule(is_ip6, SHORT, DROP)), in_family(family, rule(negated(number(offset, 0)), DROP))
        )
        assert found.equal
        assert found.assumptions == (NOT_SHORT,)
    is_ip = number(known.NFPROTO, 2)
    found = compare(in_family(Family.BRIDGE, rule(is_ip, SHORT, DROP)), in_family(Family.BRIDGE, rule(FRAGMENT, DROP)))
    assert found.equal


def test_what_nobody_reads_may_have_any_value() -> None:
    """Where no rule reads the fragment offset, packets without ports are as possible as any."""
    old, new = ruleset(rule(SHORT, DROP)), ruleset(rule(DROP))
    (difference,) = compare(old, new).differences
    assert difference.packet.values[known.HAS_TRANSPORT] == 1
    (difference,) = compare(ruleset(rule(SHORT, ACCEPT), rule(DROP)), new).differences
    assert difference.packet.values[known.HAS_TRANSPORT] == 0
    assert int(difference.packet.values[known.IP_FRAGMENT]) & 0x1FFF
    assert contradictions(difference.visit, difference.packet, malformed=False) == ()


def test_an_assumption_that_changes_nothing_is_not_told() -> None:
    old = ruleset(rule(FRAGMENT, DROP), rule(SHORT, DROP), rule(TCP, dport(22), ACCEPT))
    assert compare(old, ruleset(rule(FRAGMENT, DROP), rule(SHORT, DROP))).assumptions == ()


def test_a_tracked_packet_is_whole_though_nobody_reads_the_offset() -> None:
    raw = Hook.PREROUTING
    old = ruleset(base(rule(state("new"), SHORT, DROP), hook=raw, priority=-500))
    new = ruleset(base(rule(state("new"), SHORT, ACCEPT), hook=raw, priority=-500))
    found = compare(old, new)
    assert found.equal
    assert NOT_SHORT in found.assumptions


def test_connection_tracking_puts_fragments_together_for_all_rules() -> None:
    tracked = rule(state("established"), ACCEPT)
    old, new = ruleset(tracked, rule(SHORT, DROP)), ruleset(tracked)
    assert compare(old, new).equal
    assert NOT_SHORT in compare(old, new).assumptions
    assert not compare(ruleset(rule(SHORT, DROP)), ruleset()).equal
    # where one side tracks nothing, the other one's packets may have been put together and its own not
    assert not compare(old, ruleset(rule(SHORT, ACCEPT))).equal


def test_frames_without_ip_have_no_header_where_a_bridge_tracks() -> None:
    tracked = rule(state("established"), ACCEPT)
    arp = rule(number(known.ETHER_PROTOCOL, 0x806), SHORT, DROP)
    family = Family.BRIDGE
    later = Hook.FORWARD
    old = ruleset(table(base(tracked, arp, hook=later), family=family))
    (difference,) = compare(old, ruleset(table(base(tracked, hook=later), family=family))).differences
    assert difference.packet.values[known.ETHER_PROTOCOL] == 0x806


def test_where_connection_tracking_puts_fragments_together() -> None:
    tracking = rule(state("new"), ACCEPT)
    for family, seen_by in ((Family.IP, "ip"), (Family.IP6, "ip6"), (Family.INET, "ip ip6"), (Family.BRIDGE, "bridge")):
        used = in_family(family, tracking)
        whole = {visit.family.value for visit in visits_of(used) if arrives_whole(used, visit)}
        assert whole == set(seen_by.split())
    early = ruleset(base(tracking, hook=Hook.PREROUTING, priority=-450))
    assert not any(arrives_whole(early, visit) for visit in visits_of(early))


def test_bits_of_a_field_that_a_rule_reads_stay() -> None:
    more = bits(known.IP_FRAGMENT, 0x2000, 0x2000)
    assert not compare(ruleset(rule(more, DROP)), ruleset(rule(more, SHORT, DROP))).equal
    everything = FieldTest(known.DPORT, full_values(known.DPORT))
    assert compare(ruleset(rule(everything, DROP)), ruleset(rule(present(known.HAS_TRANSPORT), DROP))).assumptions == ()


def read_by_rules(session: Session) -> list[int]:
    demand = Demand()
    demand.add_program(session.program)
    spans = (number for field, span in session.variables.spans.items() if field in demand.fields for number in span)
    slots = (number for slot, number in session.variables.slots.items() if slot.field in demand.fields)
    return [*spans, *slots]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_every_possible_packet_can_be_completed(seed: int) -> None:
    """Whatever the fields that are read are, the others can be given values so that no fact is broken."""
    source = Random(seed)
    checked = random_ruleset(source)
    session = Session(checked, checked, NODES)
    reads = read_by_rules(session)
    for compared in session.compared:
        sets = session.evaluator(compared.path.visit).sets
        whole = arrives_whole(checked, compared.path.visit)
        for _ in range(10):
            packets = compared.possible
            for at in source.choices(reads, k=8) if reads else ():
                variable = session.bdd.variables[at]
                closer = packets & (variable if source.random() < 0.5 else ~variable)
                packets = packets if closer == session.bdd.false else closer
            packet, _ = Witnesses(sets, compared.path.old[0]).pick(packets & compared.packets.complete)
            assert contradictions(compared.path.visit, packet, malformed=False, whole=whole) == ()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_a_witness_breaks_no_fact(seed: int) -> None:
    source = Random(seed)
    old = random_ruleset(source)
    new = mutant(source, old)
    for difference in compare(old, new).differences:
        whole = arrives_whole(old, difference.visit) and arrives_whole(new, difference.visit)
        assert contradictions(difference.visit, difference.packet, malformed=False, whole=whole) == ()
