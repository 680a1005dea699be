"""What commands leave behind. test_against_iptables.py asks the real tool about the same things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.iptables_save.command_lines import parse_commands
from fwtrans.parsers.iptables_save.commands import apply_commands
from fwtrans.parsers.iptables_save.syntax import IptablesDump
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.source import SourceFile
from tests.parsers.iptables_save.option_table import OPTIONS
from tests.parsers.iptables_save.reading import complaint_of_script, in_table, read_well, script

HEAD = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
A, B, C = (f"-s 10.0.0.{number}" for number in (1, 2, 3))


def left(*commands: str) -> list[str]:
    """Return what commands leave in table filter: rules, user chains and changed policies."""
    lines = script("\n".join(commands) + "\n").split("\n")[1:-2]
    return [line for line in lines if line not in HEAD]


RESULTS = [
    ([f"-A INPUT {A}", f"-A INPUT {B}"], [f"-A INPUT {A}", f"-A INPUT {B}"]),
    ([f"-A INPUT {A}", f"-I INPUT {B}"], [f"-A INPUT {B}", f"-A INPUT {A}"]),
    ([f"-A INPUT {A}", f"-I INPUT 2 {B}"], [f"-A INPUT {A}", f"-A INPUT {B}"]),
    ([f"-A INPUT {A}", f"-A INPUT {B}", f"-I INPUT 2 {C}"], [f"-A INPUT {A}", f"-A INPUT {C}", f"-A INPUT {B}"]),
    (
        [f"-A INPUT {A}", "-I INPUT 1 -s 1.1.1.1,2.2.2.2"],
        ["-A INPUT -s 2.2.2.2", "-A INPUT -s 1.1.1.1", f"-A INPUT {A}"],
    ),
    ([f"-A INPUT {A}", f"-R INPUT 1 {B}"], [f"-A INPUT {B}"]),
    ([f"-A INPUT {A}", f"-A INPUT {B}", "-D INPUT 1"], [f"-A INPUT {B}"]),
    (["-A INPUT -s 1.1.1.1,2.2.2.2", "-D INPUT 1"], ["-A INPUT -s 2.2.2.2"]),
    ([f"-A INPUT {A}", f"-A INPUT {A}", f"-D INPUT {A}"], [f"-A INPUT {A}"]),
    (["-A INPUT -s 1.1.1.1,2.2.2.2", f"-A INPUT {A}", "-D INPUT -s 2.2.2.2,1.1.1.1"], [f"-A INPUT {A}"]),
    (["-A INPUT -p tcp --dport 22 -s 10.1.2.3/255.0.0.0", "-D INPUT --src 10.0.0.0/8 -p 6 -m tcp --dport 22"], []),
    (["-A INPUT -p icmpv6 -s fd00::/8", "-D INPUT -s fd00:0::1/8 -p 58"], []),
    (["-A INPUT -m mark --mark 0x16/0xff", "-D INPUT -m mark --mark 22/255"], []),
    (["-A INPUT -s 0.0.0.0/0 -p all -i +", "-D INPUT"], []),
    (["-A INPUT -c 5 6 -j DROP", "-D INPUT -j DROP"], []),
    ([f"-A INPUT {A}", f"-C INPUT {A}"], [f"-A INPUT {A}"]),
    (["-N web", f"-A web {A}", "-A INPUT -j web"], [":web - [0:0]", "-A INPUT -j web", f"-A web {A}"]),
    (["-N web", "-A INPUT -j web", "-E web www"], [":www - [0:0]", "-A INPUT -j www"]),
    (["-N web", "-X web"], []),
    (["-N web", "-N mail", "-X"], []),
    (["-N web", "-A web -j DROP", "-F web", "-X web"], []),
    (["-N web", "-A INPUT -j web", "-F", "-X"], []),
    (["-P INPUT DROP"], [":INPUT DROP [0:0]"]),
    (["-P INPUT DROP -c 5 6"], [":INPUT DROP [5:6]"]),
    (["-P INPUT DROP -c 5 6", "-Z"], [":INPUT DROP [0:0]"]),
    (["-A INPUT -c 5 6", "-A INPUT -c 7 8", "-Z INPUT 2"], ["[5:6] -A INPUT", "[0:0] -A INPUT"]),
    (["-A INPUT -c 5 6", "-L -Z"], ["[0:0] -A INPUT"]),
    (["-A INPUT -c 5 6", "-L INPUT -n -v --line-numbers", "-S", "-L INPUT 1"], ["[5:6] -A INPUT"]),
]


@pytest.mark.parametrize(("commands", "expected"), RESULTS)
def test_commands_leave(commands: list[str], expected: list[str]) -> None:
    assert left(*commands) == expected


REFUSED = [
    ("-A nosuch -j DROP", "1:4", "table `filter` has no chain `nosuch`"),
    ("-A INPUT\n-I INPUT 3", "2:10", "chain `INPUT` has 1 rules, so there is no place 3"),
    ("-A INPUT\n-D INPUT 2", "2:10", "chain `INPUT` has 1 rules, so there is no place 2"),
    ("-A INPUT\n-R INPUT 2 -j DROP", "2:10", "chain `INPUT` has 1 rules, so there is no place 2"),
    (
        "-A INPUT\n-R INPUT 1 -s 1.1.1.1,2.2.2.2",
        "2:4",
        "one rule is replaced by one rule, and several addresses make several",
    ),
    ("-D INPUT -j DROP", "1:4", "chain `INPUT` has no such rule"),
    ("-A INPUT -j DROP\n-D INPUT -j ACCEPT", "2:4", "chain `INPUT` has no such rule"),
    ("-A INPUT -p tcp\n-D INPUT -p tcp -m tcp", "2:4", "chain `INPUT` has no such rule"),
    ("-A INPUT ! -i eth0\n-D INPUT -i eth0", "2:4", "chain `INPUT` has no such rule"),
    ("-C INPUT -j DROP", "1:4", "chain `INPUT` has no such rule"),
    ("-N INPUT", "1:4", "chain `INPUT` is there already"),
    ("-N u\n-N u", "2:4", "chain `u` is there already"),
    ("-N u\n-A u -j DROP\n-X u", "3:4", "chain `u` is not empty"),
    ("-N u\n-A INPUT -j u\n-X u", "3:4", "rules still jump to chain `u`"),
    ("-N u\n-A INPUT -g u\n-X", "3:1", "`-X` deletes all chains, and `u` is still jumped to"),
    ("-N u\n-A u -j DROP\n-X", "3:1", "`-X` deletes all chains, and `u` is not empty"),
    ("-X INPUT", "1:4", "`INPUT` is a built-in chain and stays"),
    ("-X nosuch", "1:4", "table `filter` has no chain `nosuch`"),
    ("-F nosuch", "1:4", "table `filter` has no chain `nosuch`"),
    ("-L nosuch", "1:4", "table `filter` has no chain `nosuch`"),
    ("-Z INPUT 1", "1:10", "chain `INPUT` has 0 rules, so there is no place 1"),
    ("-E INPUT x", "1:4", "`INPUT` is a built-in chain and keeps its name"),
    ("-N u\n-E u INPUT", "2:6", "chain `INPUT` is there already"),
    ("-P INPUT REJECT", "1:10", "`REJECT` is no policy; expected ACCEPT or DROP"),
    ("-N u\n-P u DROP", "2:4", "`u` is no built-in chain of `filter`; no other has a policy"),
]


@pytest.mark.parametrize(("text", "place", "said"), REFUSED)
def test_what_iptables_cannot_carry_out_is_refused(text: str, place: str, said: str) -> None:
    assert complaint_of_script(text + "\n").split("\n")[0] == f"script:{place}: error[FWT114]: {said}"


def test_a_rename_moves_jumps_and_leaves_targets_of_that_name() -> None:
    text = in_table(":LOG - [0:0]", "-A INPUT -j LOG", "-A INPUT -g LOG", "-E LOG mine")
    assert unparse_dump(read_well(text)) == in_table(
        ":INPUT ACCEPT [0:0]", ":mine - [0:0]", "-A INPUT -j LOG", "-A INPUT -g mine"
    )


def test_tables_are_kept_apart() -> None:
    assert script("-A INPUT -j DROP\n-t nat -A OUTPUT -j DNAT --to-destination 1.1.1.1\n-A INPUT -t nat\n") == (
        in_table(*HEAD, "-A INPUT -j DROP")
        + in_table(
            ":PREROUTING ACCEPT [0:0]",
            ":INPUT ACCEPT [0:0]",
            ":OUTPUT ACCEPT [0:0]",
            ":POSTROUTING ACCEPT [0:0]",
            "-A INPUT",
            "-A OUTPUT -j DNAT --to-destination 1.1.1.1",
            table="nat",
        )
    )


def test_commands_go_on_from_a_dump() -> None:
    dump = read_well(in_table("# kept", ":INPUT DROP [1:2]", ":u - [0:0]", "-A INPUT -j u"))
    source, sink = SourceFile("script", "-A u -j ACCEPT\n-I INPUT -s 1.1.1.1\n"), DiagnosticSink()
    commands = parse_commands(source, "ip", OPTIONS, sink)
    tables = apply_commands(commands, source, "ip", OPTIONS, sink, start=dump.tables)
    assert not sink.found
    assert unparse_dump(IptablesDump(source, "ip", tables)) == in_table(
        ":FORWARD ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        "# kept",
        ":INPUT DROP [1:2]",
        ":u - [0:0]",
        "-A INPUT -s 1.1.1.1",
        "-A INPUT -j u",
        "-A u -j ACCEPT",
    )


def test_every_failed_command_is_told() -> None:
    source, sink = SourceFile("script", "-D INPUT 1\n-t foo -F\n-F INPUT\n-X u\n"), DiagnosticSink()
    apply_commands(parse_commands(source, "ip", OPTIONS, sink), source, "ip", OPTIONS, sink)
    assert [render(item).split(" error")[0] for item in sink.found] == ["script:1:10:", "script:2:1:", "script:4:4:"]


OPERATIONS = st.one_of(
    st.tuples(st.just("-A"), st.none(), st.integers(0, 5)),
    st.tuples(st.just("-I"), st.integers(1, 6), st.integers(0, 5)),
    st.tuples(st.just("-R"), st.integers(1, 6), st.integers(0, 5)),
    st.tuples(st.just("-D"), st.integers(1, 6), st.none()),
    st.tuples(st.just("-D"), st.none(), st.integers(0, 5)),
)


@given(st.lists(OPERATIONS))
def test_a_chain_is_a_list(operations: list[tuple[str, int | None, int | None]]) -> None:
    expected: list[int] = []
    lines = []
    for command, place, value in operations:
        numbers = [] if place is None else [str(place)]
        rule = [] if value is None else ["-s", f"10.0.0.{value}"]
        size = len(expected)
        if command == "-A" and value is not None:
            expected.append(value)
        elif command == "-I" and place is not None and value is not None and place <= size + 1:
            expected.insert(place - 1, value)
        elif command == "-R" and place is not None and value is not None and place <= size:
            expected[place - 1] = value
        elif command == "-D" and place is not None and place <= size:
            del expected[place - 1]
        elif command == "-D" and value in expected and value is not None:
            expected.remove(value)
        else:
            continue
        lines.append(" ".join([command, "INPUT", *numbers, *rule]))
    assert left(*lines, "-L") == [f"-A INPUT -s 10.0.0.{value}" for value in expected]
