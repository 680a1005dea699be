"""Every configuration of the corpora: what the real pve-firewall complained of is told at the same lines, nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.sources import is_pve_directory
from fwtrans.parsers.pve.syntax import FirewallFile, PveConfig, RuleOption
from fwtrans.parsers.pve.unparse import unparse_firewall_file
from fwtrans.source import SourceFile
from tests.growth import assert_grows_with
from tests.parsers.pve.pve_reading import files_of

if TYPE_CHECKING:
    from pathlib import Path

WARNING = re.compile(r"(\S+\.fw) \(line (\d+)\)")
NEEDS_OTHER_LINES = re.compile(r"\s+\w+: (?:no such (?:alias|ipset)|unknown (?:macro|protocol)) ")
"""What PVE finds with tables and other lines at hand, and here the lowering does."""


def read_config(directory: Path) -> tuple[PveConfig, DiagnosticSink]:
    sink = DiagnosticSink()
    return read_pve_directory(files_of(directory), sink), sink


def firewall_files(config: PveConfig) -> list[FirewallFile]:
    found = [config.cluster, config.host, *(guest.firewall for guest in config.guests.values())]
    return [file for file in found if file is not None]


def expected_lines(warnings: Path) -> set[tuple[str, int]]:
    lines = warnings.read_text(encoding="utf-8").split("\n")
    found = set()
    for line, behind in zip(lines, [*lines[1:], ""], strict=True):
        match = WARNING.match(line)
        if match is not None and not NEEDS_OTHER_LINES.match(behind):
            found.add((match[1], int(match[2])))
    return found


def test_warnings_are_those_of_the_real_compiler(shared: Path) -> None:
    seen = 0
    for warnings in sorted(shared.glob("pve-corpus/*/warnings.txt")):
        _, sink = read_config(warnings.parent / "input")
        found = {(item.span.source.name, item.span.line) for item in sink.found if item.span is not None}
        assert len(sink.found) == len(found), "more than one finding for a line"
        assert found == expected_lines(warnings), warnings
        seen += len(found)
    assert seen >= 17


def test_every_file_prints_back(shared: Path) -> None:
    seen = 0
    for directory in sorted(shared.glob("*-corpus/*/input")):
        config, sink = read_config(directory)
        skipped = {item.span.source.name for item in sink.found if item.span is not None}
        for file in firewall_files(config):
            text = unparse_firewall_file(file)
            if file.source.name not in skipped:
                assert text.rstrip("\n") == file.source.text.rstrip("\n"), file.source.name
            again = DiagnosticSink()
            assert parse_firewall_file(SourceFile("again.fw", text), file.kind, again) == file
            assert not again.found
            seen += 1
    assert seen >= 900


def test_every_guest_of_the_node_is_there(shared: Path) -> None:
    for directory in sorted(shared.glob("*-corpus/*/input")):
        assert is_pve_directory(files_of(directory))
        config, _ = read_config(directory)
        confs = {int(path.stem) for path in directory.glob("*/*.conf")}
        assert set(config.guests) == confs
        assert list(config.guests) == sorted(confs)
        for vmid, guest in config.guests.items():
            assert (guest.firewall is not None) == (directory / f"{vmid}.fw").exists()
            assert all(device.mac and device.bridge for device in guest.conf.devices)


def test_the_facts_of_a_node(shared: Path) -> None:
    config, _ = read_config(shared / "pve-corpus" / "s10" / "input")
    assert config.node is not None
    assert (config.node.node_name, config.node.local_network, config.node.host_address) == (
        "pve1", "172.16.1.0/24", "172.16.1.2",
    )  # fmt: skip
    assert config.corosync is not None
    assert [node.name for node in config.corosync.nodes] == ["prox1", "prox2", "prox3", "pve1"]
    assert config.corosync.nodes[0].links == ((0, "172.16.1.11"), (1, "172.16.2.11"), (2, "hostname1"))
    assert config.corosync.transport == "udp"
    for noted in config.node.guests:
        conf = config.guests[noted.vmid].conf
        assert [(device.mac, device.bridge, device.tag, device.firewall) for device in noted.devices] == [
            (device.mac, device.bridge, device.tag, device.firewall) for device in conf.devices
        ]


def test_the_sets_of_sdn_and_the_rules_of_others(shared: Path) -> None:
    config, _ = read_config(shared / "pve-corpus" / "f-sdn" / "input")
    assert config.sdn is not None
    sets = dict(config.sdn.ipsets)
    assert [entry.nomatch for entry in sets["vnet1-no-gateway"]] == [False, True]
    assert sets["vnet1-dhcp"] == ()
    foreign, _ = read_config(shared / "pve-corpus" / "f-foreign" / "input")
    assert [source is not None for source in foreign.foreign] == [True, True]


def test_protocol_0_is_none(shared: Path) -> None:
    config, _ = read_config(shared / "pve-corpus" / "f-protos" / "input")
    file = config.guests[100].firewall
    assert file is not None
    zero = next(rule for rule in file.rules if rule.line == 35)
    assert zero.value(RuleOption.PROTOCOL) == ""
    assert zero.parameters[0].value.text == "0"


def test_reading_grows_with_the_guests(shared: Path) -> None:
    small, large = (files_of(shared / "pve-corpus" / name / "input") for name in ("s50", "s200"))
    lines = [sum(len(file.lines) for file in files.values()) for files in (small, large)]
    assert_grows_with(
        lines[1] / lines[0],
        lambda: read_pve_directory(small, DiagnosticSink()),
        lambda: read_pve_directory(large, DiagnosticSink()),
    )
