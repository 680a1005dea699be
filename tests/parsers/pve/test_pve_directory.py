"""Directories: which file plays which part, in a flat one and in /etc/pve itself; corosync.conf, vms.json, sdn.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.pve.corosync import parse_corosync
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.parsers.pve.node_facts import parse_node_facts, parse_sdn
from fwtrans.parsers.pve.sources import is_pve_directory, recognise_path
from fwtrans.parsers.pve.syntax import Corosync, GuestKind, NodeFacts, PveConfig, Sdn
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Mapping

NET = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n"
CT_NET = "net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:02\n"
ETC_PVE = {
    "corosync.conf": "totem {\n transport: udp\n}\nnodelist {\n node {\n name: pve2\n ring0_addr: 10.0.0.2\n }\n}\n",
    "firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "firewall/100.fw": "[OPTIONS]\nenable: 1\n",
    "firewall/101.fw": "nonsense that this node never reads\n",
    "firewall/999.fw": "[OPTIONS]\nenable: 1\n",
    "nodes/pve1/host.fw": "[OPTIONS]\nenable: 0\n",
    "nodes/pve2/host.fw": "[OPTIONS]\nenable: 1\n",
    "nodes/pve1/qemu-server/101.conf": NET,
    "nodes/pve2/qemu-server/100.conf": NET,
    "nodes/pve2/lxc/200.conf": CT_NET,
    "sdn/firewall/vnet1.fw": "[RULES]\nFORWARD DROP\n",
    "storage.cfg": "dir: local\n",
}


def read(files: Mapping[str, str], node: str = "") -> tuple[PveConfig, DiagnosticSink]:
    sink = DiagnosticSink()
    return read_pve_directory({path: SourceFile(path, text) for path, text in files.items()}, sink, node), sink


@pytest.mark.parametrize("root", ["", "etc/pve/", "collected/pve2/etc/pve/"])
def test_etc_pve(root: str) -> None:
    config, sink = read({root + path: text for path, text in ETC_PVE.items()}, "pve2")
    assert [(item.code, item.span.source.name if item.span else "") for item in sink.found] == [
        ("FWT173", f"{root}firewall/999.fw")
    ]
    assert config.cluster is not None
    assert config.host is not None
    assert config.host.options["enable"].value == "1"
    assert [(vmid, guest.conf.kind, guest.firewall is not None) for vmid, guest in config.guests.items()] == [
        (100, GuestKind.QEMU, True),
        (200, GuestKind.LXC, False),
    ]
    assert list(config.vnets) == ["vnet1"]
    assert config.corosync is not None
    assert config.node is not None
    assert config.node.node_name == "pve2"
    assert is_pve_directory(ETC_PVE)


def test_of_several_nodes_one_must_be_named() -> None:
    _, sink = read(ETC_PVE)
    assert [item.code for item in sink.errors] == ["FWT171"]
    assert "pve1, pve2" in sink.errors[0].message
    facts = json.dumps({"nodename": "pve1", "qemu": {}})
    config, sink = read({**ETC_PVE, "vms.json": facts})
    assert not sink.errors
    assert list(config.guests) == [101]
    assert config.host is not None
    assert config.host.options["enable"].value == "0"


HOST = {
    "etc/hostname": "pve2.example.org\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 pve2\n10.0.0.2 pve2.example.org pve2 # node\n",
    "etc/network/interfaces": (
        "auto vmbr0 vmbr1\niface vmbr1 inet static\n address 192.168.9.1\n netmask 255.255.255.0\n"
        "iface vmbr0 inet static\n address 10.0.0.2/20\n gateway 10.0.0.1\niface lo inet loopback\n"
    ),
}


def test_the_hosts_own_files_say_what_the_node_is() -> None:
    config, sink = read(ETC_PVE | HOST)
    assert not sink.errors
    assert config.node is not None
    assert (config.node.node_name, config.node.host_address, config.node.local_network) == (
        "pve2", "10.0.0.2", "10.0.0.0/20",
    )  # fmt: skip
    assert list(config.guests) == [100, 200]


def test_without_hosts_the_interface_with_the_gateway_is_the_nodes() -> None:
    files = {path: text for path, text in HOST.items() if path != "etc/hosts"}
    config, _ = read(ETC_PVE | files)
    assert config.node is not None
    assert (config.node.host_address, config.node.local_network) == ("10.0.0.2", "10.0.0.0/20")
    config, _ = read(
        ETC_PVE | {"hostname": "pve2", "hosts": "nonsense pve2\n\x00\n", "interfaces": "iface\niface x\n address y\n"}
    )
    assert config.node is not None
    assert (config.node.host_address, config.node.local_network) == ("", "")


def test_own_files_under_two_names_are_read_once_and_name_the_node() -> None:
    local = {
        "qemu-server/100.conf": NET + "nonsense\n",
        "lxc/200.conf": CT_NET,
        "local/host.fw": "[OPTIONS]\nenable: 1\n",
    }
    named = ETC_PVE | {"nodes/pve2/qemu-server/100.conf": NET + "nonsense\n"}
    config, sink = read(named | local)
    assert not sink.errors
    assert [item.span.source.name for item in sink.found if item.code == "FWT169" and item.span] == [
        "qemu-server/100.conf"
    ]
    assert config.node is not None
    assert config.node.node_name == "pve2"
    assert list(config.guests) == [100, 200]


def test_a_flat_directory() -> None:
    config, sink = read(
        {
            "cluster.fw": "[OPTIONS]\nenable: 1\n",
            "100.fw": "[OPTIONS]\nenable: 1\n",
            "qemu-server/100.conf": NET,
            "vnet1.fw": "[OPTIONS]\nenable: 1\n",
            "foreign.v4": "*filter\nCOMMIT\n",
            "iptables-save": "*filter\nCOMMIT\n",
        }
    )
    assert not sink.found
    assert config.guests[100].firewall is not None
    assert config.host is None
    assert config.node is None
    assert list(config.vnets) == ["vnet1"]
    assert config.foreign[0] is not None
    assert config.foreign[1] is None


def test_guests_of_vms_json_stand_in_for_missing_files() -> None:
    facts = {
        "nodename": "pve1",
        "qemu": {"100": {"net0": NET[6:].strip()}},
        "lxc": {"200": {"net0": CT_NET[6:].strip()}},
    }
    config, sink = read({"vms.json": json.dumps(facts, indent=1), "200.fw": "[RULES]\nIN DROP\n"})
    assert not sink.found
    assert [guest.conf.kind for guest in config.guests.values()] == [GuestKind.QEMU, GuestKind.LXC]
    assert config.guests[200].firewall is not None
    device = config.guests[100].conf.devices[0]
    assert device.mac == "BC:24:11:00:00:01"
    assert device.span().source.name == "vms.json"


def test_an_empty_file_is_none_to_pve() -> None:
    config, sink = read({"cluster.fw": "", "100.fw": "", "qemu-server/100.conf": NET})
    assert not sink.found
    assert config.cluster is None
    assert config.guests[100].firewall is None


def test_the_less_deep_file_is_read() -> None:
    config, sink = read({"old/cluster.fw": "[OPTIONS]\nenable: 0\n", "cluster.fw": "[OPTIONS]\nenable: 1\n"})
    assert config.cluster is not None
    assert config.cluster.options["enable"].value == "1"
    assert [(item.code, item.span.source.name if item.span else "") for item in sink.found] == [
        ("FWT173", "old/cluster.fw")
    ]


def test_a_mistake_of_a_guest_is_told_once() -> None:
    bad = "virtio=nonsense,bridge=vmbr0"
    facts = json.dumps({"nodename": "pve1", "qemu": {"100": {"net0": bad}}})
    _, sink = read({"qemu-server/100.conf": f"net0: {bad}\n", "vms.json": facts})
    assert [item.span.source.name for item in sink.found if item.span] == ["qemu-server/100.conf"]
    _, sink = read({"vms.json": facts})
    assert [item.code for item in sink.found] == ["FWT169"]


@pytest.mark.parametrize(
    "path", ["100.fw.bak", "0100.fw", "cluster.fw/x", "qemu-server/100.conf.tmp", "a/b.json", "x-1.fw", ""]
)
def test_what_is_no_file_of_pve(path: str) -> None:
    assert recognise_path(path) is None


# --- corosync.conf ---


def corosync(text: str) -> tuple[Corosync | None, DiagnosticSink]:
    sink = DiagnosticSink()
    return parse_corosync(SourceFile("corosync.conf", text), sink), sink


def test_corosync_is_read_word_by_word() -> None:
    found, sink = corosync(
        "# a comment\ntotem { version: 2 # two\n transport: knet }\r\n"
        "nodelist {\n node { ring0_addr: fd00::1 link10_addr: b ring2_addr: c nodeid: 1 }\n }\n"
    )
    assert not sink.found
    assert found is not None
    assert found.transport == "knet"
    node = found.nodes[0]
    assert (node.name, node.node_id, node.line) == ("fd00::1", "1", 5)
    assert node.links == ((0, "fd00::1"), (2, "c"), (10, "b"))


def test_the_last_node_of_a_name_counts() -> None:
    nodes = "".join(f"node {{\n name: a\n ring0_addr: 10.0.0.{number}\n}}\n" for number in (1, 2))
    found, sink = corosync(f"nodelist {{\n{nodes}}}\n")
    assert not sink.found
    assert found is not None
    assert [node.links for node in found.nodes] == [((0, "10.0.0.2"),)]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("totem {\n version 2\n}\n", 2, 2),
        ("totem {\n version:\n}\n}\n", 4, 1),
        ("}\n", 1, 1),
        ("totem {\n", 1, 1),
        ("totem {\n version:", 2, 2),
        ("nodelist {\n node {\n nodeid: 1\n }\n}\n", 2, 1),
        ("totem{\n", 1, 1),
        ("totem {\n}\nnodelist {\n}\ntotem {\n}\n", 5, 1),
        ("totem {\n interface {\n }\n interface {\n }\n more {\n }\n more {\n }\n}\n", 8, 2),
        ("\x00\x01\n", 1, 1),
    ],
)
def test_a_mistake_in_corosync_stops_pve(text: str, line: int, column: int) -> None:
    found, sink = corosync(text)
    if text == "totem {\n version:\n}\n}\n":  # `}` is the value of version, and the next one closes
        assert found is not None
        return
    assert found is None
    assert [(item.code, item.span.line, item.span.start + 1) for item in sink.errors if item.span] == [
        ("FWT170", line, column)
    ]


# --- vms.json and sdn.json ---


def facts_of(text: str) -> tuple[NodeFacts | None, DiagnosticSink]:
    sink = DiagnosticSink()
    return parse_node_facts(SourceFile("vms.json", text), sink), sink


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("{\n 'x': 1}", 2, 2),
        ("[1, 2]", 1, 1),
        ('{"nodename": 5}', 1, 2),
        ('{"nodename": "a\\nb"}', 1, 2),
        ('{\n "local_network": "10.0.0.0/33"}', 2, 19),
        ('{"host_ip": "pve1"}', 1, 13),
        ('{"qemu": []}', 1, 1),
        ('{"qemu": {"x": {}}}', 1, 11),
        ('{"qemu": {"100": {"net0": 1}}}', 1, 19),
        ('{"qemu": ' + "[" * 100_000, 1, 1),
        ('{"qemu": ' + "9" * 10_000 + "}", 1, 1),
    ],
)
def test_facts_that_cannot_be_read(text: str, line: int, column: int) -> None:
    found, sink = facts_of(text)
    assert found is None
    assert [(item.code, item.span.line, item.span.start + 1) for item in sink.errors if item.span] == [
        ("FWT171", line, column)
    ]
    assert render(sink.errors[0])


def test_facts_may_be_few() -> None:
    found, sink = facts_of("{}")
    assert not sink.found
    assert found is not None
    assert (found.node_name, found.local_network, found.host_address, found.guests) == ("", "", "", ())
    found, _ = facts_of('{"host_ip": "10.0.0.1/24"}')
    assert found is not None
    assert found.host_address == "10.0.0.1"


def sdn_of(text: str) -> tuple[Sdn | None, DiagnosticSink]:
    sink = DiagnosticSink()
    return parse_sdn(SourceFile("sdn.json", text), sink), sink


def test_sets_of_sdn() -> None:
    found, sink = sdn_of('{"ipset": {"v1-all": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.1", "nomatch": 1}]}}')
    assert not sink.found
    assert found is not None
    assert [(name, [(entry.address, entry.nomatch) for entry in entries]) for name, entries in found.ipsets] == [
        ("v1-all", [("10.0.0.0/24", False), ("10.0.0.1", True)])
    ]


@pytest.mark.parametrize(
    "text",
    ['{"ipset": []}', '{"ipset": {"a1": {}}}', '{"ipset": {"a1": [1]}}', '{"ipset": {"a1": [{"cidr": "x"}]}}', "{"],
)
def test_sets_of_sdn_that_cannot_be_read(text: str) -> None:
    found, sink = sdn_of(text)
    assert found is None
    assert [item.code for item in sink.errors] == ["FWT171"]
