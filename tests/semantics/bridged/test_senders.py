"""A rule at a bridge's forward hook may ask for both ports: whose packets it treats otherwise is found for each pair of guests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.rule import Rule
from fwtrans.ir.verdict import Drop
from fwtrans.semantics.bridged.senders import told_apart
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.translate import Settings
from tests.bridged_corpora import compared, pve_node, translated

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset
    from tests.bridged_corpora import Node

RULES = "[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nIN ACCEPT -p tcp -dport 22\n"
CLUSTER = "[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\nlocal_network 192.0.2.0/24\n"


@cache
def three_guests() -> Node:
    guests = {
        number: (RULES, f"virtio=BC:24:11:00:00:{number:02X},bridge=vmbr0,firewall=1") for number in (100, 101, 102)
    }
    return translated(pve_node(CLUSTER, RULES, guests), Settings(verify=False, optimize=True))


def with_rule(ruleset: Ruleset, hook: str, *tests: FieldTest) -> Ruleset:
    """Return the ruleset with a rule that drops in front of the bridge's base chain at a hook."""

    tables = []
    for table in ruleset.tables:
        chains = tuple(
            replace(chain, rules=(Rule(tests, Drop()), *chain.rules))
            if table.family is Family.BRIDGE and chain.base is not None and chain.base.hook.value == hook
            else chain
            for chain in table.chains
        )
        tables.append(replace(table, chains=chains))
    return replace(ruleset, tables=tuple(tables))


def ports(sender: str, receiver: str) -> tuple[FieldTest, FieldTest]:
    return FieldTest(known.IIFNAME, NameSet.exact(sender)), FieldTest(known.OIFNAME, NameSet.exact(receiver))


def test_guests_that_no_rule_tells_apart_are_one_sender() -> None:
    found = three_guests()
    guests = guest_ports(found.old)
    assert len(guests) == 3
    assert [guest.name for guest in told_apart(found.old, found.new, guests)] == ["tap100i0"]
    assert compared(found).comparison.equal


@pytest.mark.parametrize(("sender", "receiver"), [("tap101i0", "tap102i0"), ("tap102i0", "tap100i0")])
def test_a_rule_for_one_pair_of_guests_is_found(sender: str, receiver: str) -> None:
    found = three_guests()
    changed = with_rule(found.new, "forward", *ports(sender, receiver))
    guests = guest_ports(found.old)
    assert [guest.name for guest in told_apart(found.old, changed, guests)] == list(dict.fromkeys(("tap100i0", sender)))
    differences = compared(found, changed).comparison.differences
    assert differences
    assert all(item.confirmed and f"from {sender} to {receiver}" in item.path.name for item in differences)


@pytest.mark.parametrize("receiver", ["tap100i0", "tap102i0"])
def test_a_rule_for_what_the_host_sends_to_a_guest_is_found(receiver: str) -> None:
    found = three_guests()
    changed = with_rule(found.new, "output", FieldTest(known.OIFNAME, NameSet.exact(receiver)))
    differences = compared(found, changed).comparison.differences
    assert differences
    assert all(receiver in item.path.name for item in differences)
