"""Which network of an ipset decides: the longest one, of any interface, and each that a range is made of."""

from __future__ import annotations

import ipaddress
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.names import NamePattern
from fwtrans.lower.ipset import lower_ipsets
from fwtrans.parsers.ipset_save.parse import parse_ipset_save
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.ir.intervals import Interval
    from fwtrans.ir.sets import NamedSet

INTERFACES = """create t hash:net,iface family inet
add t 0.0.0.0/0,eth0
add t 10.0.0.0/8,eth1
add t 10.1.0.0/16,eth0
add t 10.1.2.0/24,eth1 nomatch
add t 10.1.2.0/24,eth0
add t 10.1.2.3,eth2
"""
RANGES = """create t hash:net family inet
add t 10.0.0.0-10.0.0.9
add t 10.0.0.8/30 nomatch
"""
ADDRESSES = """create t hash:ip,port,net family inet
add t 10.0.0.1,tcp:80,10.0.0.0/16
add t 10.0.0.1-10.0.0.9,tcp:80,10.0.1.0/24 nomatch
"""


def number(address: str) -> int:
    return int(ipaddress.IPv4Address(address))


def lowered(sets: str) -> NamedSet:
    sink = DiagnosticSink()
    parsed = parse_ipset_save(SourceFile("ipset-save", sets), sink)
    assert parsed is not None
    assert not sink.errors
    return lower_ipsets(parsed.sets, Family.IP)["t"]


def _spans(part: Interval | NamePattern, want: str | int) -> bool:
    return not isinstance(part, NamePattern) and isinstance(want, int) and want in range(part[0], part[1] + 1)


def has(sets: str, *key: str | int) -> bool:
    """Tell whether the lowered set holds a key: addresses, numbers or names of interfaces."""
    wanted = [number(part) if isinstance(part, str) and part[0].isdigit() else part for part in key]
    return any(
        all(
            part == NamePattern(str(want), is_prefix=False) or _spans(part, want)
            for part, want in zip(element.key, wanted, strict=True)
        )
        for element in lowered(sets).elements
    )


@pytest.mark.parametrize(
    ("address", "interface", "inside"),
    [
        ("9.0.0.1", "eth0", True),
        ("10.0.0.1", "eth0", False),
        ("10.0.0.1", "eth1", True),
        ("10.1.0.1", "eth0", True),
        ("10.1.0.1", "eth1", False),
        ("10.1.2.1", "eth0", True),
        ("10.1.2.1", "eth1", False),
        ("10.1.2.3", "eth0", False),
        ("10.1.2.3", "eth2", True),
        ("10.1.2.4", "eth2", False),
    ],
)
def test_behind_a_network_of_another_interface_none_is_looked_for(address: str, interface: str, inside: bool) -> None:
    assert has(INTERFACES, address, interface) == inside


@pytest.mark.netns
@pytest.mark.parametrize("address", ["9.0.0.1", "10.0.0.1", "10.1.0.1", "10.1.2.1", "10.1.2.3", "10.1.2.4"])
@pytest.mark.parametrize("sets", [RANGES, INTERFACES])
def test_the_kernel_says_the_same(sets: str, address: str) -> None:
    """A loaded set is asked by the program: `ipset test` goes the way of packets for an address without a length."""
    words = [(address, name) for name in ("eth0", "eth1", "eth2")] if sets is INTERFACES else [(address,)]
    for key in words:
        script = f"ipset restore <<'E'\n{sets}E\nipset test t {','.join(key)}"
        asked = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False)
        assert "in set t" in asked.stderr, asked.stderr
        assert has(sets, *key) == (asked.returncode == 0), key


@pytest.mark.parametrize(("last", "inside"), [(7, True), (8, True), (9, True), (10, False), (11, False), (12, False)])
def test_each_network_of_a_range_has_its_own_length(last: int, inside: bool) -> None:
    """10.0.0.0-10.0.0.9 is 10.0.0.0/29 and 10.0.0.8/31, which is longer than the /30 that is left out."""
    assert has(RANGES, f"10.0.0.{last}") == inside


def test_a_range_of_addresses_is_no_network() -> None:
    """Each of them is kept by itself, so that only the network tells which entry is asked first."""
    assert not has(ADDRESSES, "10.0.0.1", 6, 80, "10.0.1.1")
    assert has(ADDRESSES, "10.0.0.1", 6, 80, "10.0.2.1")


def test_the_last_word_on_a_network_counts() -> None:
    sets = "create t hash:net\nadd t 10.0.0.0-10.0.0.9\nadd t 10.0.0.8/31 nomatch -exist\n"
    assert has(sets, "10.0.0.7")
    assert not has(sets, "10.0.0.8")


def test_a_range_that_meets_nothing_else_stays_one_element() -> None:
    found = lowered("create t hash:net\nadd t 10.0.0.0-10.0.0.9\nadd t 11.0.0.0/8 nomatch\n")
    assert [element.key for element in found.elements] == [((number("10.0.0.0"), number("10.0.0.9")),)]
