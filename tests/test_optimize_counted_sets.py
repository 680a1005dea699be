"""`fwtrans optimize` and sets that count what is looked up in them: load balancers and block lists have many.

nft refuses elements with a counter in a set that declares none.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.test_optimize_any_statement import loads, optimized

if TYPE_CHECKING:
    from pathlib import Path

CHAIN = "\tchain i {\n\t\ttype filter hook input priority 0; policy accept;\n\t\t%s\n\t}\n"
COUNTED = {
    "addresses": (
        "type ipv4_addr\n\t\tcounter\n\t\telements = { 10.0.0.1 counter packets 3 bytes 180, 10.0.0.2 }",
        "ip saddr @a drop",
        "elements = { 10.0.0.1 counter packets 3 bytes 180, 10.0.0.2 }",
    ),
    "networks and ports": (
        "type ipv4_addr . inet_service\n\t\tflags interval\n\t\tcounter\n\t\telements = { 10.0.0.0/24 . 22 counter packets 1 bytes 2 }",
        "ip saddr . tcp dport @a drop",
        "elements = { 10.0.0.0/24 . 22 counter packets 1 bytes 2 }",
    ),
    "filled by a rule": (
        "type ipv4_addr\n\t\tsize 100\n\t\tflags dynamic,timeout\n\t\tcounter\n\t\ttimeout 1m",
        "tcp dport 22 add @a { ip saddr } accept",
        "timeout 1m",
    ),
    "asked by nobody": ("type ipv4_addr\n\t\tcounter\n\t\telements = { 10.0.0.1 }", "tcp dport 22 drop", "10.0.0.1"),
}


@pytest.mark.netns
@pytest.mark.parametrize("name", COUNTED)
def test_a_set_that_counts_still_counts(name: str, tmp_path: Path) -> None:
    assert shutil.which("nft")
    declared, rule, kept = COUNTED[name]
    text = f"table ip t {{\n\tset a {{\n\t\t{declared}\n\t}}\n{CHAIN % rule}}}\n"
    assert loads(text, tmp_path)
    found = optimized(text)
    assert "\t\tcounter\n" in found
    assert kept in found
    assert loads(found, tmp_path)
    assert optimized(found) == found


@pytest.mark.parametrize("times", ["1714937400-1714942800", "{ 1714694400-1714694500, 1714867200-1714867300 }"])
def test_all_times_but_some_are_printed_as_such(times: str) -> None:
    """Their last second has no number behind it, as a range's end would need."""
    rule = f"meta time != {times} tcp dport 22 drop"
    text = f"table ip t {{\n{CHAIN % rule}}}\n"
    assert rule in optimized(text)


def test_a_map_of_values_that_counts_still_counts() -> None:
    entry = "1.1.1.1 counter packets 4 bytes 9 : 1"
    declared = f"type ipv4_addr : mark\n\t\tcounter\n\t\telements = {{ {entry} }}"
    found = optimized(f"table ip t {{\n\tmap a {{\n\t\t{declared}\n\t}}\n{CHAIN % 'meta mark set ip saddr map @a'}}}\n")
    assert "\t\tcounter\n" in found
    assert entry in found
