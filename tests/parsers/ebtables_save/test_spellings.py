"""How options of ebtables may be written, and what it refuses: compared with ebtables-nft-restore and the kernel."""

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

SAME = {
    "-pARP --arp-op=Request -jDROP": "-p ARP --arp-op Request -j DROP",
    "-ieth0 -d00:11:22:33:44:55 -jmark --mark-set=1 --mark-target=CONTINUE":
        "-i eth0 -d 00:11:22:33:44:55 -j mark --mark-set 1 --mark-target CONTINUE",
    "-p! IPv4 --jump=DROP": "-p ! IPv4 -j DROP",
    "--log": '--log-level notice --log-prefix ""',
}  # fmt: skip
REFUSED = {
    "-i eth0 -i eth1": "FWT111",
    "-j DROP -j ACCEPT": "FWT111",
    "-p ARP --arp-op 1 --arp-op 2": "FWT111",
    "--limit 5/min --limit 5/min -j ACCEPT": "FWT111",
    "-p IPv6 ! --ip6-dst ! fd00::1 -j ACCEPT": "FWT110",
    '-i eth0 -j ""': "FWT106",
    "--to-src 00:11:22:33:44:55": "FWT116",
    "--redirect-target DROP": "FWT116",
    "-p IPv4 --ip-dport 22 -j DROP": "FWT116",
    "-p IPv4 ! --ip-proto udp --ip-dport 22 -j DROP": "FWT116",
    "-p IPv6 --ip6-proto tcp --ip6-icmp-type 1 -j DROP": "FWT116",
    "--among-src 00:11:22:33:44:55=10.0.0.01 -j DROP": "FWT112",
    "-j mark --mark-set 1 --mark-or 2": "FWT112",
}
ONLY_NFT_TAKES = {
    "--mark-set 1": "FWT116",
    "--among-src 00:11:22:33:44:55 --among-src 00:11:22:33:44:56": "FWT111",
    "--mark 1 --mark 2": "FWT111",
}


def dump_of(rule: str) -> str:
    return f"*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT {rule}\n"


def read(rule: str) -> tuple[Ruleset | None, list[str]]:
    sink = DiagnosticSink()
    reading = read_inputs((SourceFile("ebtables-save", dump_of(rule)),), sink, FileAccess())
    return (None if reading is None else reading.ruleset), [item.code for item in sink.errors]


def taken(rule: str) -> bool:
    with namespace():
        assert_inside()
        done = subprocess.run(
            ["ebtables-nft-restore"], input=dump_of(rule), text=True, capture_output=True, check=False
        )
    return done.returncode == 0


@pytest.mark.parametrize("rule", SAME)
def test_values_may_be_glued_to_their_options(rule: str) -> None:
    glued, found = read(rule)
    plain, _ = read(SAME[rule])
    assert found == []
    assert glued is not None
    assert plain is not None
    assert compare(glued, plain).equal


@pytest.mark.parametrize("rule", REFUSED | ONLY_NFT_TAKES)
def test_what_no_ebtables_takes_with_one_meaning_is_refused(rule: str) -> None:
    assert read(rule)[1] == [(REFUSED | ONLY_NFT_TAKES)[rule]]


@pytest.mark.netns
def test_ebtables_takes_and_refuses_the_same() -> None:
    assert [rule for rule in (*SAME, *SAME.values(), *ONLY_NFT_TAKES) if not taken(rule)] == []
    assert [rule for rule in REFUSED if taken(rule)] == []


def test_the_caret_stands_under_the_word_as_it_was_written() -> None:
    sink = DiagnosticSink()
    read_inputs((SourceFile("ebtables-save", dump_of("-ieth0 -i eth1 -jDROP")),), sink, FileAccess())
    (found,) = sink.errors
    assert found.span is not None
    assert (found.span.line, found.span.start, found.span.end) == (5, 16, 18)
