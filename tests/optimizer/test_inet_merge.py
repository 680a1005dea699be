"""One inet chain where both families say the same: what moves, what has to stay, and that an empty hook goes."""

from __future__ import annotations

import pytest

from fwtrans.optimizer import idle_hooks, inet_merge
from tests.optimizer.texts import after, assert_loads

HOOK = "type filter hook input priority filter; policy accept;"


def both(four: str, six: str, *, more: str = "") -> str:
    """Return an ip and an ip6 table `t`, each with a chain `in` of these rules; `more` stands in both tables."""
    return "".join(
        f"table {family} t {{\n{more}\nchain in {{\n{HOOK}\n{rules}\n}}\n}}\n"
        for family, rules in (("ip", four), ("ip6", six))
    )


def families(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("table ")]


ALIKE = "ct state established,related accept\ntcp dport 22 accept\njump web\ndrop"
WEB = 'chain web {\niifname "eth0" tcp dport 80 accept\nlog prefix "web "\n}'


def test_what_is_alike_with_all_that_it_calls_is_said_once() -> None:
    found = after(inet_merge.PASS, both(ALIKE, ALIKE, more=WEB))
    assert families(found) == ["inet"]
    assert found.count("tcp dport 22 accept") == 1
    assert found.count("chain web {") == 1
    assert_loads(found)


def test_a_refusal_answers_each_family_in_its_own_way() -> None:
    found = after(inet_merge.PASS, both("reject with icmp admin-prohibited", "reject with icmpv6 admin-prohibited"))
    assert "reject with icmpx admin-prohibited" in found
    unequal = both("reject with icmp host-unreachable", "reject with icmpv6 admin-prohibited")
    assert families(after(inet_merge.PASS, unequal)) == ["ip", "ip6"]


def test_chains_that_differ_stay_beside_one_that_moves() -> None:
    forward = "chain fw {\ntype filter hook forward priority filter; policy accept;\nct state invalid drop\n}"
    found = after(inet_merge.PASS, both("ip saddr 10.0.0.1 drop", "ip6 saddr fd00::1 drop", more=forward))
    assert families(found) == ["ip", "ip6", "inet"]
    assert found.count("chain fw {") == 1
    assert_loads(found)


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        ("limit rate 5/second accept", ""),
        ("ct count 5 accept", ""),
        ("tcp dport @ports accept", "set ports {\ntype inet_service\nelements = { 22, 80 }\n}"),
        ("jump web\ndrop", f"{WEB}\nchain other {{\ntype filter hook output priority filter; policy accept;\njump web\njump own\n}}"),
        ("drop", "chain second {\ntype filter hook input priority filter; policy accept;\ntcp dport 25 drop\n}"),
    ],
    ids=["limit", "count", "filled by others", "called elsewhere too", "order left to chance"],
)  # fmt: skip
def test_declines(rules: str, more: str) -> None:
    text = both(rules, rules, more=more)
    for family, address in (("ip ", "ip saddr 10.0.0.1"), ("ip6 ", "ip6 saddr fd00::1")):
        # a chain that no family can share, called `own`
        text = text.replace(f"table {family}t {{", f"table {family}t {{\nchain own {{\n{address} drop\n}}", 1)
    assert "inet" not in families(after(inet_merge.PASS, text))


def test_a_name_that_the_inet_table_has_is_not_given_twice() -> None:
    taken = "table inet t {\nchain in {\ntype filter hook output priority 5; policy accept;\ntcp dport 1 drop\n}\n}\n"
    assert families(after(inet_merge.PASS, both("tcp dport 22 drop", "tcp dport 22 drop") + taken)) == [
        "ip",
        "ip6",
        "inet",
    ]


def test_an_empty_hook_goes_but_not_the_last_nor_one_of_nat() -> None:
    forward = "chain fw {\ntype filter hook forward priority filter; policy accept;\n}"
    nat = "chain nat {\ntype nat hook postrouting priority srcnat; policy accept;\n}"
    closed = "chain shut {\ntype filter hook output priority filter; policy drop;\n}"
    found = after(idle_hooks.PASS, both("drop", "drop", more=f"{forward}\n{nat}\n{closed}"))
    assert "chain fw" not in found
    assert found.count("chain nat") == found.count("chain shut") == 2
    nothing = both("", "")
    assert after(idle_hooks.PASS, nothing).count("chain in") == 2
