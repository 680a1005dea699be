"""The ways of bridged packets that a proof looks at: none is without packets, and no rule's bridge or port is left out."""

from __future__ import annotations

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.comparing import compare_on
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

TO_GUEST = "-A FORWARD -m physdev --physdev-in fwln7i0 --physdev-out tap7i0 --physdev-is-bridged -p tcp -m tcp --dport 25 -j DROP"
FROM_VNET = "-A FORWARD -m physdev --physdev-in vnet3 --physdev-is-bridged -p udp -m udp --dport 69 -j DROP"
DROPS_TO_GUEST = 'oifname "tap7i0" ether type ip tcp dport 25 drop'
OVER_ONE_BRIDGE = (
    "-A FORWARD -i vmbr5 -m physdev --physdev-out fwpr7p0 --physdev-is-bridged -p tcp -m tcp --dport 99 -j DROP"
)


def dump(*rules: str) -> SourceFile:
    lines = ("*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *rules, "COMMIT", "")
    return SourceFile("iptables-save", "\n".join(lines))


def bridge_table(**chains: str) -> SourceFile:
    """Return a table of the bridge family with one rule at each hook that is named."""
    lines = ["table bridge judged {"]
    for hook, rule in chains.items():
        lines += [f"chain {hook} {{ type filter hook {hook} priority 10; policy accept;", f"{rule}", "}"]
    return SourceFile("judged.nft", "\n".join([*lines, "}", ""]))


def are_equal(before: SourceFile, after: SourceFile) -> bool:
    old, new = (read_inputs((source,), DiagnosticSink(), FileAccess()) for source in (before, after))
    assert old is not None
    assert new is not None
    found = compare_on(old.host, old.ruleset, new.ruleset, processes=1).comparison
    assert not found.undecided
    assert all(item.confirmed for item in found.differences)
    return found.equal


@pytest.mark.parametrize(("port", "is_right"), [(69, True), (70, False)])
def test_any_bridge_is_looked_at_where_there_are_no_firewall_bridges(port: int, *, is_right: bool) -> None:
    judged = bridge_table(forward=f'iifname "vnet3" ether type ip udp dport {port} drop')
    assert are_equal(dump(FROM_VNET), judged) == is_right


@pytest.mark.parametrize(
    ("hook", "rule"),
    [
        ("prerouting", 'meta ibrname "vmbr5" iifname "tap7i0" drop'),
        ("postrouting", 'meta obrname "vmbr5" oifname "tap7i0" drop'),
    ],
)
def test_a_rule_for_a_guest_on_one_bridge_is_found(hook: str, rule: str) -> None:
    right = {"forward": DROPS_TO_GUEST, "output": DROPS_TO_GUEST}
    assert are_equal(dump(TO_GUEST), bridge_table(**right))
    assert not are_equal(dump(TO_GUEST), bridge_table(**right, **{hook: rule}))


def test_a_rule_for_bridges_that_begin_alike_is_none_for_all() -> None:
    beginning = dump(TO_GUEST, "-A FORWARD -i br+ -m physdev --physdev-is-bridged -p tcp -m tcp --dport 99 -j DROP")
    judged = {"forward": f"{DROPS_TO_GUEST}\nether type ip tcp dport 99 drop", "output": DROPS_TO_GUEST}
    assert not are_equal(beginning, bridge_table(**judged))


def test_what_is_dropped_over_one_bridge_is_not_lost_in_silence() -> None:
    sink = DiagnosticSink()
    found = translate((dump(TO_GUEST, OVER_ONE_BRIDGE),), Settings(optimize=True), sink, FileAccess())
    assert not found.output
    assert {item.code for item in sink.errors} == {"FWT400"}
