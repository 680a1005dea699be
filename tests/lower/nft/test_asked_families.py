"""Whose messages `icmp type`, `icmpv6 type` and `igmp type` are: what nft asks by itself is what we read, and what we print.

Each rule is read, printed again, and both texts given to nft, whose instructions say which family it asks for.
"""

from __future__ import annotations

import re

import pytest

from fwtrans.ir.fields import ETHER_PROTOCOL, ETHER_TYPE, NFPROTO, VLAN_TYPE
from fwtrans.ir.match import FieldTest
from tests.backend.nft.listing import bytecode
from tests.lower.nft.test_nft_lowering import rules
from tests.test_optimize_any_statement import optimized

# what asks for a family in nft's instructions, and the field that it is for us
_ASKED = {
    "meta load nfproto": NFPROTO,
    "meta load protocol": ETHER_PROTOCOL,
    "payload load 2b @ link header + 12": ETHER_TYPE,
    "payload load 2b @ link header + 16": VLAN_TYPE,
}
_FAMILIES = {"0x0000000a": 10, "0x00000002": 2, "0x0000dd86": 0x86DD, "0x00000008": 0x0800}
_TAGGED = "0x00000081"  # that a tag is there is a field of its own for us
RULES = {
    "inet": (
        "icmpv6 type 1",
        "icmp type 8",
        "igmp type 17",
        "icmpv6 type { 1, 2 }",
        "icmpv6 type . icmpv6 code { 1 . 4 }",
        "icmpv6 mtu 1280",
        "meta l4proto 58 icmpv6 type 1",
        "meta l4proto != 1 icmpv6 type 1",
        "meta nfproto ipv6 icmpv6 type 1",
        "meta nfproto ipv4 icmpv6 type 1",
        "meta protocol ip6 icmpv6 type 1",
        "meta l4proto . icmpv6 type { 58 . 1 }",
    ),
    "bridge": (
        "icmpv6 type 1",
        "icmp type 8",
        "icmp type . icmp code { 3 . 4 }",
        "meta l4proto 58 icmpv6 type 1",
        "meta protocol ip6 icmpv6 type 1",
        "ether type ip6 icmpv6 type 1",
        "vlan id 5 icmp type 1",
        "vlan id 5 icmpv6 type 1",
        "vlan type ip icmp type 1",
        "vlan id 5 meta l4proto 1 icmp type 1",
    ),
    "netdev": ("icmpv6 type 1", "icmp type 8", "meta l4proto 58 icmpv6 type 1", "vlan id 5 icmp type 1"),
    "ip": ("icmpv6 type 1", "icmp type 8", "meta l4proto 58 icmpv6 type 1"),
    "ip6": ("icmpv6 type 1", "icmp type 8"),
}
CASES = [(family, rule) for family, found in RULES.items() for rule in found]
_HOOKS = {"netdev": 'ingress device "lo" priority 0'}


def ruleset(family: str, rule: str) -> str:
    hook = _HOOKS.get(family, "input priority 0")
    return (
        f"table {family} t {{\n\tchain c {{\n\t\ttype filter hook {hook}; policy accept;\n\t\t{rule} drop\n\t}}\n}}\n"
    )


def asked_by_nft(text: str) -> set[tuple[str, int]]:
    found = re.findall(r"\[ (.+?) => reg 1 \]\n  \[ cmp eq reg 1 (0x[0-9a-f]{8}) \]", bytecode(text))
    return {(_ASKED[load].name, _FAMILIES[value]) for load, value in found if load in _ASKED and value != _TAGGED}


def asked_as_read(family: str, rule: str) -> set[tuple[str, int]]:
    (found,) = rules(f"{rule} drop", family)
    steps = [step for step in found.steps if isinstance(step, FieldTest) and step.field in set(_ASKED.values())]
    return {(step.field.name, step.values.only) for step in steps}  # type: ignore[union-attr, misc] # single numbers


@pytest.mark.netns
@pytest.mark.parametrize(("family", "rule"), CASES)
def test_we_read_what_nft_asks(family: str, rule: str) -> None:
    assert asked_as_read(family, rule) == asked_by_nft(ruleset(family, rule))


@pytest.mark.netns
@pytest.mark.parametrize(("family", "rule"), CASES)
def test_nft_asks_no_more_for_what_we_print(family: str, rule: str) -> None:
    before = ruleset(family, rule)
    after = optimized(before)
    assert asked_by_nft(after) == asked_by_nft(before), after


def test_the_family_is_not_said_where_nft_asks_for_it() -> None:
    assert "\ticmpv6 type destination-unreachable drop\n" in optimized(ruleset("inet", "icmpv6 type 1"))
    expected = "\tmeta l4proto ipv6-icmp icmpv6 type destination-unreachable drop\n"
    assert expected in optimized(ruleset("inet", "meta l4proto 58 icmpv6 type 1"))
