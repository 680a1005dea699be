"""Every node of the corpora becomes nftables that is proved equal and that no firewall bridge, port match or mark bit is left in.

What a proof by parts takes for granted of kernels is looked at in the text: priorities, and that nothing but IP is asked
for the state of its connection.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, NoTrack
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept, Dispatch, Goto, Jump, Reject
from fwtrans.ir.walk import flat_steps, map_names, map_targets
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.translate import Settings, translate
from tests.bridged_corpora import CORPORA, NAMES, compared, node, pve_node, read_folder, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapElement
    from fwtrans.source import SourceFile
    from tests.bridged_corpora import Node

HELD = re.compile(r"\b(physdev|fwbr|fwln|fwpr)\w*")
MARK = re.compile(r"meta mark\b.*")
BRIDGE_CONNTRACK = -200
ANSWERING = {Hook.PREROUTING, Hook.INPUT}

SMALL = [name for name in NAMES if name != "s200"]
OPTIMIZED = ("s10", "f-foreign", "f-host-inv", "f-log-custom", "f-opt-ips", "f-opt-l2", "f-pol-reject-reject")

every_node = pytest.mark.parametrize("name", NAMES)
every_shape = pytest.mark.parametrize(
    ("name", "optimized"), [*((name, False) for name in NAMES), *((name, True) for name in OPTIMIZED)]
)


def test_the_corpora_are_complete() -> None:
    assert len(NAMES) == 36


@every_node
def test_a_configuration_is_translated_and_proved(name: str) -> None:
    found = compared(node(name))
    assert found.comparison.equal, (found.comparison.differences[:3], found.comparison.undecided[:3])


@pytest.mark.parametrize("name", SMALL)
def test_a_dump_is_translated_and_proved(name: str) -> None:
    """The command's own way, with the proof inside."""
    sink = DiagnosticSink()
    result = translate(read_folder(CORPORA / name), Settings(optimize=True), sink, FileAccess())
    assert not sink.errors, sink.errors
    assert result.output
    assert {item.name for item in result.intended} >= {"reset-arrives", "vlan-tracked"}
    assert "a packet's connection has the same state at every hop of its way" in result.assumptions


@every_shape
def test_nothing_is_left_of_firewall_bridges_port_matches_and_marks(name: str, *, optimized: bool) -> None:
    text = re.sub(r' comment "[^"]*"', "", node(name, optimized=optimized).printed.output)
    assert not HELD.findall(text)
    assert not MARK.findall(text)
    assert bool(re.search(r"\b(tap|veth)\d+i\d", text)) == bool(guest_ports(node(name, optimized=optimized).old))


# --- what a proof by parts cannot see ---


def bridge_of(ruleset: Ruleset) -> Table:
    (table,) = (table for table in ruleset.tables if table.family is Family.BRIDGE)
    return table


def base_chains(table: Table) -> Iterator[Chain]:
    return (chain for chain in table.chains if chain.base is not None)


def rules_behind(table: Table, *starts: str) -> Iterator[Rule]:
    """Yield the rules of chains and of those that they lead to, by verdict maps too."""
    chains = {item.name: item for item in table.chains}
    seen, waiting = set(starts), list(starts)
    while waiting:
        for rule in chains[waiting.pop()].rules:
            yield rule
            targets = set(targets_of(table, rule)) - seen
            seen |= targets
            waiting.extend(targets)


def targets_of(table: Table, rule: Rule) -> Iterator[str]:
    if isinstance(rule.verdict, (Jump, Goto)):
        yield rule.verdict.chain
    for name in map_names(rule):
        yield from map_targets(table, name)


@every_shape
def test_no_chain_stands_where_a_kernel_fails_open(name: str, *, optimized: bool) -> None:
    """At 0 Linux 6.1 shows no IPv4 to a bridge's forward chain, and at -200 or before there is no connection yet."""
    table = bridge_of(node(name, optimized=optimized).new)
    for chain in base_chains(table):
        assert chain.base is not None
        assert chain.base.priority != 0, chain.name
        if chain.base.priority <= BRIDGE_CONNTRACK:
            assert all(is_early_work(rule) for rule in rules_behind(table, chain.name) if rule.verdict is None), (
                chain.name
            )
            assert not any(asks_state(rule) for rule in rules_behind(table, chain.name)), chain.name


def is_early_work(rule: Rule) -> bool:
    zones = {known.CT_ZONE, known.CT_ZONE_ORIGINAL, known.CT_ZONE_REPLY}
    return any(isinstance(step, NoTrack) or (isinstance(step, Assign) and step.field in zones) for step in rule.steps)


def asks_state(rule: Rule) -> bool:
    return any(isinstance(step, FieldTest) and step.field is known.CT_STATE for step in flat_steps(rule.steps))


@every_node
def test_iptables_order_is_kept_where_a_hook_holds_several_chains(name: str) -> None:
    """PREROUTING before ebtables' FORWARD before that of iptables, answers behind all; two never have one priority."""
    table = bridge_of(node(name).new)
    for hook in Hook:
        chains = sorted(
            (chain.base.priority, chain.name) for chain in base_chains(table) if chain.base and chain.base.hook is hook
        )
        assert all(times == 1 for times in Counter(priority for priority, _ in chains).values()), chains
        places = [place(chain) for _, chain in chains]
        assert places == sorted(places), chains


def place(chain: str) -> int:
    order = ("raw-PREROUTING", "mangle-PREROUTING", "FORWARD-frames", "FORWARD", "mangle-POSTROUTING", "reject-in")
    return max(number for number, name in enumerate(order) if name in chain)


NEW_OR_UNTRACKED = IntervalSet(known.CT_STATE.width, ((3, 4),))


@every_shape
def test_only_ip_is_asked_for_its_connection(name: str, *, optimized: bool) -> None:
    """ARP is untracked when it comes in, and invalid when the host sends it: no such frame may be judged by that."""
    table = bridge_of(node(name, optimized=optimized).new)
    for chain in base_chains(table):
        for rule in chain.rules:
            # where a chain judges nothing but IP, what ends it judges no other frame
            others = (other for other in chain.rules if other is not rule)
            ends = rule.verdict == Accept() and all(is_for_ip_only(table, o) or is_for_connections(o) for o in others)
            assert ends or is_careful(table, rule), (chain.name, rule.comment)


def is_careful(table: Table, rule: Rule) -> bool:
    """Tell whether a rule, with those behind it, judges by its connection only what is IP, or what has one."""
    if is_for_ip_only(table, rule) or is_for_connections(rule):
        return True
    behind = (chain for name in targets_of(table, rule) if (chain := table.chain(name)) is not None)
    return not asks_state(rule) and all(is_careful(table, other) for chain in behind for other in chain.rules)


def is_for_connections(rule: Rule) -> bool:
    """Tell whether a rule asks for established and related packets, which are of a protocol that is tracked."""
    states = [step.values for step in rule.steps if isinstance(step, FieldTest) and step.field is known.CT_STATE]
    return any(isinstance(values, IntervalSet) and set(values.ranges) <= {(1, 1), (2, 2), (1, 2)} for values in states)


def untracked(rule: Rule, asked: Sequence[Field], element: MapElement) -> bool:
    """Tell whether a map's element is for what came in without a connection: a miss goes on to the same by the rules."""
    if known.CT_STATE in asked:
        return element.key[asked.index(known.CT_STATE)] == (4, 4)
    states = [step.values for step in rule.steps if isinstance(step, FieldTest) and step.field is known.CT_STATE]
    # what is new or untracked, and has no connection
    return states == [NEW_OR_UNTRACKED] and element.key[asked.index(known.ETHER_TYPE)] == (0x0806, 0x0806)


def is_for_ip_only(table: Table, rule: Rule) -> bool:
    """Tell whether a rule, or its map, asks for IP's ether types."""
    types: list[object] = []
    if isinstance(rule.verdict, Dispatch):
        asked = [part.field for part in rule.verdict.key]
        if known.ETHER_TYPE in asked:
            (named,) = (item for item in table.maps if item.name == rule.verdict.map_name)
            types = [
                element.key[asked.index(known.ETHER_TYPE)]
                for element in named.elements
                if not untracked(rule, asked, element)
            ]
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field.name.startswith(("ip.", "exthdr.")):
            return True  # only IP has such a header
        if isinstance(step, FieldTest) and step.field is known.ETHER_TYPE and isinstance(step.values, IntervalSet):
            types.extend(step.values.ranges)
    return bool(types) and set(types) <= {(0x0800, 0x0800), (0x86DD, 0x86DD)}


@every_shape
def test_a_bridge_rejects_only_where_it_can_answer(name: str, *, optimized: bool) -> None:
    table = bridge_of(node(name, optimized=optimized).new)
    for chain in base_chains(table):
        rejects = any(isinstance(rule.verdict, Reject) for rule in rules_behind(table, chain.name))
        assert chain.base is not None
        assert not rejects or chain.base.hook in ANSWERING, chain.name


@every_shape
def test_no_chain_asks_for_an_interface_that_its_hook_does_not_know(name: str, *, optimized: bool) -> None:
    """Postrouting has no port in, prerouting no port out: such a rule loads and never matches."""
    table = bridge_of(node(name, optimized=optimized).new)
    unknown = {
        Hook.PREROUTING: {known.OIFNAME, known.OBRNAME},
        Hook.POSTROUTING: {known.IIFNAME, known.IBRNAME},
    }
    for chain in base_chains(table):
        assert chain.base is not None
        for rule in rules_behind(table, chain.name):
            fields = {step.field for step in flat_steps(rule.steps) if isinstance(step, FieldTest)}
            assert not fields & unknown.get(chain.base.hook, set()), (chain.name, rule.comment)


# --- the mark leak ---

LEAKING = "[OPTIONS]\n\nenable: 1\n\n[group ops]\n\nIN ACCEPT -p tcp -dport 22\n"
LEAK_HOST = "[OPTIONS]\n\nenable: 1\nlog_level_in: {level}\n\n[RULES]\n\nGROUP ops -i vmbr1\n"
OPEN_GUEST = "[OPTIONS]\n\nenable: 1\npolicy_out: ACCEPT\n"


def leaking_node(level: str) -> tuple[SourceFile, ...]:
    network = "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1"
    return pve_node(LEAKING, LEAK_HOST.format(level=level), {100: (OPEN_GUEST, network)})


def leak_told(found: Node) -> tuple[str, ...]:
    (told,) = (item for item in found.sink.found if item.code == "FWT210")
    return (told.message, *told.notes)


@pytest.mark.parametrize("level", ["nolog", "info"])
def test_a_mark_leak_is_kept_in_one_bit_and_told(level: str) -> None:
    found = translated(leaking_node(level))
    message, *lines = leak_told(found)
    assert "accept mark" in message
    assert lines == ["n/host.fw:8"]
    masks = set(re.findall(r"0x[0-9a-f]{8}", "\n".join(MARK.findall(found.printed.output))))
    assert masks == {"0x7fffffff", "0x80000000"}
    proof = compared(found)
    assert proof.comparison.equal
    assert "mark-leak-closed" not in {item.name for item in proof.intended}


@pytest.mark.parametrize("level", ["nolog", "info"])
def test_a_mark_leak_is_closed_on_demand_and_the_proof_says_so(level: str) -> None:
    found = translated(leaking_node(level), Settings(verify=False, close_mark_leak=True))
    assert "no longer" in leak_told(found)[0]
    assert not MARK.findall(found.printed.output)
    proof = compared(found)
    assert proof.comparison.equal
    (closed,) = (item for item in proof.intended if item.name == "mark-leak-closed")
    assert any(origin.text.startswith("GROUP ops") for origin in closed.origins)


def test_what_is_closed_is_no_translation_of_another_node() -> None:
    """The closed leak explains a cleared mark and nothing else."""
    closed = translated(leaking_node("nolog"), Settings(verify=False, close_mark_leak=True))
    other = translated(leaking_node("info"))
    found = compared(other, closed.new)
    assert not found.comparison.equal
    assert "mark-leak-closed" not in {item.name for item in found.intended}


def test_a_leak_is_told_though_another_rule_of_its_line_does_not_leak() -> None:
    """GROUP stands in the host's OUT chain as well, where the mark stays in use and comes from the group alone."""
    cluster = "[OPTIONS]\n\nenable: 1\n\n[group ops]\n\nOUT ACCEPT -log err\nOUT REJECT -p tcp -dport 22\n"
    host = "[OPTIONS]\n\nenable: 1\nlog_level_out: crit\n\n[RULES]\n\nGROUP ops -i vmbr1\n"
    found = translated(pve_node(cluster, host, {100: (OPEN_GUEST, "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1")}))
    assert "n/host.fw:8" in leak_told(found)
    assert compared(found).comparison.equal


@pytest.mark.parametrize("close", [False, True])
def test_a_leak_through_a_group_that_accepts_everything(*, close: bool) -> None:
    """The test behind the jump stays, because the group always sets the mark; with a clearing in front it is no leak."""
    cluster = "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[group all]\n\nIN ACCEPT\nOUT ACCEPT\n"
    host = "[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nGROUP all -i vmbr1\n"
    network = "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1"
    settings = Settings(verify=False, close_mark_leak=close)
    found = translated(pve_node(cluster, host, {100: (OPEN_GUEST, network)}), settings)
    assert leak_told(found)[1:]
    proof = compared(found)
    assert proof.comparison.equal
    assert ("mark-leak-closed" in {item.name for item in proof.intended}) is close


@pytest.mark.parametrize("close", [False, True])
def test_a_leak_beside_a_rule_that_no_later_fragment_matches(*, close: bool) -> None:
    """The host's rules meet no fragments where it tracks connections, with the mark forgotten or not."""
    host = LEAK_HOST.format(level="nolog") + "OUT ACCEPT -dest 192.0.2.1 -p icmp -icmp-type any -log crit\n"
    network = "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1"
    settings = Settings(verify=False, close_mark_leak=close)
    proof = compared(translated(pve_node(LEAKING, host, {100: (OPEN_GUEST, network)}), settings))
    assert proof.comparison.equal, proof.comparison.differences
    assert ("mark-leak-closed" in {item.name for item in proof.intended}) is close


def test_no_other_corpus_leaks() -> None:
    assert [name for name in NAMES if any(item.code == "FWT210" for item in node(name).sink.found)] == []


def test_limits_that_two_families_cannot_share_are_told() -> None:
    (told,) = (item for item in compared(node("s10")).intended if item.name == "limits-apart")
    lines = {origin.text for origin in told.origins}
    assert lines >= {"protection_synflood: 1", "tcp_flags_log_level: notice", "smurf_log_level: warning"}
    assert "limits-apart" not in {item.name for item in compared(node("f-log-off")).intended}
