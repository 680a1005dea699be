"""Statements that are kept as they were read: their words come back, and nothing hostile comes through."""

from __future__ import annotations

import json

import pytest

from fwtrans.backend.nft.foreign import foreign_text, negated_match
from fwtrans.diagnostics import DiagnosticSink, Refused
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile

STATEMENTS = [
    "dnat ip addr . port to tcp dport map { 80 : 10.0.0.1 . 8080, 443 : 10.0.0.2 . 8443 }",
    "snat to 192.0.2.1-192.0.2.9:1024-2048 random,persistent",
    "dnat ip6 to [2001:db8::1]:80",
    "dnat ip to tcp dport map { 80 : 10.0.0.1 }:tcp dport map { 80 : 8080 }",
    "redirect to :8080",
    "masquerade fully-random",
    'dup to 10.0.0.1 device "eth0"',
    "tproxy to 127.0.0.1:3129",
    "tproxy ip6 to [::1]:3129",
    "tproxy to :3129",
    "meta mark set jhash ip saddr . ip daddr mod 16 seed 255 offset 3",
    "meta mark set (meta mark & 255)",
    "ct mark set symhash mod 4",
    'iif "lo"',
    'oifname != "accept"',
    "ip6 flowlabel == 5",
    "fib saddr . iif oif != 5",
    "ct original ip saddr == 10.0.0.0/8",
    "@th,16,16 == 22",
    "ip saddr == { 10.0.0.1, 10.0.0.0-10.0.0.9 }",
    "ip saddr != @nets",
    "tcp option timestamp tsval == 1",
    "rt ip nexthop == 10.0.0.1",
    "add @places { ip saddr : 1 }",
    "update @places { ip saddr timeout 90s : tcp dport }",
    "flow add @fast",
    'limit name tcp dport map { 80 : "slow", 81 : "fast" }',
    'counter name ip saddr map { 10.0.0.0/8 : "inner" }',
    "counter name tcp dport map @counters",
    'ct helper set tcp dport map { 21 : "ftp" }',
    'ct expectation set "later"',
]  # fmt: skip


def statement(text: str) -> object:
    sink = DiagnosticSink()
    source = SourceFile("x.nft", f"table inet t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n")
    items = parse_nft_text(source, sink)
    assert not sink.found, [item.message for item in sink.found]
    (rule,) = [item["add"]["rule"] for item in items if "rule" in item.get("add", {})]
    return rule["expr"][0]


@pytest.mark.parametrize("text", STATEMENTS)
def test_words_are_read_as_what_they_were_made_of(text: str) -> None:
    read = statement(text)
    assert statement(foreign_text(json.dumps(read))) == read


HOSTILE = [
    {"xt": {"type": "target", "name": "LED"}},
    {"match": {"op": "== 1 accept #", "left": {"meta": {"key": "mark"}}, "right": 1}},
    {"match": {"op": "==", "left": {"meta": {"key": "mark 1 accept"}}, "right": 1}},
    {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": 'x" accept comment "'}},
    {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr }"}}, "right": "10.0.0.1"}},
    {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": "@set } accept"}},
    {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": {"elem": {"val": 1, "comment": "x"}}}},
    {"mangle": {"key": {"ct": {"key": "mark set 1"}}, "value": {"numgen": {"mode": "inc", "mod": "2 accept"}}}},
    {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"jhash": {"expr": 1, "mod": 2, "more": 1}}}},
    {"dnat": {"addr": "10.0.0.1", "flags": ["random; accept"]}},
    {"dnat": {"addr": "10.0.0.1\naccept"}},
    {"dup": {"addr": "10.0.0.1", "dev": 'eth0" accept'}},
    {"map": {"op": "add", "elem": 1, "data": 1, "map": "@m; flush ruleset"}},
    {"map": {"op": "add", "elem": {"elem": {"val": 1, "timeout": "1s : 2 }"}}, "data": 1, "map": "@m"}},
    {"flow": {"op": "add", "flowtable": "@f accept"}},
    {"ct expectation": 'e" accept'},
    {"limit": {"map": {"key": 1, "data": {"set": [[1, 'x" } accept']]}}}},
    {"drop": None, "accept": None},
    [],
    "accept",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_in_no_known_form_is_refused(content: object) -> None:
    with pytest.raises(Refused) as caught:
        foreign_text(json.dumps(content))
    assert caught.value.code in {"FWT200", "FWT501"}


def test_only_the_index_of_an_interface_is_asked_the_other_way_round() -> None:
    assert foreign_text(negated_match(json.dumps(statement('oif "lo"')))) == 'oif != "lo"'
    with pytest.raises(Refused):
        negated_match(json.dumps(statement("ip6 flowlabel 5")))  # packets of IPv4 have none
