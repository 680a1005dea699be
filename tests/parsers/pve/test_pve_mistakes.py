"""Mistakes in .fw files: each is told at its place, and what PVE skips is not in the syntax."""

from __future__ import annotations

import pytest

from fwtrans.diagnostics import DiagnosticSink, Severity
from fwtrans.diagnostics.render import render
from fwtrans.parsers.pve.complaints import MOST, refuse_mistakes
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.syntax import FirewallKind, RuleOption
from fwtrans.source import SourceFile
from tests.parsers.pve.pve_reading import Place, places, read, rules

C, H, G, V = FirewallKind.CLUSTER, FirewallKind.HOST, FirewallKind.GUEST, FirewallKind.VNET

BAD_RULES = [
    ("IN", "FWT165", 3),
    ("IN # ACCEPT", "FWT165", 4),
    ("| IN ACCEPT", "FWT165", 1),
    ("BOGUS ACCEPT", "FWT165", 1),
    ("IN ACCEPTED", "FWT165", 4),
    ("IN accept", "FWT165", 4),
    ("IN SSH(accept)", "FWT165", 4),
    ("IN SSH (ACCEPT)", "FWT165", 4),
    ("IN (ACCEPT)", "FWT165", 4),
    ("GROUP x", "FWT165", 7),
    ("GROUP 9web", "FWT165", 7),
    ("GROUP web -source 10.0.0.1", "FWT165", 11),
    ("IN ACCEPT -unknown 5", "FWT165", 11),
    ("IN ACCEPT -dport", "FWT165", 11),
    ("IN ACCEPT -dport  22", "FWT165", 11),
    ("IN ACCEPT -dport\t22", "FWT165", 11),
    ("IN ACCEPT --i net0", "FWT165", 11),
    ("IN ACCEPT --p tcp", "FWT165", 11),
    ("IN ACCEPT -p tcp -dport 80, 443", "FWT165", 29),
    ("IN ACCEPT -log error", "FWT165", 16),
    ("IN ACCEPT -log INFO", "FWT165", 16),
    ("IN ACCEPT -p tcp trailing", "FWT165", 18),
    ("IN ACCEPT -p tcp-p udp", "FWT165", 20),
    ("IN ACCEPT ! -source 10.0.0.1", "FWT165", 11),
    ("FORWARD ACCEPT", "FWT166", 1),
    ("IN ACCEPT -i eth0", "FWT166", 14),
    ("IN ACCEPT -i net", "FWT166", 14),
    ("IN ACCEPT -i net0.1", "FWT166", 14),
    ("IN ACCEPT -source 10.0.0.7/24", "FWT166", 19),
    ("IN ACCEPT -source 10.0.0.0/33", "FWT166", 19),
    ("IN ACCEPT -source 2001:db8::1/64", "FWT166", 19),
    ("IN ACCEPT -source 10.0.0.1,10.0.0.256", "FWT166", 28),
    ("IN ACCEPT -source 10.0.0.1,", "FWT166", 19),
    ("IN ACCEPT -source 1.1.1.1,::1", "FWT166", 27),
    ("IN ACCEPT -source 10.0.0.9-10.0.0.1", "FWT166", 19),
    ("IN ACCEPT -source 10.0.0.1-10.0.0.9,10.1.0.0/16", "FWT166", 19),
    ("IN ACCEPT -source 10.0.0.1-::1", "FWT166", 19),
    ("IN ACCEPT -source www.example.org", "FWT166", 19),
    ("IN ACCEPT -source +", "FWT166", 19),
    ("IN ACCEPT -source +guest/", "FWT166", 19),
    ("IN ACCEPT -source +host/x1", "FWT166", 19),
    ("IN ACCEPT -dest +" + "x" * 65, "FWT166", 17),
    ("IN ACCEPT -dest " + "x" * 65, "FWT166", 17),
    ("IN ACCEPT -p tcp -dport 5:4", "FWT166", 25),
    ("IN ACCEPT -p tcp -dport 65536", "FWT166", 25),
    ("IN ACCEPT -p tcp -dport 1,70000", "FWT166", 27),
    ("IN ACCEPT -p tcp -dport 80:", "FWT166", 25),
    ("IN ACCEPT -p tcp -dport 80,,81", "FWT166", 25),
    ("IN ACCEPT -p tcp -sport 1,2,3,4,5,6,7,8:9,10:11,12:13,14:15", "FWT166", None),
    ("IN ACCEPT -p tcp -sport 1,2,3,4,5,6,7,8,9,10,11,12,13,14:15,16", "FWT166", 25),
    ("IN ACCEPT -source 10.0.0.0/8x", "FWT168", 19),
    ("IN ACCEPT -source 10.0.0.0/8-11.0.0.0", "FWT168", 19),
]


@pytest.mark.parametrize(("line", "code", "column"), BAD_RULES)
def test_a_rule_that_pve_skips(line: str, code: str, column: int | None) -> None:
    if column is None:  # the same as the next one, less one number: it is a good one
        file, found = rules(line)
        assert not found
        assert len(file.rules) == 1
        return
    file, found = rules(f"OUT DROP\n{line}\nIN DROP")
    assert found == [Place(code, 2, column)]
    assert [rule.action.text for rule in file.rules] == ["DROP", "DROP"]


GOOD_RULES = [
    "IN ACCEPT",
    "  in ACCEPT  ",
    "\tIn\tACCEPT\t-p tcp",
    "|OUT DROP",
    "IN ACCEPT -log info -p tcp-p",
    "IN SSH(ACCEPT)",
    "IN a(b)(DROP)",
    "Group web -i net0",
    "IN ACCEPT --source 10.1 --dest 10.0.0.0/255.0.0.0 -proto tcp --proto tcp",
    "IN ACCEPT -source 010.0.0.1",
    "IN ACCEPT -source ::ffff:10.0.0.1",
    "IN ACCEPT -source 2001:DB8::/32,::1",
    "IN ACCEPT -source dc/office -dest +sdn/vnet1-all",
    "IN ACCEPT -source +office",
    "IN ACCEPT -log info-p tcp",
    "IN ACCEPT -p tcp -dport ssh,http,65535",
    "IN ACCEPT -p icmp -icmp-type echo-request",
    "IN ACCEPT -p icmp -dport echo-request",
    "IN ACCEPT -p tcp -dport 22#comment",
    "IN ACCEPT\r",
    "IN ACCEPT -p tcp\r",
]


@pytest.mark.parametrize("line", GOOD_RULES)
def test_a_rule_that_pve_takes(line: str) -> None:
    file, found = rules(line)
    assert found == [Place("FWT167", 1, 62)] if line.count("proto") == 2 else not found
    assert len(file.rules) == 1


def test_words_of_a_rule_have_their_places() -> None:
    text = "  |In SSH(ACCEPT)  -source +dc/admins -dport 22 -log info # by day #2 "
    file, found = rules(text)
    assert not found
    rule = file.rules[0]
    assert (rule.kind, rule.enabled, rule.comment) == ("in", False, "by day #2")
    assert rule.macro is not None
    tokens = [rule.type, rule.macro, rule.action]
    for parameter in rule.parameters:
        tokens += [parameter.written, parameter.value]
    assert all(text[token.start : token.end] == token.text for token in tokens)
    assert rule.value(RuleOption.SOURCE) == "+dc/admins"
    assert rule.span(rule.action).location == "100.fw:2:11"
    assert rule.origin.text == text.strip()


def test_of_a_parameter_given_twice_the_last_one_counts() -> None:
    file, found = rules("IN ACCEPT -p tcp -dport 22 -dport 23")
    assert found == [Place("FWT167", 1, 28)]
    assert file.rules[0].value(RuleOption.DESTINATION_PORT) == "23"


@pytest.mark.parametrize("option", ["source", "dest", "i"])
def test_zero_is_no_value_to_perl(option: str) -> None:
    file, found = rules(f"IN ACCEPT -{option} 10.0.0.1 -{option} 0")
    assert [place.code for place in found] == ["FWT167", "FWT166"]
    assert len(file.rules) == 1
    assert all(file.rules[0].parameter(option) is None for option in RuleOption)


@pytest.mark.parametrize(
    ("kind", "line", "code"),
    [
        (C, "FORWARD ACCEPT", None),
        (C, "FORWARD REJECT", "FWT166"),
        (H, "IN ACCEPT -i vmbr0.100", None),
        (H, "IN ACCEPT -i br-lan", "FWT166"),
        (H, "IN ACCEPT -i x", "FWT166"),
        (V, "IN ACCEPT", "FWT166"),
        (V, "FORWARD ACCEPT", None),
        (V, "FORWARD ACCEPT -i net0", "FWT166"),
        (V, "GROUP web", None),
    ],
)
def test_what_a_kind_of_file_has(kind: FirewallKind, line: str, code: str | None) -> None:
    file, found = rules(line, kind)
    assert [place.code for place in found] == ([] if code is None else [code])
    assert len(file.rules) == (code is None)


def test_a_group_has_no_groups_and_no_interfaces() -> None:
    file, sink = read("[group web]\nGROUP other\nIN ACCEPT -i eth0\nFORWARD DROP\nIN ACCEPT\n", C)
    assert [place.line for place in places(sink)] == [2, 3]
    assert [getattr(rule, "kind", "") for rule in file.groups["web"].items] == ["forward", "in"]


# --- options ---


@pytest.mark.parametrize(
    ("kind", "line", "value"),
    [
        (G, "enable: 1", "1"),
        (G, "ENABLE:1", "1"),
        (G, "enable: 1\r", "1"),
        (G, "policy_in: drop", "DROP"),
        (G, "log_level_in: INFO", "info"),
        (G, "log_level_in:", ""),
        (G, "ips_queues: 0:3", "0:3"),
        (G, "layer2_protocols: ARP,802_1Q,0806", "ARP,802_1Q,0806"),
        (C, "enable: 0017", "17"),
        (C, "enable: " + "9" * 5000, "9" * 5000),
        (C, "log_ratelimit: enable=1,rate=10/second,burst=20", "enable=1,rate=10/second,burst=20"),
        (C, "log_ratelimit: 0", "0"),
        (C, "policy_forward: REJECT", "REJECT"),
        (H, "nf_conntrack_helpers: FTP,sip", "ftp,sip"),
        (H, "nf_conntrack_max: 0524288", "524288"),
        (V, "policy_forward: Drop", "DROP"),
    ],
)
def test_an_option_as_pve_keeps_it(kind: FirewallKind, line: str, value: str) -> None:
    file, sink = read(f"[OPTIONS]\n{line}\n", kind)
    assert not sink.found
    assert [option.value for option in file.options.values()] == [value]


@pytest.mark.parametrize(
    ("kind", "line", "code", "column"),
    [
        (G, "enable: yes", "FWT162", 9),
        (G, "enable : 1", "FWT162", 1),
        (G, "enable 1", "FWT162", 1),
        (G, "enable:", "FWT162", 8),
        (G, "policy_in: ALLOW", "FWT162", 12),
        (G, "policy_forward: DROP", "FWT162", 1),
        (G, "tcpflags: 1", "FWT162", 1),
        (G, "enabel: 1", "FWT162", 1),
        (G, "log_level_in: loud", "FWT162", 15),
        (G, "layer2_protocols: ARP,IPv6", "FWT162", 23),
        (G, "layer2_protocols: ARP, IPX", "FWT162", 19),
        (G, "enable: 1 # on", "FWT162", 9),
        (H, "nf_conntrack_helpers: ftp,h323", "FWT162", 27),
        (H, "nf_conntrack_max: many", "FWT162", 19),
        (V, "policy_forward: REJECT", "FWT162", 17),
        (V, "log_level_forward:", "FWT162", 19),
        (C, "LOG_RATELIMIT: enable=1", "FWT162", 1),
        (C, "log_ratelimit: enable=1 burst=2", "FWT162", 16),
        (C, "log_ratelimit: rate=often", "FWT168", 16),
        (C, "log_ratelimit: enable=1,rate=0/second", "FWT168", 16),
        (C, "log_ratelimit: enable=1,speed=9", "FWT168", 16),
        (C, "log_ratelimit: enable=1,enable=0", "FWT168", 16),
    ],
)
def test_an_option_that_pve_does_not_take(kind: FirewallKind, line: str, code: str, column: int) -> None:
    file, sink = read(f"[OPTIONS]\n{line}\n", kind)
    assert places(sink) == [Place(code, 2, column)]
    assert not file.options


def test_the_last_one_of_an_option_counts() -> None:
    file, sink = read("[OPTIONS]\nenable: 1\nEnable: 0\n")
    assert places(sink) == [Place("FWT167", 3, 1)]
    assert file.options["enable"].value == "0"


# --- aliases and sets ---


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("gateway", 8),
        ("gateway  10.0.0.1", 10),
        ("gateway 10.0.0.1 10.0.0.2", 18),
        ("gateway 10.0.0.1\r", 17),
        ("gateway 10.0.0.256", 9),
        ("gateway 10.1", 9),
        ("gateway 010.0.0.1", 9),
        ("gateway 10.0.0.0/33", 9),
        ("gateway 10.0.0.0/255.0.0.0", 9),
        ("gateway 10.0.0.1-10.0.0.2", 9),
        ("gateway gateway", 9),
        ("9gate 10.0.0.1", 1),
        ("x 10.0.0.1", 1),
    ],
)
def test_an_alias_that_pve_does_not_take(line: str, column: int) -> None:
    file, sink = read(f"[ALIASES]\n{line}\n")
    if line.endswith("\r"):
        assert [place.code for place in places(sink)] == ["FWT163"]
    else:
        assert places(sink) == [Place("FWT163", 2, column)]
    assert not file.aliases


def test_aliases_in_a_ring_are_none() -> None:
    file, sink = read("[ALIASES]\na1 b1\nb1 a1\n")
    assert [place.code for place in places(sink)] == ["FWT163", "FWT163"]
    assert not file.aliases
    assert "not for another alias" in sink.found[0].message


def test_aliases_are_compared_in_lower_case() -> None:
    file, sink = read("[ALIASES]\nOffice 10.0.0.7/24 # hq # two\nOFFICE ::1\n")
    assert places(sink) == [Place("FWT167", 3, 1)]
    assert file.aliases["office"].address.text == "::1"
    first = file.sections[0].items[0]
    assert getattr(first, "comment", "") == "hq # two"


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("10.0.0.1 10.0.0.2", 10),
        ("!", 2),
        ("!!10.0.0.1", 2),
        ("0.0.0.0/0", 1),
        ("! ::/000", 3),
        ("10.0.0.1", 1),
        ("10.0.0.1/32", 1),
        ("!10.0.0.1", 2),
        ("10.0.0.1-10.0.0.9", 1),
        ("example.org", 1),
        ("host/office", 1),
        ("10.0.0.0/ 8", 11),
    ],
)
def test_an_entry_that_is_left_out(line: str, column: int) -> None:
    file, sink = read(f"[IPSET x1]\n10.0.0.1/32 # one\ndc/office\n{line}\n!10.0.0.0/8#n\n")
    assert places(sink) == [Place("FWT164", 4, column)]
    entries = file.ipsets["x1"].items
    assert [(getattr(entry, "nomatch", None), getattr(entry, "comment", "")) for entry in entries] == [
        (False, "one"), (False, ""), (True, "n"),
    ]  # fmt: skip


# --- sections ---


def test_a_file_with_crlf_has_no_plain_sections() -> None:
    file, sink = read("[OPTIONS]\r\nenable: 1\r\n[IPSET x1]\r\n10.0.0.1\r\n")
    assert [place.code for place in places(sink)] == ["FWT160", "FWT161"]
    assert "CR LF" in sink.found[0].message
    assert not file.options
    assert len(file.ipsets["x1"].items) == 1


def test_a_group_in_a_guests_file_is_more_of_the_section_above() -> None:
    file, sink = read("[RULES]\nIN DROP\n[group web]\nIN ACCEPT\n")
    assert places(sink) == [Place("FWT160", 3, 1)]
    assert "line 1" in sink.found[0].notes[0]
    assert [rule.action.text for rule in file.rules] == ["DROP", "ACCEPT"]


@pytest.mark.parametrize("name", ["x", "1a", "a.b", "a]", "x" * 65, "ä1"])
def test_below_a_bad_name_lines_are_in_no_section(name: str) -> None:
    file, sink = read(f"[RULES]\nIN DROP\n[IPSET {name}]\n10.0.0.1\n[RULES]\n")
    assert [(place.code, place.line) for place in places(sink)] == [("FWT160", 3), ("FWT161", 4), ("FWT167", 5)]
    assert not file.ipsets
    assert len(file.rules) == 1


@pytest.mark.parametrize("header", ["[RULES] # comment", "[RULE]", "[RULES", "[ RULES ]", "[IPSET]", "[IPSET x1] y"])
def test_what_is_no_header(header: str) -> None:
    _, sink = read(f"[OPTIONS]\nenable: 1\n  {header}\n")
    assert places(sink) == [Place("FWT160", 3, 3)]


def test_a_set_given_twice_is_the_second_one() -> None:
    file, sink = read("[IPSET x1]\n10.0.0.1\n[IPSET X1] # two\n10.0.0.1\n10.0.0.2\n")
    assert places(sink) == [Place("FWT167", 3, 1)]
    assert [section.name for section in file.sections] == ["x1", "x1"]
    assert len(file.ipsets["x1"].items) == 2
    assert (file.ipsets["x1"].comment, file.ipsets["x1"].line) == ("two", 3)


def test_rules_given_twice_are_both_there() -> None:
    file, sink = read("[RULES]\nIN DROP\n[rules]\nIN ACCEPT\n")
    assert [place.code for place in places(sink)] == ["FWT167"]
    assert [rule.line for rule in file.rules] == [2, 4]


def test_a_host_has_no_aliases() -> None:
    file, sink = read("[ALIASES]\na1 10.0.0.1\n", H)
    assert [place.code for place in places(sink)] == ["FWT160", "FWT161"]
    assert not file.sections


def test_a_truncated_file_keeps_what_is_whole() -> None:
    text = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\nIN ACCEPT -p tcp -dpo"
    for length in range(len(text) + 1):
        file, sink = read(text[:length])
        assert len(sink.found) <= 1
        assert len(file.rules) <= 2
    assert places(sink) == [Place("FWT165", 5, 18)]


# --- hostile files ---


def test_a_line_of_a_megabyte() -> None:
    for line in ("x" * 1_000_000, "IN ACCEPT" + " -p tcp" * 150_000, "#" * 1_000_000, "IN " + "#" * 1_000_000):
        for header in ("OPTIONS", "ALIASES", "IPSET x1", "RULES"):
            _, sink = read(f"[{header}]\n{line}\n")
            assert all(len(render(item)) < 4000 for item in sink.found)


def test_binary_junk_is_told_and_counted() -> None:
    _, sink = read("\x00\x7fELF\udcff\n" * 10_000)
    assert len(sink.found) == MOST + 1
    assert sink.found[-1].code == "FWT172"
    assert f"{10_000 - MOST} more" in sink.found[-1].message
    assert "\x00" not in render(sink.found[0])


def test_names_with_escapes_are_shown_harmlessly() -> None:
    _, sink = read("[RULES]\nIN \x1b[2JACCEPT\n[IPSET \u202ex]\n")
    assert len(sink.found) == 2
    for item in sink.found:
        assert "\x1b" not in render(item)
        assert "\u202e" not in render(item)


# --- strict ---


def test_strict_makes_an_error_of_what_pve_skips() -> None:
    sink = DiagnosticSink()
    parse_firewall_file(SourceFile("100.fw", "[RULES]\nIN BOGUS\nIN ACCEPT -i eth0\n"), G, sink)
    assert not sink.errors
    refuse_mistakes(sink)
    assert [(item.code, item.span.line if item.span else 0) for item in sink.errors] == [("FWT174", 2)]
    assert sink.errors[0].message.startswith("2 mistakes")
    refuse_mistakes(other := DiagnosticSink())
    assert not other.found


def test_every_warning_says_what_it_means() -> None:
    for line, code, _ in BAD_RULES:
        sink = DiagnosticSink()
        parse_firewall_file(SourceFile("100.fw", f"[RULES]\n{line}\n"), G, sink)
        for item in sink.found:
            assert item.notes, line
            assert item.severity is (Severity.ERROR if code == "FWT168" else Severity.WARNING)
