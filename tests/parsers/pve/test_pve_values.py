"""Addresses and ports: what Perl's Net::IP 1.26 said of each when it was asked."""

from __future__ import annotations

import pytest

from fwtrans.parsers.pve.values import (
    LogRateLimit,
    Mistake,
    check_addresses,
    check_ports,
    family_of_addresses,
    read_address_list,
    read_cidr,
    read_log_ratelimit,
)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("10.0.0.1", 4),
        ("10.1", 4),
        ("10/8", 4),
        ("0/0", 4),
        ("010.0.0.1", 4),
        ("1.2.3.04", 4),
        ("10.0.0.7/255.255.255.0", 4),
        ("10.0.0.0/08", 4),
        ("10.0.0.1-10.0.0.1", 4),
        ("10.1-10.2", 4),
        ("1.1.1.1,2.2.2.0/24", 4),
        ("::/0", 6),
        ("FE80::1", 6),
        ("2001:DB8::/32,::1", 6),
        ("2001:db8::1-2001:db8::ff", 6),
        ("::ffff:1.2.3.4", 6),
    ],
)
def test_a_list_that_net_ip_takes(text: str, family: int) -> None:
    assert read_address_list(text) == family
    assert check_addresses(text) is None
    assert family_of_addresses(text) == family


@pytest.mark.parametrize(
    "text",
    [
        "256", "300.1", "1..2", ".", ".1", "1.", "1.2.3.4.5", "0255.1", "1.2.3.4/0", "10.0.0.7/24", "10.0.0.0/33",
        "10.0.0.0/", "/8", "::1/64", "::1/129", "fe80::1%eth0", ":::", "a::b::c", "1:2:3:4:5:6:7:8:9", ":", "1:2", "12345::",
        "g::", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "1.2.3.4-", "-1.2.3.4", "10.0.0.0-10.0.0.0/8", "10.0.0.1-10.0.0.5-10.0.0.9",
        "1.1.1.1,::1", "1.1.1.1,", ",", "1.1.1.1,1.1.1.1-1.1.1.2", "10.0.0.1+5", "0x10.0.0.1", "", "٣.1.1.1", "\x00",
    ],
)  # fmt: skip
def test_a_list_that_net_ip_refuses(text: str) -> None:
    found = read_address_list(text)
    assert isinstance(found, Mistake)
    assert not found.fatal


@pytest.mark.parametrize("text", ["10.0.0.0/8x", "10.0.0.7/24x", "10.0.0.0/8-11.0.0.0", "::ffff:1.2.3", "1.1.1.1,10/x"])
def test_a_list_that_only_iptables_refuses(text: str) -> None:
    found = read_address_list(text)
    assert isinstance(found, Mistake)
    assert found.fatal


def test_of_two_mistakes_the_one_that_pve_sees_is_told() -> None:
    found = read_address_list("10.0.0.0/8x,nonsense")
    assert isinstance(found, Mistake)
    assert (found.part, found.fatal) == ("nonsense", False)


@pytest.mark.parametrize("text", ["+dc/a1", "+sdn/a-b_c", "+a1", "a1", "dc/a1", "guest/a1", "+" + "a" * 64, "a" * 64])
def test_references_by_name(text: str) -> None:
    assert check_addresses(text) is None
    assert family_of_addresses(text) == 0


@pytest.mark.parametrize(
    "text", ["+", "+a", "+1a", "+a1,+b1", "+host/a1", "sdn/a1", "+" + "a" * 65, "a" * 65, "dc/" + "a" * 62]
)
def test_names_that_pve_refuses(text: str) -> None:
    assert isinstance(check_addresses(text), Mistake)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7/24", (4, 24)),
        ("10.0.0.1", (4, 32)),
        ("::1", (6, 128)),
        ("2001:db8::1/64", (6, 64)),
        ("10.0.0.0/024", (4, 24)),
        ("10.1", None),
        ("01.0.0.1", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/", None),
        ("10.0.0.0/+8", None),
        ("::/129", None),
        ("1.2.3.4 ", None),
        ("1.2.3.4/" + "0" * 10_000, (4, 0)),
        ("1.2.3.4/" + "9" * 10_000, None),
    ],
)
def test_an_address_of_an_alias(text: str, expected: tuple[int, int] | None) -> None:
    found = read_cidr(text)
    assert (None if isinstance(found, Mistake) else (found.version, found.length)) == expected


@pytest.mark.parametrize(
    "text",
    ["0", "22", "00080", "1:9", "80,443,1000:2000", "ssh", "http,99", "0:65535", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"],
)
def test_ports_that_pve_takes(text: str) -> None:
    assert check_ports(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "65536",
        "9:1",
        "1:",
        ":1",
        "1:2:3",
        "a:b",
        ",",
        "1,",
        "1,,2",
        "",
        "9" * 5000,
        "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16",
    ],
)
def test_ports_that_pve_refuses(text: str) -> None:
    assert check_ports(text) is not None


def test_log_ratelimit() -> None:
    assert read_log_ratelimit("enable=1,burst=20,rate=10/second") == LogRateLimit(
        enabled=True, rate="10/second", burst=20
    )
    assert read_log_ratelimit("1") == LogRateLimit(enabled=True)
    assert read_log_ratelimit("no,") == LogRateLimit(enabled=False)
    for bad in ("", "rate=1/second", "enable=2", "enable=1,burst=x", "enable=1,rate=1/week", "enable=1,x=1", "1,0"):
        assert isinstance(read_log_ratelimit(bad), Mistake), bad
