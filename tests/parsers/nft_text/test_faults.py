"""What is not nft: the code, the place to the character, and the hint."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile

CHAIN = "table inet t {\n\tchain c {\n\t\ttype filter hook input priority 0;\n\t\t@\n\t}\n}\n"


def faults(text: str) -> list[Diagnostic]:
    sink = DiagnosticSink()
    parse_nft_text(SourceFile("f.nft", text), sink)
    return sink.found


def blamed(fault: Diagnostic) -> str:
    assert fault.span is not None
    return fault.span.source.line(fault.span.line)[fault.span.start : fault.span.end]


@pytest.mark.parametrize(
    ("rule", "code", "word", "hint"),
    [
        ("tcp dport 22 acccept", "FWT150", "acccept", "did you mean `accept`?"),
        ("tcp dprt 22 accept", "FWT151", "dprt", "did you mean `dport`?"),
        ("ip sadr 192.0.2.1 drop", "FWT151", "sadr", "did you mean `saddr`?"),
        ("ct stat new", "FWT151", "stat", "did you mean `state`?"),
        ("ct state establishd", "FWT151", "establishd", "did you mean `established`?"),
        ("meta iifnam lo", "FWT151", "iifnam", "did you mean `iifname`?"),
        ("fib daddr typ local", "FWT151", "typ", "did you mean `type`?"),
        ("tcp flags & (fin | sin) == fin", "FWT151", "sin", "did you mean `syn`?"),
        ("limit rate 5/secnd", "FWT151", "secnd", "one of day, hour, minute, second, week"),
        ("tcp dport {22, 80", "FWT152", "{", "every `{` needs its `}`; the list that opens in line 4 closes in line 5"),
        ("ip saddr 192.0.2.1 accept drop $x", "FWT153", "$x", "write `define x = ...` before this line"),
        ('log prefix "oops', "FWT152", '"', ""),
        ("tcp dport", "FWT150", "t", ""),
        ("jump", "FWT150", "p", ""),
        ("counter packets five bytes 1", "FWT150", "five", ""),
        ("dnat to", "FWT150", "o", ""),
        ("add @s { ip saddr", "FWT152", "{", "every `{` needs its `}`; the list that opens in line 4 closes in line 5"),
        ("ip saddr == != 192.0.2.1", "FWT150", "!", ""),
        ("queue to 1,2", "FWT150", "1", "nft takes one queue or a range: `queue num 1-3`"),
        ("reject with icmp", "FWT150", "", ""),
    ],
)
def test_a_fault_in_a_rule_is_shown_where_it_is(rule: str, code: str, word: str, hint: str) -> None:
    (fault, *_) = faults(CHAIN.replace("@", rule))
    assert (fault.code, fault.hints[0] if fault.hints else "") == (code, hint)
    if word:
        assert blamed(fault) == word


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("tabel ip t {\n}\n", "FWT150", 1),
        ("table ip t {\n\tchian c {\n\t}\n}\n", "FWT150", 2),
        ("table ip t {\n}\n}\n", "FWT152", 3),
        ("table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 1.1.1.1,, 1.1.1.2 }\n\t}\n}\n", "FWT150", 4),
        ("table ip t {\n\tset s {\n\t\ttipe ipv4_addr\n\t}\n}\n", "FWT150", 3),
        ("table ip t {\n\tset s {\n\t\tflags intervall\n\t}\n}\n", "FWT151", 3),
        ("table ip t {\n\tset s {\n\t\ttimeout soon\n\t}\n}\n", "FWT151", 3),
        ("table ip t {\n\tchain c {\n\t\ttype filter hok input priority 0\n\t}\n}\n", "FWT150", 3),
        ("table ip t {\n\tchain c {\n\t\tpolicy reject\n\t}\n}\n", "FWT151", 3),
        ("define a = 1\ndefine a = 2\n", "FWT153", 2),
        ('include "/no/such/file"\n', "FWT154", 1),
        ("add rule ip\n", "FWT150", 1),
        ("flush rulset\n", "FWT150", 1),
        ("add element ip t s 1.1.1.1\n", "FWT150", 1),
        ("just some words\n", "FWT150", 1),
    ],
)
def test_a_fault_outside_rules_has_its_line(text: str, code: str, line: int) -> None:
    (fault, *_) = faults(text)
    assert fault.span is not None
    assert (fault.code, fault.span.line) == (code, line)


def test_every_fault_is_told_and_the_rest_is_read() -> None:
    text = CHAIN.replace("@", "tcp dprt 1\n\t\taccept\n\t\tudp dport\n\t\tdrop")
    sink = DiagnosticSink()
    items = parse_nft_text(SourceFile("f.nft", text), sink)
    assert [fault.span.line for fault in sink.found if fault.span] == [4, 6]
    assert [item["add"]["rule"]["line"] for item in items if "rule" in item["add"]] == [5, 7]


def test_a_fault_behind_a_variable_is_shown_in_the_text_as_written() -> None:
    (fault,) = faults("define nets = { 192.0.2.0/24, 198.51.100.0/24 }\n" + CHAIN.replace("@", "ip saddr $nets acept"))
    assert blamed(fault) == "acept"


def test_a_fault_in_a_variable_is_shown_where_it_is_used() -> None:
    (fault,) = faults("define port = { 22 accept\n}\n" + CHAIN.replace("@", "tcp dport $port drop"))
    assert fault.span is not None
    assert fault.span.line == 6
    assert "$port".startswith(blamed(fault))


class Folder:
    """Files that are only here."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def read(self, path: str) -> SourceFile | None:
        return SourceFile(path, self.texts[path]) if path in self.texts else None

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.texts if path.startswith(pattern.split("*", maxsplit=1)[0])))


def test_included_rules_say_which_file_they_are_from() -> None:
    files = Folder({"/r/a.nft": "table ip t {\n\tchain c {\n\t\tdrop\n\t}\n}\n"})
    source, sink = SourceFile("main.nft", 'include "/r/*.nft"\n'), DiagnosticSink()
    ruleset = lower_nft(source, parse_nft_text(source, sink, files), sink)
    assert ruleset is not None
    assert not sink.found
    (rule,) = ruleset.tables[0].chains[0].rules
    assert rule.origins[0].location == "/r/a.nft:3"


def test_files_that_include_each_other_end_with_a_message() -> None:
    files = Folder({"/a": 'include "/a"\n'})
    sink = DiagnosticSink()
    parse_nft_text(SourceFile("main.nft", 'include "/a"\n'), sink, files)
    assert [fault.code for fault in sink.found] == ["FWT154"]


_MIXED = """table ip inet t { } chain c type filter hook input priority 0 ; policy drop tcp dport 22 , accept ct state new
    set s ipv4_addr elements = map vmap @s : . 1.2.3.4 / 24 - ( ) & | == != "x" $x define include counter limit rate
    10/second log prefix meta mark jump goto # \\ flush add rule element 0x10 fe80::1 ! * [ ] ::"""
WORDS = st.sampled_from(_MIXED.split())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(WORDS, st.just("\n")), max_size=40))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    source, sink = SourceFile("f.nft", " ".join(words)), DiagnosticSink()
    items = parse_nft_text(source, sink)
    lower_nft(source, items, sink)
    for fault in sink.found:
        assert fault.span is not None
        assert 0 <= fault.span.start < fault.span.end


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_any_words_in_a_chain_are_read_or_refused(words: list[str]) -> None:
    source, sink = SourceFile("f.nft", CHAIN.replace("@", " ".join(words))), DiagnosticSink()
    lower_nft(source, parse_nft_text(source, sink), sink)
