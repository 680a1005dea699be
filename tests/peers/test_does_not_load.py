"""What other translators print and nft then refuses: ours loads, and means what iptables meant."""

from __future__ import annotations

import re
from itertools import product

import pytest

from fwtrans.backend.nft.keywords import RESERVED
from tests.lower.extensions import frames
from tests.peers.both_firewalls import (
    FAR,
    FAR6,
    NEAR,
    NEAR6,
    assert_alike,
    bytecode,
    count,
    kernel,
    listing,
    mangle,
    translated,
)

pytestmark = kernel

SOURCES = ("10.9.0.2", "10.9.0.7", "10.9.0.200", "10.9.3.1", "10.20.0.1", "192.0.2.1")
FROM_EVERYWHERE = [frames.ipv4(frames.udp(source, NEAR, 1, 2), source=source) for source in SOURCES]
FROM_CARDS = [
    frames.ipv4(make(source, NEAR, 7, port), source=source, protocol=protocol)
    for make, protocol in ((frames.udp, 17), (frames.tcp, 6))
    for source in SOURCES[:3]
    for port in (19, 20, 25, 30, 31, 53)
]


def set_rules(*names: str) -> list[str]:
    return [f"-m set {sign}--match-set {name}" for sign, name in product(("", "! "), names)]


def test_a_list_of_sets() -> None:
    ipsets = """create one hash:ip family inet
add one 10.9.0.2
create two hash:net family inet
add two 10.20.0.0/16
add two 10.20.0.1 nomatch
create both list:set size 8
add both one
add both two
create empty list:set size 8
"""
    counted = count(set_rules("both src", "empty src", "one src"), FROM_EVERYWHERE, ipsets=ipsets)
    assert_alike(counted)
    assert counted[0].nft == 1


def test_nested_prefixes() -> None:
    ipsets = """create n hash:net family inet
add n 10.0.0.0/8
add n 10.9.0.0/16
add n 10.9.0.0/24
add n 10.9.0.7
create m hash:net,port family inet
add m 10.9.0.0/16,udp:2
add m 10.9.0.0/24,udp:2
add m 10.9.0.0/24,tcp:2
"""
    counted = count(set_rules("n src", "m src,dst"), FROM_EVERYWHERE, ipsets=ipsets)
    assert_alike(counted)
    assert counted[0].nft == 5


@pytest.mark.parametrize("ports", ["20-30", "30-20"])
def test_ranges_of_ports_in_a_set_of_addresses_and_ports(ports: str) -> None:
    """Written by a person for `ipset restore`: the kernel makes single ports of a range, in either order."""
    ipsets = f"create p hash:ip,port family inet\nadd p 10.9.0.2,tcp:{ports}\nadd p 10.9.0.7,udp:53\n"
    counted = count(set_rules("p src,dst"), FROM_CARDS, ipsets=ipsets)
    assert_alike(counted)
    assert counted[0].nft == 3 + 1, "tcp 20, 25 and 30 of the one, udp 53 of the other"


def test_tos_in_ipv4() -> None:
    rules = [
        "-m tos --tos 0x10/0x3f",
        "-m tos ! --tos 0x10/0x3f",
        "-m tos --tos Minimize-Delay",
        "-m tos --tos 0x04",
        "-j TOS --set-tos 0x10/0x3f",
        "-m tos --tos 0x10/0x3f",
        "-j TOS --and-tos 0xfe",
        "-j TOS --xor-tos 0x06",
        *(f"-m tos --tos {value:#04x}/0xff" for value in range(0, 256, 2)),
    ]
    datagram = frames.udp(FAR, NEAR, 1, 2)
    assert_alike(count(rules, [frames.ipv4(datagram, tos=tos) for tos in range(256)]))


def test_a_limit_of_connections_in_ipv6() -> None:
    """Connections are counted by source network: two of one /64, then more."""
    rules = [
        "-p udp -m connlimit --connlimit-above 2 --connlimit-mask 64 --connlimit-saddr",
        "-p udp -m connlimit --connlimit-upto 2 --connlimit-mask 128 --connlimit-daddr",
    ]
    script = translated(mangle(rules), family="ip6").output
    assert "ct count over 2" in listing(script)
    packets = [frames.ipv6(frames.udp(FAR6, NEAR6, port, 7)) for port in (1, 2, 3, 4)]
    (counted,) = count(rules[:1], packets, family="ip6")
    assert counted.iptables == counted.nft


COMMENTS = (
    r"say \"no\"",
    r"a \\ backslash",
    "$HOME and `date` and $(reboot)",
    "; drop",
    "} accept {",
    "# not a comment",
    "it's",
    "äöü",
)


@pytest.mark.parametrize("text", COMMENTS)
def test_quotes_in_comments(text: str) -> None:
    script = translated(mangle([f'-s 192.0.2.1 -m comment --comment "{text}" -j DROP'])).output
    listed = re.sub(r'"[^"]*"', "", listing(script))
    assert listed.count("drop") == 1
    assert listed.count("accept") == 5, "the policies of the five chains and nothing else"


def test_status_none() -> None:
    """NONE asks for no bit at all: the kernel's test `status & 0` is false, so the rule never matches."""
    rules = [
        "-m conntrack --ctstatus NONE",
        "-m conntrack ! --ctstatus NONE",
        "-m conntrack --ctstatus NONE,CONFIRMED",
        "-m conntrack ! --ctstatus CONFIRMED",
    ]
    assert_alike(count(rules, FROM_EVERYWHERE))
    bytecode(translated(mangle(rules)).output)


def test_ports_in_the_wrong_order_are_refused_as_iptables_does() -> None:
    with pytest.raises(AssertionError, match="FWT112"):
        translated(mangle(["-p tcp --dport 100:20"]))


def test_chains_named_like_keywords_of_nft() -> None:
    """Each keyword is a chain that counts what jumps into it."""
    names = sorted(name for name in RESERVED if len(name) <= 28)
    assert {"dynamic", "reject", "fwd"} <= set(names)
    rules = [f"-j {name}" for name in names] + [f"-A {name} -p udp -j RETURN" for name in names]
    assert_alike(count(rules, FROM_EVERYWHERE[:1], chains=names))
