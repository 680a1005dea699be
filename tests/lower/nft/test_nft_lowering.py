"""nft's meaning in IR where it is easily got wrong: unknowns, order of commands, what nft tests by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.effect import Assign, Log, Nat, OpaqueEffect, ResetTcpOption, SetUpdate
from fwtrans.ir.fields import FIELDS, ICMP_TYPE, L4PROTO, MARK, NFPROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, OpaqueTest, number
from fwtrans.ir.rule import Rule
from fwtrans.ir.stateful import Drawn, Limit, LimitUnit, StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Queue, Reject, TransparentProxy
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset


def read(text: str) -> Ruleset:
    source, sink = SourceFile("t.nft", text), DiagnosticSink()
    found = lower_nft(source, parse_nft_text(source, sink), sink)
    assert found is not None, sink.found
    assert not sink.found
    return found


def rules(rule: str, family: str = "ip", declared: str = "") -> tuple[Rule, ...]:
    table = read(f"table {family} t {{\n{declared}\nchain z {{\n}}\nchain c {{\n{rule}\n}}\n}}\n").tables[0]
    chain = table.chain("c")
    assert chain is not None
    return chain.rules


def refusal(text: str) -> str:
    source, sink = SourceFile("t.nft", text), DiagnosticSink()
    items = parse_nft_text(source, sink)
    assert not sink.found
    assert lower_nft(source, items, sink) is None
    return sink.found[0].code


def opaque_texts(rule: Rule) -> list[str]:
    return [step.identity for step in rule.steps if isinstance(step, (OpaqueTest, OpaqueEffect))]


def only(text: str) -> tuple[str, str]:
    """Return the code and the message of the only finding."""
    source, sink = SourceFile("t.nft", text), DiagnosticSink()
    lower_nft(source, parse_nft_text(source, sink), sink)
    (found,) = sink.found
    assert found.span is not None
    return found.code, f"{found.span.line}: {found.message}"


def test_an_unknown_test_is_asked_and_the_verdict_kept() -> None:
    (rule,) = rules("meta iif 3 drop")
    assert isinstance(rule.steps[0], OpaqueTest)
    assert rule.verdict == Drop()


def test_a_map_of_verdicts_over_an_unknown_key_may_come_to_each() -> None:
    found = rules("jhash ip saddr mod 3 vmap { 0 : accept, 1 : drop, 2 : jump z }")
    assert [rule.verdict for rule in found] == [Accept(), Drop(), Jump("z")]
    tests = [step for rule in found for step in rule.steps]
    assert all(isinstance(step, OpaqueTest) for step in tests)
    assert len(set(tests)) == 3


def test_what_is_done_before_an_unknown_map_is_done_once() -> None:
    found = rules("ip ttl 5 meta mark set 1 symhash mod 2 vmap { 0 : accept, 1 : drop }")
    assert [sum(isinstance(step, Assign) for step in rule.steps) for rule in found] == [1, 0]
    assert all(any(isinstance(step, FieldTest) for step in rule.steps) for rule in found)


def test_an_unknown_set_makes_unknown_tests_that_know_its_elements() -> None:
    one, other, same = (
        rules("meta iif @s drop", declared=f"set s {{ type iface_index; elements = {{ {element} }}; }}")
        for element in ("1", "2", "1")
    )
    assert one == same
    assert one != other
    assert one[0].verdict == Drop()


def test_translation_by_a_map_of_more_than_addresses_still_accepts() -> None:
    (rule,) = rules("tcp dport 1 dnat to tcp dport map { 1 : 192.0.2.1 . 80 }")
    assert rule.verdict == Accept()
    assert any(isinstance(step, OpaqueEffect) for step in rule.steps)


def test_translation_by_a_map_of_addresses_is_known() -> None:
    (rule,) = rules("dnat to ip saddr map { 192.0.2.1 : 192.0.2.2 }")
    (nat,) = (step for step in rule.steps if isinstance(step, Nat))
    assert nat.map_name
    assert [part.field.name for part in nat.key] == ["ip.saddr"]


def test_a_queue_by_a_hash_still_queues() -> None:
    (rule,) = rules("queue to symhash mod 4")
    assert isinstance(rule.verdict, Queue)
    assert any(isinstance(step, OpaqueEffect) for step in rule.steps)


def test_inet_translation_leaves_the_other_family_alone() -> None:
    (rule,) = rules("dnat ip6 to 2001:db8::1", family="inet")
    assert rule.steps[0] == number(FIELDS["nfproto"], 10)


def test_a_reset_is_for_tcp_only() -> None:
    (rule,) = rules("reject with tcp reset")
    assert rule == Rule((number(L4PROTO, 6),), Reject("tcp reset"))


def test_resetting_an_option_is_for_tcp_only() -> None:
    (rule,) = rules("reset tcp option sack-perm")
    assert rule.steps == (number(L4PROTO, 6), ResetTcpOption(4))


def test_a_meter_counts_for_each_key() -> None:
    (rule,) = rules("meter m size 128 { ip saddr timeout 30s limit rate over 5/second burst 9 packets } drop")
    (test,) = (step for step in rule.steps if isinstance(step, StatefulTest))
    assert test.object.kind == Limit(5, LimitUnit.SECOND, 9)
    assert (test.object.timeout, test.object.size, test.over) == (30, 128, True)
    assert [part.field.name for part in test.key] == ["ip.saddr"]


def test_a_missing_route_is_device_zero_and_an_existing_one_any_other() -> None:
    (missing,) = rules("fib saddr . iif oif missing drop")
    (exists,) = rules("fib saddr . iif oif exists drop")
    (zero,), (rest,) = missing.steps, exists.steps
    assert isinstance(zero, FieldTest)
    assert isinstance(rest, FieldTest)
    assert zero.values == IntervalSet.single(32, 0)
    assert rest.values == IntervalSet.single(32, 0).complement()


def test_hours_and_days_are_seconds_and_numbers() -> None:
    (rule,) = rules('meta hour "09:00"-"17:30" meta day "Monday" accept')
    hour, day = rule.steps
    assert isinstance(hour, FieldTest)
    assert isinstance(day, FieldTest)
    assert hour.values == IntervalSet.of(17, ((32400, 63000),))
    assert day.values == IntervalSet.single(3, 1)


def test_no_state_has_two_bits() -> None:
    (rule,) = rules("ct state == established,related drop")
    (test,) = rule.steps
    assert isinstance(test, FieldTest)
    assert test.values.is_empty


PROXY = """
chain p {
  meta l4proto tcp tproxy to 127.0.0.1:3128 meta mark set meta mark & 0xfffffffe ^ 0x1 accept
  drop
}
"""


def test_our_helper_chain_is_a_transparent_proxy_again() -> None:
    (table,) = read(f"table ip t {{ {PROXY} chain c {{\n meta l4proto tcp goto p\n }}\n}}\n").tables
    assert [chain.name for chain in table.chains] == ["c"]
    (rule,) = table.chains[0].rules
    assert rule.verdict == TransparentProxy(0x7F000001, 3128, 0xFFFFFFFE, 1)


@pytest.mark.parametrize("rule", ["goto p", "meta l4proto udp goto p", "meta l4proto tcp jump p"])
def test_any_other_way_into_the_helper_chain_stays_one(rule: str) -> None:
    (table,) = read(f"table ip t {{ {PROXY} chain c {{\n {rule}\n }}\n}}\n").tables
    assert {chain.name for chain in table.chains} == {"p", "c"}


def test_a_proxy_that_goes_on_is_an_unknown() -> None:
    (rule,) = rules("meta l4proto tcp tproxy to :3128 meta mark set 1 accept")
    assert any(isinstance(step, OpaqueTest) for step in rule.steps)
    assert any(isinstance(step, OpaqueEffect) for step in rule.steps)
    assert Assign(MARK, 0, 1) in rule.steps


def test_commands_are_carried_out_in_order() -> None:
    (table,) = read(
        """
        add table ip t
        add chain ip t c
        add rule ip t c ip ttl 1
        add rule ip t c ip ttl 2
        insert rule ip t c ip ttl 3
        add rule ip t c index 0 ip ttl 4
        insert rule ip t c index 3 ip ttl 5
        """
    ).tables
    (chain,) = table.chains
    assert [step.values.ranges[0][0] for rule in chain.rules for step in rule.steps] == [3, 4, 1, 5, 2]  # type: ignore[union-attr]


def test_the_idiom_that_replaces_a_table_leaves_one() -> None:
    (table,) = read(
        "table ip t {\nchain old {\n}\n}\ntable ip t\ndelete table ip t\ntable ip t {\nchain new {\n}\n}\n"
    ).tables
    assert [chain.name for chain in table.chains] == ["new"]


def test_elements_come_and_go() -> None:
    (table,) = read(
        """
        table ip t { set s { type inet_service; elements = { 1, 2 }; }
        }
        add element ip t s { 3, 4 }
        delete element ip t s { 2, 4 }
        """
    ).tables
    assert [element.key for element in table.sets[0].elements] == [((1, 1),), ((3, 3),)]


def test_a_chain_written_in_a_rule_gets_a_name() -> None:
    (table,) = read("table ip t {\nchain c {\n ip ttl 1 jump {\n  ip ttl 2 drop\n }\n accept\n}\n}\n").tables
    chain = table.chain("c")
    assert chain is not None
    first, second = chain.rules
    assert isinstance(first.verdict, Jump)
    inner = table.chain(first.verdict.chain)
    assert inner is not None
    assert [rule.verdict for rule in inner.rules] == [Drop()]
    assert second.verdict == Accept()


@pytest.mark.parametrize(
    ("priority", "family", "value"),
    [("filter", "ip", 0), ("mangle - 5", "ip", -155), ("filter+10", "bridge", -190), ("-42", "inet", -42)],
)
def test_priorities_have_names(priority: str, family: str, value: int) -> None:
    ruleset = read(f"table {family} t {{\nchain c {{\ntype filter hook input priority {priority};\n}}\n}}\n")
    base = ruleset.tables[0].chains[0].base
    assert base is not None
    assert base.priority == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("table ip t {\nchain c {\n ip saddr 2001:db8::1\n}\n}\n", "FWT112"),
        ("table ip t {\nchain c {\n tcp dport 70000\n}\n}\n", "FWT112"),
        ("table ip t {\nchain c {\n tcp dport 9-3\n}\n}\n", "FWT112"),
        ("table ip t {\nchain c {\n limit name nowhere\n}\n}\n", "FWT112"),
        ("add element ip t s { 1 }\n", "FWT102"),
        ("table ip t {\nchain c {\n}\n}\nadd rule ip t c handle 4 drop\n", "FWT102"),
        ("table ip t {\nchain c {\n}\n}\nadd rule ip t c index 4 drop\n", "FWT112"),
        ("table ip t {\nchain c {\n type filter hook sideways priority 0\n}\n}\n", "FWT112"),
    ],
)
def test_what_nft_itself_refuses_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


@pytest.mark.parametrize(
    ("rule", "code", "message"),
    [
        ("jump gone", "FWT112", "5: there is no chain `gone` in table ip t"),
        ("ip saddr @gone drop", "FWT112", "5: there is no set `gone` in table ip t"),
        ("ip saddr vmap @gone", "FWT112", "5: there is no map `gone` in table ip t"),
        ("jump c", "FWT205", "5: chains c -> c form a loop"),
    ],
)
def test_what_a_rule_names_has_to_be_there(rule: str, code: str, message: str) -> None:
    assert only(f"table ip t {{\nchain z {{\n}}\nchain c {{\n{rule}\n}}\n}}\n") == (code, message)


def test_a_catch_all_element_is_what_no_other_element_has() -> None:
    declared = "map m {\ntype mark : verdict\nelements = { 5 : accept, * : drop, 6 : drop }\n}\n"
    (found,) = read(f"table ip t {{\n{declared}}}\n").tables[0].maps
    top = (1 << MARK.width) - 1
    assert [item.key[0] for item in found.elements] == [(5, 5), (6, 6), (0, 4), (7, top)]
    assert [item.value for item in found.elements] == [Accept(), Drop(), Drop(), Drop()]


def test_beside_a_catch_all_no_element_of_a_set_matters() -> None:
    (found,) = read("table ip t {\nset s {\ntype mark\nelements = { 5, * }\n}\n}\n").tables[0].sets
    assert [item.key for item in found.elements] == [((0, (1 << MARK.width) - 1),)]


def test_a_chain_on_several_devices_sees_the_packets_of_each() -> None:
    hook = "type filter hook ingress devices = { a, b } priority 0; policy accept;"
    (table,) = read(f"table netdev t {{\nchain c {{\n{hook}\nmark 5 limit rate 1/second drop\n}}\n}}\n").tables
    *hung, rest = table.chains
    assert [chain.base.device for chain in hung if chain.base is not None] == ["a", "b"]
    assert [rule.verdict for chain in hung for rule in chain.rules] == [Jump("c"), Jump("c")]
    assert (rest.name, rest.base, len(rest.rules)) == ("c", None, 1)


@pytest.mark.parametrize(("answer", "packets"), [("icmp", 2), ("icmpv6", 10)])
def test_an_answer_of_one_family_is_for_its_packets_only(answer: str, packets: int) -> None:
    (rule,) = rules(f"reject with {answer} admin-prohibited", "inet")
    assert rule.steps == (number(NFPROTO, packets),)
    (plain,) = rules("reject with icmp 13")
    assert (plain.steps, plain.verdict) == ((), Reject("icmp", "admin-prohibited"))


def test_states_have_numbers_too() -> None:
    assert rules("ct state 8")[0].steps == rules("ct state new")[0].steps
    assert rules("ct state 64")[0].steps == rules("ct state untracked")[0].steps


def test_a_second_ends_where_the_next_begins() -> None:
    assert rules("meta time <= 100")[0].steps == rules("meta time < 100")[0].steps
    assert rules("meta time > 100")[0].steps == rules("meta time >= 100")[0].steps
    (together,) = rules("meta time 100-200")[0].steps
    first, last = rules("meta time >= 100 meta time <= 200")[0].steps
    assert isinstance(together, FieldTest)
    assert isinstance(first, FieldTest)
    assert isinstance(last, FieldTest)
    assert isinstance(together.values, IntervalSet)
    assert isinstance(first.values, IntervalSet)
    assert isinstance(last.values, IntervalSet)
    assert together.values == first.values.intersection(last.values)


def test_only_root_has_the_same_number_everywhere() -> None:
    assert rules("skuid root")[0].steps == rules("skuid 0")[0].steps
    assert isinstance(rules("skuid daemon")[0].steps[0], OpaqueTest)


def test_what_is_left_of_a_time_may_be_part_of_a_second() -> None:
    declared = "set s {\ntype mark\nflags timeout\nelements = { 5 timeout 1h expires 59m59s984ms }\n}\n"
    (found,) = read(f"table ip t {{\n{declared}}}\n").tables[0].sets
    assert found.elements[0].expires == 3600


def test_an_address_may_leave_out_one_group() -> None:
    assert rules("ip6 saddr ::2:3:4:5:6:7:8", "ip6")[0].steps == rules("ip6 saddr 0:2:3:4:5:6:7:8", "ip6")[0].steps


def test_objects_by_a_map_are_unknowns() -> None:
    declared = 'ct helper h {\ntype "ftp" protocol tcp\nl3proto ip\n}\n'
    (rule,) = rules('ct helper set tcp dport map { 21 : "h" }', declared=declared)
    # the map's key asks for TCP, and where it holds nothing the rule ends
    assert rule.steps[0] == number(L4PROTO, 6)
    assert [type(step) for step in rule.steps[1:]] == [OpaqueTest, OpaqueEffect]


def test_the_order_of_flags_says_nothing() -> None:
    assert rules("masquerade persistent,random")[0].steps == rules("masquerade random,persistent")[0].steps


def test_unknowns_are_the_same_in_the_words_of_a_listing() -> None:
    for written, listed in (
        ("ct event set new | destroy", "ct event set destroy,new"),
        (
            "dnat ip to symhash mod 2 offset 0 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
            "dnat to symhash mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
        ),
    ):
        ours, theirs = (opaque_texts(rules(words)[0]) for words in (written, listed))
        assert ours == theirs != []


def test_a_map_over_a_key_without_a_model_is_asked_element_by_element() -> None:
    found = rules("iif vmap { lo : accept, eth0 : jump z, * : drop } counter", declared="")
    assert [rule.verdict for rule in found] == [Accept(), Jump("z"), Drop()]
    first, second, others = (rule.steps for rule in found)
    assert first == rules("iif lo accept")[0].steps
    assert second == rules("iif eth0 accept")[0].steps
    # what comes back from z goes on behind the map, and is none of the others
    assert others == rules("iif != eth0 drop")[0].steps


def test_all_others_of_such_a_map_need_no_test_where_nobody_comes_back() -> None:
    found = rules("iif vmap { lo : accept, eth0 : goto z, eth1 : drop, * : drop }", declared="")
    assert [rule.verdict for rule in found] == [Accept(), Goto("z"), Drop(), Drop()]
    assert found[-1].steps == ()


def test_a_jump_is_asked_for_behind_the_others() -> None:
    found = rules("ip dscp vmap { cs1 : jump z, cs2 : drop }")
    assert [rule.verdict for rule in found] == [Drop(), Jump("z")]


def test_all_that_jump_are_kept_from_the_others_at_once() -> None:
    found = rules("iif vmap { lo : jump z, eth0 : jump z, * : drop }", declared="")
    assert found[-1].steps == rules("iif != { lo, eth0 } drop")[0].steps


def test_a_map_over_part_of_a_field_is_known() -> None:
    found = rules("ip dscp vmap { cs1 : drop, cs2 : continue }")
    assert [(rule.steps, rule.verdict) for rule in found] == [(rules("ip dscp cs1")[0].steps, Drop())]


def test_what_goes_on_is_not_for_the_others() -> None:
    found = rules("iif vmap { lo : continue, eth0 : drop, * : accept }")
    assert [(rule.steps, rule.verdict) for rule in found] == [
        (rules("iif eth0 drop")[0].steps, Drop()),
        (rules("iif != lo accept")[0].steps, Accept()),
    ]


@pytest.mark.parametrize(
    "rule",
    [
        "numgen random mod 2 vmap { 0 : accept, * : drop }",  # drawn anew each time, and `*` is no number
        "limit rate 1/second iif vmap { lo : accept, eth0 : drop }",  # asked once
        "iif vmap { lo : continue, eth0 : drop } meta mark set 5",
        "ip dscp vmap { cs1 : jump z, cs2 : jump z }",  # z may set cs2, and the second element is not asked then
        "ip dscp vmap { cs1 : jump z, * : drop }",
    ],
)
def test_other_maps_stay_unknown(rule: str) -> None:
    assert any(" => " in text for found in rules(rule) for text in opaque_texts(found))


def test_add_leaves_the_time_of_a_limited_element_and_update_does_not() -> None:
    declared = "set s {\ntype ipv4_addr\nflags dynamic,timeout\n%s}\n"
    own, set_s = declared % "", declared % "timeout 60s\n"
    charged = "{ ip saddr %slimit rate over 3/second }"
    found = [
        rules(f"{operation} @s {charged % time}", declared=sets)[0].steps[-1]
        for operation, time, sets in (
            ("add", "", set_s),
            ("update", "", set_s),
            ("add", "timeout 1m ", own),
            ("add", "", own),
        )
    ]
    kept = [(step.object.timeout, step.object.refreshed) for step in found if isinstance(step, StatefulTest)]
    assert kept == [(60, False), (60, True), (60, False), (0, True)]


@pytest.mark.parametrize(
    "second",
    ["add @s { ip saddr limit rate over 9/second }", "add @s { ip saddr timeout 5m limit rate over 3/second }"],
)
def test_other_limits_of_the_same_elements_are_unknown(second: str) -> None:
    declared = "set s {\ntype ipv4_addr\nflags dynamic,timeout\ntimeout 1m\n}\n"
    found = rules(f"add @s {{ ip saddr limit rate over 3/second }}\n{second}", declared=declared)
    assert [bool(opaque_texts(rule)) for rule in found] == [True, True]


def test_what_rules_change_has_the_size_that_nft_gives_it() -> None:
    declared = "set s {\ntype ipv4_addr\n}\nset d {\ntype ipv4_addr\nflags dynamic\n}\n"
    table = read(f"table ip t {{\n{declared}chain c {{\nadd @s {{ ip saddr }}\n}}\n}}\n").tables[0]
    assert [(item.name, item.size) for item in table.sets] == [("s", 65535), ("d", None)]


def test_a_number_that_is_drawn_has_a_way_for_each_element() -> None:
    found = rules("tcp dport 80 numgen inc mod 4 vmap { 2-3 : goto z, 0 : accept, 1 : jump z }")
    assert [rule.verdict for rule in found] == [Accept(), Jump("z"), Goto("z")]
    draws = [rule.steps[-1].object for rule in found if isinstance(rule.steps[-1], StatefulTest)]
    assert [(draw.kind.value, draw.kind.way) for draw in draws if isinstance(draw.kind, Drawn)] == [
        ("0", 0),
        ("1", 1),
        ('{"range": [2, 3]}', 2),
    ]
    assert len({draw.identity for draw in draws}) == 3
    assert {rule.steps[:-1] for rule in found} == {rules("tcp dport 80")[0].steps}


def test_a_field_of_few_message_types_asks_for_them() -> None:
    assert rules("icmp id 5 drop")[0].steps[0] == number(ICMP_TYPE, 0, 8)
    (rule,) = rules("icmp type echo-reply icmp id 5 drop")
    assert rule.steps[0] == number(ICMP_TYPE, 0)
    assert not any(isinstance(step, FieldTest) for step in rule.steps[1:])


def test_what_a_set_asks_of_its_elements_is_asked_by_rules_that_add_them() -> None:
    declared = "set s {\ntype ipv4_addr\nflags dynamic\n%s\n}\n"
    limited, plain = declared % "limit rate over 5/second", declared % "counter"
    (rule,) = rules("add @s { ip saddr } drop", declared=limited)
    (test,) = rule.steps
    assert isinstance(test, StatefulTest)
    assert test.over
    assert test.object.kind == Limit(5, LimitUnit.SECOND, 5)
    (counted,) = rules("add @s { ip saddr } drop", declared=plain)
    assert isinstance(counted.steps[0], SetUpdate)
    (asked,) = rules("ip saddr @s drop", declared=limited)
    assert isinstance(asked.steps[0], OpaqueTest)


def test_a_table_that_is_switched_off_judges_nothing() -> None:
    asleep = "table ip t {\nflags dormant\nchain c {\ntype filter hook input priority 0; policy drop;\n}\n}\n"
    code, message = only(asleep)
    assert (code, message[:2]) == ("FWT155", "2:")
    source, sink = SourceFile("t.nft", asleep), DiagnosticSink()
    found = lower_nft(source, parse_nft_text(source, sink), sink)
    assert found is not None
    assert found.tables == ()


def test_flags_that_nobody_knows_are_refused() -> None:
    source, sink = SourceFile("t.json", "{}"), DiagnosticSink()
    assert lower_nft(source, [{"table": {"family": "ip", "name": "t", "flags": "t"}}], sink) is None
    assert sink.found[0].code == "FWT112"


@pytest.mark.parametrize(("answer", "asked"), [("tcp reset", number(L4PROTO, 6)), ("icmp 1", number(NFPROTO, 2))])
def test_whom_an_answer_is_for_is_asked_first_of_all(answer: str, asked: FieldTest) -> None:
    (rule,) = rules(f'log prefix "x" reject with {answer}', "inet")
    assert [type(step) for step in rule.steps] == [FieldTest, Log]
    assert rule.steps[0] == asked
