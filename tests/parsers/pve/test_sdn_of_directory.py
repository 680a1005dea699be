"""The sets of SDN, of what lies in /etc/pve: nobody but `fwtrans collect` writes sdn.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from fwtrans.parsers.pve.syntax import PveConfig

CLUSTER = "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -source +sdn/lab-no-gateway\n"
SUBNETS = """subnet: zone1-10.50.0.0-24
\tvnet lab
\tgateway 10.50.0.1
\tdhcp-range start-address=10.50.0.8,end-address=10.50.0.9
\tdhcp-range start-address=10.50.0.16,end-address=10.50.0.16

subnet: zone1-fd50::-64
\tvnet lab
"""
VNETS = "# made by hand\nvnet: lab\n\tzone zone1\n\nvnet: other\n\tzone zone1\n"
RUNNING = json.dumps({
    "vnets": {"ids": {"lab": {"zone": "zone1"}}},
    "subnets": {"ids": {"zone1-10.60.0.0-24": {"vnet": "lab", "gateway": "10.60.0.1"}}},
})  # fmt: skip
LEASES = json.dumps({"zones": {"zone1": {"subnets": {"10.60.0.0/24": {"ips": {"10.60.0.5": {"vmid": "100"}}}}}}})
EDITED = {"sdn/vnets.cfg": VNETS, "sdn/subnets.cfg": SUBNETS}


def read(files: dict[str, str], *, cluster: str = CLUSTER) -> tuple[PveConfig, list[str]]:
    sink = DiagnosticSink()
    texts = {"firewall/cluster.fw": cluster, **files}
    found = read_pve_directory({path: SourceFile(f"pve/{path}", text) for path, text in texts.items()}, sink)
    return found, [item.code for item in sink.found]


def sets(config: PveConfig) -> dict[str, list[str]]:
    assert config.sdn is not None
    return {
        name: [entry.address + " nomatch" * entry.nomatch for entry in entries] for name, entries in config.sdn.ipsets
    }


def test_sets_are_made_of_what_sdn_runs_with() -> None:
    config, codes = read({**EDITED, "sdn/.running-config": RUNNING, "sdn/pve-ipam-state.json": LEASES})
    assert codes == []
    assert sets(config) == {
        "lab-all": ["10.60.0.0/24"],
        "lab-gateway": ["10.60.0.1"],
        "lab-no-gateway": ["10.60.0.0/24", "10.60.0.1 nomatch"],
        "lab-dhcp": [],
        "guest-ipam-100": ["10.60.0.5"],
    }


def test_without_that_they_are_made_of_what_is_written_and_that_is_told() -> None:
    config, codes = read(EDITED)
    assert codes == ["FWT187"]
    found = sets(config)
    assert found["lab-all"] == ["10.50.0.0/24", "fd50::/64"]
    assert found["lab-no-gateway"] == ["10.50.0.0/24", "10.50.0.1 nomatch", "fd50::/64"]
    assert found["lab-dhcp"] == ["10.50.0.8/31", "10.50.0.16/32"]
    assert found["other-all"] == []
    assert read(EDITED, cluster="[OPTIONS]\n")[1] == []


def test_collected_sets_count_more() -> None:
    config, codes = read({**EDITED, "sdn.json": '{"ipset": {"lab-all": [{"cidr": "10.70.0.0/24"}]}}'})
    assert (sets(config), codes) == ({"lab-all": ["10.70.0.0/24"]}, [])


def test_what_cannot_be_read_is_an_error_at_its_file() -> None:
    config, codes = read(
        {"sdn/.running-config": '{"subnets": {"ids": {"nonsense": {"vnet": "lab"}}}, "vnets": {"ids": {"lab": {}}}}'}
    )
    assert (config.sdn, codes) == (None, ["FWT171"])


def test_a_rule_that_drops_what_comes_from_a_vnet_is_not_lost() -> None:
    """`fwtrans translate /etc/pve` left it out, with a warning that PVE does so."""
    files = {"firewall/cluster.fw": CLUSTER, "sdn/.running-config": RUNNING}
    sink = DiagnosticSink()
    sources = [SourceFile(f"/etc/pve/{path}", text) for path, text in files.items()]
    found = translate(sources, Settings(), sink, FileAccess())
    assert "FWT175" not in {item.code for item in sink.found}
    assert "10.60.0.0, 10.60.0.2-10.60.0.255" in found.output


def test_vnets_whose_subnets_are_not_known_have_no_sets() -> None:
    """An empty set would be no word on the rules that ask for it."""
    assert read({"sdn/vnets.cfg": VNETS})[0].sdn is None
    sink = DiagnosticSink()
    texts = {"firewall/cluster.fw": CLUSTER, "sdn/vnets.cfg": VNETS}
    translate([SourceFile(f"/etc/pve/{path}", text) for path, text in texts.items()], Settings(), sink, FileAccess())
    assert "FWT175" in {item.code for item in sink.found}


def test_nobody_hears_of_a_broken_file_that_no_rule_asks_for() -> None:
    assert read({"sdn/.running-config": "{"}, cluster="[OPTIONS]\n")[1] == []
    assert read({"sdn/.running-config": "{"})[1] == ["FWT171"]
