"""Masks with many holes: an interface's half of an IPv6 address, whatever the prefix is (`::1:2:3:4/::ffff:ffff:ffff:ffff`)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.semantics.concrete import Decision
from fwtrans.semantics.equivalence import compare
from fwtrans.simulate import read_probe, simulate
from tests.hosts import translated
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.ir.ruleset import Ruleset

DUMPS = {
    "iptables-save": ("-s 10.11.12.13/0.255.0.255", "ip saddr & 0.255.0.255 == 0.11.0.13", "@nh,96,32 & 0x00ff00ff"),
    "ip6tables-save": (
        "! -d ::7:8/::ffff:ffff:ffff:ffff",
        "ip6 daddr & ::ffff:ffff:ffff:ffff != ::7:8",
        "@nh,192,128 & 0x0000000000000000ffffffffffffffff !=",
    ),
}


def read(place: Path, text: str) -> Ruleset:
    place.write_text(text)
    sink = DiagnosticSink()
    reading = read_inputs(read_paths([str(place)], sink), sink, FileAccess())
    assert reading is not None, sink.found
    return reading.ruleset


@pytest.mark.parametrize("name", DUMPS)
def test_a_mask_with_many_holes_is_asked_of_the_bits_and_read_as_nft_lists_it(name: str, tmp_path: Path) -> None:
    option, listed, printed = DUMPS[name]
    dump = tmp_path / name
    old = read(dump, f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {option} -j DROP\nCOMMIT\n")
    result, found = translated(dump)
    assert not found
    assert printed in result.output
    family = "ip6" if name.startswith("ip6") else "ip"
    hook = "type filter hook input priority 0; policy accept;"
    new = f"table {family} fwtrans {{ chain INPUT {{ {hook}\n{listed} drop\n}} }}\n"
    assert compare(old, read(tmp_path / "listed.nft", new)).equal


def test_in_an_inet_table_the_other_family_has_no_such_address(tmp_path: Path) -> None:
    hook = "type filter hook input priority 0; policy accept;"
    table = "table inet t { chain c { " + hook + "\n%s%s drop\n} }\n"
    for _, listed, _ in DUMPS.values():
        family = "meta nfproto ipv6 " if listed.startswith("ip6") else "meta nfproto ipv4 "
        asked = read(tmp_path / "a.nft", table % ("", listed))
        assert compare(asked, read(tmp_path / "b.nft", table % (family, listed))).equal
        other = {"meta nfproto ipv6 ": "meta nfproto ipv4 "}.get(family, "meta nfproto ipv6 ")
        assert not compare(asked, read(tmp_path / "c.nft", table % (other, listed))).equal


@pytest.mark.parametrize("name", ["ip6tables-save", "iptables-save"])
def test_a_packet_is_simulated_by_the_bits_of_its_address(name: str, tmp_path: Path) -> None:
    rule = {
        "ip6tables-save": "-s ::7:8/::ffff:ffff:ffff:ffff",
        "iptables-save": "-m u32 --u32 12&0xff00ff=0x0b000d",
    }[name]
    ruleset = read(tmp_path / name, f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule} -j DROP\nCOMMIT\n")
    same, other = {
        "ip6tables-save": ("2001:db8::7:8", "2001:db8::7:9"),
        "iptables-save": ("1.11.2.13", "1.11.2.14"),
    }[name]
    ends = {}
    for source in (same, other):
        probe = read_probe(["hook=input", f"src={source}", "proto=tcp"], DiagnosticSink())
        assert probe is not None
        ends[source] = simulate(ruleset, probe).last.decision
    assert ends == {same: Decision.DROP, other: Decision.ACCEPT}


SHORT = {
    "iptables": {
        "0/0": "", "any/0": "", "/00": "", "host.invalid/0.0.0.0": "", "10/8": "10.0.0.0/8", "192.168/16": "192.168.0.0/16",
        "10.1": "10.1.0.0/32", "0": "0.0.0.0/32", "010.1.1.1": "8.1.1.1/32", "10.0x10.010/24": "10.16.8.0/24",
        "10.1.2.3/024": "10.1.0.0/20", "10.1.2.3/0x18": "10.1.2.0/24", "1.2/32": "1.2.0.0/32",
    },
    "ip6tables": {"0/0": "", "x/::": "", "fe80::1/0x0a": "fe80::/10", "::1/0": ""},
}  # fmt: skip
REFUSED = ["10./8", "/8", "10/255", "10/", "1.2.3.4.5", "10.1.2.3/08", "10.1.2.3/33", "10.1/24/8", "x/8"]


def dump_of(address: str) -> str:
    return f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {address} -j DROP\nCOMMIT\n"


@pytest.mark.netns
@pytest.mark.parametrize("program", SHORT)
def test_iptables_reads_short_addresses_and_masks_in_other_bases(program: str) -> None:
    def loaded(address: str) -> str | None:
        with namespace():
            assert_inside()
            text = dump_of(f"-s {address}")
            done = subprocess.run([f"{program}-restore"], input=text, text=True, capture_output=True, check=False)
            saved = subprocess.run([f"{program}-save"], text=True, capture_output=True, check=True).stdout
        rules = [line for line in saved.splitlines() if line.startswith("-A")]
        return None if done.returncode else rules[0].removeprefix("-A INPUT ").removesuffix("-j DROP")

    assert {address: loaded(address) for address in SHORT[program]} == {
        address: f"-s {network} " if network else "" for address, network in SHORT[program].items()
    }
    if program == "iptables":
        assert [loaded(address) for address in REFUSED] == [None] * len(REFUSED)


@pytest.mark.parametrize("program", SHORT)
def test_short_addresses_and_masks_in_other_bases_are_what_iptables_reads(program: str, tmp_path: Path) -> None:
    for address, network in SHORT[program].items():
        short = read(tmp_path / f"{program}-save", dump_of(f"-s {address}"))
        long = read(tmp_path / f"{program}-save", dump_of(f"-s {network}" if network else ""))
        assert compare(short, long).equal, address


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save"
    dump.write_text(dump_of(f"-s {address}"))
    _, found = translated(dump)
    assert [item.code for item in found] == ["FWT112"]
