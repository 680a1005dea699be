"""What others fill while the ruleset is loaded is there to be filled, and no rule is left out for being empty today."""

from __future__ import annotations

import subprocess

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import Settings as OptimizerSettings
from fwtrans.optimizing import optimize_texts
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

DUMP = """*filter
:INPUT {policy} [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m set --match-set {name} src -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
SETS = {
    "hash:ip timeout 600": "\t\tflags timeout\n\t\ttimeout 10m\n",
    "hash:net": "\t\tflags interval\n",
    "hash:ip": "",
}


class Nothing:
    def read(self, _path: str) -> None:
        return None

    def matching(self, _pattern: str) -> tuple[str, ...]:
        return ()


def translated(name: str, kind: str, *elements: str) -> str:
    sink = DiagnosticSink()
    sources = [
        SourceFile("iptables-save", DUMP.format(name=name, policy="DROP")),
        SourceFile("ipset-save", f"create {name} {kind}\n" + "".join(f"add {name} {item}\n" for item in elements)),
    ]
    found = translate(sources, Settings(optimize=True), sink, Nothing())
    assert not sink.errors
    return found.output


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("elements", [(), ("192.0.2.1",)])
def test_a_rule_is_kept_for_a_set_that_is_empty_today(kind: str, elements: tuple[str, ...]) -> None:
    output = translated("f2b-sshd", kind, *elements)
    assert "ip saddr @f2b-sshd reject" in output
    assert f"\tset f2b-sshd {{\n\t\ttype ipv4_addr\n{SETS[kind]}" in output


@pytest.mark.netns
@pytest.mark.parametrize(
    ("kind", "element"), [("hash:ip timeout 600", "203.0.113.9 timeout 10m"), ("hash:net", "203.0.113.0/24")]
)
def test_the_kernel_takes_what_comes_later(kind: str, element: str) -> None:
    script = f"{translated('f2b-sshd', kind)}\nadd element ip fwtrans f2b-sshd {{ {element} }}\n"
    done = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=script, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_pve_firewall_writes_is_known() -> None:
    assert "PVEFW-0-blacklist-v4" not in translated("PVEFW-0-blacklist-v4", "hash:net")


def optimized(text: str) -> str:
    sink = DiagnosticSink()
    found = optimize_texts([SourceFile("host.nft", text)], OptimizerSettings(), sink, Nothing())
    assert not sink.errors
    return found.output


RULESET = """table inet t {
	set blocklist {
		type ipv4_addr
		flags interval
	}

	set nobody {
		type ipv4_addr
		flags timeout,dynamic
		timeout 1h
	}

	chain input {
		type filter hook input priority filter; policy accept;
		ip saddr @blocklist drop
		ip saddr 192.0.2.0/24 drop
		ip saddr 198.51.100.0/24 drop
	}
}
"""


def test_an_empty_set_of_an_nft_file_stays_with_its_flags_and_its_rule() -> None:
    output = optimized(RULESET)
    assert "\tset blocklist {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n" in output
    assert "ip saddr @blocklist drop" in output
    assert optimized(output) == output


def test_a_set_that_no_rule_asks_stays_for_those_who_fill_it() -> None:
    assert "\tset nobody {\n\t\ttype ipv4_addr\n\t\tflags timeout,dynamic\n\t\ttimeout 1h\n\t}\n" in optimized(RULESET)


def test_rules_behind_do_not_rest_on_what_is_in_a_set() -> None:
    # all of the second rule's packets are in the set today
    filled = RULESET.replace("flags interval\n", "flags interval\n\t\telements = { 192.0.2.0/24 }\n")
    assert "192.0.2.0" in optimized(filled).partition("chain input")[2]
