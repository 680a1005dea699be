"""What collect takes, what it leaves, that it changes nothing, and that translate reads what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.backend.loader.programs import Done
from fwtrans.cli.inputs import FileAccess, read_host_facts, read_paths
from fwtrans.collect.files import Collection, is_collected
from fwtrans.collect.host import _vlans, collect_host
from fwtrans.collect.modules import is_loaded
from fwtrans.collect.run import Taken, collect
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.interfaces.parse import parse_interfaces
from fwtrans.read import read_inputs
from fwtrans.translate import Settings, translate
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = ("hunter2", "cafebabe", "topsecret", "AAAAkey", "2ZkV2", "0a1b2c3d", "d00dfeed", "s3same")
INTERFACES = """\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	wpa-psk hunter2
	post-up wg set wg0 private-key cafebabe peer x
	post-up iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -o vmbr0 -j MASQUERADE
	post-up echo 2ZkV2bQTiLWEJ5ZbQhX5qFqLPsdGPY2eHqVQm2ZkV2s= | wg set wg0 peer 2ZkV2bQTiLWEJ5ZbQhX5qFqLPsdGPY2eHqVQm2ZkV2s= endpoint 192.0.2.9:51820
	post-up ip macsec add macsec0 tx sa 0 pn 1 on key 00 0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d
	post-up ip xfrm state add src 192.0.2.1 dst 192.0.2.9 proto esp spi 7 enc aes 0xd00dfeedd00dfeedd00dfeedd00dfeed
	post-up curl https://admin:s3same@192.0.2.9/up?token=s3same
	post-up iptables -A INPUT -m mark --mark 0x80000000/0x80000000 -m comment --comment 0123456789abcdef -j ACCEPT

source /etc/network/interfaces.d/*
"""
MORE = """\
iface vmbr1 inet manual
	up ip6tables -A FORWARD -i vmbr1 -j ACCEPT
"""
GUEST = """\
name: vm101
cipassword: topsecret
args: -fw_cfg name=opt/x,string=topsecret -vnc 0.0.0.0:77,password=on
smbios1: uuid=topsecret
sshkeys: AAAAkey
net0: virtio=BC:24:11:A7:35:6C,bridge=vmbr0,firewall=1
description: topsecret

[before]
net0: virtio=BC:24:11:A7:35:6C,bridge=vmbr9
"""
CONTAINER = """\
hostname: ct103
features: mount=cifs
lxc.environment: PASSWORD=topsecret
net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:A7:35:6E,ip=dhcp
"""
CLUSTER = "[OPTIONS]\nenable: 1\n"


def run(*words: str, given: str = "") -> str:
    assert_inside()
    done = subprocess.run(words, input=given.encode(), capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout.decode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's files."""
    files = {
        "etc/hostname": "pve1\n",
        "etc/hosts": "192.0.2.1 pve1\n",
        "etc/network/interfaces": INTERFACES,
        "proc/sys/net/ipv4/ip_forward": "1\n",
        "etc/network/interfaces.d/vmbr1": MORE,
        "etc/pve/firewall/cluster.fw": CLUSTER,
        "etc/pve/firewall/101.fw": "[OPTIONS]\nenable: 1\n",
        "etc/pve/firewall/999.fw": "[OPTIONS]\nenable: 1\n",
        "etc/pve/nodes/pve1/host.fw": "[OPTIONS]\nenable: 1\n",
        "etc/pve/nodes/pve1/qemu-server/101.conf": GUEST,
        "etc/pve/nodes/pve2/qemu-server/102.conf": GUEST,
        "etc/pve/priv/shadow.cfg": "topsecret\n",
        "etc/pve/priv/authkey.key": "topsecret\n",
        "etc/pve/priv/storage/cifs.pw": "topsecret\n",
        "etc/pve/sdn/ipams.cfg": "netbox: x\n\ttoken topsecret\n",
        "etc/pve/nodes/pve1/pve-ssl.key": "topsecret\n",
        "etc/pve/nodes/pve1/lxc/103.conf": CONTAINER,
        "etc/network/wg0.conf": "[Interface]\nPrivateKey = topsecret\n",
        "etc/wireguard/wg0.conf": "[Interface]\nPrivateKey = topsecret\n",
        "etc/pve/user.cfg": "topsecret\n",
        "etc/pve/corosync.conf": "totem {\n  version: 2\n  secauth: topsecret\n}\nnodelist {\n  node {\n    name: pve1\n    ring0_addr: 192.0.2.1\n  }\n}\n",
    }
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "root/etc/pve/local").symlink_to("nodes/pve1")
    return tmp_path / "root"


def taken(folder: Path, root: Path, sink: DiagnosticSink | None = None) -> Taken:
    found = collect(folder, root, sink or DiagnosticSink())
    assert found is not None
    return found


# --- files of the host ---


def test_secrets_are_not_collected(root: Path) -> None:
    collection = Collection()
    collect_host(collection, root)
    every = "\n".join(item.content for item in collection.files)
    assert not [secret for secret in SECRETS if secret in every]
    assert "interfaces:7: a value that may be secret" in collection.left_out
    assert "interfaces:8: a value that may be secret" in collection.left_out
    assert {item.name for item in collection.files} == {
        "hostname",
        "hosts",
        "interfaces",
        "interfaces.d/vmbr1",
        "pve/firewall/cluster.fw",
        "pve/firewall/101.fw",
        "pve/nodes/pve1/host.fw",
        "pve/nodes/pve1/qemu-server/101.conf",
        "pve/nodes/pve1/lxc/103.conf",
        "pve/corosync.conf",
    }


def test_what_is_kept_of_a_guest_keeps_its_line(root: Path) -> None:
    collection = Collection()
    collect_host(collection, root)
    (guest,) = [item.content for item in collection.files if item.name.endswith("101.conf")]
    lines = guest.split("\n")
    assert (lines[0], lines[5]) == ("name: vm101", "net0: virtio=BC:24:11:A7:35:6C,bridge=vmbr0,firewall=1")
    assert not any(line for index, line in enumerate(lines) if index not in {0, 5})
    (interfaces,) = [item.content for item in collection.files if item.name == "interfaces"]
    assert interfaces.count("\n") == INTERFACES.count("\n")
    assert "post-up iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -o vmbr0 -j MASQUERADE\n" in interfaces
    assert "--mark 0x80000000/0x80000000 -m comment --comment 0123456789abcdef -j ACCEPT\n" in interfaces


def test_a_host_without_any_of_it_is_collected_too(tmp_path: Path) -> None:
    collection = Collection()
    collect_host(collection, tmp_path)
    assert collection.files == []
    assert {"/etc/hostname", "/etc/network/interfaces"} <= {gap.what for gap in collection.gaps}


def test_tags_of_ports_are_those_of_bridges_that_look_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [
        {
            "ifname": "port7",
            "vlans": [{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}, {"vlan": 100, "vlanEnd": 110}],
        },
        {"ifname": "br7", "vlans": [{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}]},
        {"ifname": "port8", "vlans": [{"vlan": 1}]},
    ]
    monkeypatch.setattr("fwtrans.collect.host.find", lambda name: f"/sbin/{name}")
    monkeypatch.setattr("fwtrans.collect.host.run", lambda _: Done(0, json.dumps(shown).encode(), ""))
    links: list[dict[str, Any]] = [
        {"ifname": "br7", "linkinfo": {"info_kind": "bridge", "info_data": {"vlan_filtering": 1}}},
        {"ifname": "br8", "linkinfo": {"info_kind": "bridge", "info_data": {"vlan_filtering": 0}}},
        {"ifname": "port7", "master": "br7"},
        {"ifname": "port8", "master": "br8"},
    ]
    assert _vlans(links) == {"port7": ["1 pvid untagged", "100-110"], "br7": ["1 pvid untagged"]}
    assert _vlans(links[1:2]) == {}


def test_a_module_is_looked_for_without_asking_the_kernel(tmp_path: Path) -> None:
    assert is_loaded("ip_set", tmp_path), "without /proc/modules the kernel has what it has"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/modules").write_text("nf_tables 1 0 - Live 0x0\n")
    assert is_loaded("nf_tables", tmp_path)
    assert not is_loaded("ip_set", tmp_path)
    built_in = tmp_path / "lib/modules" / os.uname().release / "modules.builtin"
    built_in.parent.mkdir(parents=True)
    built_in.write_text("kernel/net/netfilter/ipset/ip_set.ko\n")
    assert is_loaded("ip_set", tmp_path)


# --- what reads it ---


def test_files_of_interfaces_d_are_found_in_what_was_collected(root: Path, tmp_path: Path) -> None:
    collection = Collection()
    collect_host(collection, root)
    folder = tmp_path / "before"
    for item in collection.files:
        path = folder / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.content)
    sink = DiagnosticSink()
    files = FileAccess([str(folder)])
    (source,) = [source for source in read_paths([str(folder)], sink) if source.name.endswith("interfaces")]
    parse_interfaces(source, sink, files.read, files.matching)
    assert sink.errors == ()
    ruleset = read_inputs([source], sink, files)
    assert ruleset is not None, sink.errors
    forward = [
        rule
        for table in ruleset.ruleset.tables
        for chain in table.chains
        if chain.name == "FORWARD"
        for rule in chain.rules
    ]
    assert len(forward) == 1, "the rule of interfaces.d/vmbr1"


def test_a_sourced_folder_that_is_not_there_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "interfaces").write_text(INTERFACES)
    for given in (tmp_path, tmp_path / "interfaces"):
        sink = DiagnosticSink()
        files = FileAccess([str(given)])
        (source,) = read_paths([str(given)], sink)
        parse_interfaces(source, sink, files.read, files.matching)
        assert [item.code for item in sink.errors] == ["FWT131"]
    (tmp_path / "manifest.json").write_text("{}")
    sink = DiagnosticSink()
    parse_interfaces(source, sink, files.read, files.matching)
    assert sink.errors == (), "it was collected, and there was none"


# --- the running firewall ---


@pytest.fixture
def inside() -> Iterator[None]:
    with namespace():
        run("ip", "link", "set", "lo", "up")
        yield


def everything() -> str:
    parts = [
        run("nft", "list", "ruleset"),
        run("iptables-legacy-save"),
        run("ip6tables-legacy-save"),
        run("ipset", "save"),
    ]
    parts += [Path(f"/proc/thread-self/net/{name}_tables_names").read_text() for name in ("ip", "ip6", "arp")]
    return "\n".join(line for part in parts for line in part.splitlines() if not line.startswith("#"))


@pytest.mark.netns
def test_everything_that_filters_is_collected_and_nothing_changes(inside: None, root: Path, tmp_path: Path) -> None:
    assert inside is None
    run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "99", "-j", "DROP")
    run("ip6tables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "99", "-j", "DROP")
    run("arptables-nft", "-A", "INPUT", "-s", "192.0.2.9", "-j", "DROP")
    run("ebtables-nft", "-A", "FORWARD", "-p", "ARP", "-j", "DROP")
    run("ipset", "create", "x", "hash:ip")
    run("nft", "add table inet mine; add chain inet mine c { type filter hook input priority 5; }")
    run("ip", "link", "add", "br7", "type", "bridge")
    run("ip", "link", "add", "port7", "type", "veth", "peer", "name", "other7")
    run("ip", "link", "set", "port7", "master", "br7")
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "br7")
    before = everything()
    folder = tmp_path / "before"
    sink = DiagnosticSink()
    found = taken(folder, root, sink)
    assert everything() == before
    assert sink.errors == ()
    dumps = {"iptables-save", "ip6tables-save", "arptables-save", "ebtables-save", "ipset-save", "nft-tables.nft"}
    assert dumps <= set(found.files)
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["bridges"] == {"br7": ["port7"]}
    assert facts["vlans"] == {}
    assert facts["programs"].keys() == {"iptables", "ip6tables", "ebtables", "arptables"}
    assert [chain["table"] for chain in facts["base_chains"]] == ["inet mine"]
    assert facts["nft"] == run("nft", "--version").split()[1].removeprefix("v")
    assert facts["settings"]["net.ipv4.ip_forward"] == "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {item["name"] for item in manifest["files"]} == set(found.files)
    assert is_collected(folder)
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert [str(address) for address in read_host_facts([str(folder)]).addresses] == ["192.0.2.1/24"]
    result = translate(read_paths([str(folder)], sink), Settings(), sink, FileAccess([str(folder)]))
    assert sink.errors == ()
    assert {str(line) for line in result.output.splitlines() if line.startswith("table")} == {
        "table ip fwtrans {",
        "table ip6 fwtrans {",
        "table bridge fwtrans {",
        "table arp fwtrans {",
    }
    assert taken(folder, root).files == found.files, "what was collected may be collected again"


@pytest.mark.netns
def test_both_variants_with_rules_are_an_error(inside: None, root: Path, tmp_path: Path) -> None:
    assert inside is None
    for variant in ("legacy", "nft"):
        run(f"iptables-{variant}", "-A", "INPUT", "-j", "DROP")
    sink = DiagnosticSink()
    found = taken(tmp_path / "before", root, sink)
    assert [item.code for item in sink.errors] == ["FWT621"]
    assert "iptables-save" not in found.files
    assert {"variants/iptables-legacy-save", "variants/iptables-nft-save"} <= set(found.files)


@pytest.mark.netns
def test_missing_tools_are_named(inside: None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inside is None
    run("iptables-legacy", "-A", "INPUT", "-j", "DROP")
    run("ip6tables-nft", "-A", "INPUT", "-j", "DROP")
    monkeypatch.setattr("fwtrans.backend.loader.programs.shutil.which", lambda *_, **__: None)
    sink = DiagnosticSink()
    found = taken(tmp_path / "before", root, sink)
    missing = {gap.what for gap in found.gaps}
    assert {"ipset", "nft", "iptables-legacy-save", "ebtables-legacy", "addresses", "versions of packages"} <= missing
    assert {item.code for item in sink.found} == {"FWT622"}
    told = "\n".join(item.message for item in sink.found)
    assert "the rules of iptables-legacy" in told, "it has rules that nobody could read"
    assert "the rules of ip6tables-nft" in told


@pytest.mark.netns
def test_a_directory_of_others_is_not_written_to(inside: None, root: Path, tmp_path: Path) -> None:
    assert inside is None
    (tmp_path / "notes.txt").write_text("mine")
    sink = DiagnosticSink()
    assert collect(tmp_path, root, sink) is None
    assert [item.code for item in sink.errors] == ["FWT611"]


def test_who_is_not_root_is_told(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    sink = DiagnosticSink()
    assert collect(tmp_path / "before", root, sink) is None
    assert [item.code for item in sink.errors] == ["FWT601"]
