"""Guests share rules: what makes a class, what the sets and maps hold, and that the meaning stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.ir.match import AnyOf
from fwtrans.ir.pprint import print_rule
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verify import verify
from fwtrans.optimizer import policy_classes
from fwtrans.optimizer.policy_classes import share_policies
from fwtrans.optimizer.policy_members import MOST_LISTS
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import KINDS, dealt, only_table, read, ruleset_text

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Chain, Table


def shared(text: str) -> Table:
    """Return the table with its policies shared: proved equal, well-formed, and nothing left to do."""
    before = only_table(text)
    after = share_policies(before)
    assert verify(Ruleset((after,))) == ()
    proof = compare(Ruleset((before,)), Ruleset((after,)))
    assert proof.equal, (proof.differences[:1], proof.undecided)
    assert share_policies(after) == after
    return after


def chain_lines(table: Table, name: str) -> list[str]:
    chain = table.chain(name)
    assert chain is not None
    return [print_rule(rule) for rule in chain.rules]


def classes(table: Table) -> list[str]:
    return [chain.name for chain in table.chains if chain.name.startswith("class-")]


def is_for_logs(name: str) -> bool:
    return "-log-" in name


def bridge(*lines: str, entry: str = "") -> str:
    """Return a bridge table of two guests; a line with $p is there for both."""
    text: list[str] = []
    for line in lines:
        guests = (101, 102) if "$" in line else (101,)
        text.extend(line.replace("$p", f"tap{guest}i0").replace("$n", str(guest)) for guest in guests)
    entry = entry or 'iifname vmap { "tap101i0" : goto tap101i0-OUT, "tap102i0" : goto tap102i0-OUT }'
    base = f"chain prerouting {{ type filter hook prerouting priority -150; policy accept; {entry}; }}"
    return "table bridge fw {\n" + "\n".join([*text, base]) + "\n}\n"


def of_lists(ports: int, lists: int, start: int = 101, verdict: str = "drop") -> str:
    """Return a bridge table of ports that have these lists of ranges in turn."""
    names = [f"tap{number}i0" for number in range(start, start + ports)]
    entry = ", ".join(f'"{name}" : goto {name}-OUT' for name in names)
    rules = [
        f"ip daddr 10.{at % lists}.0.0-10.{at % lists}.200.7 {verdict}; tcp dport 1 accept; drop" for at in range(ports)
    ]
    chains = (f"chain {name}-OUT {{ {rule}; }}" for name, rule in zip(names, rules, strict=True))
    return bridge(*chains, entry=f"iifname vmap {{ {entry} }}")


def either_of_two(chain: Chain) -> Chain:
    """Return a guest's chain with its first two rules as one."""
    if not chain.name.endswith("-OUT"):
        return chain
    first, second, last = chain.rules
    either = AnyOf((first.steps, second.steps))  # type: ignore[arg-type] # tests
    return replace(chain, rules=(Rule((either,), first.verdict, first.origins), last))


class TestConstants:
    def test_mark_and_address_come_from_maps_keyed_by_the_port(self) -> None:
        table = shared(
            bridge(
                "chain $p-OUT { ct mark set $n; ether saddr != 00:00:00:00:01:02 drop; tcp dport 443 accept; drop; }"
            )
        )
        (name,) = classes(table)
        assert name.startswith("class-OUT-")
        assert chain_lines(table, name)[:2] == [
            "AssignFromMap(field=ct.mark, key=[iifname], map_name='ct-mark')",
            "iifname . ether.saddr not in @iif-mac; => Drop()",
        ]

    def test_a_set_of_one_guest_becomes_part_of_the_set_of_all(self) -> None:
        table = shared(
            bridge(
                "set filter-$n { type ipv4_addr; elements = { 10.0.0.$n, 10.0.1.$n }; }",
                "chain $p-OUT { ip saddr != @filter-$n drop; accept; }",
            )
        )
        (own,) = table.sets
        assert own.name == "iif-ipv4"
        assert len(own.elements) == 4

    def test_networks_of_one_length_are_asked_by_the_network(self) -> None:
        table = shared(bridge("chain $p-OUT { ip daddr 10.$n.0.0/16 accept; drop; }"))
        assert (
            chain_lines(table, classes(table)[0])[0] == "iifname . ip.daddr & 0xffff0000 in @iif-ipv4-16; => Accept()"
        )

    def test_a_few_lengths_are_a_few_hashes(self) -> None:
        table = shared(
            bridge("chain $p-OUT { ip daddr { 10.$n.0.0/16, 10.7.$n.0/24, 10.8.0.$n } tcp dport 1 accept; drop; }")
        )
        assert sorted(item.name for item in table.sets) == ["iif-ipv4", "iif-ipv4-16", "iif-ipv4-24"]

    def test_a_negated_network_is_a_conjunction_of_hashes(self) -> None:
        table = shared(bridge("chain $p-OUT { ip saddr != { 10.$n.0.0/16, 10.7.$n.0/24 } drop; accept; }"))
        assert chain_lines(table, classes(table)[0])[0].count("not in @iif-ipv4") == 2

    def test_small_ranges_are_written_out(self) -> None:
        table = shared(
            bridge("chain $p-OUT { ip saddr 192.0.2.10-192.0.2.24 ip daddr 10.0.0.$n-10.0.0.120 drop; accept; }")
        )
        (item,) = table.sets
        assert item.name == "iif-ipv4"
        assert len(item.elements) == 20 + 19

    def test_ports_that_have_the_same_wild_ranges_have_a_chain(self) -> None:
        """Counted are lists, and not the ports that have them: a set of ranges under ports grows with these."""
        for ports in (2 * MOST_LISTS, 3 * MOST_LISTS):
            table = shared(of_lists(ports, MOST_LISTS))
            assert table.sets == ()
            asked = {print_rule(chain.rules[0]) for chain in table.chains if chain.base is None}
            assert asked == {
                f"ip.daddr in {{10.{number}.0.0-10.{number}.200.7}}; => Drop()" for number in range(MOST_LISTS)
            }

    def test_many_wild_ranges_stay_intervals_address_first(self) -> None:
        """To take an element out, the kernel looks at all that are before it, at each byte of their first field."""
        table = shared(of_lists(MOST_LISTS + 1, MOST_LISTS + 1))
        (item,) = table.sets
        assert item.name == "iif-ipv4-ranges"
        assert [field.name for field in item.fields] == ["ip.saddr", "iifname"]
        assert len(item.elements) == MOST_LISTS + 1
        (name,) = classes(table)
        assert chain_lines(table, name)[0] == "ip.daddr . iifname in @iif-ipv4-ranges; => Drop()"

    def test_each_class_has_its_own_set_of_intervals(self) -> None:
        number = MOST_LISTS + 1
        first, second = (
            of_lists(number, number, start=start, verdict=verdict)
            for start, verdict in ((101, "drop"), (201, "accept"))
        )
        table = shared(first.replace("table bridge fw {", second.rpartition("}")[0].replace("prerouting {", "other {")))
        assert {item.name: len(item.elements) for item in table.sets} == {
            "iif-ipv4-ranges": number,
            "iif-ipv4-ranges-2": number,
        }

    def test_networks_that_all_have_are_a_test_beside_the_few_that_are_a_guests_own(self) -> None:
        rule = "ip daddr { 10.20.0.0-10.20.6.255, 10.20.8.0/21, 192.0.2.$n, 192.0.2.8-192.0.2.10 }"
        table = shared(bridge(f"chain $p-OUT {{ {rule} tcp dport 1 accept; drop; }}"))
        (item,) = table.sets
        asked = chain_lines(table, classes(table)[0])[0]
        assert asked.startswith(
            "any(ip.daddr in {10.20.0.0-10.20.6.255, 10.20.8.0/21} | iifname . ip.daddr in @iif-ipv4);"
        )
        # addresses that all have by chance stay in the set: another guest need not have them
        assert sum(1 for element in item.elements if element.key[1] == (0xC000020A, 0xC000020A)) == 2

    def test_networks_that_all_exclude_are_excluded_beside_the_few_that_are_a_guests_own(self) -> None:
        rule = "ip daddr != { 10.20.0.0-10.20.6.255, 10.20.8.0/21, 192.0.2.$n }"
        table = shared(bridge(f"chain $p-OUT {{ {rule} drop; accept; }}"))
        asked = chain_lines(table, classes(table)[0])[0]
        assert asked.count("iifname . ip.daddr not in @iif-ipv4") == 1
        assert "any" not in asked

    def test_a_limit_of_each_guest_stays_the_guests_own(self) -> None:
        table = shared(bridge("chain $p-OUT { tcp flags syn limit rate over 5/second drop; accept; }"))
        assert [item.value for item in table.maps if item.name == "iif-limit"] == ["limit"]
        buckets = {element.value for item in table.maps if item.name == "iif-limit" for element in item.elements}
        assert len(buckets) == 2

    def test_a_limit_that_guests_share_stays_one(self) -> None:
        table = shared(
            bridge(
                "limit common { rate 5/second; }", "chain $p-OUT { ct mark set $n; limit name common accept; drop; }"
            )
        )
        assert [item.name for item in table.maps if item.name.startswith("iif")] == []
        assert len(classes(table)) == 1

    def test_the_same_constant_twice_is_one_set(self) -> None:
        table = shared(
            bridge(
                "chain $p-OUT { ip daddr 10.0.0.$n tcp dport 1 accept; ip daddr 10.0.0.$n udp dport 2 accept; drop; }"
            )
        )
        assert [item.name for item in table.sets] == ["iif-ipv4"]

    def test_two_constants_are_two_sets(self) -> None:
        table = shared(bridge("chain $p-OUT { ip daddr 10.0.0.$n accept; ip saddr 10.9.0.$n accept; drop; }"))
        assert [item.name for item in table.sets] == ["iif-ipv4", "iif-ipv4-2"]

    def test_constants_inside_alternatives(self) -> None:
        table = only_table(bridge("chain $p-OUT { ip daddr 10.0.0.$n accept; tcp dport 5 accept; drop; }"))
        table = replace(table, chains=tuple(either_of_two(chain) for chain in table.chains))
        after = share_policies(table)
        assert len(classes(after)) == 1
        assert compare(Ruleset((table,)), Ruleset((after,))).equal


class TestDeclining:
    def test_other_ports_are_other_classes(self) -> None:
        text = bridge("chain $p-OUT { ct mark set $n; tcp dport $n accept; drop; }")
        assert len(classes(shared(text))) == 2

    def test_sets_that_rules_change_are_left_alone(self) -> None:
        table = shared(
            bridge(
                "set seen-$n { type ipv4_addr; flags dynamic, timeout; timeout 1m; size 100; }",
                "chain $p-OUT { ip saddr @seen-$n drop; accept; }",
            )
        )
        assert classes(table) == []

    def test_a_chain_that_others_use_as_well_is_left_alone(self) -> None:
        text = bridge(
            "chain $p-OUT { ether saddr != 00:00:00:00:01:02 drop; accept; }",
            entry='iifname vmap { "tap101i0" : goto tap101i0-OUT, "tap102i0" : goto tap101i0-OUT }',
        )
        assert classes(shared(text)) == []

    def test_many_differences_of_two_guests_are_not_worth_it(self) -> None:
        rules = "; ".join(f"ip daddr 10.{number}.0.$n tcp dport {number} accept" for number in range(1, 6))
        assert classes(shared(bridge(f"chain $p-OUT {{ {rules}; drop; }}"))) == []

    def test_a_single_guest_keeps_what_is_not_its_own_by_nature(self) -> None:
        text = bridge(
            "chain tap101i0-OUT { ct mark set 101; ip saddr 10.0.0.0/8 accept; drop; }",
            entry='iifname "tap101i0" jump tap101i0-OUT',
        )
        table = shared(text)
        assert chain_lines(table, classes(table)[0])[1] == "ip.saddr in {10.0.0.0/8}; => Accept()"


class TestLogs:
    def test_a_log_goes_to_a_chain_of_the_port_with_the_verdict_behind_it(self) -> None:
        table = shared(
            bridge(
                'chain $p-OUT { ct mark set $n; tcp dport 25 limit rate 1/second log prefix ":$n: " group 0; tcp dport 25 drop; accept; }'
            )
        )
        lines = chain_lines(table, classes(table)[0])
        assert lines[1] == "l4proto in {6}; th.dport in {25}; => Goto(chain='OUT-log-drop')"
        assert lines[2:] == ["=> Accept()"]
        both = ["=> Dispatch(key=[iifname], map_name='OUT-log')", "=> Drop()"]
        assert chain_lines(table, "OUT-log-drop") == both
        (log,) = chain_lines(table, "tap101i0-OUT-log")
        assert "=>" not in log

    def test_a_log_alone_comes_back(self) -> None:
        table = shared(bridge('chain $p-OUT { tcp dport 25 log prefix ":$n: "; udp dport 9 drop; accept; }'))
        (logs,) = (item for item in table.maps if item.name == "OUT-log")
        assert {type(element.value).__name__ for element in logs.elements} == {"Jump"}

    def test_a_call_behind_a_log_comes_back_to_the_next_rule(self) -> None:
        table = shared(
            bridge(
                "chain reject { tcp dport 1-100 reject with tcp reset; }",
                'chain $p-OUT { tcp dport 5-500 log prefix ":$n: "; tcp dport 5-500 jump reject; udp dport 5 accept; drop; }',
            )
        )
        (tail,) = (chain.name for chain in table.chains if chain.name.startswith("OUT-log-"))
        assert chain_lines(table, tail)[-1] == "=> Goto(chain='reject')"
        assert len(chain_lines(table, classes(table)[0])) == 3

    def test_a_guest_alone_logs_from_a_map_if_the_prefix_names_it(self) -> None:
        text = bridge(
            'chain tap101i0-IN { tcp dport 25 log prefix ":101:6:tap101i0-IN: DROP: " drop; accept; }',
            entry='iifname "tap101i0" jump tap101i0-IN',
        )
        table = shared(text)
        assert [item.name for item in table.maps] == ["IN-log-DROP"]
        assert len(chain_lines(table, "tap101i0-IN-log-DROP")) == 1

    def test_names_of_logs_come_from_what_they_say(self) -> None:
        first = "log prefix ':$n:4:$p-IN: DROP: '".replace("'", '"')
        last = first.replace("DROP", "policy DROP")
        table = shared(bridge(f"chain $p-OUT {{ tcp dport 25 {first} drop; ct mark set $n; {last} drop; }}"))
        assert {item.name for item in table.maps} == {"OUT-log-DROP", "OUT-log-policy-DROP", "ct-mark", "__map0"}

    def test_a_return_behind_a_log(self) -> None:
        shared(
            bridge(
                'chain $p-OUT { tcp dport 25 log prefix ":$n: "; tcp dport 25 return; tcp dport 26 log prefix "$n" accept; drop; }',
                entry='iifname "tap101i0" jump tap101i0-OUT; iifname "tap102i0" jump tap102i0-OUT; log prefix "back"; drop',
            )
        )

    def test_a_log_that_returns_itself_stays_where_it_is(self) -> None:
        text = bridge('chain $p-OUT { ct mark set $n; tcp dport 25 log prefix ":$n: " return; drop; }')
        table = shared(text)
        assert not any(is_for_logs(chain.name) for chain in table.chains)

    def test_the_same_prefix_needs_no_chain(self) -> None:
        table = shared(bridge('chain $p-OUT { ct mark set $n; tcp dport 25 log prefix "common: " drop; accept; }'))
        assert len(classes(table)) == 1
        assert not any(is_for_logs(chain.name) for chain in table.chains)

    def test_chains_of_logs_only_are_no_class(self) -> None:
        text = bridge('chain $p-OUT { limit rate 1/second log prefix ":$n: " group 0; drop; }')
        assert shared(text) == only_table(text)


class TestSubChains:
    def test_chains_that_a_guests_chain_calls_are_shared_too(self) -> None:
        table = shared(
            bridge(
                "chain $p-ARP { arp saddr ip 10.0.0.$n return; drop; }",
                "chain $p-OUT { ether saddr != 00:00:00:00:01:02 drop; ether type arp jump $p-ARP; accept; }",
            )
        )
        assert len(table.chains) == 3
        assert {name.rpartition("-")[0] for name in classes(table)} == {"class-ARP", "class-OUT"}

    def test_what_a_map_leads_to_is_shared_too(self) -> None:
        table = shared(
            bridge(
                "chain $p-web { ip daddr 10.0.0.$n accept; }",
                "chain $p-OUT { tcp dport vmap { 80 : goto $p-web, 443 : jump $p-web, 22 : drop }; ct mark set $n; accept; }",
            )
        )
        assert len(table.chains) == 3
        assert sum(item.fields[0].name == "th.dport" for item in table.maps) == 1

    def test_the_last_guest_need_not_ask(self) -> None:
        text = bridge(
            "chain $p-OUT { ct mark set $n; tcp dport 1 accept; drop; }",
            entry='iifname { "tap101i0", "tap102i0" } jump guests',
        ).replace(
            "chain prerouting",
            'chain guests { iifname "tap101i0" jump tap101i0-OUT; jump tap102i0-OUT; }\nchain prerouting',
        )
        table = shared(text)
        assert len(classes(table)) == 1
        assert [line.count("Jump") for line in chain_lines(table, "guests")] == [1, 1]
        assert chain_lines(table, "guests")[1].startswith("iifname in")

    def test_a_guests_own_test_of_its_port_goes(self) -> None:
        table = shared(bridge('chain $p-OUT { iifname "$p" ct mark set $n; iifname "other" drop; accept; }'))
        assert chain_lines(table, classes(table)[0]) == [
            "AssignFromMap(field=ct.mark, key=[iifname], map_name='ct-mark')",
            "=> Accept()",
        ]

    def test_guests_known_by_the_address_that_a_frame_goes_to(self) -> None:
        text = bridge(
            "chain reject-$p { ip saddr 10.0.0.$n return; tcp dport 113 reject with tcp reset; }",
            entry="ether daddr vmap { 00:00:00:00:00:01 : jump reject-tap101i0, 00:00:00:00:00:02 : jump reject-tap102i0 }",
        )
        table = shared(text)
        assert len(classes(table)) == 1
        assert [item.name for item in table.sets] == ["daddr-ipv4"]


def counts(guests: int, *, logs: bool = True, by_map: bool = True) -> tuple[int, int]:
    """Return the numbers of chains and rules, those for logs aside."""
    table = share_policies(only_table(ruleset_text(dealt(guests), logs=logs, by_map=by_map)))
    own = [chain for chain in table.chains if not is_for_logs(chain.name)]
    return len(own), sum(len(chain.rules) for chain in own)


class TestManyGuests:
    @pytest.mark.parametrize("by_map", [True, False])
    def test_the_meaning_stays(self, by_map: bool) -> None:
        shared(ruleset_text(dealt(30), by_map=by_map))

    def test_a_thousand_guests_make_no_more_chains_and_rules_than_two_of_each_kind(self) -> None:
        few, many = counts(2 * KINDS), counts(1000)
        assert many == few
        assert few[0] == 2 * KINDS + 3

    def test_one_more_guest_changes_elements_only(self) -> None:
        guests = dealt(2 * KINDS)
        before = share_policies(only_table(ruleset_text(guests, logs=False)))
        after = share_policies(only_table(ruleset_text([(99, 5), *guests], logs=False)))
        assert [chain.name for chain in before.chains] == [chain.name for chain in after.chains]
        assert before.chains == after.chains
        assert [item.name for item in before.sets] == [item.name for item in after.sets]
        changed = [item.name for item, other in zip(before.maps, after.maps, strict=True) if item != other]
        assert changed

    def test_one_more_guest_behind_all_others(self) -> None:
        guests = dealt(2 * KINDS)
        before = share_policies(only_table(ruleset_text(guests, logs=False)))
        after = share_policies(only_table(ruleset_text([*guests, (4000, 1)], logs=False)))
        assert before.chains == after.chains

    def test_names_do_not_depend_on_the_order_of_guests(self) -> None:
        guests = dealt(2 * KINDS)
        names = {
            frozenset(classes(share_policies(only_table(ruleset_text(order))))) for order in (guests, guests[::-1])
        }
        assert len(names) == 1

    def test_few_big_sets_instead_of_many_small_ones(self) -> None:
        table = share_policies(only_table(ruleset_text(dealt(500))))
        assert len(table.sets) + len(table.maps) <= 12

    def test_a_wrong_element_is_found_by_the_proof(self) -> None:
        """The proof of these tests is one that can fail."""
        before = only_table(ruleset_text(dealt(6, 3)))
        after = share_policies(before)
        own = next(item for item in after.sets if item.name == "iif-mac")
        wrong = replace(
            own, elements=(own.elements[0]._replace(key=(own.elements[0].key[0], (1, 1))), *own.elements[1:])
        )
        changed = replace(after, sets=tuple(wrong if item is own else item for item in after.sets))
        assert not compare(Ruleset((before,)), Ruleset((changed,))).equal

    def test_as_a_pass(self) -> None:
        ruleset = read(ruleset_text(dealt(4, 2)))
        found = policy_classes.PASS.run(ruleset)
        assert found.ruleset.tables == (share_policies(ruleset.tables[0]),)
        assert policy_classes.PASS.run(found.ruleset).ruleset is found.ruleset

    def test_of_one_port_the_pass_takes_nothing_out(self) -> None:
        one, two = (read(ruleset_text(dealt(guests))) for guests in (1, 2))
        assert policy_classes.PASS.run(one).ruleset is one
        assert policy_classes.PASS.run(two).ruleset != two


RULES = (
    "ct mark set $n", "meta mark set $n", "ether saddr != 00:00:00:00:01:$x drop", "ip saddr != 10.0.0.$n drop",
    "ip daddr 10.0.$d.0/24 tcp dport 80 accept", "ip daddr { 10.0.0.$n, 10.1.$d.0/24 } udp dport 53 accept",
    "ip saddr @own-$n tcp dport 22 accept", "ip saddr @all drop", "tcp dport 443 accept", "jump group", "udp dport 67-68 return",
    'tcp dport 25 limit rate 1/second log prefix "$n: " group 0', "tcp dport 25 drop", 'log prefix "all $n"', "drop", "accept",
    "tcp dport 23 limit rate 5/second accept", "iifname $p tcp dport 9 drop", 'tcp dport 24 log prefix "$n" jump group',
    'tcp dport 26 log prefix "$n" drop', "tcp dport vmap { 7 : drop, 8 : jump group, 9 : jump sub-$n }", "ip6 saddr fd00::$n accept",
)  # fmt: skip


@st.composite
def rulesets(draw: st.DrawFn) -> str:
    """Return bridge tables whose guests' chains are alike, but for their constants and a few changes."""
    kinds = draw(st.lists(st.lists(st.sampled_from(RULES), min_size=1, max_size=7), min_size=1, max_size=3))
    guests = draw(st.lists(st.sampled_from(range(len(kinds))), min_size=2, max_size=5))
    jumps = draw(st.booleans())
    lines = ["table bridge fw {", "set all { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 }; }"]
    lines += ["chain group { udp dport 5000 accept; ct state new tcp dport 6000 drop; }"]
    chains = []
    for place, kind in enumerate(guests):
        number = place + 11
        port = f"tap{number}i0"
        own = draw(st.sampled_from(("10.5.0.1", "10.6.0.0/16", "10.5.0.1, 10.5.1.0/24", "10.5.0.9-10.5.3.3")))
        lines += [f"set own-{number} {{ type ipv4_addr; flags interval; elements = {{ {own} }}; }}"]
        lines += [f"chain sub-{number} {{ ip daddr 10.3.0.{number} accept; tcp dport 9 drop; }}"]
        constant = draw(st.sampled_from((number, 7)))
        rules = [
            rule.replace("$n", str(number))
            .replace("$x", f"{number:02d}")
            .replace("$d", str(constant))
            .replace("$p", port)
            for rule in kinds[kind]
        ]
        chains += [f"chain {port}-OUT {{", *rules, "}"]
    lines += chains
    lines += ["chain prerouting { type filter hook prerouting priority -150; policy accept;"]
    word = "jump" if jumps else "goto"
    ports = [f"tap{place + 11}i0" for place in range(len(guests))]
    if draw(st.booleans()):
        lines += [f"iifname {port} {word} {port}-OUT" for port in ports]
    else:
        lines += ["iifname vmap { " + ", ".join(f"{port} : {word} {port}-OUT" for port in ports) + " }"]
    return "\n".join([*lines, 'log prefix "behind"', "}", "}", ""])


@settings(max_examples=60, deadline=None)
@given(rulesets())
def test_random_guests_are_judged_as_before(text: str) -> None:
    shared(text)
