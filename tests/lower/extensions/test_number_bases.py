"""Numbers with leading zeros, in hexadecimal and with a plus, and short addresses: iptables' own save says what they are."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.semantics.equivalence import compare
from fwtrans.source import SourceFile
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

RULES = {
    "filter": [
        "-s 10.1.2.3/024", "-d 10.1.2.3/0x18", "-p 010", "-p 0x11", "-p tcp --dport 010", "-p tcp --sport 010:020",
        "-p tcp -m multiport --dports 010,22:030", "-p dccp --dport 010", "-p sctp --dport 010", "-p udp --dport 010",
        "-m mark --mark 010/0x0f", "-m connlimit --connlimit-above 5 --connlimit-mask 024",
        "-m connlimit --connlimit-above 5 --connlimit-mask 0x18", "-m ttl --ttl-eq 064", "-m length --length 0100:0200",
        "-m hashlimit --hashlimit-upto 5/sec --hashlimit-name a --hashlimit-mode srcip --hashlimit-srcmask 024",
        "-m conntrack --ctorigsrc 10.1.2.3/024", "-m conntrack --ctproto tcp --ctorigdstport 010", "-m conntrack --ctorigdstport 80:090",
        "-m conntrack --ctproto 010", "-m time --monthdays 01,2,31", "-m statistic --mode nth --every 010 --packet 03",
        "-m connbytes --connbytes 010:020 --connbytes-dir both --connbytes-mode packets", "-m dscp --dscp 010", "-p icmp --icmp-type 010",
        "-m policy --dir in --pol ipsec --tunnel-src 10.0.0.0/024 --mode tunnel",
        "-p tcp --dport 0x50", "-p tcp --sport 0x10:0X20", "-p tcp -m multiport --dports 0x50,22:0x1f", "-p sctp --dport 0x50",
        "-p udp --dport +53", "-p +6", "-m dscp --dscp +8", "-m length --length +64:",
        "-s 10.1.2.3/255.0.0xc.0", "-s 300/8", "-d 10.1.258", "-m iprange --src-range 010.0.0.1-0x0a.1", "-m iprange --dst-range 10.1-10.2",
        "-m conntrack --ctorigsrc 10/8", "-m conntrack --ctorigsrc 10.1", "-m conntrack --ctrepldst 010.0x2.3.4/24",
        "-m recent --name n --rcheck --mask 255.255.0377.0",
    ],
    "nat": [
        "-p tcp -j DNAT --to-destination 10.1.1.1:010", "-p tcp -j REDIRECT --to-ports 010", "-j NETMAP --to 10.0.0.0/024",
        "-j NETMAP --to 01.2.3.4/32", "-p tcp -j DNAT --to-destination 10.1.1.1:0x50", "-p tcp -j REDIRECT --to-ports 0x50",
    ],
}  # fmt: skip
REFUSED = [
    "-s 10.1.2.3/08", "-m connlimit --connlimit-above 5 --connlimit-mask 08", "-m time --monthdays 08", "-m time --monthdays 0x8,3",
    "-m conntrack --ctorigsrc 10.1.2.3/08", "-p udp --dport 0x50", "-p tcp --dport 0x", "-p tcp --dport -5",
    "-m iprange --src-range 1.2.3.4.5-2.0.0.0", "-i abcdefghijklmno+",
]  # fmt: skip
CHAINS = {"filter": "INPUT", "nat": "PREROUTING"}


def dump_of(table: str, rule: str) -> str:
    end = "" if "-j " in rule else " -j DROP"
    return f"*{table}\n:{CHAINS[table]} ACCEPT [0:0]\n-A {CHAINS[table]} {rule}{end}\nCOMMIT\n"


def read(text: str) -> tuple[Ruleset | None, DiagnosticSink]:
    sink = DiagnosticSink()
    reading = read_inputs((SourceFile("iptables-save", text),), sink, FileAccess())
    return (None if reading is None else reading.ruleset), sink


def saved(text: str) -> str:
    """Return what iptables-save prints when a dump is loaded; "" where iptables refuses it."""
    with namespace():
        assert_inside()
        done = subprocess.run(["iptables-restore"], input=text, text=True, capture_output=True, check=False)
        after = subprocess.run(["iptables-save"], text=True, capture_output=True, check=True).stdout
    return "" if done.returncode else after


@pytest.mark.netns
@pytest.mark.parametrize(("table", "rule"), [(table, rule) for table, rules in RULES.items() for rule in rules])
def test_a_number_is_what_iptables_makes_of_it(table: str, rule: str) -> None:
    written, sink = read(dump_of(table, rule))
    assert not sink.errors
    after = saved(dump_of(table, rule))
    kept = "\n".join(line for line in after.splitlines() if not line.startswith(":") or CHAINS[table] in line)
    loaded, sink = read(kept + "\n")
    assert not sink.errors, after
    assert written is not None
    assert loaded is not None
    assert compare(written, loaded).equal, after


@pytest.mark.netns
@pytest.mark.parametrize("rule", REFUSED)
def test_a_number_that_iptables_refuses_is_refused(rule: str) -> None:
    assert saved(dump_of("filter", rule)) == ""
    assert [item.code for item in read(dump_of("filter", rule))[1].errors] == ["FWT112"]
