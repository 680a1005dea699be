"""The Proxmox VE topology in a kernel: what arrives, what is refused, what is lost, and what a spoofed frame gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.lab.judge import LabFailed, Side, classic_side, compare, judge_pve, nft_side
from fwtrans.lab.probe import Follow, Kind, Observation, Probe
from fwtrans.lab.topology import GuestNic, HostAddress, PveTopology, Uplink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.lab.kernels import Kernel

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

WEB = GuestNic(name="tap100i0", bridge="vmbr0", mac="bc:24:11:00:00:64", addresses=("10.0.0.100", "2001:db8::64"))
BOX = GuestNic(name="veth101i0", bridge="vmbr0", mac="bc:24:11:00:00:65", addresses=("10.0.0.101", "2001:db8::65"))
TAGGED = GuestNic(name="tap102i0", bridge="vmbr0", mac="bc:24:11:00:00:66", addresses=("10.0.5.102",), tag=5)
NFVM = GuestNic(
    name="tap103i0", bridge="vmbr0", mac="bc:24:11:00:00:67", addresses=("10.0.0.103", "2001:db8::67"), firewalled=False
)
TOPOLOGY = PveTopology(
    guests=(WEB, BOX, TAGGED, NFVM),
    host=(
        HostAddress(interface="vmbr0", address="10.0.0.1/24"),
        HostAddress(interface="vmbr0", address="2001:db8::1/64"),
    ),
    uplinks=(Uplink(addresses=("10.0.0.254", "2001:db8::fe", "10.0.5.254")),),
)

# As pve-firewall writes it, cut down to one guest: policy_in DROP but for web and a rejected SMTP, with MAC filters.
IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:tap100i0-IN - [0:0]
:tap100i0-OUT - [0:0]
-A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m physdev --physdev-out tap100i0 --physdev-is-bridged -j tap100i0-IN
-A FORWARD -m physdev --physdev-in tap100i0 --physdev-is-bridged -j tap100i0-OUT
-A tap100i0-IN -j CONNMARK --set-xmark 0x64/0xffffffff
-A tap100i0-IN -p tcp -m tcp --dport 80 -j ACCEPT
-A tap100i0-IN -p udp -m udp --dport 53 -j ACCEPT
-A tap100i0-IN -p tcp -m tcp --dport 25 -j REJECT --reject-with tcp-reset
-A tap100i0-IN -j NFLOG --nflog-prefix ":100:6:tap100i0-IN: policy DROP: "
-A tap100i0-IN -j DROP
-A tap100i0-OUT -m mac ! --mac-source bc:24:11:00:00:64 -j DROP
COMMIT
"""
IP6TABLES = IPTABLES.replace("icmp-port-unreachable", "icmp6-port-unreachable")
EBTABLES = """\
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A FORWARD -p ARP -i tap100i0 -s ! bc:24:11:0:0:64 -j DROP
"""
CLASSIC = classic_side({"iptables-save": IPTABLES, "ip6tables-save": IP6TABLES, "ebtables-save": EBTABLES})
NFT = """\
table bridge fwtrans {
	chain prerouting {
		type filter hook prerouting priority -190; policy accept;
		ether type { ip, ip6 } ct state invalid drop
		ether type { ip, ip6 } ct state established,related accept
		iifname "tap100i0" ether saddr != bc:24:11:00:00:64 drop
		ether daddr bc:24:11:00:00:64 tcp dport 25 reject with tcp reset
	}

	chain postrouting {
		type filter hook postrouting priority 0; policy accept;
		ether type != { ip, ip6 } accept
		oifname "tap100i0" ct state new,untracked jump tap100i0_in
	}

	chain tap100i0_in {
		ct mark set 100
		tcp dport 80 accept
		udp dport 53 accept
		log prefix ":100:6:tap100i0-IN: policy DROP: " group 0 drop
	}
}
table inet fwtrans {
	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport 23 reject
	}
}
"""

BOTH = (Follow.REPLY, Follow.REQUEST)
PROBES = (
    Probe(id="web", source="veth101i0", target="tap100i0", kind=Kind.TCP, dport=80, follow=BOTH),
    Probe(id="web6", source="veth101i0", target="tap100i0", kind=Kind.TCP, dport=80, ipv6=True, follow=BOTH),
    Probe(id="web from outside", source="outside", target="tap100i0", kind=Kind.TCP, dport=80, follow=BOTH),
    Probe(id="web from the host", source="host", target="tap100i0", kind=Kind.TCP, dport=80),
    Probe(id="ssh", source="veth101i0", target="tap100i0", kind=Kind.TCP, dport=22),
    Probe(id="smtp from an unfirewalled guest", source="tap103i0", target="tap100i0", kind=Kind.TCP, dport=25),
    Probe(id="dns", source="tap103i0", target="tap100i0", kind=Kind.UDP, dport=53, follow=(Follow.REPLY, Follow.RELATED)),
    Probe(id="dns in fragments", source="outside", target="tap100i0", kind=Kind.UDP, dport=53, size=400, fragment=96),
    Probe(id="echo", source="tap100i0", target="veth101i0", kind=Kind.ECHO, ipv6=True, follow=(Follow.REPLY,)),
    Probe(id="to the host", source="tap100i0", target="host", kind=Kind.TCP, dport=22, follow=BOTH),
    Probe(id="telnet to the host", source="outside", target="host", kind=Kind.TCP, dport=23),
    Probe(id="telnet6 to the host", source="outside", target="host", kind=Kind.TCP, dport=23, ipv6=True),
    Probe(id="ping to the host", source="outside", target="host", kind=Kind.ECHO),
    Probe(id="tagged", source="outside", target="tap102i0", kind=Kind.UDP, source_address="10.0.5.254", follow=BOTH),
    Probe(id="arp", source="tap100i0", target="veth101i0", kind=Kind.ARP_REQUEST),
    Probe(id="spoofed arp", source="tap100i0", target="veth101i0", kind=Kind.ARP_REQUEST, source_mac="bc:24:11:00:00:01"),
    Probe(id="spoofed ip", source="tap100i0", target="tap103i0", kind=Kind.UDP, source_mac="bc:24:11:00:00:01"),
    Probe(id="nd", source="veth101i0", target="tap103i0", kind=Kind.NEIGHBOUR_SOLICITATION),
    Probe(id="dhcp", source="veth101i0", kind=Kind.DHCP_DISCOVER),
    Probe(id="unknown unicast", source="veth101i0", kind=Kind.UDP, target_address="10.0.0.9", target_mac="02:aa:00:00:00:09"),
    Probe(id="other protocol", source="veth101i0", kind=Kind.ETHERTYPE, protocol=0x88B5),
    Probe(id="never answered", source="veth101i0", target="tap103i0", kind=Kind.TCP, flags=0x12),
)  # fmt: skip


@pytest.fixture(scope="module")
def classic(bridge_kernel: Kernel) -> dict[str, Observation]:
    return judged(CLASSIC, TOPOLOGY, PROBES, bridge_kernel)


def judged(side: Side, topology: PveTopology, probes: Sequence[Probe], kernel: Kernel) -> dict[str, Observation]:
    return {one.id: one for one in judge_pve(side, topology, probes, kernel)}


def arrivals(observation: Observation) -> list[tuple[str, ...]]:
    return [step.seen_at for step in observation.steps]


def test_what_is_allowed_arrives_and_so_do_its_answers(classic: dict[str, Observation]) -> None:
    both_ways = [("tap100i0",), ("veth101i0",), ("tap100i0",)]
    assert arrivals(classic["web"]) == both_ways
    assert arrivals(classic["web6"]) == both_ways
    assert arrivals(classic["web from outside"]) == [("tap100i0",), ("eth0",), ("tap100i0",)]
    assert arrivals(classic["echo"]) == [("veth101i0",), ("tap100i0",)]
    assert arrivals(classic["dns"]) == [("tap100i0",), ("tap103i0",), ("tap103i0",)]
    assert arrivals(classic["dns in fragments"]) == [("tap100i0",)]
    assert arrivals(classic["web from the host"]) == [("tap100i0",)]
    assert {step.ct_mark for step in classic["web"].steps} == {100}


def test_the_host_is_reached_and_answers(classic: dict[str, Observation]) -> None:
    assert arrivals(classic["to the host"]) == [("host",), ("tap100i0",), ("host",)]
    assert classic["to the host"].steps[0].answers == ("tcp-syn-ack",)
    assert classic["ping to the host"].steps[0].answers == ("echo-reply",)


def test_what_is_denied_is_lost_and_logged_or_refused(classic: dict[str, Observation]) -> None:
    assert classic["ssh"].verdict == "lost"
    assert classic["ssh"].steps[0].logs == (":100:6:tap100i0-IN: policy DROP: ",)
    assert classic["smtp from an unfirewalled guest"].verdict == "refused"
    assert classic["smtp from an unfirewalled guest"].steps[0].answers == ("tcp-reset",)
    assert classic["telnet to the host"].steps[0].answers == ("icmp 3/3",)
    assert classic["telnet6 to the host"].steps[0].answers == ("icmp6 1/4",)


def test_spoofed_frames_are_lost_and_flooded_ones_are_seen_everywhere(classic: dict[str, Observation]) -> None:
    assert arrivals(classic["arp"]) == [("eth0", "host", "tap103i0", "veth101i0")]
    assert arrivals(classic["spoofed arp"]) == [()]
    assert arrivals(classic["spoofed ip"]) == [()]
    assert arrivals(classic["nd"]) == [("eth0", "tap103i0")]
    assert arrivals(classic["dhcp"]) == [("eth0", "host", "tap103i0")]
    assert arrivals(classic["unknown unicast"]) == [("eth0", "tap103i0")]
    assert arrivals(classic["other protocol"]) == [("eth0", "tap100i0", "tap103i0")]


def test_a_vlan_reaches_its_guest_only(classic: dict[str, Observation]) -> None:
    assert arrivals(classic["tagged"]) == [("tap102i0",), ("eth0",), ("tap102i0",)]


@pytest.mark.parametrize("vlan_aware", [True, False])
@pytest.mark.parametrize("with_firewall_bridges", [True, False])
def test_one_evaluation_gives_the_verdicts_of_three(
    classic: dict[str, Observation], bridge_kernel: Kernel, *, with_firewall_bridges: bool, vlan_aware: bool
) -> None:
    topology = PveTopology(
        guests=TOPOLOGY.guests, host=TOPOLOGY.host, uplinks=TOPOLOGY.uplinks,
        with_firewall_bridges=with_firewall_bridges, vlan_aware=vlan_aware,
    )  # fmt: skip
    ours = judged(nft_side(NFT), topology, PROBES, bridge_kernel)
    found = compare(classic.values(), ours.values())
    assert not found, found


def test_a_difference_is_found_and_told(classic: dict[str, Observation], bridge_kernel: Kernel) -> None:
    ours = judged(nft_side(NFT.replace("tcp dport 80 accept", "tcp dport 81 accept")), TOPOLOGY, PROBES, bridge_kernel)
    found = compare(classic.values(), ours.values())
    assert {one.id for one in found} == {"web", "web6", "web from outside", "web from the host"}
    assert all(one.step == 0 and {"arrival", "logs"} <= {*one.what} for one in found)


def test_a_ruleset_that_does_not_load_is_told_with_the_tool(bridge_kernel: Kernel) -> None:
    with pytest.raises(LabFailed, match=r"nft -f -: .*syntax error"):
        judge_pve(nft_side("table bridge {"), TOPOLOGY, PROBES, bridge_kernel)
