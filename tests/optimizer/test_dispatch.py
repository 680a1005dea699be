"""Verdict maps: what becomes one, what moves and what must not, and when rules are cheaper."""

from __future__ import annotations

import pytest

from fwtrans.optimizer import dispatch
from tests.optimizer.texts import after, assert_loads, elements_of, in_forward, read_nft, rules_of

GUESTS = "\n".join(f" chain guest{number} {{ tcp dport {20 + number} accept\n }}" for number in range(1, 8))
JUMPS = [f'iifname "tap{number}" jump guest{number}' for number in range(1, 8)]


def dispatched(*rules: str, more: str = "", policy: str = "accept") -> str:
    found = after(dispatch.PASS, in_forward(*rules, more=more, policy=policy))
    assert_loads(found)
    return found


def test_jumps_by_interface_become_one_look_up() -> None:
    found = dispatched(*JUMPS, "tcp dport 9 drop", more=GUESTS)
    assert rules_of(found) == ["iifname vmap @forward-by-iifname", "tcp dport 9 drop"]
    assert elements_of(found, "forward-by-iifname") == [f'"tap{n}" : jump guest{n}' for n in range(1, 8)]


def test_mixed_verdicts_and_protocols_share_a_map_of_two_fields() -> None:
    rules = [f"tcp dport {port} accept" for port in (22, 25, 80, 443)]
    found = dispatched(*rules, "udp dport 53 accept", "tcp dport 23 drop", "tcp dport 23 accept", "udp dport 69 drop")
    assert rules_of(found) == ["meta l4proto . th dport vmap @forward-by-l4proto-th.dport"] or (
        "th dport vmap @forward-by-l4proto-th.dport" in rules_of(found)[0]
    )
    assert "tcp . 23 : drop" in elements_of(found, "forward-by-l4proto-th.dport")
    assert not [item for item in elements_of(found, "forward-by-l4proto-th.dport") if item == "tcp . 23 : accept"]


def test_what_else_a_rule_tests_stands_in_a_leaf_that_alike_keys_share() -> None:
    rest = 'ip saddr 10.0.0.0/8 log prefix "x" accept'
    found = dispatched(*(f'iifname "tap{number}" {rest}' for number in range(9)))
    assert rules_of(found, "forward-tap0") == [rest]
    assert {item.split(" : ")[1] for item in elements_of(found, "forward-by-iifname")} == {"jump forward-tap0"}


def test_a_later_rule_of_the_same_key_stands_behind_the_jump_in_its_leaf() -> None:
    found = dispatched(*JUMPS, 'iifname "tap3" drop', more=GUESTS)
    assert rules_of(found, "forward-tap3") == ["jump guest3", "drop"]


def test_rules_move_across_others_that_decide_alike() -> None:
    rules = [f"tcp dport {port} accept" for port in (22, 25, 80)]
    more = [f"tcp dport {port} accept" for port in (110, 143, 443, 993)]
    found = dispatched(*rules, "ip saddr 10.0.0.0/8 accept", *more)
    assert len(rules_of(found)) == 2


def test_rules_move_across_others_that_no_packet_reaches_as_well() -> None:
    found = dispatched(*JUMPS[:4], 'iifname "eth0" ct state invalid drop', *JUMPS[4:], more=GUESTS)
    assert len(rules_of(found)) == 1 or rules_of(found)[0] == "iifname vmap @forward-by-iifname"


def test_rules_do_not_move_across_a_rule_that_would_have_taken_their_packets() -> None:
    found = dispatched(*JUMPS[:2], "ip saddr 10.0.0.0/8 drop", *JUMPS[2:4], more=GUESTS)
    assert rules_of(found) == [*JUMPS[:2], "ip saddr 10.0.0.0/8 drop", *JUMPS[2:4]]


def test_rules_do_not_move_across_a_log() -> None:
    found = dispatched(*JUMPS[:3], 'ct state invalid log prefix "x"', *JUMPS[3:], more=GUESTS)
    assert any("log" in rule for rule in rules_of(found))
    assert len(rules_of(found)) > 2


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_rules_are_cheaper_than_a_look_up(count: int) -> None:
    text = in_forward(*JUMPS[:count], more=GUESTS)
    found = dispatch.run(read_nft(text))
    assert found.ruleset == read_nft(text)
    assert found.declined == (f"chain forward: {count} rules on iifname are cheaper than a look-up",)


def test_a_field_that_the_rules_change_is_no_key() -> None:
    rules = [f"meta mark {number} meta mark set {number + 1}" for number in range(1, 30)]
    assert len(rules_of(dispatched(*rules))) == 29


def test_a_chain_that_changes_the_field_is_seen() -> None:
    more = " chain change { meta mark set 7\n }"
    rules = [f"meta mark {number} jump change" for number in range(1, 30)]
    assert len(rules_of(dispatched(*rules, more=more))) == 29


def test_flags_are_no_keys() -> None:
    rules = ["tcp flags syn accept", "tcp flags ack drop"] * 10
    assert len(rules_of(dispatched(*rules))) == 20


def test_a_bucket_is_charged_for_the_same_packets() -> None:
    rules = [f"tcp dport {port} limit rate 5/second accept" for port in range(20, 40)]
    found = dispatched(*rules)
    assert len(rules_of(found)) == 1
    assert found.count("limit rate 5/second") == 20


def test_returns_and_gotos_stand_in_the_map_but_not_in_a_leaf() -> None:
    chain = " chain user { " + "\n  ".join(
        [*(f'iifname "tap{n}" return' for n in range(6)), 'iifname "eth0" ip saddr 10.0.0.1 return', "drop"]
    ) + "\n }"  # fmt: skip
    found = dispatched("jump user", more=chain)
    assert rules_of(found, "user") == [
        "iifname vmap @user-by-iifname",
        'iifname "eth0" ip saddr 10.0.0.1 return',
        "drop",
    ]


def test_a_return_in_a_base_chain_is_its_policy() -> None:
    found = dispatched(*(f'iifname "tap{n}" return' for n in range(6)), policy="drop")
    assert set(elements_of(found, "forward-by-iifname")) == {f'"tap{n}" : drop' for n in range(6)}


def test_no_level_is_added_where_the_kernel_takes_no_more() -> None:
    chains = [f" chain c{n} {{ jump c{n + 1}\n }}" for n in range(1, 15)]
    last = (
        " chain c15 { "
        + "\n  ".join(f'iifname "tap{n}" ip saddr 10.0.0.{n} log prefix "x" accept' for n in range(9))
        + "\n }"
    )
    text = in_forward("jump c1", more="\n".join([last, *reversed(chains)]))
    found = dispatch.run(read_nft(text))
    assert found.ruleset == read_nft(text)
    assert found.declined == ("chain c15: the kernel takes no more nested jumps",)


def test_names_stay_when_a_guest_comes() -> None:
    one = dispatched(*JUMPS[:6], more=GUESTS)
    more = dispatched(*JUMPS, more=GUESTS)
    lines = set(one.splitlines()) ^ set(more.splitlines())
    assert all("tap7" in line or "tap6" in line for line in lines)


def test_a_translation_of_ports_keeps_its_protocol() -> None:
    """nft refuses `dnat to 10.0.0.1:80` in a rule that does not test the protocol."""
    rules = "\n  ".join(f"tcp dport {port} dnat to 10.0.0.{port}:{port + 1}" for port in range(20, 30))
    text = f"table ip nat {{\n chain forward {{ type nat hook prerouting priority dstnat; policy accept;\n  {rules}\n }}\n}}\n"
    found = after(dispatch.PASS, text)
    assert_loads(found)
    assert len(rules_of(found)) == 1


@pytest.mark.parametrize("guests", [2, 40])
def test_guests_in_a_row_are_keys_however_many_they_are(guests: int) -> None:
    """A tool numbers guests one after the other: how long a range of hardware addresses is says how many there are."""
    rules = "; ".join(
        f"ether daddr {{ bc:24:11:00:0{kind}:00-bc:24:11:00:0{kind}:{guests - 1:02x}, bc:24:11:00:0{kind}:ff }} goto c{kind}"
        for kind in range(6)
    )
    targets = "".join(f"chain c{kind} {{ ip daddr 10.0.0.{kind} drop; }} " for kind in range(6))
    text = f"table bridge t {{ {targets} chain c {{ type filter hook forward priority 0; {rules}; }} }}"
    found = after(dispatch.PASS, text)
    assert "ether daddr vmap @" in found, found
    assert found.count(": goto c1") == guests + 1
