"""A Proxmox VE configuration as an input: as a directory, as single files, beside other inputs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import Reading, read_inputs
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER = "[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network 10.0.0.0/24\n"
CONF = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n"
DUMP = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(*paths: Path, strict: bool = False) -> tuple[Reading | None, list[str]]:
    sink = DiagnosticSink()
    reading = read_inputs(read_paths([str(path) for path in paths], sink), sink, FileAccess(), strict=strict)
    return reading, [item.code for item in sink.found]


def chains(reading: Reading | None) -> set[str]:
    assert reading is not None
    return {chain.name for table in reading.ruleset.tables for chain in table.chains}


def test_a_flat_directory(tmp_path: Path) -> None:
    write(tmp_path, {"cluster.fw": CLUSTER, "100.fw": "[OPTIONS]\nenable: 1\n", "qemu-server/100.conf": CONF})
    assert {"PVEFW-HOST-IN", "tap100i0-IN"} <= chains(read(tmp_path)[0])


def test_the_folders_of_a_live_node(tmp_path: Path) -> None:
    """The link `local` says whose firewall is meant; the other node's guests are not filtered here."""
    write(
        tmp_path,
        {
            "pve/firewall/cluster.fw": CLUSTER,
            "pve/firewall/100.fw": "[OPTIONS]\nenable: 1\n",
            "pve/firewall/200.fw": "[OPTIONS]\nenable: 1\n",
            "pve/nodes/pve1/qemu-server/100.conf": CONF,
            "pve/nodes/pve2/qemu-server/200.conf": CONF,
            "pve/nodes/pve2/host.fw": "[OPTIONS]\nenable: 0\n",
        },
    )
    (tmp_path / "pve" / "local").symlink_to("nodes/pve1")
    found = chains(read(tmp_path / "pve")[0])
    assert {"PVEFW-HOST-IN", "tap100i0-IN"} <= found
    assert "tap200i0-IN" not in found


def test_files_named_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, {"cluster.fw": CLUSTER, "100.fw": "[OPTIONS]\nenable: 1\n", "qemu-server/100.conf": CONF})
    paths = [tmp_path / name for name in ("100.fw", "cluster.fw", "qemu-server/100.conf")]
    assert "tap100i0-OUT" in chains(read(*paths)[0])


def test_a_single_file_is_told_by_what_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("[OPTIONS]\nmacfilter: 1\nenable: 2\n")
    assert read(path)[1] == ["FWT162", "FWT185"], "a guest's file, with one value that is wrong"
    path.write_text("[OPTIONS]\nnosmurfs: 0\ntcpflags: on\n")
    assert read(path)[1] == ["FWT162", "FWT185"], "a host's file"


def test_calls_in_interfaces_stand_before_pve(tmp_path: Path) -> None:
    call = "iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -o vmbr0 -j MASQUERADE"
    interfaces = f"auto vmbr0\niface vmbr0 inet static\n  address 10.0.0.1/24\n  gateway 10.0.0.254\n  post-up {call}\n"
    write(
        tmp_path,
        {
            "cluster.fw": "[OPTIONS]\nenable: 1\n",
            "hostname": "pve1\n",
            "hosts": "10.0.0.1 pve1\n",
            "interfaces": interfaces,
        },
    )
    reading, codes = read(tmp_path)
    assert not codes, "the network of the node is told by its files"
    assert {"PVEFW-HOST-IN", "nat-POSTROUTING"} <= chains(reading)
    assert reading is not None
    chain = next(each for table in reading.ruleset.tables if (each := table.chain("nat-POSTROUTING")))
    assert chain.rules[0].origins[0].line == 5
    assert chain.rules[0].origins[0].source.name.endswith("interfaces")


def test_dumps_hold_what_pve_has_made(tmp_path: Path) -> None:
    write(tmp_path, {"cluster.fw": CLUSTER, "iptables-save": DUMP})
    reading, codes = read(tmp_path / "cluster.fw", tmp_path / "iptables-save")
    assert codes == ["FWT173"]
    assert "PVEFW-HOST-IN" not in chains(reading)
    assert chains(read(tmp_path)[0]) == {"INPUT", "FORWARD", "OUTPUT"}


def test_strict_refuses_what_pve_skips(tmp_path: Path) -> None:
    path = tmp_path / "cluster.fw"
    path.write_text(CLUSTER + "[RULES]\nIN SHH(ACCEPT)\n")
    assert read(path)[0] is not None
    reading, codes = read(path, strict=True)
    assert reading is None
    assert codes == ["FWT175", "FWT174"]


def test_a_finding_stands_at_the_line_of_the_configuration(tmp_path: Path) -> None:
    """What the reader of iptables' words refuses was made of a line of the configuration."""
    path = tmp_path / "cluster.fw"
    path.write_text(CLUSTER + "[OPTIONS]\nlog_ratelimit: enable=1,rate=20000/second\n[RULES]\nIN DROP -log info\n")
    sink = DiagnosticSink()
    read_inputs(read_paths([str(path)], sink), sink, FileAccess())
    wrong = [item for item in sink.errors if item.span is not None]
    assert {item.span.location for item in wrong if item.span is not None} == {f"{path}:8:1"}
    assert all("pve-firewall makes of this: -A PVEFW-HOST-IN" in item.notes[-1] for item in wrong)


WORDS = [
    "IN",
    "OUT",
    "GROUP",
    "FORWARD",
    "ACCEPT",
    "DROP",
    "REJECT",
    "-p",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "udplite",
    "6",
    "58",
    "0",
    "-dport",
    "-sport",
    "22",
    "65536",
    "1:2",
    "22,23",
    "ssh",
    "any",
    "echo-request",
    "-source",
    "-dest",
    "+admins",
    "+dc/admins",
    "guest/loc",
    "dc/jump",
    "10.0.0.0/8",
    "::1",
    "10.1",
    "1.2.3.4-1.2.3.9",
    "-i",
    "net0",
    "eth0",
    "-log",
    "info",
    "-icmp-type",
    "8",
    "SSH(ACCEPT)",
    "Ping(DROP)",
    "#",
    "|",
    "[RULES]",
    "[OPTIONS]",
    "[IPSET",
    "ipfilter-net0]",
    "[group",
    "g]",
    "[ALIASES]",
    "enable:",
    "1",
    "ips:",
    "ips_queues:",
    "0:1",
    "layer2_protocols:",
    "0806",
    "ARP,",
    "!10.0.0.0/8",
    "0.0.0.0/0",
    "policy_in:",
    "log_ratelimit:",
    "enable=1,rate=5/minute",
]
NODE = {
    "cluster.fw": f"{CLUSTER}loc 10.9.9.9\n[IPSET admins]\nloc\n!10.0.0.0/8\n2001:db8::/32\n[group g]\nIN SSH(ACCEPT) -log info\n[RULES]\nGROUP g\n",
    "host.fw": "[OPTIONS]\ntcpflags: 1\n[RULES]\nIN ACCEPT -i vmbr0 -source +admins\n",
    "100.fw": "[OPTIONS]\nenable: 1\nipfilter: 1\n[IPSET ipfilter-net0]\n10.0.0.7\n[RULES]\nGROUP g -i net0\nOUT REJECT -p tcp -dport 1,2\n",
    "200.fw": "[OPTIONS]\nenable: 1\nips: 1\nlayer2_protocols: ARP\n",
    "qemu-server/100.conf": CONF,
    "lxc/200.conf": "net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:01:01,ip=10.0.0.5/24,ip6=2001:db8::5/64,type=veth\n",
    "corosync.conf": "nodelist {\n  node {\n    name: pve1\n    ring0_addr: 10.0.0.1\n  }\n}\n",
}


def spoilt(text: str, chance: random.Random) -> str:
    """Return a text with some lines of rubbish, lost, doubled, or with one word or letter changed."""
    lines = text.split("\n")
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(lines))
        words = lines[at].split(" ")
        words[chance.randrange(len(words))] = chance.choice([*WORDS, "\0", "\xe9", "%"])
        rubbish = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 6)))
        lines[at : at + 1] = chance.choice([[rubbish, lines[at]], [" ".join(words)], [lines[at]] * 2, [""]])
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(150))
def test_a_spoilt_configuration_ends_in_findings(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- the same rubbish each time
    sources = [SourceFile(name, spoilt(text, chance)) for name, text in NODE.items()]
    sink = DiagnosticSink()
    reading = read_inputs(sources, sink, FileAccess())
    assert reading is not None or sink.errors
    assert all(item.message for item in sink.found)
