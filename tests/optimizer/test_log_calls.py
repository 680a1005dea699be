"""A long map of logs is asked in one place, and the other passes leave it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer import inlining, short_ways, tail_calls
from fwtrans.optimizer.log_calls import LONG, PASS
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

ASKING = "oifname vmap @logs"


def node(*rules: str, ports: int = LONG, log: str = "log prefix", more: str = "") -> Ruleset:
    """Return a bridge whose ports log, and a chain of all of them with these rules."""
    elements = ", ".join(f'"tap{number}" : jump log-{number}' for number in range(ports))
    logs = "\n".join(f'chain log-{number} {{ {log} "{number}"; }}' for number in range(ports))
    text = f"""table bridge fw {{
        map logs {{ type ifname : verdict; elements = {{ {elements} }} }}
        {logs}
        {more}
        chain class {{ {"; ".join(rules)}; }}
        chain to {{ type filter hook forward priority 5; policy accept; ip ttl 3 jump class; udp sport 9 jump class; }}
    }}"""
    return read(text)


def asks(ruleset: Ruleset) -> list[str]:
    """Return the chains whose rules ask the map."""
    (table,) = ruleset.tables
    return [chain.name for chain in table.chains for rule in chain.rules if isinstance(rule.verdict, Dispatch)]


def calls(ruleset: Ruleset) -> int:
    (table,) = ruleset.tables
    verdicts = [rule.verdict for chain in table.chains for rule in chain.rules]
    return sum(isinstance(verdict, (Jump, Goto)) and verdict.chain == "logs-asked" for verdict in verdicts)


def test_several_rules_ask_in_one_place() -> None:
    found = proved_change(
        PASS, node(f"tcp dport 1 {ASKING}", "tcp dport 2 drop", f"udp dport 3 {ASKING}", ASKING, "drop")
    )
    assert found is not None
    assert asks(found) == ["logs-asked"]
    assert calls(found) == 3


def test_other_passes_leave_it_there() -> None:
    found = proved_change(PASS, node(f"tcp dport 1 {ASKING}", ASKING, "udp dport 4 drop", f"udp dport 3 {ASKING}"))
    assert found is not None
    for other in (tail_calls.PASS, inlining.PASS, short_ways.PASS):
        found = other.run(found).ruleset
        assert PASS.run(found).ruleset is found
        assert asks(found) == ["logs-asked"]
        assert calls(found) == 3


def test_a_chain_that_asks_already_serves_all() -> None:
    one = f"chain one {{ {ASKING}; }}"
    found = proved_change(PASS, node(f"tcp dport 1 {ASKING}", "tcp dport 2 jump one", "drop", more=one))
    assert found is not None
    assert asks(found) == ["one"]


@pytest.mark.parametrize(
    "before",
    [
        node(f"tcp dport 1 {ASKING}", "drop"),
        node(f"tcp dport 1 {ASKING}", f"udp dport 1 {ASKING}", ports=LONG - 1),
        node(f"tcp dport 1 {ASKING}", f"udp dport 1 {ASKING}", log="udp dport 7 drop; log prefix"),
    ],
    ids=["one rule", "a short map", "more than logs"],
)
def test_it_declines(before: Ruleset) -> None:
    assert proved_change(PASS, before) is None


def test_a_goto_comes_back_to_another_place() -> None:
    more = "map gone { type ifname : verdict; elements = { " + ", ".join(
        f'"tap{number}" : goto log-{number}' for number in range(LONG)
    )
    rules = ("tcp dport 1 oifname vmap @gone", "udp dport 1 oifname vmap @gone", "drop")
    assert proved_change(PASS, node(*rules, more=f"{more} }} }}")) is None


def test_the_deepest_jump_is_not_put_one_deeper() -> None:
    nested = "\n".join(
        f"chain deep-{number} {{ udp dport {number} jump deep-{number + 1}; }}" for number in range(1, 13)
    )
    last = f"chain deep-13 {{ tcp dport 1 {ASKING}; udp dport 1 {ASKING}; }}"
    for first, is_left in (("deep-1", True), ("deep-2", False)):
        found = proved_change(PASS, node(f"tcp dport 9 jump {first}", more=f"{nested}\n{last}"))
        assert (found is None) is is_left


def test_what_all_say_behind_the_call_is_said_once() -> None:
    other = f"chain other {{ tcp dport 7 accept; {ASKING}; drop; }}"
    ports = "udp dport 5 jump other"
    found = proved_change(PASS, node(ports, ASKING, "drop", more=other))
    assert found is not None
    (table,) = found.tables
    assert {
        chain.name: len(chain.rules) for chain in table.chains if chain.name in {"other", "class", "logs-asked"}
    } == {
        "other": 2,
        "class": 2,
        "logs-asked": 2,
    }
    for item in (tail_calls.PASS, inlining.PASS, short_ways.PASS):
        found = item.run(found).ruleset
        assert PASS.run(found).ruleset is found
        assert asks(found) == ["logs-asked"]


@pytest.mark.parametrize("end", ["accept", "ip ttl 4 drop", "udp dport 3 accept; drop"])
def test_what_not_all_say_stays_behind_the_call(end: str) -> None:
    other = f"chain other {{ tcp dport 7 accept; {ASKING}; {end}; }}"
    found = proved_change(PASS, node("udp dport 5 jump other", ASKING, "drop", more=other))
    assert found is not None
    (asked,) = (chain for chain in found.tables[0].chains if chain.name == "logs-asked")
    assert len(asked.rules) == 1
