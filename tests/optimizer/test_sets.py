"""Rules that become one by their values; and the three mistakes that `nft --optimize` makes with such rules."""

from __future__ import annotations

from fwtrans.optimizer import dispatch, sets
from tests.optimizer.texts import after, assert_loads, in_forward, read_nft, rules_of


def joined(*rules: str, family: str = "inet") -> list[str]:
    found = after(sets.PASS, in_forward(*rules, family=family))
    assert_loads(found)
    return rules_of(found)


def test_many_addresses_become_a_set() -> None:
    rules = [f"ip saddr 10.0.0.{2 * n} tcp dport 22 accept" for n in range(1, 11)]
    (rule,) = joined(*rules)
    assert rule.startswith("ip saddr { 10.0.0.2, 10.0.0.4,")


def test_neighbours_become_a_range_even_where_they_are_two() -> None:
    assert joined("udp dport 53 drop", "udp dport 54 drop") == ["udp dport 53-54 drop"]


def test_two_apart_are_cheaper_as_rules() -> None:
    assert joined("udp dport 53 drop", "udp dport 67 drop") == ["udp dport 53 drop", "udp dport 67 drop"]


def test_rules_that_log_join_only_where_no_packet_was_logged_twice() -> None:
    assert joined('udp dport 53 log prefix "x"', 'udp dport 54 log prefix "x"') == ['udp dport 53-54 log prefix "x"']
    rules = ['udp dport 53-60 log prefix "x"', 'udp dport 60-70 log prefix "x"']
    assert joined(*rules) == rules


def test_a_rule_does_not_pass_one_that_decides_otherwise() -> None:
    rules = ["udp dport 53 accept", "ip saddr 10.0.0.1 drop", "udp dport 54 accept"]
    assert joined(*rules) == rules


def test_two_buckets_stay_two() -> None:
    rules = [f"udp dport {port} limit rate 5/second burst 5 packets accept" for port in (53, 54)]
    assert joined(*rules) == rules


# --- what `nft --optimize` gets wrong (nft 1.0.6) ---


def test_syn_and_ack_still_take_a_packet_with_both_flags() -> None:
    found = joined("tcp flags syn accept", "tcp flags ack accept")
    assert found == ["tcp flags & (syn | ack) != 0 accept"]


def test_overlapping_keys_are_not_given_to_the_kernel() -> None:
    rules = [f"ip saddr 10.0.{n}.0/24 accept" for n in range(0, 20, 2)]
    found = joined(*rules, "ip saddr 10.0.0.0/22 accept", "ip saddr 10.0.2.7 accept")
    assert len(found) == 1
    assert "10.0.2.7" not in found[0]


def test_rules_without_a_verdict_and_comments_come_through() -> None:
    rules = ["udp dport 53 counter", 'udp dport 54 accept comment "kept"']
    text = in_forward(*rules)
    for item in (sets.PASS, dispatch.PASS):
        assert 'accept comment "kept"' in after(item, text)
    assert read_nft(text).tables[0].chains[-1].rules
