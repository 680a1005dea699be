"""`fwtrans optimize` and what tables declare: flow tables, maps that are filled, objects that no rule of ours understands.

All of it stands in the result as it stood in the input, the command proves the result, and the result does not change.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimize import Settings
from fwtrans.optimizing import optimize_texts
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from tests.test_optimize_any_statement import Nothing, loads, optimized

if TYPE_CHECKING:
    from pathlib import Path

FILTER = "type filter hook input priority 0; policy accept;\n\t\ttcp dport { 25, 110 } drop\n\t\ttcp dport 143 drop"
NAT = "type nat hook prerouting priority -100; policy accept;"
# what is declared, the hook with rules in front, the rule; and what of it has to be in the result
KEPT = {
    "dynamic map": (
        "map seen {\n\t\ttype ipv4_addr : inet_service\n\t\tsize 1000\n\t\tflags dynamic,timeout\n\t\ttimeout 1h\n\t}",
        FILTER,
        "tcp dport 22 ip saddr 10.0.0.1 drop\n\t\tupdate @seen { ip saddr timeout 5m : tcp dport }",
        ("size 1000", "flags dynamic,timeout", "timeout 1h", "update @seen { ip saddr timeout 300s : tcp dport }"),
    ),
    "a map that is asked and filled": (
        "map marks {\n\t\ttype ipv4_addr : mark\n\t\tsize 9\n\t\tflags dynamic\n\t}",
        FILTER,
        "add @marks { ip saddr : meta mark } meta mark set ip saddr map @marks",
        ("type ipv4_addr : mark", "add @marks { ip saddr : meta mark } meta mark set ip saddr map @marks"),
    ),
    "address and port": (
        "map services {\n\t\ttype inet_service : ipv4_addr . inet_service\n\t\telements = { 80 : 10.0.0.1 . 8080 }\n\t}",
        NAT,
        "dnat ip to tcp dport map @services",
        ("80 : 10.0.0.1 . 8080", "dnat ip to tcp dport map @services"),
    ),
    "ranges": (
        "map services {\n\t\ttype ipv4_addr . inet_service : interval ipv4_addr . inet_service\n\t\tflags interval\n\t\telements = { 192.0.2.1 . 80-90 : 10.0.0.1-10.0.0.4 . 8080-8085 }\n\t}",
        NAT,
        "meta l4proto tcp dnat ip to ip daddr . tcp dport map @services",
        (": interval ipv4_addr . inet_service", "192.0.2.1 . 80-90 : 10.0.0.1-10.0.0.4 . 8080-8085"),
    ),
    "a map of ports": (
        "map ports {\n\t\ttype inet_service : inet_service\n\t\telements = { 80 : 8080 }\n\t}",
        NAT,
        "meta l4proto tcp redirect to :tcp dport map @ports",
        ("80 : 8080", "redirect to :tcp dport map @ports"),
    ),
    "counters by map": (
        'counter web {\n\t\tcomment "pages"\n\t\tpackets 4 bytes 400\n\t}\n\tmap counters {\n\t\ttype inet_service : counter\n\t\telements = { 80 : "web" }\n\t}',
        FILTER,
        'counter name tcp dport map @counters counter name tcp sport map { 80 : "web" }',
        ('80 : "web",', "packets 4 bytes 400", "counter name tcp dport map @counters", 'map { 80 : "web" }'),
    ),
    "limit by map": (
        "limit slow {\n\t\trate 10/second burst 5 packets\n\t}",
        FILTER,
        'limit name tcp dport map { 80 : "slow", 81 : "slow" } accept\n\t\tlimit name "slow" drop',
        ("rate 10/second burst 5 packets", 'map { 80 : "slow", 81 : "slow" } accept', 'limit name "slow" drop'),
    ),
    "expectation": (
        "ct expectation later {\n\t\tprotocol udp\n\t\tdport 9876\n\t\ttimeout 2m\n\t\tsize 8\n\t\tl3proto ip\n\t}",
        FILTER,
        'ct expectation set "later"',
        ("dport 9876", "timeout 2m", 'ct expectation set "later"'),
    ),
    "what no rule names": (
        'counter spare {\n\t\tpackets 1 bytes 2\n\t}\n\tct helper f {\n\t\ttype "ftp" protocol tcp\n\t\tl3proto ip\n\t}\n\tquota q {\n\t\tover 100 bytes\n\t}',
        FILTER,
        "tcp dport 22 accept",
        ("counter spare {", "ct helper f {", "over 100 bytes"),
    ),
}  # fmt: skip
FLOWS = "flowtable fast {\n\t\thook ingress priority 10\n\t\tdevices = { eth0, eth1 }\n\t\tflags offload\n\t}"


def ruleset(declared: str, head: str, rule: str, family: str = "ip") -> str:
    return f"table {family} t {{\n\t{declared}\n\n\tchain c {{\n\t\t{head}\n\t\t{rule}\n\t}}\n}}\n"


@pytest.mark.netns
@pytest.mark.parametrize("name", KEPT)
def test_what_has_no_model_stays_as_it_is(name: str, tmp_path: Path) -> None:
    assert shutil.which("nft")
    *parts, wanted = KEPT[name]
    before = ruleset(*parts)
    after = optimized(before)
    assert [words for words in wanted if words not in after] == [], after
    assert optimized(after) == after
    assert loads(before, tmp_path)
    assert loads(after, tmp_path), after


def test_a_set_that_is_charged_and_asked_is_one_set(tmp_path: Path) -> None:
    declared = "set seen {\n\t\ttype ipv4_addr\n\t\tsize 100\n\t\tflags dynamic,timeout\n\t\ttimeout 10s\n\t}"
    charge = "tcp dport 22 add @seen { ip saddr limit rate over 10/second } drop"
    after = optimized(ruleset(declared, FILTER, f"{charge}\n\t\tip saddr @seen tcp dport 7 drop"))
    assert after.count("\tset ") == 1
    assert "add @seen { ip saddr limit rate over 10/second burst 5 packets } drop\n" in after
    assert "ip saddr @seen" in after
    assert loads(after, tmp_path), after


def test_flow_tables_stay() -> None:
    before = ruleset(FLOWS, FILTER.replace("input", "forward"), "ct state established flow add @fast", "inet")
    after = optimized(before)
    assert 'hook ingress priority 10\n\t\tdevices = { "eth0", "eth1" }\n\t\tflags offload\n' in after
    assert "ct state established flow add @fast\n" in after
    assert optimized(after) == after


def test_a_table_that_is_asleep_stays_asleep(tmp_path: Path) -> None:
    asleep = ruleset("flags dormant", FILTER.replace("accept", "drop"), "ip saddr . tcp dport { 10.0.0.1 . 22 } accept")
    awake = ruleset("", FILTER, "tcp dport 22 accept", "inet")
    for before in (asleep, awake + asleep):
        after = optimized(before)
        assert "table ip t {\n\tflags dormant\n" in after
        assert "meta l4proto tcp ip saddr . th dport @__set0 accept\n" in after
        assert "th dport { 25, 110, 143 }" not in after.partition("flags dormant")[2]  # no pass has seen it
        assert optimized(after) == after
        assert loads(after, tmp_path), after


@pytest.mark.parametrize(
    ("behind", "sleeps"),
    [
        ("table ip t {\n\tchain d {\n\t\tdrop\n\t}\n}\n", False),
        ("add table ip t\n", False),
        ("add rule ip t c tcp dport 9 drop\n", True),
        ("", True),
    ],
)
def test_who_names_a_table_without_the_flag_wakes_it(behind: str, sleeps: bool) -> None:
    """Seen with nft 1.0.6: it lists no flag then."""
    asleep = ruleset("flags dormant", FILTER, "tcp dport 7 drop")
    assert ("flags dormant" in optimized(asleep + behind)) is sleeps


def test_a_table_that_is_asleep_and_wrong_is_left_out() -> None:
    sink = DiagnosticSink()
    asleep = ruleset("flags dormant", FILTER, "jump nowhere")
    found = optimize_texts(
        [SourceFile("host.nft", asleep + ruleset("", FILTER, "accept", "inet"))], Settings(), sink, Nothing()
    )
    assert "dormant" not in found.output
    assert [(item.code, "cannot be read" in item.message) for item in sink.found] == [("FWT155", True)]


def test_ways_of_a_drawn_number_hold_verdicts_only(tmp_path: Path) -> None:
    """What stands in a chain behind the map stays there, where it would stand in the caller otherwise."""
    chains = "\tchain one {\n\t\ttcp dport 80 dnat to 10.0.0.1:80\n\t}\n\tchain two {\n\t\taccept\n\t}\n"
    head = "table ip t {\n" + chains + f"\tchain c {{\n\t\t{NAT}\n"
    before = head + "\t\tnumgen inc mod 3 vmap { 0 : goto one, 1 : goto two, 2 : jump one }\n\t}\n}\n"
    after = optimized(before)
    assert "numgen inc mod 3 vmap { 0 : goto one, 1 : accept, 2 : jump one }\n" in after
    assert optimized(after) == after
    assert loads(after, tmp_path), after


@pytest.mark.parametrize(
    ("declared", "rule", "name"),
    [
        ("", "flow add @fast", "flowtable fast"),
        ("", 'ct expectation set "later"', "ct expectation later"),
        ("", "dnat ip to ip daddr . tcp dport map @nowhere", "map nowhere"),
        ("", 'counter name "spare"', "counter `spare`"),
    ],
)
def test_what_is_not_there_is_told_at_the_rule(declared: str, rule: str, name: str) -> None:
    sink = DiagnosticSink()
    source = SourceFile("host.nft", ruleset(declared, FILTER, rule))
    assert not optimize_texts([source], Settings(), sink, Nothing()).output
    (found,) = sink.errors
    assert name in found.message
    assert found.span is not None
    assert source.line(found.span.line).strip() == rule


def test_a_flow_table_of_one_device_is_the_same_in_text_and_in_libnftables_json() -> None:
    """Where there is one device, libnftables tells its name and no list."""
    text = 'table inet t {\n flowtable f {\n  hook ingress priority 0\n  devices = { "lo" }\n }\n chain c { }\n}\n'
    told = [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "inet", "name": "t", "handle": 1}},
        {"flowtable": {"family": "inet", "name": "f", "table": "t", "handle": 1, "hook": "ingress", "prio": 0, "dev": "lo"}},
        {"chain": {"family": "inet", "table": "t", "name": "c", "handle": 2}},
    ]  # fmt: skip
    sides = [SourceFile("a.nft", text)], [SourceFile("a.json", json.dumps({"nftables": told}))]
    read = [read_inputs(side, DiagnosticSink(), Nothing()) for side in sides]
    kept = [side.ruleset.tables[0].kept for side in read if side is not None]
    assert len(kept) == 2
    assert kept[0] == kept[1] != ()
