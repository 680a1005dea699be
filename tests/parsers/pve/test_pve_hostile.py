"""Whatever the files hold, there are findings and syntax, and no traceback."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render, to_json
from fwtrans.parsers.pve.corosync import parse_corosync
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.guest_conf import parse_guest_conf
from fwtrans.parsers.pve.node_facts import parse_node_facts, parse_sdn
from fwtrans.parsers.pve.syntax import FirewallKind, GuestKind, Rule
from fwtrans.parsers.pve.unparse import unparse_firewall_file
from fwtrans.source import SourceFile

WORDS = st.sampled_from(
    [
        "[OPTIONS]", "[RULES]", "[ALIASES]", "[IPSET x1]", "[group g1] # c", "[", "]", "\r", "\n", "\n", "\n", "\x00", " ", "\t",
        "|", "!", "#", "IN", "OUT", "GROUP", "FORWARD", "ACCEPT", "DROP", "SSH(ACCEPT)", "g1", "-i", "net0", "-p", "tcp", "-dport",
        "22", "0", "80,443", "-source", "--dest", "10.0.0.1", "10.0.0.0/8", "::1", "+x1", "dc/a1", "-log", "info", "enable:", "1",
        "policy_in:", "drop", "net0:", "virtio=BC:24:11:00:00:01", ",bridge=vmbr0", "name=eth0", ",firewall=1", ",tag=9", "{", "}",
        "nodelist", "node", "ring0_addr:", "name:", '"qemu"', ":", ",", '"net0"', "\udcff", "\u202e", "é", "9" * 30, "x" * 70,
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.tuples(WORDS, st.sampled_from(["", " ", "\n"])), max_size=40).map(
        lambda parts: "".join(word + gap for word, gap in parts)
    ),
    st.text(st.characters(), max_size=200),
)


def check(sink: DiagnosticSink) -> None:
    for item in sink.found:
        assert item.span is not None
        assert 1 <= item.span.line <= len(item.span.source.lines)
        assert 0 <= item.span.start < item.span.end
        assert render(item)
        assert to_json(item)["location"]


@given(TEXTS, st.sampled_from(FirewallKind))
def test_a_firewall_file(text: str, kind: FirewallKind) -> None:
    sink = DiagnosticSink()
    source = SourceFile("x.fw", text)
    file = parse_firewall_file(source, kind, sink)
    check(sink)
    for section in file.sections:
        for item in section.items:
            if isinstance(item, Rule):
                line = source.lines[item.line - 1]
                tokens = [item.type, item.action, *(part for parameter in item.parameters for part in parameter[1:])]
                assert all(line[token.start : token.end] == token.text for token in tokens)
    again = DiagnosticSink()
    printed = unparse_firewall_file(file)
    assert unparse_firewall_file(parse_firewall_file(SourceFile("y.fw", printed), kind, again)) == printed
    assert {item.code for item in again.found} <= {item.code for item in sink.found}


@given(TEXTS, st.sampled_from(GuestKind))
def test_a_guest(text: str, kind: GuestKind) -> None:
    sink = DiagnosticSink()
    source = SourceFile("100.conf", text)
    conf = parse_guest_conf(source, 100, kind, sink)
    check(sink)
    for device in conf.devices:
        line = source.lines[device.line - 1]
        assert all(line[word.start : word.end] == word.text for _, word in device.properties)


@given(TEXTS)
def test_other_files(text: str) -> None:
    sink = DiagnosticSink()
    source = SourceFile("x", text)
    parse_corosync(source, sink)
    parse_node_facts(source, sink)
    parse_sdn(source, sink)
    check(sink)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["nodename", "host_ip", "local_network", "qemu", "lxc", "100", "net0", "ipset", "a1", "cidr"]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_any_json(value: object) -> None:
    import json  # noqa: PLC0415 -- only here

    sink = DiagnosticSink()
    source = SourceFile("vms.json", json.dumps(value))
    parse_node_facts(source, sink)
    parse_sdn(source, sink)
    check(sink)


PATHS = st.sampled_from(
    [
        "cluster.fw", "host.fw", "100.fw", "101.fw", "a/100.fw", "qemu-server/100.conf", "lxc/100.conf", "lxc/101.conf", "v1.fw",
        "nodes/a/host.fw", "nodes/b/lxc/102.conf", "nodes/a/qemu-server/100.conf", "vms.json", "sdn.json", "corosync.conf",
        "foreign.v4", "sdn/firewall/v1.fw", "notes", "",
    ]
)  # fmt: skip


@settings(max_examples=60)
@given(st.dictionaries(PATHS, TEXTS, max_size=8))
def test_a_directory(files: dict[str, str]) -> None:
    sink = DiagnosticSink()
    config = read_pve_directory({path: SourceFile(path, text) for path, text in files.items()}, sink)
    assert all(vmid == guest.conf.vmid for vmid, guest in config.guests.items())
    for item in sink.found:
        assert render(item)
