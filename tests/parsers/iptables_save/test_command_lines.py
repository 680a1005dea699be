from __future__ import annotations

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.iptables_save.command_lines import parse_command_words, parse_commands, program_family
from fwtrans.parsers.iptables_save.shell_words import Word, shell_words
from fwtrans.parsers.iptables_save.spans import word_span
from fwtrans.parsers.iptables_save.syntax import Command, CommandLine
from fwtrans.source import SourceFile
from tests.parsers.iptables_save.option_table import OPTIONS
from tests.parsers.iptables_save.reading import complaint_of_script, in_table, script


def commands(text: str, family: str = "ip", table: str = "filter") -> tuple[CommandLine, ...]:
    sink = DiagnosticSink()
    found = parse_commands(SourceFile("script", text), family, OPTIONS, sink, table=table)
    assert not sink.found, [render(item) for item in sink.found]
    return found


LISTED = """\
-P INPUT DROP -c 5 300
-P FORWARD ACCEPT -c 0 0
-P OUTPUT ACCEPT -c 0 0
-N web
-A INPUT -p tcp -m tcp --dport 80 -m comment --comment "it\\'s \\"web\\"" -c 7 420 -j web
-A web -j ACCEPT
"""


@pytest.mark.parametrize("command", ["", "iptables ", "/sbin/iptables -t filter "])
def test_what_iptables_lists_is_read_with_and_without_the_command(command: str) -> None:
    text = LISTED if not command else LISTED.replace("\\'", "'")
    assert script("".join(command + line + "\n" for line in text.splitlines())) == in_table(
        ":INPUT DROP [5:300]",
        ":FORWARD ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":web - [0:0]",
        '[7:420] -A INPUT -p tcp -m tcp --dport 80 -m comment --comment "it\\\'s \\"web\\"" -j web',
        "-A web -j ACCEPT",
    )


@pytest.mark.parametrize(
    ("program", "family"),
    [
        ("iptables", "ip"),
        ("/sbin/iptables", "ip"),
        ("iptables-legacy", "ip"),
        ("/usr/sbin/iptables-nft", "ip"),
        ("ip6tables", "ip6"),
        ("ip6tables-legacy", "ip6"),
        ("iptables-restore", ""),
        ("iptables-save", ""),
        ("ip4tables", ""),
        ("echo", ""),
        ("", ""),
    ],
)
def test_programs_name_their_family(program: str, family: str) -> None:
    assert program_family(program) == family


def test_lines_of_both_families_are_read_one_family_at_a_time() -> None:
    text = "#!/bin/sh\n\n# both\niptables -A INPUT -j DROP\nip6tables -A INPUT -p icmpv6 --icmpv6-type 1\n"
    assert [command.line for command in commands(text)] == [4]
    (command,) = commands(text, "ip6")
    assert command.rule is not None
    assert command.rule.matches[0].name == "icmp6"


def test_quotes_are_those_of_a_shell_behind_a_command_and_those_of_iptables_without_one() -> None:
    (command,) = commands("iptables -A INPUT -m comment --comment 'a \"b\"'\\ c\n")
    assert command.rule is not None
    assert command.rule.matches[0].options[0].values == ('a "b" c',)
    assert command.rule.matches[0].options[0].spelled is None
    (command,) = commands("-A INPUT -m comment --comment 'a\n")
    assert command.rule is not None
    assert command.rule.matches[0].options[0].values == ("'a",)


def test_commands_may_share_a_line_and_go_over_several() -> None:
    text = "iptables -N a; iptables -A a -j DROP && ip6tables -N c\niptables -w 5 -W 100000 -t nat \\\n  -A OUTPUT\\\n -j b\n"
    found = commands(text)
    assert [(item.command, item.table, item.chain, item.line, item.word) for item in found] == [
        (Command.NEW_CHAIN, "filter", "a", 1, 2),
        (Command.APPEND, "filter", "a", 1, 6),
        (Command.APPEND, "nat", "OUTPUT", 2, 8),
    ]
    source = SourceFile("script", text)
    spans = [word_span(source, item, item.word) for item in found]
    assert [source.line(span.line)[span.start : span.end] for span in spans] == ["a", "a", "OUTPUT"]
    assert spans[2].line == 3


def test_the_table_is_filter_unless_the_caller_or_the_line_says_otherwise() -> None:
    text = "iptables -A OUTPUT\niptables -t raw -A OUTPUT\niptables -A OUTPUT --table=mangle\n"
    assert [command.table for command in commands(text, table="nat")] == ["nat", "raw", "mangle"]


REFUSED = [
    (
        "iptables -A INPUT -i $IF -j DROP",
        "1:22",
        "FWT102",
        "`$IF` means something to the shell, and fwtrans runs no shell",
    ),
    ("iptables -L | grep x", "1:13", "FWT102", "`|` means something to the shell, and fwtrans runs no shell"),
    ("iptables -F 2>/dev/null", "1:14", "FWT102", "`>` means something to the shell, and fwtrans runs no shell"),
    ("iptables -A INPUT -m comment --comment 'x", "1:40", "FWT108", "quote is not closed in `'x`"),
    ("echo 1", "1:1", "FWT102", "`echo` is no iptables command, and fwtrans runs no scripts"),
    ("iptables -F; reboot", "1:14", "FWT102", "`reboot` is no iptables command, and fwtrans runs no scripts"),
    ("iptables", "1:1", "FWT102", "line has no command such as `-A`"),
    ("iptables -6 -F", "1:10", "FWT102", "`-6` contradicts `iptables`"),
    (
        "iptables -t foo -F",
        "1:1",
        "FWT102",
        "there is no table `foo`; expected one of filter, nat, mangle, raw, security",
    ),
    ("iptables -A INPUT \\\n  -j DROP \\\n  x", "3:3", "FWT102", "`x` stands where an option should"),
]


@pytest.mark.parametrize(("text", "place", "code", "said"), REFUSED)
def test_what_only_a_shell_could_do_is_refused(text: str, place: str, code: str, said: str) -> None:
    assert complaint_of_script(text + "\n").split("\n")[0] == f"script:{place}: error[{code}]: {said}"


def test_words_of_another_reader_keep_their_numbers() -> None:
    text = "auto vmbr1\n    post-up iptables -t nat -A POSTROUTING -o $IFACE -j MASQUERADE\n"
    source, sink = SourceFile("interfaces", text), DiagnosticSink()
    words = [word._replace(text=word.text.replace("$IFACE", "vmbr1")) for word in shell_words(source.line(2), 2)]
    command = parse_command_words(words, source, "ip", OPTIONS, sink, program_at=1)
    assert not sink.found
    assert command is not None
    assert (command.command, command.table, command.chain) == (Command.APPEND, "nat", "POSTROUTING")
    assert command.rule is not None
    assert command.rule.options[0].values == ("vmbr1",)
    assert command.rule.target is not None
    span = word_span(source, command, command.rule.target.word)
    assert source.line(2)[span.start : span.end] == "MASQUERADE"


def test_a_mistake_in_words_of_another_reader_is_shown_where_they_say() -> None:
    source, sink = SourceFile("interfaces", "    up iptables -A INPUT \\\n       DROP\n"), DiagnosticSink()
    words = [
        Word("up", 1, 4, 6),
        *(Word(text, 1, 7, 15) for text in ("iptables", "-A", "INPUT")),
        Word("DROP", 2, 7, 11),
    ]
    assert parse_command_words(words, source, "ip", OPTIONS, sink, program_at=1) is None
    assert render(sink.found[0]).startswith("interfaces:2:8: error[FWT102]: `DROP` stands where an option should\n")


def test_what_is_no_text_is_refused() -> None:
    assert complaint_of_script("iptables -F\niptables \0\n").startswith(
        "script:2:10: error[FWT100]: input holds a NUL byte"
    )
