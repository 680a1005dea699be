"""What the parts of elements and the options say, as numbers."""

from __future__ import annotations

import pytest

from fwtrans.parsers.ipset_save.syntax import (
    NO_OPTIONS,
    AddressPart,
    ElementCommand,
    ElementOptions,
    InterfacePart,
    MacPart,
    MarkPart,
    MemberPart,
    Part,
    PortPart,
)
from tests.parsers.ipset_save.reading import only_set, read_well

TEN = 10 << 24
DB8 = 0x20010DB8 << 96


def element(create: str, text: str) -> ElementCommand:
    """Return the one element of a set."""
    (found,) = only_set(f"create x {create}\nadd x {text}\n").elements
    return found


@pytest.mark.parametrize(
    ("create", "text", "parts"),
    [
        ("hash:ip", "10.0.0.1", [AddressPart(TEN + 1, TEN + 1, "10.0.0.1")]),
        ("hash:ip", "10.1", [AddressPart(TEN + 1, TEN + 1, "10.1")]),
        ("hash:ip", "012.0.0.1", [AddressPart(TEN + 1, TEN + 1, "012.0.0.1")]),
        ("hash:ip", "10.0.0.5/30", [AddressPart(TEN + 4, TEN + 7, "10.0.0.5/30")]),
        ("hash:ip", "10.0.0.9-10.0.0.5", [AddressPart(TEN + 5, TEN + 9, "10.0.0.9-10.0.0.5")]),
        ("hash:ip", "[10.0.0.1]", [AddressPart(TEN + 1, TEN + 1, "[10.0.0.1]")]),
        ("hash:net", "10.0.0.7/8", [AddressPart(TEN, TEN + 0xFFFFFF, "10.0.0.7/8")]),
        ("hash:net,iface", "0.0.0.0/0,eth0", [AddressPart(0, 0xFFFFFFFF, "0.0.0.0/0"), InterfacePart("eth0", False, "eth0")]),
        ("hash:net family inet6", "2001:db8::1/126", [AddressPart(DB8, DB8 + 3, "2001:db8::1/126")]),
        ("hash:net family inet6", "8000::/1", [AddressPart(1 << 127, (1 << 128) - 1, "8000::/1")]),
        ("hash:mac", "A:b:0:1:2:3", [MacPart(0x0A0B00010203, "A:b:0:1:2:3")]),
        ("hash:ip,mark", "10.0.0.1,0x10", [AddressPart(TEN + 1, TEN + 1, "10.0.0.1"), MarkPart(16, "0x10")]),
        ("hash:net,iface", "10.0.0.1,physdev:tap0", [AddressPart(TEN + 1, TEN + 1, "10.0.0.1"), InterfacePart("tap0", True, "physdev:tap0")]),
        ("bitmap:port range 0-99", "udp:53", [PortPart(None, 53, 53, "udp:53")]),
        ("bitmap:port range 0-99", "9-7", [PortPart(None, 7, 9, "9-7")]),
        ("bitmap:ip,mac range 10.0.0.0/24", "10.0.0.1", [AddressPart(TEN + 1, TEN + 1, "10.0.0.1")]),
    ],
)  # fmt: skip
def test_parts_are_numbers(create: str, text: str, parts: list[Part]) -> None:
    assert list(element(create, text).parts) == parts


@pytest.mark.parametrize(
    ("family", "text", "protocol", "first", "last"),
    [
        ("inet", "80", 6, 80, 80),
        ("inet", "ssh", 6, 22, 22),
        ("inet", "[ftp-data]-ssh", 6, 20, 22),
        ("inet", "tcp:0", 6, 0, 0),
        ("inet", "udp:1024-65535", 17, 1024, 65535),
        ("inet", "0x11:0x35", 17, 53, 53),
        ("inet", "sctp:90-80", 132, 80, 90),
        ("inet", "udplite:7", 136, 7, 7),
        ("inet", "icmp:echo-request", 1, 0x0800, 0x0800),
        ("inet", "icmp:3/13", 1, 0x030D, 0x030D),
        ("inet", "icmp:p", 1, 0, 0),  # pong, the first that begins with p
        ("inet", "1:8/0", 1, 0x0800, 0x0800),
        ("inet6", "icmpv6:neighbour-solicitation", 58, 135 << 8, 135 << 8),
        ("inet6", "ipv6-icmp:1/6", 58, 0x0106, 0x0106),
        ("inet", "vrrp:0", 112, 0, 0),
        ("inet", "47:0", 47, 0, 0),
    ],
)
def test_ports_have_protocol_and_number(family: str, text: str, protocol: int, first: int, last: int) -> None:
    address = "::1" if family == "inet6" else "10.0.0.1"
    port = element(f"hash:ip,port family {family}", f"{address},{text}").parts[1]
    assert port == PortPart(protocol, first, last, text)


def test_options_are_typed() -> None:
    found = element(
        "hash:net,iface timeout 9 counters comment skbinfo",
        "10.0.0.0/8,eth timeout 0x10 wildcard nomatch packets 1 bytes 2 "
        'comment "a  b" skbmark 0x1/0xff skbprio 1:a skbqueue 3',
    )
    assert found.options == ElementOptions(
        timeout=16,
        nomatch=True,
        wildcard=True,
        packets=1,
        bytes=2,
        comment="a  b",
        skbmark=(1, 255),
        skbprio=(1, 10),
        skbqueue=3,
    )


def test_an_element_alone_has_no_options() -> None:
    assert element("hash:ip timeout 5", "10.0.0.1").options == NO_OPTIONS


def test_header_is_typed() -> None:
    header = only_set(
        "create x hash:ip family inet6 hashsize 64 maxelem 9 netmask 64 timeout 5 counters comment skbinfo forceadd"
        " bucketsize 12 initval 0xff\n"
    ).header
    assert (header.family, header.netmask, header.timeout, header.maxelem) == ("inet6", 64, 5, 9)
    assert (header.hashsize, header.bucketsize, header.initval) == (64, 12, 255)
    assert header.counters
    assert header.comment
    assert header.skbinfo
    assert header.forceadd


def test_range_of_a_bitmap_with_netmask_is_whole_networks() -> None:
    header = only_set("create x bitmap:ip range 10.0.0.3-10.0.0.77 netmask 28\n").header
    assert header.range == (TEN, TEN + 79)


def test_old_names_are_those_of_today() -> None:
    dump = read_well(
        "-N a iphash --hashsize 1024 --probes 8 --resize 50 --netmask 24\n-A a 10.0.0.1\n"
        "-N p portmap --from 1 --to 10\n-N m macipmap --network 10.0.0.0/24\n-N l setlist\n-A l a\n-A l p,before,a\n"
    )
    assert [item.type for item in dump.sets] == ["hash:ip", "bitmap:port", "bitmap:ip,mac", "list:set"]
    assert [command.parts[0] for command in dump.sets[3].elements] == [MemberPart("p", "p"), MemberPart("a", "a")]
    assert dump.sets[1].header.range == (1, 10)


def test_bitmask_is_an_address() -> None:
    assert only_set("create x hash:ip bitmask 255.0.255.0\n").header.bitmask == 0xFF00FF00
