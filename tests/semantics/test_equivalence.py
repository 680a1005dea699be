"""What counts as the same, and what is told where it does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import (
    AnyOf,
    FieldTest,
    KeyPart,
    MemberTest,
    OpaqueTest,
    bits,
    negated,
    number,
    number_range,
    opposite,
)
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.stateful import EveryNth, StatefulFromMap, StatefulObject, StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Queue, Reject, Return, TransparentProxy
from fwtrans.semantics.concrete import Decision
from fwtrans.semantics.equivalence import Share, compare, equal_share, together, widened
from fwtrans.semantics.outcome import Comparison, DifferenceKind, Limits
from fwtrans.semantics.session import Tables
from fwtrans.source import Origin, SourceFile
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    HAS_PORTS,
    SADDR,
    TCP,
    UDP,
    base,
    chain,
    dport,
    iifname,
    limit,
    log,
    rule,
    ruleset,
    source,
    state,
    table,
)

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule

OLD_FILE = SourceFile("old", "-A FORWARD -j DROP\n")


def assert_same(old: Ruleset, new: Ruleset) -> None:
    assert compare(old, new) == Comparison((), (), ())
    assert compare(new, old).equal


def assert_differ(old: Ruleset, new: Ruleset, *kinds: DifferenceKind) -> Comparison:
    found = compare(old, new)
    assert not found.undecided
    assert [difference.kind for difference in found.differences] == list(kinds or (DifferenceKind.VERDICT,))
    assert all(difference.confirmed for difference in found.differences)
    other_way = compare(new, old)
    assert {item.kind for item in other_way.differences} == {item.kind for item in found.differences}
    return found


# --- what decides nothing --------------------------------------------------------------------------------------------


def test_counters_comments_and_origins_do_not_count() -> None:
    plain = rule(TCP, DROP)
    told = replace(plain, comment="x", counters=(1, 2), origins=(Origin(OLD_FILE, 1),))
    counting = rule(does.Count(5, 6), TCP, does.Count(name="c"), DROP)
    assert_same(ruleset(plain), ruleset(told))
    assert_same(ruleset(plain), ruleset(counting))


def test_order_of_independent_rules_does_not_count() -> None:
    first, second = rule(source(1), dport(22), DROP), rule(source(2), dport(22), DROP)
    third = rule(source(3), ACCEPT)
    assert_same(ruleset(first, second, third), ruleset(third, second, first))


def test_names_of_chains_and_tables_do_not_count() -> None:
    old = ruleset(base(rule(TCP, Jump("a"))), chain("a", rule(dport(22), DROP)))
    new = ruleset(table(base(rule(TCP, Jump("b")), name="x"), chain("b", rule(dport(22), DROP)), name="other"))
    assert_same(old, new)


def test_dead_rules_do_not_count() -> None:
    old = ruleset(rule(TCP, DROP), rule(TCP, dport(22), log("never"), ACCEPT))
    assert_same(old, ruleset(rule(TCP, DROP)))


def test_interfaces_that_a_hook_does_not_have_do_not_count() -> None:
    names = FieldTest(known.OIFNAME, NameSet.exact("eth0"))
    assert_same(ruleset(base(rule(names, DROP), hook=Hook.INPUT)), Ruleset(()))
    assert_same(ruleset(base(rule(negated(names), DROP), hook=Hook.INPUT)), ruleset(base(rule(DROP), hook=Hook.INPUT)))
    assert_differ(ruleset(base(rule(names, DROP))), Ruleset(()))


# --- control flow ----------------------------------------------------------------------------------------------------


def test_jump_returns_and_goto_does_not() -> None:
    user = chain("user", rule(dport(22), ACCEPT), rule(dport(23), Return()), rule(dport(24), DROP))
    jumping = ruleset(base(rule(TCP, HAS_PORTS, Jump("user")), rule(DROP)), user)
    flat = ruleset(rule(TCP, HAS_PORTS, dport(22), ACCEPT), rule(TCP, HAS_PORTS, dport(24), DROP), rule(DROP))
    assert_same(jumping, flat)
    going = ruleset(base(rule(TCP, HAS_PORTS, Goto("user")), rule(DROP)), user)
    assert_same(going, ruleset(rule(TCP, HAS_PORTS, dport(24), DROP), rule(TCP, HAS_PORTS, ACCEPT), rule(DROP)))
    assert_differ(jumping, going)


def test_goto_inside_a_jump_returns_to_the_jump() -> None:
    chains = (chain("a", rule(TCP, Goto("b")), rule(DROP)), chain("b", rule(dport(22), ACCEPT)))
    old = ruleset(base(rule(Jump("a")), rule(UDP, DROP), rule(TCP, dport(80), DROP)), *chains)
    new = ruleset(
        rule(TCP, dport(22), ACCEPT), rule(TCP, dport(80), DROP), rule(negated(TCP), DROP),
    )  # fmt: skip
    assert_same(old, new)


def test_return_in_a_base_chain_is_its_policy() -> None:
    assert_same(ruleset(base(rule(TCP, Return()), rule(ACCEPT), accepts=False)), ruleset(rule(TCP, DROP), rule(ACCEPT)))


def test_policy_is_a_last_rule() -> None:
    assert_same(ruleset(base(rule(TCP, ACCEPT), accepts=False)), ruleset(rule(TCP, ACCEPT), rule(DROP)))


def test_base_chains_run_by_priority_and_accept_ends_only_its_own() -> None:
    early = base(rule(TCP, ACCEPT), rule(UDP, DROP), name="early", priority=-10)
    late = base(rule(TCP, dport(22), DROP), rule(UDP, log("never")), name="late", priority=10)
    both = ruleset(rule(UDP, DROP), rule(TCP, dport(22), DROP))
    assert_same(ruleset(late, early), both)
    sooner = replace(late, base=replace(late.base, priority=-20))  # type: ignore[type-var]
    assert_differ(ruleset(early, sooner), both, DifferenceKind.LOG)


def test_a_dispatch_is_what_its_elements_say() -> None:
    key = (KeyPart(known.L4PROTO), KeyPart(known.DPORT))
    elements = (
        MapElement(((6, 6), (22, 22)), ACCEPT),
        MapElement(((6, 6), (80, 90)), Jump("user")),
        MapElement(((17, 17), (53, 53)), DROP),
    )
    mapping = NamedMap("ports", (known.L4PROTO, known.DPORT), "verdict", elements)
    user = chain("user", rule(source(7), DROP))
    old = ruleset(table(base(rule(Dispatch(key, "ports")), rule(log("onward"), ACCEPT)), user, maps=(mapping,)))
    new = ruleset(
        rule(TCP, dport(22), ACCEPT),
        rule(TCP, number_range(known.DPORT, 80, 90), source(7), DROP),
        rule(UDP, dport(53), DROP),
        rule(log("onward"), ACCEPT),
    )
    assert_same(old, new)
    changed = replace(mapping, elements=elements[:2])
    without = ruleset(table(base(rule(Dispatch(key, "ports")), rule(log("onward"), ACCEPT)), user, maps=(changed,)))
    assert_differ(old, without)


def test_a_jump_loop_is_not_decided() -> None:
    looping = ruleset(base(rule(Jump("a"))), chain("a", rule(Jump("b"))), chain("b", rule(Jump("a"))))
    (undecided,) = compare(looping, looping).undecided
    assert undecided.reason == "a jump loop leads through chain a"


def test_jumps_that_no_kernel_would_load_are_not_decided() -> None:
    names = [f"c{number_}" for number_ in range(700)]
    chains = [chain(here, rule(TCP, Jump(there))) for here, there in pairwise(names)]
    deep = ruleset(base(rule(Jump("c0"))), *chains, chain(names[-1], rule(DROP)))
    (undecided,) = compare(deep, deep).undecided
    assert undecided.reason == "jumps are nested too deep"


# --- tests -----------------------------------------------------------------------------------------------------------


def test_negation_is_false_where_the_field_is_absent() -> None:
    other_ports = ruleset(rule(TCP, negated(dport(22)), DROP))
    everything_else = ruleset(rule(TCP, dport(22), ACCEPT), rule(TCP, DROP))
    (difference,) = assert_differ(other_ports, everything_else).differences
    assert difference.packet.values[known.HAS_TRANSPORT] == 0
    assert known.DPORT not in difference.packet.values


def test_opposite_branches_are_the_complement() -> None:
    test = dport(22)
    old = ruleset(rule(test, ACCEPT), rule(DROP))
    assert_same(old, ruleset(rule(AnyOf(opposite(test)), DROP)))


def test_any_of_is_one_rule_for_each_branch() -> None:
    any_of = AnyOf(((TCP, dport(22)), (UDP, dport(53)), (source(1),)))
    new = ruleset(rule(TCP, dport(22), DROP), rule(source(1), DROP), rule(UDP, dport(53), DROP))
    assert_same(ruleset(rule(any_of, DROP)), new)


def test_any_of_logs_once() -> None:
    any_of = AnyOf(((TCP,), (dport(22),)))
    assert_differ(
        ruleset(rule(any_of, log("x"))), ruleset(rule(TCP, log("x")), rule(dport(22), log("x"))), DifferenceKind.LOG
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_set_is_its_elements(inside: bool) -> None:
    named = NamedSet("s", (known.IP_SADDR,), (Element(((1, 1),)), Element(((5, 9),))))
    values = IntervalSet.of(32, ((1, 1), (5, 9)))
    test = FieldTest(known.IP_SADDR, values if inside else values.complement())
    old = ruleset(table(base(rule(MemberTest(SADDR, "s", inside), DROP)), sets=(named,)))
    assert_same(old, ruleset(rule(test, DROP)))


def test_a_masked_key_looks_at_the_prefix() -> None:
    named = NamedSet("s", (known.IP_SADDR,), (Element(((0x0A000000, 0x0A0000FF),)),))
    old = ruleset(table(base(rule(MemberTest((KeyPart(known.IP_SADDR, 0xFFFFFF00),), "s"), DROP)), sets=(named,)))
    new = ruleset(rule(FieldTest(known.IP_SADDR, IntervalSet.prefix(32, 0x0A000000, 24)), DROP))
    assert_same(old, new)


def test_a_set_of_several_dimensions_is_false_either_way_where_one_is_absent() -> None:
    named = NamedSet("s", (known.IP_SADDR, known.DPORT), (Element(((1, 1), (22, 22))),))
    key = (KeyPart(known.IP_SADDR), KeyPart(known.DPORT))
    old = ruleset(table(base(rule(MemberTest(key, "s", inside=False), DROP)), sets=(named,)))
    assert_same(old, ruleset(rule(source(1), dport(22), ACCEPT), rule(HAS_PORTS, DROP)))


def test_an_empty_set_still_asks_for_its_key() -> None:
    named = NamedSet("s", (known.DPORT,))
    old = ruleset(table(base(rule(MemberTest((KeyPart(known.DPORT),), "s", inside=False), DROP)), sets=(named,)))
    assert_same(old, ruleset(rule(HAS_PORTS, DROP)))


def test_prefixes_of_names() -> None:
    taps = FieldTest(known.IIFNAME, NameSet.prefix("tap"))
    first = iifname("tap1")
    assert_same(ruleset(rule(first, DROP), rule(taps, DROP)), ruleset(rule(taps, DROP)))
    (difference,) = assert_differ(ruleset(rule(taps, DROP)), ruleset(rule(first, DROP))).differences
    name = difference.packet.values[known.IIFNAME]
    assert isinstance(name, str)
    assert name.startswith("tap")
    assert name != "tap1"


# --- families --------------------------------------------------------------------------------------------------------


def test_inet_is_ip_and_ip6() -> None:
    chains = (base(rule(TCP, dport(22), DROP)),)
    both = ruleset(table(*chains, family=Family.IP), table(*chains, family=Family.IP6))
    assert_same(ruleset(table(*chains, family=Family.INET)), both)
    (difference,) = assert_differ(ruleset(table(*chains, family=Family.INET)), ruleset(table(*chains))).differences
    assert difference.visit.family is Family.IP6


def test_inet_tables_stand_between_ip_tables() -> None:
    first = table(base(rule(dport(22), ACCEPT), priority=0), name="ip")
    between = table(base(rule(TCP, dport(22), DROP), priority=-5), family=Family.INET, name="inet")
    old = ruleset(first, between)
    new = ruleset(table(base(rule(TCP, dport(22), DROP)), family=Family.INET))
    assert_same(old, new)


def test_rejects_of_both_families_are_those_of_each() -> None:
    old = ruleset(table(base(rule(Reject("icmpx", "no-route"))), family=Family.INET))
    new = ruleset(
        table(base(rule(Reject("icmp", "net-unreachable")))),
        table(base(rule(Reject("icmpv6", "no-route"))), family=Family.IP6),
    )
    assert_same(old, new)
    assert_differ(ruleset(rule(Reject("tcp reset"))), ruleset(rule(Reject("icmp", "port-unreachable"))))


def test_bridge_frames_are_told_by_type_or_protocol() -> None:
    def bridged(*tests: FieldTest) -> Ruleset:
        return ruleset(table(base(rule(*tests, DROP)), family=Family.BRIDGE))

    by_protocol, by_type = bridged(number(known.ETHER_PROTOCOL, 0x800)), bridged(number(known.ETHER_TYPE, 0x800))
    assert_same(by_protocol, bridged(number(known.NFPROTO, 2)))
    (difference,) = assert_differ(by_protocol, by_type).differences
    assert difference.packet.values[known.HAS_VLAN] == 1
    assert_same(bridged(number(known.ETHER_PROTOCOL, 0x800), number(known.HAS_VLAN, 0)), by_type)


def test_arp_has_no_transport_protocol() -> None:
    other = ruleset(table(base(rule(negated(TCP), DROP)), family=Family.BRIDGE))
    guarded = ruleset(table(base(rule(number(known.NFPROTO, 2, 10), negated(TCP), DROP)), family=Family.BRIDGE))
    assert_same(other, guarded)


# --- written fields --------------------------------------------------------------------------------------------------


def mark(keep: int, constant: int, source_: does.BitsOf | None = None) -> does.Assign:
    return does.Assign(known.MARK, keep & 0xFFFFFFFF, constant, source_)


BIT = bits(known.MARK, 1, 1)


def test_a_mark_that_was_set_is_read() -> None:
    old = ruleset(rule(mark(~1, 0)), rule(TCP, mark(~1, 1)), rule(BIT, DROP))
    new = ruleset(rule(TCP, DROP), rule(mark(~1, 0)))
    assert_same(old, new)


def test_the_entering_mark_is_read_where_nothing_was_written() -> None:
    old = ruleset(rule(TCP, mark(~1, 1)), rule(BIT, DROP))
    assert_differ(old, ruleset(rule(TCP, DROP)))
    assert_same(old, ruleset(rule(TCP, DROP), rule(BIT, DROP)))


def test_marks_are_exclusive_ored() -> None:
    old = ruleset(rule(mark(-1, 1)), rule(mark(-1, 1)), rule(BIT, DROP))
    assert_same(old, ruleset(rule(BIT, DROP)))


def test_a_mark_written_in_a_chain_is_read_behind_the_jump() -> None:
    group = chain("group", rule(mark(~1, 0)), rule(dport(22), Goto("accept")), rule(dport(23), DROP))
    accept = chain("accept", rule(mark(~1, 1)))
    old = ruleset(base(rule(TCP, Jump("group")), rule(TCP, BIT, ACCEPT), accepts=False), group, accept)
    new = ruleset(base(rule(TCP, dport(22), ACCEPT), accepts=False))
    found = compare(old, new, limits=Limits(ignored={known.MARK: 1}))
    assert found.equal
    assert found.assumptions == ("nobody else reads bits 0x1 of mark",)
    assert_differ(old, new, DifferenceKind.FIELD)


def test_a_mark_is_copied_from_the_connection_and_back() -> None:
    restored = mark(~6, 0, does.BitsOf(known.CT_MARK, 3, 1))
    old = ruleset(rule(restored), rule(bits(known.MARK, 2, 2), DROP), rule(mark(0, 0)))
    new = ruleset(
        rule(bits(known.CT_MARK, 1, 1), DROP),
        # without an entry there is nothing to copy, and the mark is as it came
        rule(number(known.HAS_CONNTRACK, 0), bits(known.MARK, 2, 2), DROP),
        rule(mark(0, 0)),
    )
    assert_same(old, new)


@pytest.mark.parametrize("field", [known.MARK, known.CT_MARK])
def test_a_mark_that_only_one_side_copies_is_told(field: Field) -> None:
    # all 32 bits: with one field's bits above the other's, "they are equal" has a node for each of the 2^32 values
    other = known.CT_MARK if field is known.MARK else known.MARK
    copied = does.Assign(field, 0, 0, does.BitsOf(other, 0xFFFFFFFF, 0))
    assert_differ(ruleset(rule(copied)), ruleset(), DifferenceKind.FIELD)


def test_a_mark_that_is_flipped_by_the_connection_bit_by_bit() -> None:
    connected = number(known.HAS_CONNTRACK, 1)
    kept = 0xF0000000
    whole = mark(kept, 0, does.BitsOf(known.CT_MARK, 0xFFFFFFFF, 0))
    each = [rule(connected, bits(known.CT_MARK, 1 << bit, 1 << bit), mark(-1, 1 << bit)) for bit in range(32)]
    assert_same(ruleset(rule(whole)), ruleset(rule(connected, mark(kept, 0)), *each))


def test_the_mark_of_a_dropped_packet_is_not_seen() -> None:
    assert_same(ruleset(rule(mark(0, 5)), rule(DROP)), ruleset(rule(DROP)))
    assert_differ(ruleset(rule(mark(0, 5))), ruleset(rule(mark(0, 4))), DifferenceKind.FIELD)


def test_the_mark_of_a_connection_outlives_a_dropped_packet() -> None:
    save = does.Assign(known.CT_MARK, 0, 7)
    old, new = ruleset(rule(save), rule(DROP)), ruleset(rule(DROP))
    assert_differ(old, new, DifferenceKind.FIELD)
    only_new = (state("new"), save)
    assert_same(ruleset(rule(*only_new), rule(DROP)), new)


def test_a_zone_is_written_without_an_entry() -> None:
    zone = does.Assign(known.CT_ZONE, 0, 7)
    assert_differ(ruleset(rule(TCP, zone)), ruleset(rule(zone)), DifferenceKind.FIELD)


def test_writing_what_is_there_is_nothing() -> None:
    assert_same(ruleset(rule(BIT, mark(~1, 1))), Ruleset(()))
    assert_same(ruleset(rule(number(known.IP_TTL, 5), does.Assign(known.IP_TTL, 0, 5))), Ruleset(()))


def test_a_table_of_values_is_read_behind_it() -> None:
    lower = does.AssignFromTable(known.IP_TTL, tuple((value, value - 1) for value in range(1, 256)))
    old = ruleset(rule(lower), rule(number(known.IP_TTL, 0), DROP))
    new = ruleset(rule(number(known.IP_TTL, 0, 1), DROP), rule(lower))
    assert_same(old, new)


def test_no_track_is_read_behind_it() -> None:
    old = ruleset(rule(TCP, does.NoTrack()), rule(state("untracked"), DROP))
    assert_same(old, ruleset(rule(TCP, DROP), rule(state("untracked"), DROP)))


def test_a_value_from_a_map() -> None:
    elements = (MapElement(((1, 1),), 5), MapElement(((2, 9),), 6))
    mapping = NamedMap("marks", (known.IP_SADDR,), "mark", elements)
    assign = does.AssignFromMap(known.MARK, SADDR, "marks")
    old = ruleset(table(base(rule(assign, log("hit"))), maps=(mapping,)))
    new = ruleset(
        rule(source(1), mark(0, 5), log("hit")),
        rule(FieldTest(known.IP_SADDR, IntervalSet(32, ((2, 9),))), mark(0, 6), log("hit")),
    )
    assert_same(old, new)


def of_names(**values: object) -> tuple[MapElement, ...]:
    return tuple(MapElement((NamePattern(name, is_prefix=False),), value) for name, value in values.items())  # type: ignore[arg-type]


def test_a_limit_from_a_map() -> None:
    elements = of_names(eth0=limit("a"), eth1=limit("b", 6, over=True), eth2=limit("a"))
    mapping = NamedMap("limits", (known.IIFNAME,), "limit", elements)
    asked = StatefulFromMap((KeyPart(known.IIFNAME),), "limits")
    old = ruleset(table(base(rule(TCP, asked, log("hit"), DROP)), maps=(mapping,)))
    both = FieldTest(known.IIFNAME, NameSet.exact("eth0").union(NameSet.exact("eth2")))
    assert_same(
        old,
        ruleset(
            rule(TCP, both, limit("x"), log("hit"), DROP),
            rule(TCP, iifname("eth1"), limit("y", 6, over=True), log("hit"), DROP),
        ),
    )
    split = replace(mapping, elements=of_names(eth0=limit("a"), eth1=limit("b", 6, over=True), eth2=limit("c")))
    assert not compare(old, ruleset(table(base(rule(TCP, asked, log("hit"), DROP)), maps=(split,)))).equal


def test_sets_of_one_name_in_two_tables_are_two() -> None:
    update = does.SetUpdate("seen", SADDR, does.SetOperation.ADD)
    sets = (NamedSet("seen", (known.IP_SADDR,), dynamic=True),)
    first = [table(base(rule(update) if at == 0 else rule(TCP)), name=f"t{at}", sets=sets) for at in range(2)]
    asking = rule(MemberTest(SADDR, "seen", dynamic=True), DROP)
    old = [table(base(asking, name="late", priority=1), name="t1", sets=sets), first[0]]
    new = [table(base(asking, rule(update), name="late", priority=1), name="t1", sets=sets)]
    found = compare(Ruleset(tuple(old)), Ruleset(tuple(new)))
    assert found.differences
    assert all(difference.confirmed for difference in found.differences)


def test_a_connection_mark_from_a_map() -> None:
    mapping = NamedMap("zones", (known.IIFNAME,), "mark", of_names(eth0=1, eth1=2))
    assign = does.AssignFromMap(known.CT_MARK, (KeyPart(known.IIFNAME),), "zones")
    old = ruleset(table(base(rule(assign)), maps=(mapping,)))
    new = ruleset(
        *(rule(iifname(name), does.Assign(known.CT_MARK, 0, value)) for name, value in (("eth1", 2), ("eth0", 1)))
    )
    assert_same(old, new)


# --- effects ---------------------------------------------------------------------------------------------------------


def test_a_log_prefix_counts() -> None:
    (difference,) = assert_differ(
        ruleset(rule(TCP, log("a"))), ruleset(rule(TCP, log("b"))), DifferenceKind.LOG, DifferenceKind.LOG
    ).differences[:1]
    assert difference.subject == "a"


def test_a_log_twice_is_not_once() -> None:
    twice = ruleset(rule(TCP, log("a")), rule(TCP, log("a")))
    assert_differ(twice, ruleset(rule(TCP, log("a"))), DifferenceKind.LOG)
    assert_same(twice, ruleset(rule(TCP, log("a"), log("a"))))


def test_logs_in_another_order_are_a_lesser_difference() -> None:
    old, new = ruleset(rule(log("a")), rule(log("b"))), ruleset(rule(log("b")), rule(log("a")))
    (difference,) = assert_differ(old, new, DifferenceKind.LOG_ORDER).differences
    assert difference.is_lesser
    assert not compare(old, new).equal


def test_logs_of_packets_that_are_dropped_count() -> None:
    assert_differ(ruleset(rule(log("a"), DROP)), ruleset(rule(DROP)), DifferenceKind.LOG)


def test_nat_counts_where_the_packet_passes() -> None:
    masquerade = does.Nat(does.NatKind.MASQUERADE)
    old = ruleset(base(rule(TCP, masquerade, ACCEPT), hook=Hook.POSTROUTING, kind="nat"))
    assert_differ(old, Ruleset(()), DifferenceKind.EFFECT)
    dropping = base(rule(DROP), name="late", hook=Hook.POSTROUTING, priority=50)
    assert_same(ruleset(old.tables[0], table(dropping, name="x")), ruleset(dropping))


def test_a_nat_chain_sees_new_connections_only() -> None:
    dnat = does.Nat(does.NatKind.DNAT, (5, 5))
    old = ruleset(base(rule(TCP, dnat, ACCEPT), hook=Hook.PREROUTING, kind="nat"))
    guarded = ruleset(base(rule(TCP, state("new", "related"), dnat, ACCEPT), hook=Hook.PREROUTING, kind="filter"))
    assert_same(old, guarded)


def test_one_translation_is_enough() -> None:
    first = base(rule(TCP, does.Nat(does.NatKind.SNAT, (5, 5)), ACCEPT), name="a", hook=Hook.POSTROUTING, kind="nat")
    second = base(
        rule(does.Nat(does.NatKind.SNAT, (6, 6)), ACCEPT), name="b", hook=Hook.POSTROUTING, kind="nat", priority=1
    )
    both = ruleset(first, second)
    one = ruleset(base(*first.rules, *second.rules, hook=Hook.POSTROUTING, kind="nat"))
    assert_same(both, one)


def test_a_queue_ends_its_own_chain() -> None:
    queue = base(rule(TCP, Queue(1)), name="early", priority=-5)
    late = base(rule(dport(22), DROP), name="late")
    (assumption,) = compare(ruleset(queue, late), ruleset(late, queue)).assumptions
    assert "user space" in assumption
    found = compare(ruleset(queue, late), ruleset(late))
    assert [item.kind for item in found.differences] == [DifferenceKind.EFFECT]


def test_a_proxied_packet_has_the_mark() -> None:
    proxy = TransparentProxy(None, 3128, 0xFFFFFFFE, 1)
    early = base(rule(TCP, proxy), name="early", priority=-5)
    late = base(rule(BIT, DROP), name="late")
    found = compare(ruleset(early, late), ruleset(early, base(rule(TCP, DROP), rule(BIT, DROP), name="late")))
    assert found.equal


# --- what remembers --------------------------------------------------------------------------------------------------


def test_names_of_limits_do_not_count_and_rates_do() -> None:
    old = ruleset(rule(TCP, limit("a"), log("x")), rule(UDP, limit("b"), log("y")))
    assert_same(old, ruleset(rule(TCP, limit("p"), log("x")), rule(UDP, limit("q"), log("y"))))
    swapped = ruleset(rule(TCP, limit("b"), log("x")), rule(UDP, limit("a"), log("y")))
    assert compare(old, swapped).equal
    slower = ruleset(rule(TCP, limit("p", 4), log("x")), rule(UDP, limit("q"), log("y")))
    assert any(item.kind is DifferenceKind.STATEFUL for item in compare(old, slower).differences)


def test_one_bucket_for_two_rules_is_not_two_buckets() -> None:
    one = ruleset(rule(TCP, limit("a"), ACCEPT), rule(UDP, limit("a"), ACCEPT), rule(DROP))
    two = ruleset(rule(TCP, limit("a"), ACCEPT), rule(UDP, limit("b"), ACCEPT), rule(DROP))
    kinds = {item.kind for item in compare(one, two).differences}
    assert DifferenceKind.STATEFUL in kinds


def test_a_bucket_is_charged_from_left_to_right() -> None:
    before = ruleset(rule(limit("a"), TCP, DROP))
    behind = ruleset(rule(TCP, limit("a"), DROP))
    assert DifferenceKind.STATEFUL in {item.kind for item in compare(before, behind).differences}


def test_the_second_touch_of_a_bucket_is_another_question() -> None:
    twice = ruleset(rule(limit("a"), log("x")), rule(limit("a"), DROP))
    assert_same(twice, ruleset(rule(limit("b"), log("x")), rule(limit("b"), DROP)))
    once = ruleset(rule(limit("a"), log("x"), DROP))
    assert DifferenceKind.STATEFUL in {item.kind for item in compare(twice, once).differences}


def test_touches_in_a_chain_that_is_called_twice() -> None:
    called = ruleset(base(rule(TCP, Jump("c")), rule(dport(22), Jump("c"))), chain("c", rule(limit("a"), log("x"))))
    flat = ruleset(rule(TCP, limit("b"), log("x")), rule(dport(22), limit("b"), log("x")))
    assert_same(called, flat)


def test_over_a_limit_is_the_other_answer() -> None:
    over = ruleset(rule(limit("a", over=True), DROP))
    under = ruleset(rule(limit("a"), ACCEPT), rule(DROP))
    assert_same(over, under)


def test_objects_that_look_alike_are_paired_the_way_that_fits() -> None:
    nth = StatefulObject("n", EveryNth(2, 0))
    old = ruleset(rule(limit("a"), log("x")), rule(limit("b"), log("y")), rule(StatefulTest(nth), DROP))
    new = ruleset(
        rule(limit("z"), log("x")), rule(limit("m"), log("y")), rule(StatefulTest(replace(nth, identity="o")), DROP)
    )
    assert_same(old, new)


def _shares(old: Ruleset, new: Ruleset) -> list[Share | None]:
    """Return the proof of each path by itself, as processes side by side make it."""
    count = len(Tables(old, new).paths)
    # each process has its own copy of the tables, with functions in it
    copies = [Tables(old, new) for _ in range(count)]
    return [equal_share(tables, [tables.paths[place]], Limits()) for place, tables in enumerate(copies)]


def _at_two_hooks(first: str, second: str, third: str) -> Ruleset:
    return ruleset(
        base(rule(TCP, limit(first), log("x")), hook=Hook.INPUT, name="input"),
        base(rule(UDP, limit(second), log("y")), rule(TCP, limit(third), log("z")), name="forward"),
    )


def test_shares_of_a_proof_say_nothing_of_objects_that_their_paths_never_come_to() -> None:
    old, new = _at_two_hooks("a", "b", "c"), _at_two_hooks("r", "q", "p")
    input_, forward = _shares(old, new)
    assert input_ is not None
    assert forward is not None
    assert input_.pairs == (("r", "a"),)
    assert set(forward.pairs) == {("q", "b"), ("p", "c")}
    assert together((input_, forward), Limits()) == compare(old, new)


def test_shares_that_need_different_pairs_are_no_proof() -> None:
    old, new = _at_two_hooks("a", "b", "a"), _at_two_hooks("r", "q", "p")
    shares = _shares(old, new)
    assert all(shares)
    assert together(shares, Limits()) is None
    assert not compare(old, new).equal


def test_a_changing_set_is_an_unknown_that_updates_renew() -> None:
    changing = NamedSet("recent", (known.IP_SADDR,), dynamic=True, timeout=60)
    seen = MemberTest(SADDR, "recent", dynamic=True)
    add = does.SetUpdate("recent", SADDR, does.SetOperation.ADD)

    def using(*rules_: Rule, name: str = "recent") -> Ruleset:
        named = replace(changing, name=name)
        return ruleset(table(base(*rules_), sets=(named,)))

    old = using(rule(TCP, seen, DROP), rule(TCP, add))
    other_name = using(rule(TCP, replace(seen, set_name="r"), DROP), rule(TCP, replace(add, set_name="r")), name="r")
    assert_same(old, other_name)
    early = using(rule(TCP, add), rule(TCP, seen, DROP))
    assert compare(old, early).differences


# --- what has no model -----------------------------------------------------------------------------------------------


def test_an_opaque_match_is_the_same_by_its_identity() -> None:
    test = OpaqueTest("string a", "@th,0,8 1")
    assert_same(ruleset(rule(test, DROP)), ruleset(rule(OpaqueTest("string a"), DROP)))
    assert_same(ruleset(rule(test, DROP)), ruleset(rule(OpaqueTest("string a", holds=False), ACCEPT), rule(DROP)))


def test_an_opaque_match_that_one_side_lacks_is_a_difference() -> None:
    (difference,) = assert_differ(ruleset(rule(OpaqueTest("string a"), DROP)), Ruleset(())).differences
    assert list(difference.old.answers.values()) == [True]


def test_opaque_matches_that_may_mean_the_same_are_not_decided() -> None:
    found = compare(ruleset(rule(TCP, OpaqueTest("a"), DROP)), ruleset(rule(TCP, OpaqueTest("b"), DROP)))
    assert not found.differences
    assert [item.names for item in found.undecided] == [("a", "b")]
    assert not found.equal


def test_what_differs_whatever_opaque_matches_mean_is_a_difference() -> None:
    old = ruleset(rule(TCP, OpaqueTest("a"), DROP), rule(UDP, DROP))
    found = compare(old, ruleset(rule(TCP, OpaqueTest("b"), DROP)))
    assert [item.packet.values[known.L4PROTO] for item in found.differences] == [17]
    assert found.undecided


def test_raw_bytes_may_be_any_field() -> None:
    raw = known.raw_payload("nh", 96, 32)
    found = compare(ruleset(rule(bits(raw, 0xFF, 1), DROP)), ruleset(rule(OpaqueTest("u32"), DROP)))
    assert not found.differences
    assert found.undecided[0].names == ("u32", raw.name) or set(found.undecided[0].names) == {raw.name, "u32"}


def test_out_of_memory_names_the_chain() -> None:
    rules = [
        rule(
            FieldTest(known.IP_SADDR, IntervalSet.single(32, place * 7919 % 4093)),
            FieldTest(known.IP_DADDR, IntervalSet.single(32, place * 104729 % 4099)),
            DROP if place % 2 else ACCEPT,
        )
        for place in range(1500)
    ]
    found = compare(ruleset(*rules), ruleset(*rules[:-1]), limits=Limits(nodes=20_000))
    assert not found.equal
    assert [(item.reason, item.names) for item in found.undecided] == [("out of memory", ("ip filter main",))]


# --- witnesses -------------------------------------------------------------------------------------------------------


def test_a_witness_is_a_packet_that_a_person_knows() -> None:
    (difference,) = assert_differ(
        ruleset(rule(DROP)), ruleset(rule(source(1), DROP), rule(state("invalid"), DROP))
    ).differences
    values = difference.packet.values
    assert values[known.L4PROTO] == 6
    assert values[known.DPORT] == 443
    assert values[known.CT_STATE] == 3
    assert values[known.IP_SADDR] == 0xC000020A
    assert values[known.IP_DADDR] == 0xC6336414
    assert (difference.old.outcome.decision, difference.new.outcome.decision) == (Decision.DROP, Decision.ACCEPT)


def test_there_is_one_witness_for_each_pair_of_rules() -> None:
    old = ruleset(rule(source(1), DROP), rule(source(2, 3), dport(22), DROP), rule(source(4), DROP))
    new = ruleset(rule(source(4), DROP))
    found = assert_differ(old, new, DifferenceKind.VERDICT, DifferenceKind.VERDICT)
    assert sorted(item.old.decided_by[0].number for item in found.differences) == [0, 1]
    assert {item.new.decided_by for item in found.differences} == {(("ip filter", "main", -1, ()),)}


def test_the_deciding_rule_is_told_with_its_origin() -> None:
    origin = Origin(OLD_FILE, 1)
    old = ruleset(base(rule(TCP, Jump("user"))), chain("user", replace(rule(dport(22), DROP), origins=(origin,))))
    (difference,) = assert_differ(old, Ruleset(())).differences
    (place,) = difference.old.decided_by
    assert (place.chain, place.number, place.origins) == ("user", 0, (origin,))
    assert difference.new.decided_by == ()


def test_no_more_differences_are_told_than_asked_for() -> None:
    rules = [rule(source(number_), DROP) for number_ in range(9)]
    found = compare(ruleset(*rules), Ruleset(()), limits=Limits(differences=3))
    assert len(found.differences) == 3
    assert found.omitted == 1


def test_assumptions_of_both_sides_are_told() -> None:
    old = Ruleset(ruleset(rule(DROP)).tables, ("one",))
    new = Ruleset(ruleset(rule(DROP)).tables, ("two",))
    assert compare(old, new).assumptions == ("one", "two")


# --- opening nothing -------------------------------------------------------------------------------------------------


def test_losing_an_accepting_rule_opens_nothing() -> None:
    old = ruleset(base(rule(OpaqueTest("a"), ACCEPT), rule(TCP, limit("x"), ACCEPT), accepts=False))
    new = ruleset(base(rule(TCP, dport(22), limit("y"), ACCEPT), accepts=False))
    assert widened(old, new).equal


def test_losing_a_dropping_rule_opens_what_it_dropped() -> None:
    old = ruleset(rule(TCP, dport(22), DROP), rule(UDP, OpaqueTest("a"), DROP))
    (difference,) = widened(old, ruleset(rule(UDP, OpaqueTest("b"), DROP))).differences
    assert difference.confirmed
    assert difference.packet.values[known.DPORT] == 22
