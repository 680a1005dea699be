"""A base chain of few rules is asked where the one in front of it is left; ports that several rules ask are asked once."""

from __future__ import annotations

import pytest

from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verdict import Accept, Dispatch, Goto, Jump, Return
from fwtrans.optimizer import common_ports, one_base
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table

TWO = """
table bridge fw {
    map entry { type ct_state . ether_type . ifname : verdict; elements = {
        new . ip . "tap1" : goto v4, new . ip6 . "tap1" : goto v6, new . ip6 . "tap2" : goto v6, new . ip . "tap2" : drop } }
    map ports { type inet_service : verdict; elements = { 22 : return, 23 : accept, 24 : drop } }
    chain v4 { tcp dport vmap @ports; drop; }
    chain v6 { tcp dport vmap @ports; jump shared; udp dport 53 return; }
    chain shared { tcp dport 80 accept; icmpv6 type 133 return; udp dport 9 drop; }
    chain out { type filter hook prerouting priority -190; policy accept;
        ct state established accept
        ct state . ether type . iifname vmap @entry
        ether type arp accept
    }
    chain answers { type filter hook prerouting priority -100; policy accept;
        ether type ip6 ct state new ether daddr 02:00:00:00:00:01 tcp dport 43 reject with tcp reset
    }
    chain in { type filter hook postrouting priority 0; policy accept; jump shared; }
}
"""


def test_rules_of_a_second_base_chain_stand_where_the_first_is_left() -> None:
    before = only_table(TWO)
    after = one_base.joined(before)
    chains = {chain.name: chain for chain in after.chains}
    assert "answers" not in chains
    assert len(chains["out"].rules) == 4
    # of what goes nowhere near the second chain's rules nothing changes
    assert chains["v4"] == next(chain for chain in before.chains if chain.name == "v4")
    assert chains["shared"] == next(chain for chain in before.chains if chain.name == "shared")
    own = Goto("answers-rules")
    assert [rule.verdict for rule in chains["v6"].rules[1:]] == [Jump("shared-first"), own, own]
    assert [rule.verdict for rule in chains["shared-first"].rules[:2]] == [own, Return()]
    look_up = chains["v6"].rules[0].verdict
    assert isinstance(look_up, Dispatch)
    item = next(item for item in after.maps if item.name == look_up.map_name)
    assert [element.value for element in item.elements][:2] == [own, own]
    assert isinstance(chains["answers-rules"].rules[-1].verdict, Accept)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert one_base.joined(after) == after


UNDER_A_JUMP = """
table bridge fw {
    chain own { tcp dport 22 accept; tcp dport 23 drop; }
    chain class { log prefix "once"; tcp dport 80 accept; }
    chain middle { type filter hook forward priority -190; policy accept;
        ether type ip jump own
        udp dport 53 drop
    }
    chain in { type filter hook forward priority -180; policy accept;
        oifname "tap1" goto class
        oifname "tap2" tcp dport 81 drop
    }
}
"""


def test_what_rules_of_the_second_go_to_gives_nothing_back_to_the_first() -> None:
    """The end of `class` was the end of the base chain: from under a jump its packets came to the same rules once more."""
    before = only_table(UNDER_A_JUMP)
    after = one_base.joined(before)
    assert "in" not in {chain.name for chain in after.chains}
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    ends = UNDER_A_JUMP.replace("tcp dport 80 accept; }", "tcp dport 80 accept; drop; }")
    assert len(one_base.joined(only_table(ends)).chains) == len(after.chains) - 1, (
        "where nothing comes back no jump is needed"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tcp dport 80 accept; icmp", "tcp dport 80 queue; icmp"),
        ("priority -100", "priority 100"),
        ("policy accept;\n        ct state established", "policy drop;\n        ct state established"),
        ("ether type arp accept", "ether type ip6 jump v6"),
    ],
)
def test_a_second_base_chain_stays_where_it_cannot_be_told_what_leads_to_it(old: str, new: str) -> None:
    assert old in TWO
    before = only_table(TWO.replace(old, new))
    assert one_base.joined(before) == before


def test_it_stays_where_guests_with_twins_would_be_followed_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not how many there are decides, but whether there are two of a kind: then there may be any number."""
    monkeypatch.setattr(one_base, "MOST_FOLLOWED", 5)
    alone, twins = only_table(TWO), only_table(TWO.replace('"tap2" : drop', '"tap2" : goto v4'))
    assert twins != alone
    assert one_base.joined(alone) != alone
    assert one_base.joined(twins) == twins


def test_only_packets_go_on_to_which_the_second_base_chain_does_something_in_the_end() -> None:
    asked = "ether type ip6 ct state new ether daddr 02:00:00:00:00:01 tcp dport 43 reject with tcp reset"
    assert asked in TWO
    led = """tcp dport vmap { 43 : jump answer, 44 : accept, 45 : goto answer }
        udp dport 7 jump answer; jump idle; tcp dport 9 accept"""
    answers = """chain answer { ether type ip6 ct state new tcp flags syn reject with tcp reset; accept; }
    chain idle { tcp dport 8 return; jump idler; } chain idler { udp dport 9 accept; }
    chain in {"""
    before = only_table(TWO.replace(asked, led).replace("chain in {", answers))
    after = one_base.joined(before)
    chains = {chain.name: chain for chain in after.chains}
    assert chains["out"].rules[0].verdict == Accept()
    assert chains["v4"] == next(chain for chain in before.chains if chain.name == "v4")
    assert chains["v6"].rules[-1].verdict == Goto("answers-rules")
    assert compare(Ruleset((before,)), Ruleset((after,))).equal


PORTS = """
table bridge fw {
    set ports { type ifname; elements = { "tap1", "tap2" } }
    chain v4 { udp dport 53 drop; }
    chain v6 { udp dport 54 drop; }
    chain out { type filter hook prerouting priority -190; policy accept;
        ct state established accept
        ether type ip iifname @ports jump v4
        ether type ip6 iifname @ports jump v6
        ether type arp accept
        iifname @ports udp dport 7 goto v4
        udp dport 8 iifname @ports drop
    }
    chain kept { type filter hook forward priority -190; policy accept;
        iifname @ports udp dport 7 goto v4
        iifname @ports udp dport 8 drop
        udp dport 9 drop
        iifname @ports udp dport 10 accept
        udp dport 11 iifname != @ports drop
    }
}
"""


def test_ports_that_rules_ask_one_behind_the_other_are_asked_once() -> None:
    before = only_table(PORTS)
    after = common_ports.with_common_ports(before)
    chains = {chain.name: chain for chain in after.chains}
    assert [len(chains[name].rules) for name in ("out", "out-ports", "out-ports-2")] == [4, 2, 2]
    assert chains["kept"] == next(chain for chain in before.chains if chain.name == "kept")
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert common_ports.with_common_ports(after) == after


def test_a_rule_whose_map_may_hold_nothing_lets_packets_go_on() -> None:
    before = only_table("""
table bridge fw {
    map marks { type ifname : mark; elements = { "tap1" : 1 } }
    chain out { type filter hook prerouting priority -190; policy accept;
        mark set iifname map @marks accept
    }
    chain answers { type filter hook prerouting priority -100; policy accept;
        ether type ip6 drop
    }
}
""")
    after = one_base.joined(before)
    assert "answers" not in {chain.name for chain in after.chains}
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
