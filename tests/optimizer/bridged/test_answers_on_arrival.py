"""REJECT towards a guest, said when the packet comes in: where it answers, that it never says more, and where it declines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.effect import Log
from fwtrans.optimizer.bridged import translation
from fwtrans.semantics.bridged.journey import journey, read_end
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import Packet, Unknown
from fwtrans.simulate import read_probe
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.bridged_corpora import compared, translated

if TYPE_CHECKING:
    from fwtrans.semantics.concrete import Outcome
    from tests.bridged_corpora import Node

MAC = 0xBC2411000064
HEAD = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:tap100i0-IN - [0:0]
:tap100i0-OUT - [0:0]
:reject - [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m physdev --physdev-in fwln+ --physdev-out tap100i0 --physdev-is-bridged -j tap100i0-IN
-A FORWARD -m physdev --physdev-in tap100i0 --physdev-out fwln+ --physdev-is-bridged -j tap100i0-OUT
-A reject -p tcp -j REJECT --reject-with tcp-reset
-A reject -j REJECT --reject-with icmp-port-unreachable
"""
FILTER = "-A tap100i0-OUT -m mac ! --mac-source bc:24:11:00:00:64 -j DROP\n"


def of(rules: str, *, mac_filter: bool = True) -> Node:
    text = HEAD + rules + FILTER * mac_filter + "COMMIT\n"
    return translated([SourceFile("iptables-save", text)])


PLAIN = """\
-A tap100i0-IN -p tcp -m tcp --dport 80 -j ACCEPT
-A tap100i0-IN -p tcp -m tcp --dport 81 -j DROP
-A tap100i0-IN -p tcp -m tcp --dport 113 -m limit --limit 1/sec -j NFLOG --nflog-prefix "no ident"
-A tap100i0-IN -p tcp -m tcp --dport 113 -j reject
-A tap100i0-IN -j NFLOG --nflog-prefix "policy"
-A tap100i0-IN -j reject
"""


def sent(found: Node, *words: str, mac: int = MAC, start: str = "nfvm") -> list[Outcome]:
    """Send a packet to the guest; return what came of it at each hook of ours."""
    guests = guest_ports(found.old)
    probe = read_probe([*words, "iif=x"], DiagnosticSink())
    assert probe is not None
    values = {**probe.values, known.ETHER_DADDR: mac, known.ETHER_SADDR: 0x020000000001, known.HAS_ETHERNET: 1}
    begin, goal = read_end(start, guests), read_end("tap100i0", guests)
    assert begin is not None
    assert goal is not None
    outcomes: list[Outcome] = []
    for hop in journey(probe.family, begin, goal, by_iptables=False):
        outcome = evaluate(found.new, hop.visit, Packet({**values, **hop.values}), yes)
        outcomes.append(outcome)
        if outcome.decision is not Decision.ACCEPT:
            break
        values |= {field: value for field, value in outcome.values.items() if field not in hop.values}
    return outcomes


def yes(_: Unknown) -> bool:
    return True


def logs(outcomes: list[Outcome]) -> list[str]:
    return [effect.prefix for outcome in outcomes for effect in outcome.effects if isinstance(effect, Log)]


@pytest.mark.parametrize(
    ("words", "decision", "hooks", "logged"),
    [
        (("proto=tcp", "dport=80"), Decision.ACCEPT, 3, []),
        (("proto=tcp", "dport=81"), Decision.DROP, 2, []),
        (("proto=tcp", "dport=113"), Decision.REJECT, 1, ["no ident"]),
        (("proto=udp", "dport=113"), Decision.REJECT, 1, ["policy"]),
        (("proto=tcp", "dport=113", "state=established"), Decision.ACCEPT, 3, []),
        (("proto=tcp", "dport=113", "state=invalid"), Decision.DROP, 2, []),
    ],
)
def test_only_what_is_rejected_is_answered_and_logged_once(
    words: tuple[str, ...], decision: Decision, hooks: int, logged: list[str]
) -> None:
    outcomes = sent(of(PLAIN), *words)
    assert (outcomes[-1].decision, len(outcomes), logs(outcomes)) == (decision, hooks, logged)


def test_a_flooded_packet_is_dropped_where_it_would_be_rejected_and_logged_once() -> None:
    outcomes = sent(of(PLAIN), "proto=tcp", "dport=113", mac=0x020000000099)
    assert (outcomes[-1].decision, len(outcomes), logs(outcomes)) == (Decision.DROP, 2, ["no ident"])


def test_the_early_and_the_late_look_share_a_limit() -> None:
    text = of(PLAIN).printed.output
    names = re.findall(r'limit name "([^"]+)" log prefix "no ident"', text)
    assert len(names) >= 2
    assert len(set(names)) == 1
    assert len(re.findall(rf"^\tlimit {names[0]} {{", text, re.MULTILINE)) == 1


def test_it_is_proved_and_told() -> None:
    found = compared(of(PLAIN))
    assert found.comparison.equal
    names = {item.name for item in found.intended}
    assert "reject-on-arrival" in names
    assert "reject-is-drop" not in names


def declined(found: Node) -> list[str]:
    return [item.message for item in found.sink.found if item.code == "FWT211"]


def test_a_guest_of_unknown_hardware_address_is_told_and_its_rejects_are_drops() -> None:
    found = of(PLAIN, mac_filter=False)
    assert declined(found) == ["a REJECT towards tap100i0 is a drop: its hardware address is not known"]
    outcomes = sent(found, "proto=tcp", "dport=113")
    assert (outcomes[-1].decision, logs(outcomes)) == (Decision.DROP, ["no ident"])
    proof = compared(found)
    assert proof.comparison.equal
    assert next(item.text for item in proof.intended if item.name == "reject-is-drop").endswith(": tap100i0")


@pytest.mark.parametrize(
    "first",
    [
        "-A tap100i0-IN -p tcp -m limit --limit 1/sec -j reject\n",
        "-A tap100i0-IN -p tcp -m tcp --dport 5 -m limit --limit 1/sec -j ACCEPT\n",
        '-A tap100i0-IN -p tcp -m tcp --dport 5 -j NFLOG --nflog-prefix "seen"\n',
        "-A tap100i0-IN -p tcp -m tcp --dport 5 -j MARK --set-xmark 0x7/0xffffffff\n",
    ],
)
def test_it_declines_where_something_before_a_reject_cannot_wait(first: str) -> None:
    found = of(first + PLAIN)
    (message,) = declined(found)
    assert message.startswith("a REJECT towards tap100i0 is a drop: ")
    assert "hardware address" not in message
    assert sent(found, "proto=tcp", "dport=113")[-1].decision is Decision.DROP
    assert compared(found).comparison.equal


STOPPED = (
    "-A FORWARD -i vmbr0 -o vmbr0 -p tcp -m tcp --dport 113 -j DROP\n",
    "-A FORWARD -p tcp -m tcp --dport 113 -m physdev --physdev-in eth0 --physdev-is-bridged -j DROP\n",
    '-A FORWARD -m physdev --physdev-is-bridged ! --physdev-in fwln+ -j NFLOG --nflog-prefix "passes"\n',
)


@pytest.mark.parametrize("first", STOPPED)
def test_it_declines_where_the_packet_may_be_stopped_on_its_way(first: str) -> None:
    """It was answered and not logged, though no packet would have come so far, and the proof did not see it."""
    found = of(first + PLAIN)
    (message,) = declined(found)
    assert "other rules may stop the packet, or note that it came" in message
    assert compared(found).comparison.equal


@pytest.mark.parametrize("first", STOPPED)
def test_the_proof_sees_an_answer_to_what_would_have_been_stopped(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.setattr(translation, "stops_between", lambda *_: False)
    answering = of(first + PLAIN)
    assert not declined(answering)
    assert not compared(answering).comparison.equal


SETS = "create seen hash:ip family inet hashsize 1024 maxelem 65536 timeout 600\n"


@pytest.mark.parametrize("of_whom", ["", "--physdev-in eth0 "])
def test_what_a_rule_notes_of_a_packet_is_noted_before_an_answer(of_whom: str) -> None:
    """Who is rejected by a guest has been put into the set on the host's own bridge, before."""
    noting = f"-A FORWARD -m physdev {of_whom}--physdev-is-bridged -j SET --add-set seen src\n"
    found = translated(
        [SourceFile("iptables-save", HEAD + noting + PLAIN + FILTER + "COMMIT\n"), SourceFile("ipset-save", SETS)]
    )
    assert declined(found)
    assert "add @seen" in found.printed.output
    assert compared(found).comparison.equal


def test_no_copy_is_sent_to_another_host_from_a_bridge() -> None:
    sink = DiagnosticSink()
    copying = "-A FORWARD -m physdev --physdev-is-bridged -j TEE --gateway 10.9.9.9\n"
    source = SourceFile("iptables-save", HEAD + copying + PLAIN + FILTER + "COMMIT\n")
    assert not translate([source], Settings(optimize=True), sink, FileAccess()).output
    (error,) = sink.errors
    assert (error.code, error.span.line if error.span else 0) == (
        "FWT200",
        source.text.count("\n", 0, source.text.index(copying)) + 1,
    )


BESIDE = """\
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD ! -i docker0 -o docker0 -j DROP
-A FORWARD -i eth+ -o eth0 -p tcp -m tcp --dport 25 -m physdev ! --physdev-is-bridged -j DROP
"""


def test_rules_between_interfaces_stop_nothing_on_a_bridge() -> None:
    """A bridged packet leaves by the bridge that it came by."""
    assert not declined(of(BESIDE + PLAIN))


def test_a_rate_on_the_way_keeps_nobody_from_an_answer() -> None:
    first = "-A FORWARD -p tcp -m hashlimit --hashlimit-above 9/sec --hashlimit-mode srcip --hashlimit-name h -j DROP\n"
    assert not declined(of(first + PLAIN))


def test_a_guest_that_rejects_nothing_is_not_looked_at_early() -> None:
    found = of("-A tap100i0-IN -p tcp -m tcp --dport 80 -j ACCEPT\n-A tap100i0-IN -j DROP\n")
    assert "ether daddr" not in found.printed.output
    assert not declined(found)


def test_the_whole_way_with_its_own_proof() -> None:
    sink = DiagnosticSink()
    source = SourceFile("iptables-save", HEAD + PLAIN + FILTER + "COMMIT\n")
    result = translate([source], Settings(optimize=True), sink, FileAccess())
    assert not sink.errors
    assert "reject with tcp reset" in result.output
