"""The sets of SDN, as Proxmox VE makes them for its firewall."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.collect.files import Collection
from fwtrans.collect.host import collect_host
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.pve.node_facts import parse_sdn
from fwtrans.parsers.pve.sdn_sets import NotSdn, sets_of_sdn
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from pathlib import Path

RUNNING = json.dumps(
    {
        "version": 7,
        "zones": {"ids": {"zone1": {"type": "simple", "dhcp": "dnsmasq", "ipam": "pve"}}},
        "vnets": {"ids": {"vnet1": {"zone": "zone1", "type": "vnet"}, "empty": {"zone": "zone1", "type": "vnet"}}},
        "subnets": {
            "ids": {
                "zone1-fd00:50::-64": {"vnet": "vnet1", "type": "subnet", "gateway": "fd00:50::1"},
                "zone1-10.50.0.0-24": {
                    "vnet": "vnet1",
                    "type": "subnet",
                    "gateway": "10.50.0.1",
                    "snat": 1,
                    "dhcp-range": ["start-address=10.50.0.10,end-address=10.50.0.13"],
                },
            }
        },
        "controllers": {"ids": {"evpn1": {"type": "evpn", "asn": 65000, "peers": "topsecret"}}},
    }
)
ADDRESSES = json.dumps(
    {
        "zones": {
            "zone1": {
                "subnets": {
                    "10.50.0.0/24": {
                        "ips": {
                            "10.50.0.1": {"gateway": 1},
                            "10.50.0.9": {"vmid": 100, "mac": "BC:24:11:A7:35:6C", "hostname": "vm100"},
                            "10.50.0.8": {"mac": "BC:24:11:A7:35:6D"},
                        }
                    }
                }
            }
        }
    }
)


def test_the_sets_are_those_that_proxmox_ve_makes() -> None:
    found = sets_of_sdn(RUNNING, ADDRESSES)
    assert found == {
        "empty-all": [],
        "empty-gateway": [],
        "empty-no-gateway": [],
        "empty-dhcp": [],
        "vnet1-all": [{"cidr": "10.50.0.0/24"}, {"cidr": "fd00:50::/64"}],
        "vnet1-gateway": [{"cidr": "10.50.0.1"}, {"cidr": "fd00:50::1"}],
        "vnet1-no-gateway": [
            {"cidr": "10.50.0.0/24"},
            {"cidr": "10.50.0.1", "nomatch": 1},
            {"cidr": "fd00:50::/64"},
            {"cidr": "fd00:50::1", "nomatch": 1},
        ],
        "vnet1-dhcp": [{"cidr": "10.50.0.10/31"}, {"cidr": "10.50.0.12/31"}],
        "guest-ipam-100": [{"cidr": "10.50.0.9"}],
    }
    sink = DiagnosticSink()
    read = parse_sdn(SourceFile("sdn.json", json.dumps({"ipset": found})), sink)
    assert read is not None
    assert sink.found == []
    assert len(read.ipsets) == len(found)


@pytest.mark.parametrize("where", ["sdn/pve-ipam-state.json", "priv/ipam.db"])
def test_they_are_collected_and_the_rest_is_not(tmp_path: Path, where: str) -> None:
    top = tmp_path / "etc/pve"
    for name, text in (("sdn/.running-config", RUNNING), (where, ADDRESSES), ("sdn/ipams.cfg", "token topsecret\n")):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    collection = Collection()
    collect_host(collection, tmp_path)
    (found,) = [item for item in collection.files if item.name.startswith("pve/")]
    assert found.name == "pve/sdn.json"
    assert set(json.loads(found.content)["ipset"]) >= {"vnet1-no-gateway", "guest-ipam-100"}
    assert "topsecret" not in found.content
    assert "hostname" not in found.content


@pytest.mark.parametrize(
    "running",
    [
        "{",
        "[]",
        '{"vnets": 7}',
        '{"subnets": {"ids": {"zone1": {"vnet": "x"}}}, "vnets": {"ids": {"x": {}}}}',
        '{"subnets": {"ids": {"z-10.0.0.0-24": {"vnet": "x", "dhcp-range": ["start-address=10.0.0.1,end-address=fd00::1"]}}}, "vnets": {"ids": {"x": {}}}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_configuration_is_told(tmp_path: Path, running: str) -> None:
    with pytest.raises(NotSdn):
        sets_of_sdn(running, "")
    (tmp_path / "etc/pve/sdn").mkdir(parents=True)
    (tmp_path / "etc/pve/sdn/.running-config").write_text(running)
    collection = Collection()
    collect_host(collection, tmp_path)
    assert [gap.what for gap in collection.gaps if gap.matters] == ["the sets of SDN"]


def test_without_sdn_there_are_no_sets() -> None:
    assert sets_of_sdn("", "") == {}
    assert sets_of_sdn("{}", "{}") == {}


def test_a_node_with_sdn_is_read_from_what_was_collected(tmp_path: Path, shared: Path) -> None:
    """The corpus has what the firewall was given; what is collected has to lead to the same sets."""
    corpus = shared / "pve-corpus" / "f-sdn" / "input"
    root, top = tmp_path / "root", tmp_path / "root/etc/pve"
    node = json.loads((corpus / "vms.json").read_text())["nodename"]
    for name, text in (
        ("firewall/cluster.fw", (corpus / "cluster.fw").read_text()),
        ("firewall/100.fw", (corpus / "100.fw").read_text()),
        (f"nodes/{node}/qemu-server/100.conf", (corpus / "qemu-server/100.conf").read_text()),
        ("sdn/.running-config", RUNNING.replace('"dhcp-range"', '"other"')),
        ("sdn/pve-ipam-state.json", ADDRESSES),
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "local").symlink_to(f"nodes/{node}")
    collection = Collection()
    collect_host(collection, root)
    for item in collection.files:
        path = tmp_path / "before" / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.content)
    given = json.loads((corpus / "sdn.json").read_text())["ipset"]
    found = json.loads((tmp_path / "before/pve/sdn.json").read_text())["ipset"]
    for name in ("vnet1-all", "vnet1-gateway", "vnet1-dhcp", "guest-ipam-100"):
        assert found[name] == given[name]
    folder, sink = str(tmp_path / "before/pve"), DiagnosticSink()
    reading = read_inputs(read_paths([folder], sink), sink, FileAccess([folder]))
    assert reading is not None
    assert sink.errors == ()
    names = {item.name for table in reading.ruleset.tables for item in table.sets}
    assert {"PVEFW-0-vnet1-all-v4", "PVEFW-0-guest-ipam-100-v4"} <= names, names
