"""Folding, dead rules, tail calls, neighbours, sharing and inlining: what each does, and when it leaves things alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, bits, present
from fwtrans.ir.names import NamePattern
from fwtrans.ir.pprint import print_table
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.stateful import EveryNth, Limit, LimitUnit, Random, StatefulObject, StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Return
from fwtrans.optimizer.dead import without_dead_rules
from fwtrans.optimizer.fold import PASS as FOLD
from fwtrans.optimizer.fold import folded
from fwtrans.optimizer.inlining import inlined, inlined_verdicts
from fwtrans.optimizer.merging import with_merged_rules
from fwtrans.optimizer.sharing import shared
from fwtrans.optimizer.tail_calls import with_tail_calls
from fwtrans.optimizer.tracking import tracks_alike
from fwtrans.source import Origin
from tests.optimizer.corpus import ORIGIN
from tests.optimizer.guests import read
from tests.optimizer.proofs import assert_safe, becomes, shown
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    TCP,
    UDP,
    base,
    chain,
    dport,
    iifname,
    limit,
    log,
    rule,
    source,
    state,
    table,
)

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain

MARK_1 = does.Assign(known.MARK, 0, 1)
BY_PORT = (KeyPart(known.DPORT),)


def port_map(name: str, *values: Jump | Goto | Return) -> NamedMap:
    elements = tuple(MapElement(((number, number),), value) for number, value in enumerate(values))
    return NamedMap(name, (known.DPORT,), "verdict", elements)


# --- fold ---


def test_folding_decides_what_is_known() -> None:
    found = becomes(
        folded,
        base(rule(state("invalid"), DROP), rule(state("invalid", "new"), Jump("a")), rule(iifname("tap1"), Jump("b"))),
        chain("a", rule(state("new"), source(1), DROP)),
        chain("b", rule(iifname("tap1"), TCP, TCP, DROP), rule(iifname("tap2"), DROP)),
        chain("lost", rule(DROP)),
    )
    assert found == shown(
        base(rule(state("invalid"), DROP), rule(state("new"), Jump("a")), rule(iifname("tap1"), Jump("b"))),
        chain("a", rule(source(1), DROP)),
        chain("b", rule(TCP, DROP)),
    )


def test_folding_keeps_the_protocol_where_nft_wants_it_in_the_rule_itself() -> None:
    """Nft refuses `dnat to 10.0.0.1:80` where the rule does not say the protocol, whoever leads to it."""
    translated = rule(TCP, does.Nat(does.NatKind.DNAT, (10, 10), (80, 80)), ACCEPT)
    whole = rule(TCP, does.Nat(does.NatKind.DNAT, (10, 10), None), ACCEPT)
    for last, left in ((translated, translated), (whole, replace(whole, steps=whole.steps[1:]))):
        chains = (base(rule(TCP, Jump("a")), kind="nat"), chain("a", rule(source(1), DROP), last))
        assert becomes(folded, *chains) == shown(chains[0], chain("a", rule(source(1), DROP), left))


def test_folding_makes_no_copies_of_what_counts_by_itself() -> None:
    """Nftables has names for limits and quotas, which copies can share; others would count apart."""
    marked, asked = rule(source(1), MARK_1, Jump("a")), rule(bits(known.MARK, 0xFFFFFFFF, 1), log("x"))
    for kind, copied in ((Limit(5, LimitUnit.SECOND, 5), True), (EveryNth(3, 0), False), (Random(1 << 30), False)):
        counting = rule(StatefulTest(StatefulObject("one", kind), (), over=False), DROP)
        chains = (base(marked, rule(iifname("tap1"), Jump("a"))), chain("a", counting, asked))
        assert ("chain a-2" in becomes(folded, *chains)) is copied


def test_folding_leaves_a_table_alone_that_nothing_enters() -> None:
    lonely = table(chain("a", rule(TCP, UDP, DROP)))
    assert folded(lonely) == lonely
    assert without_dead_rules(lonely) == lonely
    assert inlined(lonely) == lonely


# --- dead rules ---


def test_a_rule_that_asks_for_all_that_an_earlier_one_has_taken_goes() -> None:
    first = rule(dport(22), source(1), DROP)
    assert becomes(without_dead_rules, base(first, rule(source(1), TCP, dport(22), ACCEPT), rule(log("x"), DROP))) == (
        shown(base(first, rule(log("x"), DROP)))
    )
    logged = rule(dport(22), log("x"), DROP)
    assert becomes(without_dead_rules, base(logged, rule(dport(22), log("y"), ACCEPT))) == shown(base(logged))


def test_a_test_of_a_field_asks_for_what_the_field_needs() -> None:
    icmp = FieldTest(known.L4PROTO, IntervalSet.single(8, 1))
    echo = FieldTest(known.ICMP_TYPE, IntervalSet.single(8, 8))
    last = rule(log("x"), DROP)
    for first in (rule(icmp, DROP), rule(source(1), icmp, DROP)):
        asked = first.steps[:-1]
        found = base(first, rule(*asked, echo, ACCEPT), last)
        assert becomes(without_dead_rules, found) == shown(base(first, last))
    # a later fragment has no ports, but it is UDP
    kept = base(rule(UDP, dport(53), DROP), rule(UDP, ACCEPT), last)
    assert becomes(without_dead_rules, kept) == shown(kept)


def test_a_rule_stays_where_a_packet_may_come_past_the_earlier_one() -> None:
    for first in (
        rule(limit("a"), dport(22), DROP),
        rule(dport(22), limit("a"), DROP),
        rule(dport(22), Jump("a")),
        rule(dport(22), does.Assign(known.MARK, 0, 0, does.BitsOf(known.CT_MARK, 1)), DROP),
    ):
        kept = (base(first, rule(dport(22), log("x"), DROP)), chain("a", rule(TCP, DROP)))
        used = kept if first.verdict == Jump("a") else kept[:1]
        assert becomes(without_dead_rules, *used) == shown(*used)


def test_a_rule_stays_where_a_write_stands_between() -> None:
    marked = rule(bits(known.MARK, 1, 1), log("x"), DROP)
    for between in (rule(TCP, MARK_1, None), rule(TCP, Jump("a"))):
        whole = (base(marked, between, marked), chain("a", rule(source(2), MARK_1, None)))
        used = whole if between.verdict is not None else whole[:1]
        assert becomes(without_dead_rules, *used) == shown(*used)
    other = rule(TCP, does.Assign(known.CT_MARK, 0, 1), None)
    assert becomes(without_dead_rules, base(marked, other, marked)) == shown(base(marked, other))


def test_rules_that_end_as_the_rest_does_go() -> None:
    assert becomes(without_dead_rules, base(rule(TCP, ACCEPT), rule(TCP, DROP), rule(UDP, ACCEPT), rule(Return()))) == (
        shown(base())
    )
    dropping = base(rule(TCP, ACCEPT), rule(UDP, DROP), rule(source(1), Return()), accepts=False)
    assert becomes(without_dead_rules, dropping) == shown(replace(dropping, rules=dropping.rules[:1]))
    ended = base(rule(TCP, ACCEPT), rule(UDP, DROP), rule(source(1), DROP), rule(DROP))
    assert becomes(without_dead_rules, ended) == shown(base(rule(TCP, ACCEPT), rule(DROP)))
    user = chain("a", rule(TCP, DROP), rule(UDP, ACCEPT), rule(source(1), Return()))
    assert becomes(without_dead_rules, base(rule(Jump("a")), rule(log("x"), DROP)), user) == shown(
        base(rule(Jump("a")), rule(log("x"), DROP)), replace(user, rules=user.rules[:2])
    )


def test_calls_of_empty_chains_go() -> None:
    found = becomes(
        without_dead_rules,
        base(rule(TCP, log("x"), Jump("a")), rule(UDP, Jump("a")), rule(source(1), Goto("b")), rule(log("y"), DROP)),
        chain("a", rule(TCP, None)),
        chain("b", rule(source(2), Jump("a"))),
    )
    assert found == shown(base(rule(TCP, log("x"), None), rule(source(1), Return()), rule(log("y"), DROP)))


def test_rules_that_count_stay() -> None:
    counting = base(rule(TCP, does.Count(), None), rule(UDP, does.Count(name="c"), ACCEPT))
    assert becomes(without_dead_rules, counting) == shown(counting)


# --- tail calls ---


def test_what_need_not_come_back_goes() -> None:
    found = becomes(
        with_tail_calls,
        base(rule(Jump("a")), rule(log("x"), DROP)),
        chain("a", rule(TCP, Jump("ends")), rule(UDP, Jump("b")), rule(source(1), Jump("b"))),
        chain("b", rule(source(2), ACCEPT)),
        chain("ends", rule(source(3), ACCEPT), rule(Goto("drops"))),
        chain("drops", rule(log("y"), DROP)),
    )
    assert "l4proto in {6}; => Goto(chain='ends')" in found
    assert "l4proto in {17}; => Jump(chain='b')" in found
    assert "ip.saddr in {0.0.0.1}; => Goto(chain='b')" in found
    assert found.count("main") == 1
    assert "    => Jump(chain='a')" in found


def test_a_chain_that_returns_somewhere_is_jumped_to() -> None:
    chains = (
        base(rule(Jump("a")), rule(log("x"), DROP)),
        chain("a", rule(TCP, Jump("b")), rule(source(1), ACCEPT)),
        chain("b", rule(source(3), Return()), rule(DROP)),
    )
    assert becomes(with_tail_calls, *chains) == shown(*chains)


# --- neighbours ---


def test_a_jump_behind_which_all_rules_are_for_other_packets_is_a_goto() -> None:
    called = (chain("b", rule(source(1), DROP)), chain("c", rule(source(2), DROP)))
    calls = (rule(TCP, Jump("b")), rule(UDP, Jump("c")))

    def shape(*rules: Rule) -> tuple[Chain, ...]:
        return (base(rule(source(3), Jump("a")), rule(ACCEPT)), chain("a", *rules), *called)

    gone = (rule(TCP, Goto("b")), rule(UDP, Goto("c")))
    assert becomes(with_tail_calls, *shape(*calls)) == shown(*shape(*gone))
    # the last rule is for all packets, and one that looks behind itself is not told from others
    for last in (rule(log("x"), DROP), rule(source(4), DROP)):
        assert becomes(with_tail_calls, *shape(*calls, last)) == shown(*shape(*calls, last))
    many = tuple(rule(UDP, dport(number), DROP) for number in range(20))
    assert becomes(with_tail_calls, *shape(calls[0], *many)) == shown(*shape(calls[0], *many))


def test_a_log_and_the_verdict_behind_it_become_one_rule() -> None:
    assert becomes(with_merged_rules, base(rule(TCP, source(1), log("x"), None), rule(TCP, source(1), DROP))) == shown(
        base(rule(TCP, source(1), log("x"), DROP))
    )
    three = (rule(TCP, log("x"), None), rule(TCP, does.Assign(known.CT_MARK, 0, 1), None), rule(TCP, Jump("a")))
    assert becomes(with_merged_rules, base(*three), chain("a", rule(UDP, DROP))) == shown(
        base(rule(TCP, log("x"), does.Assign(known.CT_MARK, 0, 1), Jump("a"))), chain("a", rule(UDP, DROP))
    )


def test_neighbours_that_ask_for_something_else_stay_apart() -> None:
    for pair in (
        (rule(TCP, log("x"), None), rule(TCP, source(1), DROP)),
        (rule(TCP, source(1), log("x"), None), rule(TCP, DROP)),
        (rule(TCP, limit("a"), log("x"), None), rule(TCP, DROP)),
        (rule(bits(known.MARK, 1, 0), MARK_1, None), rule(bits(known.MARK, 1, 0), DROP)),
        (rule(TCP, log("x"), None), rule(TCP, limit("a"), DROP)),
        # these are chains in nftables, and must be the last thing a rule does
        (rule(does.Assign(known.IP_TOS, 0xC0, 0x10), None), rule(does.Assign(known.IP_TOS, 0, 0x20), None)),
        (rule(does.Assign(known.MARK, 1, 0, does.BitsOf(known.CT_MARK, 1)), None), rule(DROP)),
    ):
        assert becomes(with_merged_rules, base(*pair)) == shown(base(*pair))


# --- sharing ---


def test_equal_chains_are_one_from_the_bottom_up() -> None:
    found = becomes(
        shared,
        base(rule(iifname("a"), Jump("a")), rule(iifname("b"), Jump("b")), rule(iifname("c"), Jump("c"))),
        chain("a", rule(TCP, DROP), rule(Jump("a2"))),
        chain("b", rule(TCP, DROP), rule(Jump("b2"))),
        chain("a2", rule(UDP, log("x"), DROP)),
        chain("b2", rule(UDP, log("x"), DROP)),
        chain("c", rule(TCP, DROP), rule(Goto("a2"))),
    )
    assert found == shown(
        base(rule(iifname("a"), Jump("a")), rule(iifname("b"), Jump("a")), rule(iifname("c"), Jump("c"))),
        chain("a", rule(TCP, DROP), rule(Jump("a2"))),
        chain("a2", rule(UDP, log("x"), DROP)),
        chain("c", rule(TCP, DROP), rule(Goto("a2"))),
    )


def test_the_first_name_stays_whoever_calls_first() -> None:
    found = shared(table(base(rule(TCP, Jump("z")), rule(Jump("a"))), chain("a", rule(DROP)), chain("z", rule(DROP))))
    assert print_table(found) == shown(base(rule(TCP, Jump("a")), rule(Jump("a"))), chain("a", rule(DROP)))


def test_limits_and_logs_of_their_own_keep_chains_apart() -> None:
    for one, other in ((limit("a"), limit("b")), (log("a"), log("b"))):
        chains = (
            base(rule(TCP, Jump("a")), rule(UDP, Jump("b"))),
            chain("a", rule(one, DROP)),
            chain("b", rule(other, DROP)),
        )
        assert becomes(shared, *chains) == shown(*chains)


def test_one_limit_is_one_in_both() -> None:
    chains = (
        base(rule(TCP, Jump("a")), rule(UDP, Jump("b"))),
        chain("a", rule(limit("a"), DROP)),
        chain("b", rule(limit("a"), DROP)),
    )
    assert len(assert_safe(shared, table(*chains)).chains) == 2


def test_maps_that_lead_to_equal_chains_are_one() -> None:
    before = table(
        base(rule(TCP, Dispatch(BY_PORT, "one")), rule(UDP, Dispatch(BY_PORT, "two"))),
        chain("a", rule(source(1), DROP)),
        chain("b", rule(source(1), DROP)),
        maps=(port_map("one", Jump("a"), Goto("b")), port_map("two", Jump("b"), Goto("a"))),
    )
    found = assert_safe(shared, before)
    assert found.maps == (port_map("one", Jump("a"), Goto("a")),)
    assert found.chains[0].rules[1].verdict == Dispatch(BY_PORT, "one")


def test_a_shared_rule_knows_all_lines_that_it_came_from() -> None:
    second = Origin(ORIGIN.source, 2)
    whole = table(
        base(rule(TCP, Jump("a")), rule(UDP, Jump("b"))),
        chain("a", replace(rule(source(1), DROP), origins=(ORIGIN,))),
        chain("b", replace(rule(source(1), DROP), origins=(second,))),
    )
    assert shared(whole).chains[1].rules[0].origins == (ORIGIN, second)


# --- inlining ---


def test_a_chain_that_only_says_a_verdict_is_said() -> None:
    found = becomes(inlined_verdicts, base(rule(TCP, Jump("a")), rule(UDP, Goto("a"))), chain("a", rule(DROP)))
    assert found == shown(base(rule(TCP, DROP), rule(UDP, DROP)))
    logged = (base(rule(TCP, Jump("a"))), chain("a", rule(log("x"), DROP)))
    assert becomes(inlined_verdicts, *logged) == shown(*logged)


def test_a_chain_of_one_rule_is_put_into_all_its_callers() -> None:
    called = chain("a", rule(dport(22), log("x"), DROP))
    found = becomes(inlined, base(rule(TCP, Jump("a")), rule(UDP, Jump("a")), rule(source(1), Goto("a"))), called)
    assert found == shown(base(*(rule(test, dport(22), log("x"), DROP) for test in (TCP, UDP, source(1)))))


def test_what_a_chain_of_one_rule_says_means_the_same_in_its_caller() -> None:
    b = chain("b", rule(TCP, ACCEPT), rule(UDP, DROP))
    tail = rule(log("x"), DROP)
    for verdict, jumped in ((Return(), None), (Goto("b"), Jump("b")), (Jump("b"), Jump("b"))):
        found = becomes(
            inlined, base(rule(source(1), Jump("a")), tail), chain("a", rule(source(2), log("y"), verdict)), b
        )
        used = (b,) if jumped is not None else ()
        assert found == shown(base(rule(source(1), source(2), log("y"), jumped), tail), *used)


def test_a_goto_that_its_chain_may_not_end_stays() -> None:
    chains = (base(rule(source(1), Goto("a")), rule(log("x"), DROP)), chain("a", rule(TCP, ACCEPT)))
    assert becomes(inlined, *chains) == shown(*chains)


def test_a_goto_to_a_chain_that_only_does_something_does_it_and_returns() -> None:
    tail = rule(log("x"), DROP)
    a = chain("a", rule(log("y"), None))
    found = becomes(
        inlined,
        base(rule(UDP, Jump("b")), rule(log("z"), DROP)),
        chain("b", rule(source(1), Goto("a")), rule(source(2), Goto("a")), tail),
        a,
    )
    ways = (rule(source(number), log("y"), Return()) for number in (1, 2))
    assert found == shown(base(rule(UDP, Jump("b")), rule(log("z"), DROP)), chain("b", *ways, tail))


def test_a_chain_with_one_caller_takes_the_place_of_the_call() -> None:
    rules = (rule(TCP, ACCEPT), rule(UDP, Jump("b")))
    b = chain("b", rule(source(1), DROP), rule(source(2), ACCEPT))
    found = becomes(inlined, base(rule(Jump("a")), rule(log("x"), DROP)), chain("a", *rules), b)
    assert found == shown(base(*rules, rule(log("x"), DROP)), b)
    returning = chain("a", rule(TCP, Return()), rule(UDP, ACCEPT))
    kept = (base(rule(Jump("a")), rule(log("x"), DROP)), returning)
    assert becomes(inlined, *kept) == shown(*kept)
    assert becomes(inlined, base(rule(log("x"), None), rule(Jump("a"))), returning) == shown(
        base(rule(log("x"), None), *returning.rules)
    )


def test_limits_of_several_callers_and_alternatives_twice_stay_in_their_chain() -> None:
    limited = (base(rule(TCP, Jump("a")), rule(UDP, Jump("a"))), chain("a", rule(limit("a"), DROP)))
    assert becomes(inlined, *limited) == shown(*limited)
    either = AnyOf(((dport(1),), (source(1),)))
    ways = AnyOf(((FieldTest(known.SPORT, IntervalSet.single(16, 5)),), (source(2),)))
    twice = (base(rule(either, Jump("a"))), chain("a", rule(ways, DROP)))
    assert becomes(inlined, *twice) == shown(*twice)


def test_a_chain_that_a_map_leads_to_stays_for_it() -> None:
    before = table(
        base(rule(TCP, Dispatch(BY_PORT, "one")), rule(UDP, Jump("a"))),
        chain("a", rule(source(1), DROP)),
        maps=(port_map("one", Jump("a"), Return()),),
    )
    found = assert_safe(inlined, before)
    assert found.chains[0].rules[1] == rule(UDP, source(1), DROP)
    assert [item.name for item in found.chains] == ["main", "a"]


def test_a_map_in_a_chain_that_is_called_in_the_middle_stays_there() -> None:
    before = table(
        base(rule(TCP, Jump("a")), rule(log("x"), DROP)),
        chain("a", rule(Dispatch(BY_PORT, "one"))),
        maps=(NamedMap("one", (known.DPORT,), "verdict", (MapElement(((1, 1),), Return()),)),),
    )
    assert assert_safe(inlined, before).chains == before.chains


def test_names_of_maps_keys_are_no_chains() -> None:
    named = NamedMap("in", (known.IIFNAME,), "verdict", (MapElement((NamePattern("a", is_prefix=False),), DROP),))
    before = table(base(rule(Dispatch((KeyPart(known.IIFNAME),), "in"))), chain("a", rule(DROP)), maps=(named,))
    assert [item.name for item in assert_safe(without_dead_rules, before).chains] == ["main"]


def test_one_table_that_has_to_track_does_not_hold_up_the_others() -> None:
    """A rule that no packet matches is why the bridge puts fragments together."""
    bridge = "table bridge b { chain to { type filter hook forward priority 5; meta l4proto udp drop; udp dport 1 ct state new drop; } }"
    address = """table ip a {
        chain in { type filter hook input priority 5; ct state invalid drop; ct state invalid,new jump new; }
        chain new { tcp dport 22 drop; }
    }"""
    before = read(address + bridge)
    found, declined = FOLD.run(before)
    assert declined
    assert tracks_alike(before, found)
    udp_alone = bridge.replace("udp dport 1 ct state new drop;", "")
    assert not tracks_alike(before, read(address + udp_alone))
    folded_table, kept = found.tables
    assert kept == before.tables[1]
    assert folded_table == FOLD.run(read(address)).ruleset.tables[0]
    assert folded_table != before.tables[0]


def test_where_no_rule_is_left_nobody_sees_fragments() -> None:
    """A node that lets all packets pass kept the chains of rules that no packet comes to: they were why it tracks."""
    bridge = """table bridge b {
        chain to { type filter hook forward priority 5; udp dport 1 meta l4proto tcp jump a; }
        chain a { ct state new drop; }
    }"""
    other = "table ip a { chain in { type filter hook input priority 5; tcp dport 22 drop; } }"
    before = read(bridge + other)
    (found, kept), declined = FOLD.run(before).ruleset.tables, FOLD.run(before).declined
    assert not declined
    assert [chain.rules for chain in found.chains] == [()]
    assert kept == before.tables[1]


def test_folding_knows_what_is_not_there_behind_a_field_of_a_header() -> None:
    """Whether the protocol is named in front of its header's field or not."""
    icmp6 = FieldTest(known.L4PROTO, IntervalSet.single(8, 58))

    def asked(*values: int) -> FieldTest:
        return FieldTest(known.ICMP6_TYPE, IntervalSet.values(8, values))

    for named in ((), (icmp6,), (present(known.HAS_TRANSPORT), icmp6)):
        first = rule(*named, asked(133, 134), Return())
        found = base(first, rule(icmp6, asked(134), log("x"), DROP), rule(icmp6, asked(134, 135), log("y"), DROP))
        left = becomes(folded, found)
        assert "Log(prefix='x')" not in left
        assert "Log(prefix='y')" in left
