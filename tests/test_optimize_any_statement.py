"""`fwtrans optimize` and every statement of nft: what is not modelled stays in the words in which it was written.

Each rule is proved equal by the command itself, is loaded by nft where the unoptimised rule is, and does not change when
it is optimised again.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import Settings
from fwtrans.optimizing import optimize_texts
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = {
    "input": "filter hook input priority 0",
    "pre": "filter hook prerouting priority -300",
    "dnat": "nat hook prerouting priority -100",
    "snat": "nat hook postrouting priority 100",
}
RULES = """
input|tcp dport 22 ct count 3 accept
input|tcp dport 22 add @places { ip saddr limit rate over 5/minute } drop
input|tcp dport 22 update @places { ip saddr timeout 1m }
input|fib saddr . iif oif missing drop
input|icmpv6 mtu 1280 accept
input|ip6 flowlabel 5 drop
input|ip option lsrr exists drop
input|tcp option timestamp exists accept
input|ct avgpkt > 100 accept
input|ct original proto-dst 22 accept
input|ct event set new
input|socket transparent 1 accept
input|osf name "Linux" accept
input|rt nexthop 10.0.0.1 accept
input|iif "lo" accept
input|iif != "lo" drop
input|iif vmap { "lo" : accept, "eth0" : jump other, "eth1" : drop }
input|ip dscp 10-12 drop
input|ip6 dscp != 10-12 drop
input|ip dscp { 1, 3-7 } ip ecn 1 drop
input|ip6 dscp >= 33 drop
input|ip dscp vmap { cs1 : drop, 0 : jump other }
input|exthdr hbh vmap { exists : drop, missing : accept }
input|icmp id 5 drop
input|ct expiration 30s drop
input|ct expiration 30s-1m accept
input|ct state 8 drop
input|tcp option mptcp subtype 1 drop
input|ip protocol set 1
input|reject with icmp 10
input|udp dport 90 queue to numgen inc mod 4
input|queue flags bypass to jhash ip saddr mod 4
input|dst nexthdr tcp drop
input|meta iifkind "vlan" drop
input|tcp dport vmap { 22 : jump other, 1024-2048 : drop, * : continue }
input|ip saddr vmap { 10.0.0.0/8 : drop, 11.0.0.0/8 : continue }
input|ip protocol vmap { tcp : drop, udp : continue, * : accept }
input|tcp flags 6-255 drop
input|tcp flags > 5 drop
input|ip option ra value 5 drop
input|meta mark vmap { 1 : drop, * : jump other }
input|ip6 saddr ::2:3:4:5:6:7:8 drop
input|meta skuid "root" accept
input|meta time >= "2026-01-01 00:00:00" meta time <= "2026-12-31 23:59:59" drop
pre|ct zone set meta mark map { 1 : 10, 2 : 20 }
pre|ct original zone set iifname map { "eth0" : 1, "eth1" : 2 }
input|meta day "Sunday" drop
input|meta hour "08:00"-"17:00" accept
input|ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.2-10.0.0.9 . 80-90 : drop }
input|tcp dport vmap { 22 : accept, 80 : jump other, 443 : drop }
input|quota over 10 mbytes drop
input|quota 10 mbytes used 77 bytes accept
input|limit rate over 1 mbytes/second burst 5 kbytes drop
input|add @places { ip saddr timeout 3m limit rate over 5/minute } drop
input|tcp flags != { syn, ack, syn|ack } drop
input|tcp flags & (fin|syn|rst) != { syn, fin } drop
input|ip dscp < cs4 tcp dport 22 drop
input|ip6 dscp >= cs4 drop
input|ip dscp & 0x0c == 0x04 drop
input|ip ecn { ce, ect0 } drop
input|ip6 ecn != { ce, ect1 } drop
pre|numgen inc mod 2 == 0 accept
input|tcp dport 80 numgen inc mod 2 vmap { 0 : drop, 1 : accept }
input|numgen inc mod 3 vmap { 0 : continue, 1 : drop, 2 : jump other }
input|numgen inc mod 3 vmap { 0 : drop, 2 : continue }
input|tcp dport 80 log prefix "n" numgen random mod 2 vmap { 0 : drop, 1 : jump other }
input|numgen random mod 8 offset 2 vmap { 2-6 : jump other, 7 : goto other, 8-9 : return }
pre|meta mark set jhash ip saddr . ip daddr mod 16 seed 0xff
pre|meta mark set symhash mod 4 offset 1
pre|meta mark set numgen random mod 8 offset 2
pre|meta mark set ip saddr map { 10.0.0.1 : 1, 10.0.0.2 : 2 }
pre|ct mark set meta mark and 0xff
pre|ip dscp set cs1
pre|ip ttl set 64
pre|ip6 hoplimit set 64
pre|meta nftrace set 1
dnat|dnat ip to 10.0.0.1
dnat|dnat ip6 to 2001:db8::1
dnat|dnat ip6 to [2001:db8::1]:8080
dnat|dnat ip to tcp dport map { 80 : 10.0.0.1, 443 : 10.0.0.2 }
dnat|dnat ip to tcp dport map { 80 : 10.0.0.1, 443 : 10.0.0.2 }:tcp dport map { 80 : 8080, 443 : 8443 }
dnat|dnat ip to tcp dport map { 80 : 10.0.0.1, 443 : 10.0.0.2 }:8080
dnat|dnat ip6 to tcp dport map { 80 : 2001:db8::1, 443 : 2001:db8::2 }:8080
dnat|dnat ip6 to tcp dport map { 80 : 2001:db8::1, 443 : 2001:db8::2 }
dnat|dnat ip addr . port to tcp dport map { 80 : 10.0.0.1 . 8080, 443 : 10.0.0.2 . 8443 }
dnat|dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }
dnat|dnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }
snat|snat ip to 192.0.2.4-192.0.2.9 persistent
snat|snat ip prefix to ip saddr map { 10.0.0.0/24 : 192.168.0.0/24 }
snat|ip saddr 10.0.0.0/8 masquerade random,persistent
""".strip().splitlines()
RULESET = """table inet t {{
	set places {{
		type ipv4_addr
		flags dynamic,timeout
		size 1000
	}}
	chain other {{
		accept
	}}
	chain c {{
		type {kind}
		{rule}
	}}
}}
"""
WHOLE = "tcp dport {{ 25, 110 }} drop\n\t\ttcp dport 143 drop\n\t\t{rule}"


def optimized(text: str) -> str:
    sink = DiagnosticSink()
    found = optimize_texts([SourceFile("host.nft", text)], Settings(), sink, Nothing())
    assert not sink.errors, [error.message for error in sink.errors]
    return found.output


class Nothing:
    def read(self, _path: str) -> None:
        return None

    def matching(self, _pattern: str) -> tuple[str, ...]:
        return ()


def loads(text: str, folder: Path) -> bool:
    """Ask nft, in a network namespace of its own, and without carrying anything out."""
    path = folder / "asked.nft"
    path.write_text(text)
    return (
        subprocess.run(["unshare", "-n", "nft", "-c", "-f", str(path)], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.netns
@pytest.mark.parametrize("line", RULES)
def test_a_rule_of_any_kind_is_kept(line: str, tmp_path: Path) -> None:
    assert shutil.which("nft")
    hook, _, rule = line.partition("|")
    before = RULESET.format(kind=HOOKS[hook], rule=WHOLE.format(rule=rule))
    after = optimized(before)
    assert optimized(after) == after
    if loads(before, tmp_path):  # else the running kernel cannot ask it
        assert loads(after, tmp_path), after


def test_the_kernel_has_most_of_them(tmp_path: Path) -> None:
    rules = [line.partition("|") for line in RULES]
    there = [loads(RULESET.format(kind=HOOKS[hook], rule=rule), tmp_path) for hook, _, rule in rules]
    assert sum(there) >= len(RULES) * 3 // 4, [line for line, known in zip(RULES, there, strict=True) if not known]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("dnat ip addr . port to tcp dport map { 80 : 10.0.0.1 . 8080 }", "dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080 }"),
        ("meta mark set jhash ip saddr mod 16", "meta mark set jhash ip saddr mod 16"),
        ("ip6 flowlabel 5 drop", "ip6 flowlabel == 5 drop"),
        ("update @places { ip saddr timeout 1m }", "flags timeout,dynamic"),
    ],
)  # fmt: skip
def test_the_words_are_those_that_were_read(written: str, kept: str) -> None:
    assert kept in optimized(RULESET.format(kind=HOOKS["dnat"], rule=written))


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_a_map_tells_the_family_of_a_translation_that_does_not(family: str) -> None:
    address, kind = {"ip": ("10.0.0.1", "ipv4_addr"), "ip6": ("2001:db8::1", "ipv6_addr")}[family]
    named = f"\tmap m {{\n\t\ttype inet_service : {kind}\n\t\telements = {{ 80 : {address} }}\n\t}}\n"
    head = "table inet t {\n"
    chain = "\tchain c {\n\t\ttype nat hook prerouting priority -100\n\t\tdnat %sto tcp dport map @m\n\t}\n}\n"
    assert optimized(head + named + chain % "") == optimized(head + named + chain % f"{family} ")


@pytest.mark.netns
def test_behind_a_packet_that_is_sent_elsewhere_stands_no_verdict(tmp_path: Path) -> None:
    hook = 'type filter hook ingress device "lo" priority 0; policy accept;'
    before = f'table netdev t {{\n\tchain c {{\n\t\t{hook}\n\t\tip ttl 1 drop\n\t\tfwd to "lo"\n\t}}\n}}\n'
    after = optimized(before)
    assert 'fwd to "lo"\n' in after
    assert loads(before, tmp_path)
    assert loads(after, tmp_path), after


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("limit rate 1/second numgen random mod 2 vmap { 0 : drop, 1 : accept }", "what it comes to is not modelled"),
    ],
)
def test_what_cannot_be_printed_is_told_at_its_line(line: str, reason: str) -> None:
    sink = DiagnosticSink()
    text = RULESET.format(kind=HOOKS["input"], rule=line)
    assert not optimize_texts([SourceFile("host.nft", text)], Settings(), sink, Nothing()).output
    (found,) = sink.errors
    assert found.code == "FWT200"
    assert reason in found.message
    assert found.span is not None
    assert found.span.source.line(found.span.line)[found.span.start : found.span.end] == line
