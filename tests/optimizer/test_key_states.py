"""States that all keys of a map repeat are asked before it; where keys tell states apart, nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.match import FieldTest
from fwtrans.optimizer.key_states import PASS
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table

KEY = "ct state . ether type . iifname"
BOTH = """new . ip . "tap1" : goto a, untracked . ip . "tap1" : goto a, new . ip6 . "tap2" : drop, untracked . ip6 . "tap2" : drop"""
ONE_STATE = """new . ip . "tap1" : goto a, new . ip6 . "tap2" : drop"""
ARP = f"""{BOTH}, untracked . arp . "tap1" : accept"""
NOT_EVERYWHERE = """new . ip . "tap1" : goto a, untracked . ip . "tap1" : goto a, new . ip6 . "tap2" : drop"""
OTHER_VERDICT = """new . ip . "tap1" : goto a, untracked . ip . "tap1" : drop"""
ALL_STATES = ", ".join(
    f'{state} . ip . "tap1" : drop' for state in ("new", "untracked", "invalid", "established", "related")
)
SECOND = "new . 02:00:00:00:00:01 : drop, untracked . 02:00:00:00:00:01 : drop"


def text_of(elements: str, rules: str, name: str, inside: str, more: str = "") -> str:
    return f"""table bridge fw {{
        {more}
        map {name} {{ type ct_state . ether_type . ifname : verdict; elements = {{ {elements} }} }}
        chain a {{ {inside}; tcp dport 22 accept; drop; }}
        chain out {{ type filter hook prerouting priority 5; policy accept; {rules}; }}
    }}"""


def changed(
    elements: str, rules: str = f"{KEY} vmap @iif-entry", name: str = "iif-entry", inside: str = "udp dport 1 drop"
) -> Table | None:
    """Return the table as the pass leaves it, proved, or None where it changes nothing."""
    after = proved_change(PASS, read(text_of(elements, rules, name, inside)))
    return None if after is None else after.tables[0]


def states_asked(table: Table, chain: str) -> list[list[int]]:
    """Return the states that the rules of a chain ask for."""
    (found,) = (item for item in table.chains if item.name == chain)
    return [
        [state for state in range(8) if state in step.values]  # type: ignore[operator] # an interval set
        for rule in found.rules
        for step in rule.steps
        if isinstance(step, FieldTest) and step.field is known.CT_STATE
    ]


@pytest.mark.parametrize(
    ("elements", "states", "size"),
    [(BOTH, [3, 4], 2), (ONE_STATE, [3], 2), (ARP, [3, 4], 3), (ALL_STATES, [0, 1, 2, 3, 4], 1)],
    ids=["two states", "one state", "ARP is never tracked", "all states"],
)
def test_a_state_that_keys_repeat_is_asked_first(elements: str, states: list[int], size: int) -> None:
    table = changed(elements)
    assert table is not None
    (item,) = table.maps
    assert (item.fields, len(item.elements)) == ((known.ETHER_TYPE, known.IIFNAME), size)
    assert states_asked(table, "out") == [states]


@pytest.mark.parametrize("elements", [NOT_EVERYWHERE, OTHER_VERDICT], ids=["not everywhere", "another verdict"])
def test_keys_that_tell_states_apart_stay(elements: str) -> None:
    assert changed(elements) is None


def test_a_map_that_somebody_else_made_stays() -> None:
    assert changed(BOTH, f"{KEY} vmap @mine", "mine") is None


def test_a_name_that_tells_of_the_state_tells_no_longer() -> None:
    name = "out-by-ct.state-ether.type-iifname"
    table = changed(BOTH, f"{KEY} vmap @{name}", name)
    assert table is not None
    assert [item.name for item in table.maps] == ["out-by-ether.type-iifname"]


def test_a_chain_that_only_these_states_come_to_does_not_ask_again() -> None:
    second = f"map b-by-x {{ type ct_state . ether_addr : verdict; elements = {{ {SECOND} }} }}"
    before = read(text_of(BOTH, f"{KEY} vmap @iif-entry", "iif-entry", "ct state . ether daddr vmap @b-by-x", second))
    after = PASS.run(before).ruleset
    assert compare(before, after).equal
    (table,) = after.tables
    assert [len(item.fields) for item in table.maps] == [1, 2]
    assert states_asked(table, "a") == []
    assert states_asked(table, "out") == [[3, 4]]
