"""Names of protocols: iptables prints those of the /etc/protocols beside it, and that is not always Debian's."""

from __future__ import annotations

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

DUMP = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT {rule}\nCOMMIT\n"


def printed(rule: str) -> tuple[str, list[str]]:
    sink = DiagnosticSink()
    found = translate((SourceFile("iptables-save", DUMP.format(rule=rule)),), Settings(), sink, FileAccess())
    return found.output, [item.code for item in sink.found]


@pytest.mark.parametrize("name", ["4", "ipencap", "ipv4", "IPv4"])
def test_one_address_in_another_has_two_names(name: str) -> None:
    found, codes = printed(f"-p {name} -j DROP")
    assert codes == []
    assert "meta l4proto 4 drop" in found


@pytest.mark.parametrize(("name", "ours"), [("ipv6-crypt", "esp"), ("50", "esp"), ("ipv6-auth", "ah"), ("51", "ah")])
def test_old_systems_call_the_protocols_of_ipsec_by_other_names(name: str, ours: str) -> None:
    found, codes = printed(f"-p {name} -j DROP")
    assert codes == []
    assert f"meta l4proto {ours} drop" in found


@pytest.mark.parametrize("name", ["ipv4", "ipv6-crypt"])
def test_a_configuration_of_proxmox_is_read_by_debians_names(name: str) -> None:
    sink = DiagnosticSink()
    cluster = SourceFile("n/cluster.fw", f"[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -p {name}\n")
    translate((cluster, SourceFile("n/host.fw", "[OPTIONS]\n")), Settings(), sink, FileAccess())
    assert "FWT176" in [item.code for item in sink.found]
