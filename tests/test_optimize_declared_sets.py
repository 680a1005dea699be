"""What somebody has declared of a set or map stays, whatever it says about packets today."""

from __future__ import annotations

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import Settings
from fwtrans.optimizing import optimize_texts
from fwtrans.source import SourceFile
from tests.optimizer.texts import assert_loads


def optimized(declared: str, rule: str) -> str:
    text = f"table inet t {{ {declared} chain c {{ type filter hook input priority 0; policy drop; {rule}; }} }}"
    sink = DiagnosticSink()
    found = optimize_texts([SourceFile("own.nft", text)], Settings(), sink, FileAccess())
    assert found.output, sink.errors
    return found.output


SETS = [
    ("type ipv4_addr; size 1000; elements = { 10.0.0.1, 10.0.0.2 }", "ip saddr @s accept", "size 1000"),
    ("type ipv4_addr; flags constant; elements = { 10.0.0.1 }", "ip saddr @s accept", "flags constant"),
    ("type ifname; flags interval; elements = { eth0, eth1 }", "iifname @s accept", "flags interval"),
    ("type ether_addr; flags interval; elements = { 02:00:00:00:00:01 }", "ether saddr @s accept", "flags interval"),
    ("type ipv4_addr; flags timeout; timeout 1h; gc-interval 1m;", "ip saddr @s accept", "gc-interval 1m"),
    ("type ipv4_addr; flags timeout; timeout 10s500ms;", "ip saddr @s accept", "timeout 10s500ms"),
    ("type ipv4_addr; elements = { 10.0.0.1, * }", "ip saddr @s accept", "elements = { 10.0.0.1, * }"),
    ("type ipv4_addr; policy memory; size 9;", "ip saddr @s accept", "policy memory"),
    ("type ipv4_addr; flags dynamic,timeout; timeout 1h; gc-interval 5m;", "update @s { ip saddr }", "gc-interval 5m"),
]


MAPS = [
    (
        "type inet_service : mark; flags constant; elements = { 1 : 2 }",
        "meta mark set tcp dport map @m",
        "flags constant",
    ),
    ("type ipv4_addr : verdict; size 12; elements = { 10.0.0.1 : accept }", "ip saddr vmap @m", "size 12"),
    ("type ipv4_addr : verdict; flags timeout; timeout 1s1ms;", "ip saddr vmap @m", "timeout 1s1ms"),
]


@pytest.mark.parametrize(
    ("holder", "body", "rule", "kept"), [*(("set s", *case) for case in SETS), *(("map m", *case) for case in MAPS)]
)
@pytest.mark.netns
def test_what_is_declared_is_kept(holder: str, body: str, rule: str, kept: str) -> None:
    text = optimized(f"{holder} {{ {body} }}", rule)
    assert kept in text
    assert_loads(text)


@pytest.mark.netns
@pytest.mark.parametrize("flags", ["owner", "dormant,owner", "owner,persist"])
def test_a_table_that_belongs_to_a_program_stays_when_nft_ends(flags: str) -> None:
    text = f"table inet t {{ flags {flags}; chain c {{ type filter hook input priority 0; tcp dport 22 accept; }} }}"
    sink = DiagnosticSink()
    found = optimize_texts([SourceFile("own.nft", text)], Settings(), sink, FileAccess())
    assert "FWT156" in {item.code for item in sink.found}
    assert not sink.errors
    assert "owner" not in found.output
    assert ("\tflags dormant\n" in found.output) is ("dormant" in flags)
    assert_loads(found.output)
