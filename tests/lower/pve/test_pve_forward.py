"""FORWARD rules and firewalls of vnets: what only the nftables backend makes of a configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.exitcodes import ExitCode
from tests.cli.test_app import run
from tests.lower.pve.nodes import FACTS, ON, make

if TYPE_CHECKING:
    from pathlib import Path

STATES = ["-m conntrack --ctstate INVALID -j DROP", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
BRIDGED = "-i vnet1 -o vnet1 -m physdev --physdev-is-bridged"
VNET = "[OPTIONS]\nenable: 1\n"


def test_the_nodes_own_rules_come_first_and_the_policy_last() -> None:
    made = make(
        {
            "cluster.fw": f"{ON}policy_forward: DROP\n[RULES]\nIN SSH(ACCEPT)\nFORWARD ACCEPT -p tcp -dport 443\n",
            "host.fw": "[OPTIONS]\nlog_level_forward: info\n[RULES]\nFORWARD DROP -source 10.0.0.0/8 -log err\n",
        },
        nftables=True,
    )
    limit = "-m limit --limit 1/sec -j NFLOG --nflog-prefix"
    assert made.codes == []
    assert made.chain("PVEFW-HOST-FORWARD") == [
        f'-s 10.0.0.0/8 {limit} ":0:3:PVEFW-HOST-FORWARD: DROP: "',
        "-s 10.0.0.0/8 -j DROP",
        "-p tcp --dport 443 -j ACCEPT",
        f'{limit} ":0:6:PVEFW-HOST-FORWARD: policy DROP: "',
        "-j DROP",
    ]
    assert made.chain("PVEFW-HOST-FORWARD", "ip6") == made.chain("PVEFW-HOST-FORWARD")[2:]
    assert made.chain("PVEFW-FORWARD")[:2] == STATES
    assert made.chain("PVEFW-FORWARD")[-1] == "-m physdev ! --physdev-is-bridged -j PVEFW-HOST-FORWARD"
    assert not [line for line in made.chain("PVEFW-HOST-IN") if "443" in line]


def test_a_groups_rules_stand_where_it_is_named() -> None:
    cluster = (
        f"{ON}[group web]\nIN HTTP(ACCEPT)\nFORWARD Ping(ACCEPT)\n|FORWARD DROP\nFORWARD DROP -p udp\n"
        "[RULES]\nGROUP web\nGROUP web -i vmbr0\nGROUP none\nFORWARD ACCEPT\n"
    )
    made = make({"cluster.fw": cluster}, nftables=True)
    assert made.chain("PVEFW-HOST-FORWARD") == [
        "-p icmp -m icmp --icmp-type echo-request -j ACCEPT", "-p udp -j DROP", "-j ACCEPT", "-j ACCEPT",
    ]  # fmt: skip
    assert made.codes == ["FWT177"]


def test_a_vnet_is_asked_on_its_bridge_and_beside_the_nodes_own_rules() -> None:
    vnet = f"{VNET}policy_forward: DROP\n[RULES]\nFORWARD ACCEPT -p tcp -dport 22\nFORWARD DROP -source 10.0.0.0/8\n"
    made = make({"sdn/firewall/vnet1.fw": vnet, "sdn/firewall/off.fw": "[RULES]\nFORWARD DROP\n"}, nftables=True)
    assert made.codes == []
    assert made.chain("PVEFW-VNET-vnet1") == ["-p tcp --dport 22 -j ACCEPT", "-s 10.0.0.0/8 -j DROP", "-j DROP"]
    assert made.chain("PVEFW-FORWARD")[-1] == f"{BRIDGED} -j PVEFW-VNET-vnet1"
    for hook, letter, side in (("INPUT", "i", "IN"), ("OUTPUT", "o", "OUT")):
        assert made.chain(f"PVEFW-{hook}")[0] == f"-{letter} vnet1 -j PVEFW-VNET-vnet1-{side}"
        assert made.chain(f"PVEFW-VNET-vnet1-{side}") == [
            STATES[0], STATES[1].replace("ACCEPT", "RETURN"), "-p tcp --dport 22 -j RETURN", "-s 10.0.0.0/8 -j DROP", "-j DROP",
        ], "what it accepts is still judged by the node's own rules"  # fmt: skip
        assert made.chain(f"PVEFW-VNET-vnet1-{side}", "ip6") == [
            STATES[0], STATES[1].replace("ACCEPT", "RETURN"), "-p tcp --dport 22 -j RETURN", "-j DROP",
        ]  # fmt: skip
    assert "PVEFW-VNET-off" not in made.dumps.ip.text


def test_a_host_without_firewall_keeps_its_vnets() -> None:
    files = {"host.fw": "[OPTIONS]\nenable: 0\nnf_conntrack_allow_invalid: 1\n", "sdn/firewall/vnet1.fw": VNET}
    made = make(files, nftables=True)
    assert made.chain("PVEFW-FORWARD")[-1] == f"{BRIDGED} -j PVEFW-VNET-vnet1"
    assert made.chain("PVEFW-VNET-vnet1") == ["-j ACCEPT"]
    assert not made.chain("PVEFW-INPUT")
    assert not made.chain("PVEFW-HOST-FORWARD")


def test_what_proxmox_firewall_gives_up_at_is_an_error() -> None:
    made = make({"cluster.fw": f"{ON}[RULES]\nFORWARD ACCEPT -i vmbr0\n"}, nftables=True)
    assert made.codes == ["FWT168"]


def test_files_of_no_vnet_make_nothing() -> None:
    made = make({"sdn/firewall/a-vnet.fw": VNET, "sdn/firewall/longer9chars.fw": VNET}, nftables=True)
    assert "PVEFW-VNET" not in made.dumps.ip.text


PACKETS = {
    "from=vm100 to=vm101 proto=tcp dport=22": ("accept", "accept"),
    "from=vm100 to=vm101 proto=tcp dport=23": ("drop", "accept"),
    "from=vm100 to=nfvm proto=tcp dport=23": ("drop", "accept"),
    "from=nfvm to=outside proto=tcp dport=22": ("accept", "accept"),
    "from=outside to=vm101 proto=udp dport=53": ("drop", "accept"),
    "hook=forward iif=eth1 oif=eth2 proto=tcp dport=22": ("drop", "accept"),
    "hook=forward iif=eth1 oif=eth2 proto=tcp dport=443": ("accept", "accept"),
    "hook=input iif=vmbr0 proto=tcp dport=8006": ("drop", "accept"),
    "hook=input iif=eth1 proto=tcp dport=8006": ("accept", "accept"),
    "hook=output oif=vmbr0 proto=tcp dport=23": ("drop", "accept"),
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    nic = "net0: virtio=BC:24:11:00:00:0{},bridge=vmbr0,firewall=1\n"
    files = {
        "cluster.fw": f"{ON}policy_in: ACCEPT\npolicy_forward: DROP\n[RULES]\nFORWARD HTTPS(ACCEPT)\n",
        "sdn/firewall/vmbr0.fw": f"{VNET}policy_forward: DROP\n[RULES]\nFORWARD SSH(ACCEPT)\n",
        "100.fw": f"{ON}policy_in: ACCEPT\n",
        "101.fw": f"{ON}policy_in: ACCEPT\n",
        "qemu-server/100.conf": nic.format(0),
        "qemu-server/101.conf": nic.format(1),
        "vms.json": FACTS,
    }
    for name, text in files.items():
        place = tmp_path / "pve" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path / "pve"


def test_packets_of_both_backends(folder: Path, tmp_path: Path) -> None:
    """What is translated is proved equal, and without the option nothing of it is in force."""
    (tmp_path / "packets").write_text("\n".join(PACKETS))
    for number, backend in enumerate(("nftables", "iptables")):
        option = ("--pve-backend", backend)
        judged = run("simulate", str(folder), "--packets", str(tmp_path / "packets"), "--json", *option)
        values = json.loads(judged.stdout)["result"]["packets"]
        found = dict(zip(PACKETS, (item["verdict"] for item in values), strict=True))
        assert found == {packet: answers[number] for packet, answers in PACKETS.items()}
        output = tmp_path / f"{backend}.nft"
        translated = run("translate", str(folder), "-o", str(output), *option)
        assert translated.returncode == ExitCode.DONE, translated.stderr
        assert run("verify", str(folder), str(output), *option).returncode == ExitCode.DONE
    other = run("verify", str(folder), str(tmp_path / "iptables.nft"), "--pve-backend", "nftables")
    assert other.returncode == ExitCode.FINDINGS
    review = run("diff", str(folder), str(tmp_path / "nftables.nft"), "--pve-backend", "nftables")
    assert review.returncode == ExitCode.DONE, review.stdout
