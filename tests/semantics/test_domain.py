from __future__ import annotations

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.domain import contradictions
from fwtrans.semantics.packet import HookVisit, Packet

FORWARD = HookVisit(Family.IP, Hook.FORWARD)


def test_an_unfinished_packet_contradicts_nothing() -> None:
    for family in (Family.IP, Family.IP6, Family.ARP, Family.BRIDGE):
        for hook in (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING):
            assert contradictions(HookVisit(family, hook), Packet({})) == ()


def test_state_and_entry_go_together() -> None:
    packet = Packet({known.CT_STATE: 3, known.HAS_CONNTRACK: 0})
    assert contradictions(FORWARD, packet) == (
        "a packet has a conntrack entry exactly when its state is established, related or new",
    )
    assert contradictions(FORWARD, Packet({known.CT_STATE: 3, known.HAS_CONNTRACK: 1})) == ()
    assert contradictions(FORWARD, Packet({known.CT_STATE: 5}))[0] == "ct.state is never 5"


def test_no_output_interface_at_input() -> None:
    found = contradictions(HookVisit(Family.IP, Hook.INPUT), Packet({known.OIFNAME: "eth0"}))
    assert found == ("oifname is '' at ip input",)


def test_a_packet_that_came_in_has_an_interface() -> None:
    assert contradictions(FORWARD, Packet({known.IIFNAME: ""})) == ("a packet that came in has an input interface",)


def test_a_bridged_packet_has_both_ports() -> None:
    good = Packet({known.BRIDGED: 1, known.PORT_IN: "tap1", known.PORT_OUT: "tap2"})
    bad = Packet({known.BRIDGED: 0, known.PORT_IN: "tap1", known.PORT_OUT: "tap2"})
    assert contradictions(FORWARD, good) == ()
    assert len(contradictions(FORWARD, bad)) == 1


def test_frames_say_what_they_carry() -> None:
    visit = HookVisit(Family.BRIDGE, Hook.FORWARD)
    assert (
        contradictions(visit, Packet({known.ETHER_TYPE: 0x800, known.ETHER_PROTOCOL: 0x800, known.HAS_VLAN: 0})) == ()
    )
    assert contradictions(visit, Packet({known.ETHER_TYPE: 0x800, known.ETHER_PROTOCOL: 0x86DD, known.HAS_VLAN: 0}))
    assert (
        contradictions(visit, Packet({known.ETHER_TYPE: 0x8100, known.ETHER_PROTOCOL: 0x800, known.HAS_VLAN: 1})) == ()
    )
    assert contradictions(visit, Packet({known.NFPROTO: 2, known.ETHER_PROTOCOL: 0x806}))


def test_a_later_fragment_has_no_ports() -> None:
    assert contradictions(FORWARD, Packet({known.IP_FRAGMENT: 0x2001, known.HAS_TRANSPORT: 1}))
    assert contradictions(FORWARD, Packet({known.IP_FRAGMENT: 0x2000, known.HAS_TRANSPORT: 1})) == ()
