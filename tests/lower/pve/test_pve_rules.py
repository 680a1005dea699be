"""Single rules: which are taken, for which family, and what command they become."""

from __future__ import annotations

import pytest

from fwtrans.lower.pve.macros import MACRO_NAMES, macro_parts
from tests.lower.pve.nodes import ON, guest, host

CLUSTER = f"""{ON}
[ALIASES]
office 203.0.113.0/24
office6 2001:db8:aaaa::/48
[IPSET admins]
198.51.100.7
[group web]
IN HTTP(ACCEPT)
IN ACCEPT -source late
[ALIASES]
late 192.0.2.1
"""

TAKEN = [
    ("IN ACCEPT -p tcp -dport ssh", "-p tcp --dport ssh -j RETURN", True, True),
    ("IN ssh(ACCEPT)", "-p tcp --dport 22 -j RETURN", True, True),
    ("IN ACCEPT -p 0", "-j RETURN", True, True),
    ("IN ACCEPT -p icmp -dport 8", "-p icmp -m icmp --icmp-type 8 -j RETURN", True, False),
    ("IN ACCEPT -p ipv6-icmp -icmp-type echo-request", "-p ipv6-icmp -m ipv6-icmp --icmpv6-type echo-request -j RETURN", False, True),
    ("IN Ping(ACCEPT) -source office6", "-s 2001:db8:aaaa::/48 -p icmpv6 -m icmpv6 --icmpv6-type echo-request -j RETURN", False, True),
    ("IN ACCEPT -source dc/OFFICE", "-s 203.0.113.0/24 -j RETURN", True, False),
    ("IN DROP -source +dc/admins -dest 10.0.0.1,10.0.0.2", "-m set --match-set PVEFW-0-admins-v4 src -d 10.0.0.1,10.0.0.2 -j DROP", True, False),
    ("IN REJECT -p tcp -sport 5,6 -dport 7", "-p tcp --dport 7 --match multiport --sports 5,6 -j PVEFW-reject", True, True),
    ("IN REJECT -p tcp -sport 5 -dport 7,8", "-p tcp --sport 5 --match multiport --dports 7,8 -j PVEFW-reject", True, True),
    ("IN ACCEPT -i vmbr0 -source 10.0.0.1-10.0.0.9", "-i vmbr0 -m iprange --src-range 10.0.0.1-10.0.0.9 -j RETURN", True, False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "command", "in_ip", "in_ip6"), TAKEN, ids=[case[0] for case in TAKEN])
def test_a_rule_becomes_its_command(rule: str, command: str, in_ip: bool, in_ip6: bool) -> None:
    made = host(rule, cluster=CLUSTER)
    assert (command in made.chain("PVEFW-HOST-IN")) is in_ip
    assert (command.replace("-v4", "-v6") in made.chain("PVEFW-HOST-IN", "ip6")) is in_ip6


LEFT_OUT = [
    ("IN ACCEPT -source nope", "FWT175"),
    ("IN ACCEPT -source +nope", "FWT175"),
    ("IN ACCEPT -source +Admins", "FWT175"),  # sets are in lower case, and what names them is compared as written
    ("IN ACCEPT -source guest/office", "FWT175"),
    ("IN ACCEPT -source +sdn/vnet1-all", "FWT175"),
    ("IN ACCEPT -source local_network", "FWT175"),
    ("IN SHH(ACCEPT)", "FWT175"),
    ("IN ACCEPT -p TCP", "FWT176"),
    ("IN ACCEPT -p 255", "FWT176"),
    ("IN ACCEPT -p tcp -dport www", "FWT176"),  # an alias in /etc/services, which PVE does not read
    ("IN ACCEPT -dport 22", "FWT176"),
    ("IN ACCEPT -p gre -dport 22", "FWT176"),
    ("IN ACCEPT -p ipv6-icmp -dport echo-request", "FWT176"),
    ("IN ACCEPT -p icmp -sport 8", "FWT176"),
    ("IN ACCEPT -p icmp -icmp-type packet-too-big", "FWT176"),
    ("IN ACCEPT -p icmp -icmp-type 8", "FWT176"),
    ("IN ACCEPT -p tcp -icmp-type echo-request", "FWT176"),
    ("IN ACCEPT -p icmp -icmp-type echo-request -dport any", "FWT176"),
    ("IN ACCEPT -p icmp -dport 8,echo-reply", "FWT176"),
    ("IN ACCEPT -p icmp -dport 300", "FWT176"),
    ("IN ACCEPT -source office -dest office6", "FWT176"),
    ("IN ACCEPT -p icmp -source 2001:db8::1", "FWT176"),
    ("IN SSH(ACCEPT) -p udp", "FWT176"),
    ("IN DNS(ACCEPT) -p tcp -dport 53", "FWT176"),
    ("IN Ping(ACCEPT) -p tcp", "FWT176"),
    ("IN ACCEPT -p udp -dport ssh", "FWT168"),  # iptables asks for the service of this protocol
    ("IN ACCEPT -p tcp -dport echo-request", "FWT168"),
    ("IN ACCEPT -p udplite -dport 7", "FWT168"),
]


@pytest.mark.parametrize(("rule", "code"), LEFT_OUT, ids=[case[0] for case in LEFT_OUT])
def test_a_rule_is_left_out_and_named(rule: str, code: str) -> None:
    plain = host("", cluster=CLUSTER)
    made = host(rule, cluster=CLUSTER)
    told = [item for item in made.found if item.span is not None and item.span.source.name == "host.fw"]
    assert [item.code for item in told] == [code]
    assert told[0].span is not None and told[0].span.line == 2  # noqa: PT018
    assert any("skips" in note or "leaves" in note or "refuses" in note for note in told[0].notes)
    assert made.dumps.ip.text == plain.dumps.ip.text
    assert made.dumps.ip6.text == plain.dumps.ip6.text


def test_a_disabled_rule_is_told_of_and_changes_nothing() -> None:
    made = host("|IN ACCEPT -source nope", cluster=CLUSTER)
    assert [item.notes for item in made.found if item.code == "FWT175"][-1] == (
        "PVE skips this rule; it is disabled, so that nothing changes for the traffic",
    )


def test_names_count_for_the_lines_below_them() -> None:
    made = host("IN ACCEPT -source late", cluster=CLUSTER)
    assert "-s 192.0.2.1 -j RETURN" in made.chain("PVEFW-HOST-IN")
    lines = [item.span.line for item in made.found if item.code == "FWT175" and item.span is not None]
    assert lines == [CLUSTER.splitlines().index("IN ACCEPT -source late") + 1]


def test_port_zero_is_no_port_and_that_is_told() -> None:
    made = host("IN ACCEPT -p tcp -dport 0")
    assert "-p tcp -j RETURN" in made.chain("PVEFW-HOST-IN")
    assert made.codes == ["FWT176"]


def test_forward_rules_are_for_the_other_backend() -> None:
    made = host("FORWARD ACCEPT -source 10.0.0.0/8\n|FORWARD DROP")
    assert made.codes == ["FWT180"]
    assert "10.0.0.0/8" not in made.dumps.ip.text


def test_macros_have_parts_for_the_families_they_are_for() -> None:
    assert len(MACRO_NAMES) == 86
    for name in MACRO_NAMES:
        assert macro_parts(name, 6), name
        assert bool(macro_parts(name, 4)) is (name not in {"DHCPv6", "NeighborDiscovery"}), name


def test_the_target_stands_in_the_log_prefix_the_second_time() -> None:
    """PVE puts the target in the action's place when it first makes the rule: here for the first NIC and IPv4."""
    nics = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\nnet10: virtio=BC:24:11:00:00:02,bridge=vmbr0,firewall=1\nnet2: virtio=BC:24:11:00:00:03,bridge=vmbr0,firewall=1\n"  # fmt: skip
    made = guest("OUT ACCEPT -p tcp -log info\nIN REJECT -i net2 -log err", nics=nics)
    prefixes = [line.split('"')[1] for line in made.dumps.ip.text.splitlines() if "--nflog-prefix" in line]
    assert prefixes == [
        ":100:6:tap100i0-OUT: ACCEPT: ",
        ":100:6:tap100i10-OUT: PVEFW-SET-ACCEPT-MARK: ",
        ":100:3:tap100i2-IN: REJECT: ",
        ":100:6:tap100i2-OUT: PVEFW-SET-ACCEPT-MARK: ",
    ]
    assert '":100:3:tap100i2-IN: PVEFW-reject: "' in made.dumps.ip6.text
    order = [line.split()[-1] for line in made.chain("PVEFW-FWBR-IN") if "--physdev-out" in line]
    assert order == ["tap100i0-IN", "tap100i10-IN", "tap100i2-IN"], "PVE sorts names as words"
