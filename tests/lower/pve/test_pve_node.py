"""A whole node: switches, policies, guests, sets, layer 2, and what goes wrong in the middle."""

from __future__ import annotations

import pytest

from fwtrans.lower.pve.ipsets import link_local
from fwtrans.lower.pve.scope import SetName
from tests.lower.pve.nodes import FACTS, NIC, ON, guest, host, make

LIMIT = '-m limit --limit 1/sec -j NFLOG --nflog-prefix "'


def test_without_the_switch_nothing_is_loaded() -> None:
    for text in ("", "[OPTIONS]\nenable: 0\n", "[OPTIONS]\nenable: 1700000000\n"):
        made = make({"cluster.fw": text, "100.fw": ON, "qemu-server/100.conf": NIC})
        assert "FWT185" in made.codes
        assert not made.chain("INPUT")
        assert not made.dumps.ipset.text
        assert not made.dumps.ebtables.text


def test_a_host_without_firewall_keeps_its_guests() -> None:
    made = make({"host.fw": "[OPTIONS]\nenable: 0\n", "100.fw": ON, "qemu-server/100.conf": NIC})
    assert not made.chain("PVEFW-HOST-IN")
    assert not made.chain("PVEFW-INPUT")
    assert made.chain("INPUT") == ["-j PVEFW-INPUT"]
    assert made.chain("tap100i0-IN")


def test_a_guest_without_firewall_has_sets_and_no_chains() -> None:
    made = make({"100.fw": "[IPSET own]\n10.0.0.1\n[OPTIONS]\nipfilter: 1\n", "qemu-server/100.conf": NIC})
    assert "tap100i0" not in made.dumps.ip.text
    assert "tap100i0" not in made.dumps.ebtables.text
    assert "add PVEFW-100-own-v4 10.0.0.1" in made.dumps.ipset.text
    assert "add PVEFW-100-ipfilter-net0-v6 fe80::be24:11ff:fe00:1" in made.dumps.ipset.text


@pytest.mark.parametrize(
    ("queues", "target"),
    [
        ("", "NFQUEUE --queue-bypass"),
        ("ips_queues: 0\n", "NFQUEUE --queue-bypass"),
        ("ips_queues: 3\n", "NFQUEUE --queue-num 3 --queue-bypass"),
        ("ips_queues: 0:3\n", "NFQUEUE --queue-balance 0:3 --queue-bypass"),
    ],
)
def test_an_intrusion_prevention_gets_what_is_accepted(queues: str, target: str) -> None:
    made = guest(
        "IN SSH(ACCEPT)\nGROUP web", options=f"ips: 1\npolicy_in: ACCEPT\n{queues}", cluster=f"{ON}[group web]\n"
    )
    chain = made.chain("tap100i0-IN")
    assert chain[1] == "-p udp --sport 67 --dport 68 -j ACCEPT", "DHCP goes past it"
    assert [line for line in chain if "NFQUEUE" in line] == [
        f"-p tcp --dport 22 -j {target}",
        f"-m mark --mark 0x80000000/0x80000000 -j {target}",
        f"-j {target}",
    ]
    assert made.chain("PVEFW-IPS") == [f"-m physdev --physdev-out tap100i0 --physdev-is-bridged -j {target}"]
    assert made.chain("PVEFW-FORWARD")[0].endswith("-j PVEFW-IPS")


@pytest.mark.parametrize(
    ("option", "limit"),
    [
        ("", "-m limit --limit 1/sec "),
        ("log_ratelimit: 0\n", ""),
        ("log_ratelimit: 1\n", "-m limit --limit 1/sec "),
        ("log_ratelimit: enable=1,burst=0,rate=7/hour\n", "-m limit --limit 7/hour "),
        ("log_ratelimit: burst=9,enable=yes\n", "-m limit --limit 1/sec --limit-burst 9 "),
    ],
)
def test_logs_are_limited_as_the_cluster_says(option: str, limit: str) -> None:
    made = host("IN DROP -p tcp -log emerg", cluster=ON + option)
    prefix = '-j NFLOG --nflog-prefix ":0:0:PVEFW-HOST-IN: DROP: "'
    assert f"-p tcp {limit}{prefix}" in made.chain("PVEFW-HOST-IN")


def test_the_blacklist_logs_as_its_first_user_asks() -> None:
    """That is PVEFW-FWBR-IN, with the level for what goes out."""
    cluster = f"{ON}[IPSET blacklist]\n192.0.2.1\n"
    made = make({"cluster.fw": cluster, "host.fw": "[OPTIONS]\nlog_level_in: err\nlog_level_out: debug\n"})
    assert made.chain("PVEFW-blacklist") == [f'{LIMIT}:0:7:PVEFW-blacklist: DROP: "', "-j DROP"]


def test_policies_stand_at_the_end() -> None:
    made = make(
        {"cluster.fw": f"{ON}policy_in: reject\npolicy_out: drop\n", "host.fw": "[OPTIONS]\nlog_level_in: info\n"}
    )
    assert made.chain("PVEFW-HOST-IN")[-3:] == [
        "-j PVEFW-Reject",
        f'{LIMIT}:0:6:PVEFW-HOST-IN: policy REJECT: "',
        "-g PVEFW-reject",
    ]
    assert made.chain("PVEFW-HOST-OUT")[-2:] == ["-j PVEFW-Drop", "-j DROP"]


def test_a_group_that_is_not_there_is_an_empty_one() -> None:
    made = host("GROUP nosuch -i vmbr0")
    assert made.codes == ["FWT177"], "told once, not for each family"
    assert "-i vmbr0 -j GROUP-nosuch-IN" in made.chain("PVEFW-HOST-IN")
    assert made.chain("GROUP-nosuch-IN") == ["-j MARK --set-mark 0x00000000/0x80000000"]


def test_pve_breaks_off_at_a_guest_whose_group_cannot_be_made() -> None:
    nics = NIC + "net1: virtio=BC:24:11:00:00:02,bridge=vmbr0,firewall=1\n"
    made = guest("GROUP ping", cluster=f"{ON}[group ping]\nIN ACCEPT -p icmp -dport 300\n", nics=nics)
    assert "FWT179" in made.codes
    assert "tap100i1" not in made.dumps.ip.text
    assert not [line for line in made.chain("PVEFW-FWBR-IN") if "tap100" in line]
    assert [line for line in made.chain("PVEFW-FWBR-IN", "ip6") if "tap100i1" in line], "in IPv6 the rule has no part"


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ("[IPSET servers]\n10.0.0.1\n", "IN ACCEPT -source +guest/servers"),
        ("[ALIASES]\nserver 10.0.0.1\n", "IN ACCEPT -source guest/server"),
        ("[ALIASES]\nserver 10.0.0.1\n", "OUT ACCEPT -dest guest/Server"),
        ("", "IN ACCEPT -p ipv6-icmp -dport echo-request"),
    ],
)
def test_pve_breaks_off_at_what_it_sees_in_a_group_too_late(names: str, rule: str) -> None:
    made = guest("GROUP late", cluster=f"{ON}{names}[group late]\n{rule}\n")
    family = "ip6" if "ipv6" in rule else "ip"
    side = "OUT" if rule.startswith("OUT") else "IN"
    assert made.codes == ["FWT179"]
    assert not [line for line in made.chain(f"PVEFW-FWBR-{side}", family) if "tap100" in line]


def test_a_group_that_the_host_could_not_make_is_half_there_for_guests() -> None:
    names = "[IPSET servers]\n10.0.0.1\n[group late]\nIN ACCEPT -p tcp -dport 22\nIN ACCEPT -source +guest/servers\n"
    files = {"cluster.fw": ON + names, "host.fw": "[RULES]\nGROUP late\n", "qemu-server/100.conf": NIC}
    made = make({**files, "100.fw": f"{ON}[RULES]\nGROUP late\n"})
    assert made.chain("GROUP-late-IN")[1:] == ["-p tcp --dport 22 -g PVEFW-SET-ACCEPT-MARK"]
    assert not made.chain("GROUP-late-OUT")
    assert not [line for line in made.chain("PVEFW-HOST-IN") if "GROUP" in line]
    assert [line for line in made.chain("PVEFW-FWBR-IN") if "tap100i0" in line]
    assert not [line for line in made.chain("PVEFW-FWBR-OUT") if "tap100i0" in line]


def test_a_set_of_sdn_needs_no_scope_and_is_made_last() -> None:
    sdn = '{"ipset": {"net-all": [{"cidr": "10.9.0.0/24"}], "both": [{"cidr": "10.8.0.0/24"}]}}'
    cluster = f"{ON}[IPSET both]\n10.1.1.1\n"
    rules = "[RULES]\nIN ACCEPT -source +net-all\nIN ACCEPT -source +dc/both\n"
    made = make({"cluster.fw": cluster, "sdn.json": sdn, "host.fw": rules})
    assert [line.split()[3] for line in made.chain("PVEFW-HOST-IN") if "src -j" in line] == [
        "PVEFW-0-net-all-v4",
        "PVEFW-0-both-v4",
    ]
    assert "add PVEFW-0-both-v4 10.8.0.0/24" in made.dumps.ipset.text
    assert "10.1.1.1" not in made.dumps.ipset.text


def test_the_local_network_is_defined_known_or_stands_in() -> None:
    rule = "-p tcp --dport 8006 -j RETURN"
    assert f"-d 172.16.1.0/24 {rule}" in make({}).chain("PVEFW-HOST-OUT")
    defined = make({"cluster.fw": f"{ON}[ALIASES]\nLocal_Network 2001:db8::/64\n"})
    assert f"-d 2001:db8::/64 {rule}" in defined.chain("PVEFW-HOST-OUT", "ip6")
    assert not [line for line in defined.chain("PVEFW-HOST-OUT") if "8006" in line]
    unknown = make({"vms.json": FACTS.replace("172.16.1.0/24", "").replace("172.16.1.2", "")})
    assert unknown.codes == ["FWT181"]
    assert f"-d 127.0.0.0/8 {rule}" in unknown.chain("PVEFW-HOST-OUT")


COROSYNC = """totem {
  version: 2
}
nodelist {
  node {
    name: pve2
    nodeid: 2
    ring0_addr: 172.16.1.3
    ring1_addr: 2001:db8::3
  }
  node {
    name: pve1
    nodeid: 1
    ring0_addr: 172.16.1.2
    ring1_addr: 2001:db8::2
    ring2_addr: elsewhere
  }
}
"""


def test_the_other_nodes_are_let_in_on_the_links_that_both_have() -> None:
    made = make({"corosync.conf": COROSYNC})
    ports = "-p udp --dport 5404:5405 -j RETURN"
    assert f"-d 172.16.1.2 -s 172.16.1.3 {ports}" in made.chain("PVEFW-HOST-IN")
    assert f"-s 2001:db8::2 -d 2001:db8::3 {ports}" in made.chain("PVEFW-HOST-OUT", "ip6")
    assert "MULTICAST -p udp" not in made.dumps.ip.text, "only with the transport udp"
    assert made.codes == ["FWT182"]
    unknown = make({"corosync.conf": COROSYNC, "vms.json": "{}"})
    assert "FWT182" in unknown.codes


def test_the_other_backend_is_named() -> None:
    made = make(
        {
            "cluster.fw": f"{ON}policy_forward: DROP\n",
            "host.fw": "[OPTIONS]\nnftables: 1\nlog_level_forward: info\n",
            "sdn/firewall/vnet1.fw": "[OPTIONS]\nenable: 1\n",
        }
    )
    assert made.codes == ["FWT180"] * 4
    assert made.chain("PVEFW-HOST-IN")


def test_set_names_are_hashed_where_the_kernel_has_no_room() -> None:
    assert SetName(0, "admins").for_version(4) == "PVEFW-0-admins-v4"
    assert SetName(0, "fifteen-letters").for_version(4) == "PVEFW-0-fifteen-letters-v4"
    assert SetName(0, "bogons-with-a-long-name").for_version(6) == "PVEFW-224D467D"


def test_sets_hold_what_their_entries_stand_for() -> None:
    cluster = f"""{ON}[ALIASES]
one 192.0.2.1/32
two 2001:DB8:0::2/128
[IPSET mixed]
one
two
!late
10.0.0.0/8
! 10.1.0.0/16
192.0.2.1 # again, through the alias
[ALIASES]
late 192.0.2.9
"""
    made = make({"cluster.fw": cluster})
    assert "FWT178" in made.codes
    lines = [line for line in made.dumps.ipset.text.splitlines() if line.startswith("add PVEFW-0-mixed")]
    assert lines == [
        "add PVEFW-0-mixed-v4 10.0.0.0/8",
        "add PVEFW-0-mixed-v4 10.1.0.0/16 nomatch",
        "add PVEFW-0-mixed-v4 192.0.2.1",
        "add PVEFW-0-mixed-v6 2001:db8::2",
    ]


def test_link_local_addresses_come_of_the_mac() -> None:
    assert link_local("BC:24:11:00:00:01") == "fe80::be24:11ff:fe00:1"
    assert link_local("02:00:00:00:00:00") == "fe80::ff:fe00:0"


def test_layer_2_of_a_guest() -> None:
    made = guest(
        "", options="layer2_protocols: ARP,802_1Q\n[IPSET ipfilter-net0]\n10.0.0.7\n!10.0.0.8/32\n2001:db8::7\n"
    )
    assert made.chain("tap100i0-OUT", "ebtables") == [
        "-s ! bc:24:11:0:0:1 -j DROP",
        "-p ARP -j tap100i0-OUT-ARP",
        "-j tap100i0-OUT-PROTO",
        "-j ACCEPT",
    ]
    assert made.chain("tap100i0-OUT-ARP", "ebtables") == [
        "-p ARP --arp-ip-src 10.0.0.7 -j RETURN",
        "-p ARP --arp-ip-src 10.0.0.8 -j RETURN",
        "-j DROP",
    ]
    assert made.chain("tap100i0-OUT-PROTO", "ebtables") == ["-p ARP -j RETURN", "-p 802_1Q -j RETURN", "-j DROP"]


def test_without_ebtables_there_are_no_chains_of_pve() -> None:
    made = make({"cluster.fw": f"{ON}ebtables: 0\n", "100.fw": ON, "qemu-server/100.conf": NIC})
    assert "PVEFW" not in made.dumps.ebtables.text
    assert made.chain("tap100i0-OUT")


def test_an_alias_in_a_guests_filter_loses_its_layer_2() -> None:
    made = guest("", options="[ALIASES]\nown 10.0.0.7\n[IPSET ipfilter-net0]\nown\n")
    assert made.codes == ["FWT183"]
    assert not made.chain("tap100i0-OUT", "ebtables")
    assert "add PVEFW-100-ipfilter-net0-v4 10.0.0.7" in made.dumps.ipset.text


@pytest.mark.parametrize("entry", ["nosuchalias", "10.0.0.300", "web.example.net", "10.0.0.7 10.0.0.8", "!"])
def test_a_mistake_in_a_guests_filter_loses_its_layer_2(entry: str) -> None:
    made = guest("", options=f"[IPSET ipfilter-net0]\n10.0.0.9\n{entry}\n")
    assert made.codes[1:] == ["FWT183"]
    assert not made.chain("tap100i0-OUT", "ebtables")
    assert "add PVEFW-100-ipfilter-net0-v4 10.0.0.9\n" in made.dumps.ipset.text


def test_what_is_left_out_of_a_guests_filter_may_still_send_arp() -> None:
    made = guest("", options="[IPSET ipfilter-net0]\n10.0.0.9\n0.0.0.0/0\n10.0.0.9\n::/0\n")
    assert made.codes == ["FWT164", "FWT164", "FWT164"]
    assert made.chain("tap100i0-OUT-ARP", "ebtables") == [
        "-p ARP --arp-ip-src 10.0.0.9 -j RETURN",
        "-p ARP --arp-ip-src 0.0.0.0/0 -j RETURN",
        "-p ARP --arp-ip-src 10.0.0.9 -j RETURN",
        "-j DROP",
    ]


def test_a_prefix_that_is_too_long_stops_pve_at_its_sets() -> None:
    assert make({"cluster.fw": f"{ON}[IPSET long]\n10.0.0.0/33\n"}).codes == ["FWT168"]


@pytest.mark.parametrize(("ip", "codes"), [("manual", ["FWT168"]), ("dhcp", []), ("10.0.0.5/24", [])])
def test_an_address_set_by_hand_stops_ebtables_where_addresses_are_filtered(ip: str, codes: list[str]) -> None:
    conf = f"net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:05,ip={ip},type=veth\n"
    assert make({"200.fw": f"{ON}ipfilter: 1\n", "lxc/200.conf": conf}).codes == codes
    assert make({"200.fw": ON, "lxc/200.conf": conf}).codes == []


def test_a_card_without_mac_is_not_held_to_one() -> None:
    conf = "net0: name=eth0,bridge=vmbr0,firewall=1,ip=10.0.0.5/24,type=veth\n"
    made = make({"200.fw": f"{ON}ipfilter: 1\n", "lxc/200.conf": conf})
    assert "FWT186" in made.codes
    assert not [line for line in made.chain("veth200i0-OUT") if "mac" in line]
    assert "add PVEFW-200-ipfilter-net0-v4 10.0.0.5" in made.dumps.ipset.text


def test_other_software_stands_before_pve() -> None:
    foreign = "*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n-A INPUT -j mine\n-A mine -s 192.0.2.1/32 -j DROP\nCOMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"  # fmt: skip
    made = make({"foreign.v4": foreign})
    assert made.chain("INPUT") == ["-j mine", "-j PVEFW-INPUT"]
    assert ":INPUT DROP [0:0]" in made.dumps.ip.text
    assert made.chain("POSTROUTING") == ["-j MASQUERADE"]
    number = made.dumps.ip.text.splitlines().index("-A INPUT -j mine") + 1
    assert made.dumps.ip.origin(number).location == "foreign.v4:4"


def test_helpers_and_the_limit_of_connections() -> None:
    options = "[OPTIONS]\nnf_conntrack_helpers: ftp,irc\nprotection_synflood: 1\nprotection_synflood_rate: 0\nnf_conntrack_tcp_timeout_syn_recv: 30\n"
    made = make({"host.fw": options})
    limit, *helpers = made.chain("PVEFW-PREROUTING")
    assert "--hashlimit-above 200/sec" in limit
    assert "--hashlimit-srcmask 32 --hashlimit-htable-expire 30000 -j DROP" in limit
    assert helpers == ["-p tcp -m tcp --dport 21 -j CT --helper ftp", "-p tcp -m tcp --dport 6667 -j CT --helper irc"]
    assert [line.split()[-1] for line in made.chain("PVEFW-PREROUTING", "ip6")] == ["DROP", "ftp"]
    assert made.chain("PREROUTING") == ["-j PVEFW-PREROUTING"]


def test_rules_point_at_their_lines() -> None:
    made = guest(
        "IN SSH(ACCEPT)\nGROUP web", options="policy_in: ACCEPT\n", cluster=f"{ON}[group web]\nIN HTTP(ACCEPT)\n"
    )
    places: dict[str, str] = {}
    for number, line in enumerate(made.dumps.ip.text.splitlines(), 1):
        places.setdefault(line, made.dumps.ip.origin(number).location)
    assert places["-A tap100i0-IN -p tcp --dport 22 -j ACCEPT"] == "100.fw:6"
    assert places["-A tap100i0-IN -j GROUP-web-IN"] == "100.fw:7"
    assert places["-A tap100i0-IN  -j ACCEPT"] == "100.fw:3"
    assert places["-A GROUP-web-IN -p tcp --dport 80 -g PVEFW-SET-ACCEPT-MARK"] == "cluster.fw:4"
    assert places["-A tap100i0-OUT -m mac ! --mac-source BC:24:11:00:00:01 -j DROP"] == "qemu-server/100.conf:1"
    assert places["-A PVEFW-HOST-IN -i lo -j ACCEPT"].startswith("pve-firewall: iptables:")
