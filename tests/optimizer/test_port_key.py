"""State, type, port and address in one key: what the elements say, and that the meaning stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verify import verify
from fwtrans.optimizer import port_key
from fwtrans.optimizer.policy_classes import share_policies
from fwtrans.optimizer.port_key import port_keys
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import KINDS, dealt, only_table, read, ruleset_text
from tests.optimizer.test_policy_classes import rulesets

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedMap


def keyed(before: Table) -> Table:
    """Return the table with its keys: proved equal, well-formed, and nothing left to do."""
    after = port_keys(before)
    assert verify(Ruleset((after,))) == ()
    proof = compare(Ruleset((before,)), Ruleset((after,)))
    assert proof.equal, (proof.differences[:1], proof.undecided)
    assert port_keys(after) == after
    return after


def entry(table: Table, side: str = "iif") -> NamedMap:
    return next(item for item in table.maps if item.name == f"{side}-entry")


def lines(table: Table, name: str) -> list[str]:
    chain = table.chain(name)
    assert chain is not None
    return [print_rule(rule) for rule in chain.rules]


GUESTS = """
table bridge fw {
    set macs { type ifname . ether_addr; elements = { "tap1" . 00:00:00:00:00:01, "tap2" . 00:00:00:00:00:02 }; }
    map marks { type ifname : mark; elements = { "tap1" : 1, "tap2" : 2 }; }
    chain class {
        ct mark set iifname map @marks
        udp sport 68 udp dport 67 accept
        iifname . ether saddr != @macs drop
        ip saddr 10.0.0.1 tcp dport 443 accept
        ip6 saddr fd00::1 tcp dport 443 accept
        ct state new tcp dport 80 accept
        drop
    }
    map ports { type ifname : verdict; elements = { "tap1" : goto class, "tap2" : goto class }; }
    chain prerouting {
        type filter hook prerouting priority -150; policy accept;
        ct state established,related accept
        ct state invalid ether type { ip, ip6 } drop
        ether type { ip, ip6 } iifname vmap @ports
        BEHIND
    }
}
"""


def guests(behind: str = "", **changes: str) -> Table:
    text = GUESTS.replace("BEHIND", behind)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return only_table(text)


class TestElements:
    def test_each_port_with_its_address_leads_to_what_is_left(self) -> None:
        table = keyed(guests())
        found = entry(table)
        assert [field.name for field in found.fields] == ["ct.state", "ether.type", "iifname", "ether.saddr"]
        assert len(found.elements) == 2 * 4
        assert lines(table, "class-ip") == [
            "AssignFromMap(field=ct.mark, key=[iifname], map_name='marks')",
            "l4proto in {17}; th.sport in {68}; th.dport in {67}; => Accept()",
            "ip.saddr in {10.0.0.1}; l4proto in {6}; th.dport in {443}; => Accept()",
            "ct.state in {new}; l4proto in {6}; th.dport in {80}; => Accept()",
            "=> Drop()",
        ]

    def test_the_look_up_stands_behind_established_connections(self) -> None:
        assert "iif-entry" in lines(keyed(guests()), "prerouting")[1]

    def test_what_is_for_wrong_addresses_is_a_chain_for_all(self) -> None:
        table = keyed(guests())
        assert table.chain("class") is None
        (name,) = (chain.name for chain in table.chains if chain.name.startswith("wrong-address-"))
        assert lines(table, name)[2:] == ["=> Drop()"]
        assert all(item.name != "macs" for item in table.sets)

    def test_the_old_chain_stays_whole_where_right_addresses_still_come(self) -> None:
        text = GUESTS.replace("BEHIND", "").replace("ether type { ip, ip6 } iifname vmap @ports", "iifname vmap @ports")
        assert len(lines(keyed(only_table(text)), "class")) == 7

    def test_a_chain_that_another_hook_uses_stays_whole(self) -> None:
        hook = "chain forward { type filter hook forward priority 5; policy accept; iifname vmap @ports; }\n    chain prerouting"
        table = keyed(only_table(GUESTS.replace("BEHIND", "").replace("chain prerouting", hook)))
        assert len(lines(table, "class")) == 7

    def test_without_addresses_the_key_has_none(self) -> None:
        table = keyed(only_table(GUESTS.replace("BEHIND", "").replace("iifname . ether saddr != @macs drop", "")))
        assert [field.name for field in entry(table).fields] == ["ct.state", "ether.type", "iifname"]

    def test_sets_that_the_map_has_become_are_left(self) -> None:
        """Where a kernel would follow the map for too long it becomes sets, each with a goto."""
        sets = """set ways { type ether_type . ifname; elements = { ip . "tap1", ip . "tap2" }; }
            chain prerouting"""
        text = GUESTS.replace("BEHIND", "").replace("chain prerouting", sets)
        text = text.replace(
            "ct state invalid", "ct state new ether type . iifname @ways goto class\n        ct state invalid"
        )
        before = only_table(text)
        assert port_keys(before) is before

    def test_behind_the_chain_of_a_family(self) -> None:
        text = (
            GUESTS.replace("BEHIND", "")
            .replace(
                "ct state invalid ether type { ip, ip6 } drop\n        ether type { ip, ip6 } iifname vmap @ports",
                'ether type ip iifname { "tap1", "tap2" } jump forward',
            )
            .replace(
                "chain prerouting",
                "chain forward { ct state invalid drop; ct state established accept; iifname vmap @ports; }\nchain prerouting",
            )
        )
        table = keyed(only_table(text))
        assert {element.key[1] for element in entry(table).elements} == {(0x800, 0x800)}
        assert table.chain("class") is None


class TestDeclining:
    def test_something_behind_the_call_is_not_lost(self) -> None:
        before = guests("tcp dport 9 drop", **{"goto class": "jump class"})
        assert keyed(before) == before

    def test_what_does_not_match_behind_the_call_does_not_matter(self) -> None:
        after = keyed(guests("ct state invalid drop; ether type arp drop", **{"goto class": "jump class"}))
        assert entry(after).elements

    def test_untracking_changes_what_a_key_says(self) -> None:
        before = guests(**{"udp sport 68 udp dport 67 accept": "udp dport 53 notrack"})
        assert port_keys(before) == before

    def test_other_families_are_left_alone(self) -> None:
        before = only_table(
            GUESTS.replace("BEHIND", "").replace("table bridge", "table inet").replace("ether type", "meta protocol")
        )
        assert port_keys(before) == before

    def test_sets_that_change_decide_nothing(self) -> None:
        before = guests(
            **{
                "set macs { type ifname . ether_addr;": "set macs { type ifname . ether_addr; flags timeout; timeout 1h;"
            }
        )
        assert not any("ether.saddr" in [field.name for field in item.fields] for item in keyed(before).maps)

    def test_a_base_chain_that_drops_is_left_alone(self) -> None:
        before = guests(**{"policy accept": "policy drop"})
        assert port_keys(before) == before


class TestManyGuests:
    def test_the_meaning_stays(self) -> None:
        keyed(share_policies(only_table(ruleset_text(dealt(30)))))

    def test_a_thousand_guests_make_no_more_chains_and_rules(self) -> None:
        def counts(guests: int) -> tuple[int, int]:
            table = port_keys(share_policies(only_table(ruleset_text(dealt(guests), logs=False))))
            return len(table.chains), sum(len(chain.rules) for chain in table.chains)

        assert counts(2 * KINDS) == counts(1000)

    def test_one_more_guest_changes_elements_only(self) -> None:
        numbers = dealt(2 * KINDS)
        before, after = (
            port_keys(share_policies(only_table(ruleset_text(them, logs=False))))
            for them in (numbers, [(99, 4), *numbers])
        )
        assert before.chains == after.chains

    def test_as_a_pass(self) -> None:
        ruleset = read(ruleset_text(dealt(4, 2)))
        found = port_key.PASS.run(ruleset)
        assert port_key.PASS.run(found.ruleset).ruleset is found.ruleset


FIRST = (
    "ct state established,related accept", "ct state invalid drop", "ct state invalid ether type { ip, ip6 } drop",
    "ether type arp accept", "ether type ip jump family", "ether type != { ip, ip6 } accept", 'iifname "eth*" accept',
    "ip saddr 10.9.9.9 drop", "ct state untracked accept",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rulesets(), st.lists(st.sampled_from(FIRST), max_size=4), st.booleans())
def test_random_guests_are_judged_as_before(text: str, first: list[str], with_types: bool) -> None:
    family = "chain family { ct state invalid drop; udp dport 99 drop; ct state established return; }\nchain prerouting"
    text = text.replace("chain prerouting", family).replace("policy accept;", "policy accept; " + "; ".join(first))
    if with_types:
        text = text.replace("iifname vmap", "ether type { ip, ip6 } iifname vmap")
    keyed(
        share_policies(only_table(text.replace('log prefix "behind"\n', "" if with_types else 'log prefix "behind"\n')))
    )
