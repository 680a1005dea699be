"""Lists that very many rules ask for are named sets that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.verify import verify
from fwtrans.optimizer.shared_lists import FEWEST, PASS
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change
from tests.optimizer.texts import after, assert_loads, elements_of, in_forward, rules_of

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

ADDRESSES = "{ 10.0.0.1, 10.0.0.5-10.0.0.9, 192.0.2.0/24 }"
FLAGS = "tcp flags & (fin | syn | rst | ack) { syn, fin | ack, rst }"


def node(*asked: str, rules: int = FEWEST) -> Ruleset:
    """Return a table in which so many rules ask for each of these."""
    chains = "\n".join(
        f"chain class-{number} {{ udp dport {number} accept; {'; '.join(f'{test} drop' for test in asked)}; }}"
        for number in range(1, rules + 1)
    )
    ways = ", ".join(f'"tap{number}" : jump class-{number}' for number in range(1, rules + 1))
    base = f"chain to {{ type filter hook forward priority 5; policy accept; oifname vmap {{ {ways} }}; }}"
    return read(f"table bridge fw {{\n{chains}\n{base}\n}}\n")


def asking(ruleset: Ruleset, name: str) -> list[str]:
    """Return the rules that ask a set."""
    (table,) = ruleset.tables
    texts = (print_rule(rule) for chain in table.chains for rule in chain.rules)
    return [text for text in texts if f"@{name};" in text]


@pytest.mark.parametrize(
    ("test", "name", "elements"),
    [
        (f"ip saddr {ADDRESSES}", "ip.saddr-list", 3),
        (f"ip daddr != {ADDRESSES}", "ip.daddr-list", 3),
        ("ip6 daddr { 2001:db8::1, 2001:db8:1::/48 }", "ip6.daddr-list", 2),
        (FLAGS, "tcp.flags-list", 3),
    ],
)
def test_a_list_that_many_rules_ask_for_becomes_a_set(test: str, name: str, elements: int) -> None:
    found = proved_change(PASS, node(test))
    assert found is not None
    assert verify(found) == ()
    (table,) = found.tables
    assert [(item.name, len(item.elements)) for item in table.sets] == [(name, elements)]
    assert len(asking(found, name)) == FEWEST
    assert PASS.run(found).ruleset is found


def test_all_but_a_list_shares_its_set() -> None:
    found = proved_change(PASS, node(f"ip saddr {ADDRESSES}", f"ip saddr != {ADDRESSES}"))
    assert found is not None
    assert len(found.tables[0].sets) == 1
    assert len(asking(found, "ip.saddr-list")) == 2 * FEWEST


@pytest.mark.parametrize(
    "test",
    [
        "ip saddr 10.0.0.0/8",
        "ip saddr != 10.0.0.0/8",
        "ip saddr 10.0.0.1-10.0.0.9",
        "tcp flags & (syn | ack) == syn",
        "tcp flags & (syn | ack) != syn",
        "th dport { 22, 80, 443 }",
    ],
)
def test_what_is_no_long_list_of_addresses_or_flags_stays(test: str) -> None:
    assert proved_change(PASS, node(test)) is None


def test_fewer_rules_keep_their_lists() -> None:
    assert proved_change(PASS, node(f"ip saddr {ADDRESSES}", FLAGS, rules=FEWEST - 1)) is None


def test_what_is_printed_loads_and_is_read_back() -> None:
    asked = (f"ip saddr {ADDRESSES}", f"ip6 daddr != {{ 2001:db8::1, 2001:db8:1::/48 }} {FLAGS}")
    rules = [f"{test} th dport {port} drop" for port in range(1, FEWEST + 1) for test in asked]
    text = after(PASS, in_forward(*rules))
    assert_loads(text)
    assert rules_of(text)[0] == "ip saddr @ip.saddr-list th dport 1 drop"
    assert elements_of(text, "ip.saddr-list") == ["10.0.0.1", "10.0.0.5-10.0.0.9", "192.0.2.0/24"]
    assert elements_of(text, "tcp.flags-list") == ["syn", "rst", "0x11"]
    assert all("@ip6.daddr-list" in rule and "@tcp.flags-list" in rule for rule in rules_of(text)[1::2])
