"""Ports that have been looked up are not looked up again; where one way leads past the look-up they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwtrans.ir.pprint import print_rule
from fwtrans.optimizer.asked_again import PASS
from tests.optimizer.corpus import ORIGIN
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

SETS = """
set ports { type ifname; elements = { "t1", "t2", "t3" } }
set others { type ifname; elements = { "t1", "t2" } }
"""
USER = "chain user { udp dport 1 drop; iifname @ports tcp dport 2 accept; drop; }"


def changed(*chains: str, base: str, made: bool = True) -> dict[str, list[str]] | None:
    """Return the rules of all chains, proved; None where nothing has changed."""
    hook = f"chain forward {{ type filter hook forward priority 5; policy accept; {base}; }}"
    before = read("\n".join(["table bridge fw {", SETS, *chains, hook, "}", ""]))
    (table,) = before.tables
    sets = tuple(replace(item, origin=None if made else ORIGIN) for item in table.sets)
    after = proved_change(PASS, replace(before, tables=(replace(table, sets=sets),)))
    return None if after is None else {one.name: list(map(print_rule, one.rules)) for one in after.tables[0].chains}


def asking(found: dict[str, list[str]] | None, name: str) -> int:
    assert found is not None
    return sum("@ports" in text for text in found[name])


def test_a_port_is_looked_up_once() -> None:
    assert asking(changed(USER, base="iifname @ports jump user"), "user") == 0


def test_it_is_known_behind_other_chains() -> None:
    between = "chain between { tcp dport 9 drop; ether type ip goto user; accept; }"
    assert asking(changed(USER, between, base="iifname @ports jump between"), "user") == 0


def test_each_way_has_asked() -> None:
    ways = "map ways { type inet_proto : verdict; elements = { tcp : goto user, udp : jump user } }"
    base = "iifname @ports ether type ip meta l4proto vmap @ways; iifname @ports ether type ip6 jump user"
    assert asking(changed(ways, USER, base=base), "user") == 0


@pytest.mark.parametrize(
    "base",
    [
        "iifname @ports jump user; tcp dport 7 jump user",
        "iifname @others jump user",
        "oifname @ports jump user",
        "iifname != @ports jump user",
        "jump user; iifname @ports drop",
    ],
)
def test_where_it_is_not_known_it_is_asked(base: str) -> None:
    assert changed(USER, base=base) is None


def test_what_others_may_change_is_asked() -> None:
    assert changed(USER, base="iifname @ports jump user", made=False) is None
