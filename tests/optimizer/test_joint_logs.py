"""What is logged for IPv4 and for IPv6 is asked in one map, where both are asked alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.optimizer.joint_logs import PASS
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset


def node(
    *,
    six: str = "drop",
    kind: str = "ip6",
    word: str = "log-DROP",
    more: str = "",
) -> Ruleset:
    """Return a bridge whose ports log for both protocols."""
    logs = "\n".join(f'chain t{n}-{v} {{ log prefix "{n}{v}"; }}' for n in (1, 2) for v in ("v4", "v6"))

    def asking(version: str, name: str, end: str) -> str:
        elements = ", ".join(f'"t{n}" : jump t{n}-{version}' for n in (1, 2))
        declared = f"map {name} {{ type ifname : verdict; elements = {{ {elements} }} }}"
        return f"{declared} chain {name}-drop {{ oifname vmap @{name}; {end}; }}"

    way = f"ether type ip tcp dport 1 goto IN-v4-log-DROP-drop; ether type {kind} tcp dport 1 goto IN-v6-{word}-drop"
    text = f"""table bridge fw {{ {logs}
        {asking("v4", "IN-v4-log-DROP", "drop")} {asking("v6", f"IN-v6-{word}", six)}
        chain to {{ type filter hook forward priority 5; policy accept; {way}; {more} }} }}"""
    return read(text)


def test_both_are_asked_at_once() -> None:
    found = proved_change(PASS, node())
    assert found is not None
    (table,) = found.tables
    assert [item.name for item in table.maps] == ["IN-log-DROP"]
    assert len(table.maps[0].elements) == 4
    assert sum(chain.name.endswith("-drop") for chain in table.chains) == 1


@pytest.mark.parametrize(
    "before",
    [
        node(word="DROP"),
        node(six="accept"),
        node(kind="{ ip6, arp }"),
        node(kind="ip"),
        node(word="log-ACCEPT"),
        node(more="oifname vmap @IN-v4-log-DROP;"),
    ],
    ids=["their maps", "another end", "several types", "one type", "other logs", "asked elsewhere"],
)
def test_it_declines(before: Ruleset) -> None:
    assert proved_change(PASS, before) is None
