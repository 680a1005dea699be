"""Shell scripts: the firewall commands that surely run, with their words; all else is named at its place."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.shell_script import ScriptCommand, read_script
from fwtrans.source import SourceFile
from tests.places import ERROR_PAGES

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.diagnostics import Diagnostic


class Read(NamedTuple):
    """What came of a script."""

    commands: tuple[ScriptCommand, ...]
    found: tuple[Diagnostic, ...]

    @property
    def firewall(self) -> list[str]:
        return [line(command) for command in self.commands if command.is_firewall]

    @property
    def codes(self) -> list[str]:
        return [item.code for item in self.found]

    @property
    def message(self) -> str:
        (found,) = self.found
        return render(found)


def line(command: ScriptCommand) -> str:
    return " ".join((command.program, *(word.value for word in command.words)))


def read(text: str) -> Read:
    sink = DiagnosticSink()
    commands = read_script(SourceFile("script", text), sink)
    return Read(commands, tuple(sink.found))


def firewall(text: str) -> list[str]:
    """Return the firewall commands of a script without fault."""
    done = read(text)
    assert not done.found, [render(item) for item in done.found]
    return done.firewall


# --- words ---


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("a'b'\"c\"d", ["abcd"]),
        ("'' \"\"", ["", ""]),
        ("a\\ b \\'c\\\\", ["a b", "'c\\"]),
        ('"\\$x \\"y\\" \\z \\\\"', ['$x "y" \\z \\']),
        ("'$(reboot) `x` $y'", ["$(reboot) `x` $y"]),
        ("a#b #c d", ["a#b"]),
        ("x \\\n  y", ["x", "y"]),
        ("x\\\ny", ["xy"]),
        ("'x\ny'", ["x\ny"]),
        ("! -s 10.0.0.0/8", ["!", "-s", "10.0.0.0/8"]),
        ("eth+ $ a$", ["eth+", "$", "a$"]),
        ("a >/dev/null b 2>&1 c", ["a", "b", "c"]),
        ("x=1 --mark 0x1/0xff", ["x=1", "--mark", "0x1/0xff"]),
    ],
)
def test_words_are_those_of_a_shell(written: str, words: list[str]) -> None:
    (command,) = read(f"iptables {written}\n").commands
    assert [word.value for word in command.words] == words


def test_words_have_places() -> None:
    (command,) = read("\n  iptables -A 'in put' \\\n -j x\n").commands
    assert command.place == ("iptables", 2, 2, 10)
    assert [word[1:] for word in command.words] == [(2, 11, 13), (2, 14, 22), (3, 1, 3), (3, 4, 5)]


def test_the_position_of_a_command_on_its_line_is_kept() -> None:
    done = read("echo a\nX=1 sudo iptables -F && iptables -X; echo 'b c' \\\n && iptables -Z\n")
    assert [command.position for command in done.commands if command.is_firewall] == [2, 5, 11]


def test_crlf_is_no_part_of_a_word() -> None:
    assert firewall("IPT=iptables\r\n$IPT -F\r\niptables -X\r\n") == ["iptables -F", "iptables -X"]


# --- programs ---


@pytest.mark.parametrize(
    ("written", "program"),
    [
        ("/sbin/iptables", "iptables"),
        ("ip6tables-legacy", "ip6tables"),
        ("/usr/sbin/iptables-nft", "iptables"),
        ("sudo iptables", "iptables"),
        ("sudo -n -u root env LC_ALL=C /sbin/ip6tables", "ip6tables"),
        ("LC_ALL=C X=1 iptables", "iptables"),
        ("exec nice -n 5 ipset", "ipset"),
        ("timeout 5 ebtables", "ebtables"),
        ("xtables-nft-multi arptables", "arptables"),
        ("command iptables", "iptables"),
    ],
)
def test_programs_are_found_behind_their_wrappers(written: str, program: str) -> None:
    assert firewall(f"{written} -A x\n") == [f"{program} -A x"]


def test_other_commands_are_listed() -> None:
    done = read("echo iptables is great\nmodprobe ip_tables\n/usr/bin/thing 'a b' $(date)\niptables-save > /root/x\n")
    assert not done.found
    assert [line(command) for command in done.commands] == [
        "echo iptables is great",
        "modprobe ip_tables",
        "thing a b $(date)",
        "iptables-save",
    ]


# --- variables ---


def test_variables_from_plain_text_are_put_in() -> None:
    assert firewall(
        "#!/bin/sh\nIPT='/sbin/iptables -w'\nexport LAN=10.0.0.0/8\nreadonly NET=$LAN\nIF=\"eth0\"\n"
        '$IPT -A x -s "$NET" -i ${IF}.5\nIF=eth1\n$IPT -A x -i $IF\nIF="$IF"2\n$IPT -A x -i $IF\n'
    ) == ["iptables -w -A x -s 10.0.0.0/8 -i eth0.5", "iptables -w -A x -i eth1", "iptables -w -A x -i eth12"]


def test_unquoted_variables_are_split_and_quoted_ones_are_not() -> None:
    assert [
        len(command.words) for command in read('A=" x  y "\niptables $A\niptables "$A"\niptables a$A.b\n').commands
    ] == [
        2,
        1,
        4,
    ]


def test_an_empty_variable_leaves_no_word() -> None:
    assert [len(command.words) for command in read('A=\niptables $A b\niptables "$A" b\n').commands] == [1, 2]


def test_where_a_program_is_found_is_not_asked() -> None:
    assert firewall("IPT=$(which iptables)\nI6=`command -v ip6tables`\n$IPT -F\n$I6 -F\n") == [
        "iptables -F",
        "ip6tables -F",
    ]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("iptables -A x -s $NET\n", "`$NET` is not known: nothing before it sets it"),
        (
            "NET=$(hostname -I)\niptables -s $NET\n",
            "`$NET` is not known: only a shell could tell what `$(hostname -I)`",
        ),
        ("if a; then NET=x; fi\niptables -s $NET\n", "`$NET` is not known: it is set inside of `if`, line 1"),
        ("NET=x\n. /etc/default/net\niptables -s $NET\n", "`$NET` is not known: `.` in line 2 may have changed it"),
        ("NET=x\nread NET\niptables -s $NET\n", "`$NET` is not known: `read` changes it"),
        ("NET=x\nunset NET\niptables -s $NET\n", "`$NET` is not known: `unset` changes it"),
        (
            "f() { NET=y; }\nNET=x\nx || f\niptables -s $NET\n",
            "`$NET` is not known: it is set inside of a function, line 1",
        ),
        ("NET=x\na && NET=y\niptables -s $NET\n", "`$NET` is not known: line 2 sets it only sometimes"),
        ("for NET in $LIST; do :; done\niptables -s $NET\n", "`$NET` is not known: a loop sets it"),
    ],
)
def test_variables_that_are_not_known_say_why(script: str, reason: str) -> None:
    done = read(script)
    assert done.codes == ["FWT133"]
    assert reason in done.found[0].message


@pytest.mark.parametrize(
    "change",
    [
        "((P++))", "((--P))", "((P = 23))", "((P*=2))", "X=$((P+=1))", 'echo "$((P=23))"', ": ${P:=23}", ": ${P=23}", "let P=23",
        "if a; then let P++; fi", "printf -v P 23", "mapfile -t P < f", "readarray P < f", "P[0]=23",
        "declare -i P=23", "declare -a P=(23)", "declare -n Q=P", "for ((P=1; P<3; P++)); do :; done",
    ],
)  # fmt: skip
def test_variables_that_change_in_other_ways_are_not_known(change: str) -> None:
    done = read(f"P=22\n{change}\niptables --dport $P\n")
    assert done.codes == ["FWT133"]
    assert "`$P` is not known: line 2 changes it in a way that is not read" in done.message


@pytest.mark.parametrize(
    "other", ["echo $((P==23))", "((P<3))", "echo ${P/2/3}", "let Q=P", "printf %s P", "declare -r Q=1", "# ((P++))", "echo '((P++))'"]
)  # fmt: skip
def test_variables_that_are_only_read_are_known(other: str) -> None:
    assert firewall(f"P=22\n{other}\niptables --dport $P\n") == ["iptables --dport 22"]


@pytest.mark.parametrize("function", ["iptables() { :; }", "function iptables { :; }", "function iptables\n{\n:\n}"])
def test_a_function_in_the_place_of_a_program_is_refused(function: str) -> None:
    assert "FWT132" in read(f"{function}\niptables -F\n").codes


def test_an_unknown_program_with_words_of_a_rule_is_an_error() -> None:
    assert read("$IPT -A INPUT -j DROP\n").codes == ["FWT133"]
    assert read("$(find_it) -t nat -F\n").codes == ["FWT132"]
    assert read("$RUNNER /etc/x\n").codes == []


@pytest.mark.parametrize(
    "call",
    [
        "$SUDO iptables-restore </etc/x", "$SUDO -n /sbin/ip6tables-restore /etc/x", "{ $SUDO iptables-restore; } </etc/x",
        "$SUDO ipset restore </etc/x", "$SUDO nft -f /etc/x", "$IPSET add x 10.0.0.1", '"${IPSET}" -! add x 10.0.0.1',
        '"$IPTABLES"-restore </etc/x', "${IPT}-restore </etc/x", "$SBIN/iptables-restore /etc/x", "$SUDO $IPT_RESTORE </etc/x",
        "$IPT -vA INPUT -j DROP", "$IPT --new-chain x", "$NFT -f /etc/x", "$NFT add rule ip filter INPUT drop",
        "$IPTABLES_RESTORE </etc/x", "for i in 1 2; do $SUDO iptables-restore </etc/$i; done",
    ],
)  # fmt: skip
def test_an_unknown_word_in_front_of_what_loads_rules_is_an_error(call: str) -> None:
    """Many scripts have SUDO from outside; without that error the rules behind it were lost."""
    assert read(f"iptables -A INPUT -j DROP\n{call}\n").codes == ["FWT133"]


@pytest.mark.parametrize(
    "call",
    [
        "$SUDO apt install ufw", "$SUDO iptables -L -n", "$SUDO ipset list", "$IPTABLES_SAVE >/etc/x", "$WHICH nft",
        '$ECHO "to restore: iptables -F x"', "$ECHO ufw not found", "$DEBUG ferm is off", "$IPT -L -n", "$NFT list ruleset",
    ],
)  # fmt: skip
def test_an_unknown_word_in_front_of_what_loads_no_rules_is_none(call: str) -> None:
    assert read(f"{call}\n").codes == []


@pytest.mark.parametrize(
    "fed",
    [
        "bash <<E\niptables -A INPUT -j DROP\nE", "sh -s </etc/x", 'bash <<<"iptables -F"', "cat x | sh", "bash -s eth0 </etc/x",
        "bash -euo pipefail </etc/x", "sh /dev/stdin </etc/x", "cat x | bash -s -- eth0", ". /dev/stdin </etc/x",
    ],
)  # fmt: skip
def test_a_shell_that_runs_what_it_reads_is_an_error(fed: str) -> None:
    assert read(f"iptables -N a\n{fed}\n").codes == ["FWT132"]


@pytest.mark.parametrize("call", ["bash --version </dev/null", "sh -n </etc/x"])
def test_a_shell_that_runs_nothing_is_none(call: str) -> None:
    assert read(f"iptables -N a\n{call}\n").codes == []


def test_a_folder_of_scripts_is_told_as_a_script_is() -> None:
    assert read("run-parts /etc/firewall.d\n").codes == ["FWT136"]


def test_rules_that_a_script_makes_when_it_ends_are_told() -> None:
    for last in (
        "iptables -A INPUT -j DROP",
        "iptables --append INPUT -j DROP",
        "iptables-restore </etc/x",
        "nft -f /etc/x",
    ):
        assert read(f"trap '{last}' EXIT\n").codes == ["FWT132"]
    assert read("trap 'iptables -F' INT\n").codes == []  # only when somebody interrupts it


@pytest.mark.parametrize(
    "word",
    ["$(x)", "`x`", "${X:-y}", "${#X}", "$((1+1))", "$1", "$@", "$'x'", '"$(x)"', "a*", "b?", "{80,443}", "{1..3}"],
)
def test_what_only_a_shell_could_tell_is_refused_where_it_stands(word: str) -> None:
    done = read(f"iptables -A x -s {word} -j DROP\n")
    assert done.codes == ["FWT132"]
    span = done.found[0].span
    assert span is not None
    assert (span.line, span.start, span.end) == (1, 17, 17 + len(word))
    assert read(f"echo {word}\n").codes == []


@pytest.mark.parametrize("word", ["'a*'", "'{80,443}'", "\\*", "{}", "a{b}", "[x]"])
def test_patterns_in_quotes_are_plain_text(word: str) -> None:
    assert read(f"iptables -A x -m comment --comment {word}\n").codes == []


# --- turns ---


def test_commands_in_a_row_all_run() -> None:
    assert firewall("iptables -A a && iptables -A b; iptables -A c || true\necho x && iptables -A d && echo y\n") == [
        "iptables -A a",
        "iptables -A b",
        "iptables -A c",
        "iptables -A d",
    ]


def test_what_may_fail_is_marked() -> None:
    done = read("iptables -D a || true\niptables -D b 2>/dev/null\niptables -D c > /dev/null 2>&1\niptables -D d\n")
    assert [command.may_fail for command in done.commands if command.is_firewall] == [True, True, False, False]


def test_a_rule_added_unless_it_is_there() -> None:
    done = read(
        "iptables -C a -j x 2>/dev/null || iptables -A a -j x\n! iptables -C a -j y && iptables -I a 1 -j y\n"
        "ipset list s >/dev/null 2>&1 || ipset create s hash:ip\n"
    )
    assert done.firewall == ["iptables -A a -j x", "iptables -I a 1 -j y", "ipset create s hash:ip"]
    assert all(command.only_if_absent for command in done.commands)
    assert not done.found


def test_a_check_for_another_rule_is_a_condition() -> None:
    assert read("iptables -C a -j x || iptables -A a -j y\n").codes == ["FWT135"]
    assert read("iptables -C a -j x && iptables -A a -j x\n").codes == ["FWT135"]
    assert read("iptables -C a -j x || ip6tables -A a -j x\n").codes == ["FWT135"]
    assert read("ipset list s || ipset create t hash:ip\n").codes == ["FWT135"]


def test_a_chain_made_or_emptied_is_both() -> None:
    done = read("iptables -t nat -N c 2>/dev/null || iptables -t nat -F c\n")
    assert done.firewall == ["iptables -t nat -N c", "iptables -t nat -F c"]
    assert [command.may_fail for command in done.commands] == [True, False]


def test_questions_change_nothing() -> None:
    assert (
        firewall("iptables -L -n\nif iptables -C a; then echo x; fi\nipset list\niptables -S | grep -q x && echo y\n")
        == []
    )


@pytest.mark.parametrize(
    "command",
    [
        "ipset create list hash:ip",
        "ipset add list 192.0.2.1",
        "ipset add test 192.0.2.1",
        "ipset -exist add test 192.0.2.1",
        "ipset create restore hash:ip",
        "iptables -A c -m comment --comment -L -j DROP",
        "iptables -t nat -w 5 -vN list",
    ],
)
def test_a_name_that_looks_like_a_question_is_a_name(command: str) -> None:
    assert firewall(command + "\n") == [command]


@pytest.mark.parametrize(
    "question",
    ["ipset -q -L", "ipset -o save list s", "ipset version", "iptables -t nat -nvL", "iptables -V", "ip6tables --help"],
)
def test_a_question_may_have_options_before_it(question: str) -> None:
    assert firewall(question + "\n") == []


def test_a_set_made_or_emptied_is_both() -> None:
    done = read("ipset create s hash:ip 2>/dev/null || ipset flush s\nipset -q list t || ipset create t hash:ip\n")
    assert done.firewall == ["ipset create s hash:ip", "ipset flush s", "ipset create t hash:ip"]
    assert not done.found
    assert read("ipset create s hash:ip || ipset flush t\n").codes == ["FWT135"]


@pytest.mark.parametrize(
    "guard",
    [
        "[ -x /sbin/iptables ] || exit 0",
        "test -x /usr/sbin/iptables || exit",
        "which iptables >/dev/null || exit 0",
        "command -v ipset || exit 1",
        "if [ $(id -u) != 0 ]; then echo root; exit 1; fi",
        "grep -q x /etc/y || exit 2",
        "usage() { exit 0; }",
    ],
)
def test_guards_are_taken_to_hold(guard: str) -> None:
    assert firewall(f"{guard}\niptables -F\n") == ["iptables -F"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("for p in $LIST; do iptables -A x; done", "iptables is called inside of `for`, which begins in line 1; `$LIST` is not known"),
        ("for p in $(cat ports); do iptables -A x; done", "inside of `for`, which begins in line 1; only a shell could tell what `$(cat ports)` becomes"),
        ("for p; do iptables -A x; done", "inside of `for`"),
        ("for p in 1 2; do [ $p = 1 ] && break; iptables -A x; done", "inside of `for`"),
        ("for p in 1 2; do iptables -A x; done &", "inside of `for`"),
        ("echo | for p in 1 2; do iptables -A x; done", "inside of `for`"),
        ("a && for p in 1 2; do iptables -A x; done", "inside of `for`"),
        ("for p in 1 2; do if a; then iptables -A x; fi; done", "inside of `if`, which begins in line 1"),
        ("while read a; do\n iptables -A x\ndone < f", "inside of `while`, which begins in line 1"),
        ("until a; do iptables -A x; done", "inside of `until`"),
        ("if a; then\n iptables -A x\nfi", "inside of `if`, which begins in line 1"),
        ("if a; then b; else iptables -A x; fi", "inside of `if`"),
        ("f() {\n iptables -A x\n}\nx && f", "inside of a function"),
        ("function f {\n iptables -A x\n}\nx && f", "inside of a function"),
        ("f () (\n iptables -A x\n)", "inside of brackets"),
        ("( iptables -A x )", "inside of brackets"),
        ("case $1 in\n on|go) ipset create x hash:ip ;;\nesac", "ipset is called inside of `case`"),
        ('[ "$1" = on ] && iptables -A x', "only if what stands before `&&` says so"),
        ("ping -c1 h || iptables -A x", "only if what stands before `||` says so"),
        ("iptables -A y || ip6tables -A x\n", "ip6tables is called only if what stands before `||` says so"),
        ("iptables -A x &", "in the background"),
        ("! iptables -A x", "`!` stands before iptables"),
        ("exit 0\niptables -A x", "behind the `exit` of line 1"),
        ('[ "$IFACE" = eth0 ] || exit 0\niptables -A x', "only if the script has not ended in line 1"),
        ("if a; then exit; fi\niptables -A x", "only if the script has not ended in line 1"),
    ],
)  # fmt: skip
def test_what_hangs_on_a_condition_is_refused(script: str, message: str) -> None:
    done = read(script + "\n")
    assert done.codes == ["FWT135"]
    assert message in done.found[0].message


def test_a_loop_over_known_words_is_its_commands_once_for_each() -> None:
    script = (
        'PORTS="22 80"\nNET=192.0.2.0/24\nfor p in $PORTS 443; do\n  iptables -s $NET --dport $p\ndone\niptables -i $p\n'
        'for a in x "y z"\ndo for p in 1 2; do T=$a$p; ip6tables "$T"; done; ipset destroy $p; done 2>/dev/null\n'
        "EMPTY=\nfor p in $EMPTY; do iptables -F; done\nfor p in 5; do iptables -C x || iptables -A x; done || true\n"
    )
    assert firewall(script) == [
        *(f"iptables -s 192.0.2.0/24 --dport {port}" for port in (22, 80, 443)),
        "iptables -i 443",
        *("ip6tables x1", "ip6tables x2", "ipset destroy 2", "ip6tables y z1", "ip6tables y z2", "ipset destroy 2"),
        "iptables -A x",
    ]


def test_what_is_wrong_in_a_loop_is_told_once() -> None:
    assert read("for p in 1 2 3; do iptables -s $NET --dport $p; done\n").codes == ["FWT133"]


def test_loops_in_loops_end_somewhere() -> None:
    words = " ".join(map(str, range(100)))
    nested = "iptables -A x"
    for name in "abcd":
        nested = f"for {name} in {words}; do {nested}; done"
    done = read(nested + "\n")
    assert set(done.codes) == {"FWT135"}
    assert len(done.firewall) <= 100_000


@pytest.mark.parametrize("separators", [",", "', '", "$X", ""])
def test_other_separators_of_words_are_refused(separators: str) -> None:
    assert read(f"IFS={separators}\nP='22,80 443'\niptables --dport $P\n").codes == ["FWT132"]


def test_separators_may_be_put_back() -> None:
    assert firewall('OLD=$IFS\nIFS=,\nIFS=$OLD\nP="1 2"\nfor p in $P; do iptables $p; done\n') == [
        "iptables 1",
        "iptables 2",
    ]
    assert firewall("IFS=,\nP=22\niptables $P 'a,b'\n") == ["iptables 22 a,b"]


def test_constructs_without_firewall_commands_are_no_fault() -> None:
    assert firewall(
        "if a; then b; elif c; then d; else e; fi\nwhile x; do y; done\ncase $1 in a) b;; (c) d;; *) ;; esac\n"
        "f() { g; }\nfor i in 1 2\ndo\n h\ndone | sort > /dev/null\n{ j; } 2>&1\n( k )\niptables -F\n"
    ) == ["iptables -F"]


# --- rules from elsewhere ---


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("iptables-restore < /etc/rules.v4", "`iptables-restore` loads rules from `/etc/rules.v4`"),
        ("/sbin/ip6tables-legacy-restore -n /etc/rules.v6", "`ip6tables-legacy-restore` loads rules from `/etc/rules.v6`"),
        ("cat x | iptables-restore", "`iptables-restore` loads rules from a pipe"),
        ("iptables-restore <<E\n*filter\n-A INPUT -j $(date)\nCOMMIT\nE", "`iptables-restore` loads rules from the lines below it"),
        ("ipset restore < /etc/sets", "`ipset` loads rules from `/etc/sets`"),
        ("nft -f /etc/nftables.conf", "`nft` loads rules from elsewhere"),
        ("netfilter-persistent reload", "`netfilter-persistent` loads rules"),
        ("systemctl restart nftables.service", "`systemctl` loads rules"),
        ("/etc/init.d/iptables start", "`iptables` loads rules"),
        ("/root/my-firewall.sh eth0", "`my-firewall.sh` loads rules from elsewhere"),
        ("[ -x /root/firewall.sh ] && sh /root/firewall.sh start", "`sh` loads rules from elsewhere"),
        (". ./Firewall.sh", "`.` loads rules from elsewhere"),
    ],
)  # fmt: skip
def test_rules_from_elsewhere_are_named(script: str, message: str) -> None:
    done = read(script + "\n")
    assert done.codes == ["FWT134"]
    assert message in done.found[0].message


def test_what_only_has_a_name_like_that_loads_nothing() -> None:
    calls = (
        ". /etc/default/firewall",
        "/root/firewall.sh stop",
        "/root/backup.sh",
        "echo /root/firewall.sh",
        "sh -e x.sh",
    )
    done = read("\n".join(calls) + "\n")
    assert [(item.code, item.span.line) for item in done.found if item.span] == [
        ("FWT136", 2),
        ("FWT136", 3),
        ("FWT136", 5),
    ]


def test_the_lines_of_a_here_document_are_no_commands() -> None:
    done = read(
        "cat > /etc/x <<-'END'\n\tiptables -A x\n\tEND\niptables -F\ncat <<A <<B\niptables 1\nA\niptables 2\nB\niptables -X\n"
    )
    assert done.firewall == ["iptables -F", "iptables -X"]
    assert not done.found


@pytest.mark.parametrize(
    "script",
    ["sh -c 'iptables -F'", "ip netns exec a iptables -F", "echo x | xargs iptables -A", 'eval "iptables -F"', "ssh h iptables -F", "echo 'iptables -F' | sh", "cat rules | sudo bash -s", "X=1; echo $(iptables -A x)", 'I="iptables -w"; "$I" -F'],
)  # fmt: skip
def test_calls_that_are_hidden_are_refused(script: str) -> None:
    assert read(script + "\n").codes == ["FWT132"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("iptables -A 'x\n", "FWT108"),
        ('iptables "', "FWT108"),
        ("iptables $(x", "FWT132"),
        ("if iptables -F; then\n", "FWT132"),
        ("A=1; ((A<<1))\niptables -F\n", "FWT132"),
        ("cat <<END\niptables -F\n", "FWT132"),
    ],
)
def test_what_is_not_closed_is_said(script: str, code: str) -> None:
    done = read(script)
    assert done.codes == [code]
    assert not done.firewall
    assert read(script.replace("iptables", "echo")).codes == []


def test_a_whole_message() -> None:
    assert read("iptables -A INPUT -s $NET -j DROP\n").message == (
        "script:1:22: error[FWT133]: `$NET` is not known: nothing before it sets it\n"
        "   1 | iptables -A INPUT -s $NET -j DROP\n"
        "     |                      ^^^^\n"
        "\n"
        "hint: write the value in place of `$NET`"
    )


@pytest.mark.parametrize("number", [132, 133, 134, 135])
def test_the_example_of_the_page_has_its_error(number: int) -> None:
    page = (ERROR_PAGES / f"FWT{number}.md").read_text(encoding="utf-8")
    assert f"FWT{number}" in read(page.split("```")[1].partition("\n")[2]).codes


@pytest.mark.parametrize("seed", range(10))
def test_random_text_gives_errors_and_never_a_traceback(seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 -- tests want the same numbers again
    pieces = ["iptables", " ", " ", "\n", "'", '"', "`", "$(", "${", "}", ")", "(", "{", "\\", ";", ";;", "&&", "|", "<<E", ">", "if ", "then ", "fi", "case ", " in ", "esac", "for ", "do ", "done", "f()", "!", "$x", "x=", "#", "\x00", "\udc80", "exit"]  # fmt: skip
    for _ in range(400):
        read("".join(source.choices(pieces, k=source.randint(0, 40))))


# --- the real shell ---


class LineMaker:
    """Random commands for stubs called by bare names, in every manner of quoting that we take."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- tests want the same numbers again
        self.names: list[str] = []

    def script(self) -> str:
        return "\n".join(self.one() for _ in range(self.random.randint(1, 8))) + "\n"

    def one(self) -> str:
        if self.random.random() < 0.2:
            name = self.random.choice("VWX")
            words = " ".join(self.word() for _ in range(self.random.randint(0, 3)))
            self.names.append(name)
            between = self.random.choice(("; ", "\n"))
            return f"for {name} in {words}{between}do {self.call()}{between}{self.call()}{between}done"
        if self.random.random() < 0.25:
            name = self.random.choice("VWX")
            self.names.append(name)
            return f"{name}={self.word(split=False)}"
        parts = [self.call()]
        more = self.random.randint(0, 2)
        parts += [self.random.choice((" && ", "; ", ";", "&&", " || : ; ", "\n")) + self.call() for _ in range(more)]
        return "".join(parts) + self.random.choice(("", " # it's a comment", ";", "  ", " || true"))

    def call(self) -> str:
        program = self.random.choice(("iptables", "ip6tables", "'ipset'", '"iptables"', "ipt\\ables"))
        words = [self.word() for _ in range(self.random.randint(0, 4))]
        blank = self.random.choice((" ", "  ", " \t", " \\\n"))
        tail = self.random.choice(("", "", " >/dev/null", " 2>&1"))
        return blank.join((program, *words)) + tail

    def word(self, *, split: bool = True) -> str:
        return "".join(self.piece() for _ in range(self.random.randint(1, 3))) or ("x" if split else "")

    def piece(self) -> str:
        choice = self.random.randint(0, 7)
        plain = "".join(self.random.choices("abc-/.:+!=,@%^", k=self.random.randint(1, 3)))
        odd = "".join(self.random.choices('a $`"\\;&|#*?(){}<>~ \t', k=self.random.randint(0, 4)))
        if choice == 0:
            return f"'{odd}'"
        if choice == 1:
            inside = "".join(f"\\{letter}" if letter in '$`"\\' else letter for letter in odd)
            variable = f"${{{self.random.choice(self.names)}}}" if self.names else ""
            return f'"{inside}{variable}"'
        if choice == 2:
            return "\\" + self.random.choice("a $`\"'\\;&|#*?(){}<>")
        if choice == 3 and self.names:
            return self.random.choice(("${%s}", "$%s.", '"$%s"')) % self.random.choice(self.names)
        return "a" + plain


STUB = """#!/bin/sh
printf '%s' "${0##*/}" >> "$CALLS"
for word in "$@"; do printf '\\t%s' "[$word]" >> "$CALLS"; done
printf '\\n---\\n' >> "$CALLS"
"""


@pytest.mark.netns
@pytest.mark.parametrize("seed", range(5))
def test_the_real_shell_calls_the_same_programs_with_the_same_words(seed: int, tmp_path: Path) -> None:
    """The only programs that the shell can find are stubs, and it runs in a network namespace of its own all the same."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("iptables", "ip6tables", "ipset"):
        stub = stubs / name
        stub.write_text(STUB, encoding="utf-8")
        stub.chmod(0o755)
    calls = tmp_path / "calls"
    compared = 0
    for number in range(60):
        text = LineMaker(seed * 1000 + number).script()
        assert "/sbin" not in text
        done = read(text)
        if done.found:
            continue
        calls.write_text("", encoding="utf-8")
        environment = {"PATH": str(stubs), "CALLS": str(calls)}
        script = tmp_path / "script"
        script.write_text(text, encoding="utf-8")
        subprocess.run(["/usr/bin/unshare", "-n", "/bin/sh", str(script)], env=environment, cwd=stubs, check=False, capture_output=True)  # fmt: skip
        expected = "".join(
            "\t".join((command.program, *(f"[{word.value}]" for word in command.words))) + "\n---\n"
            for command in done.commands
            if command.is_firewall
        )
        assert calls.read_text(encoding="utf-8") == expected, text
        compared += 1
    assert compared >= 30, "nearly all scripts are refused: the comparison says little"


@pytest.mark.parametrize(
    ("line", "script"),
    [
        (". ./lib.sh", "./lib.sh"), ("source /opt/hosts.inc", "/opt/hosts.inc"), ("/opt/block.sh start", "/opt/block.sh"),
        ("sudo ./block eth0", "./block"), ("bash -e /opt/block", "/opt/block"), ("if true; then sh x; fi", "x"),
        ('. "$DIR/lib"', '"$DIR/lib"'), ("[ -f ./lib ] && . ./lib", "./lib"), ("/bin/sh /opt/block", "/opt/block"),
    ],
)  # fmt: skip
def test_a_script_that_is_not_read_is_told(line: str, script: str) -> None:
    done = read(f"{line}\niptables -A INPUT -j ACCEPT\n")
    assert done.codes == ["FWT136"]
    assert f"`{script}`" in done.message


@pytest.mark.parametrize(
    "line",
    [
        ". /lib/lsb/init-functions",
        "[ -r /etc/default/x ] && . /etc/default/x",
        "bash -c 'echo x'",
        "/sbin/sysctl -p",
        "sh",
    ],
)
def test_what_has_no_rules_on_any_system_is_not(line: str) -> None:
    assert firewall(f"{line}\niptables -A INPUT -j ACCEPT\n") == ["iptables -A INPUT -j ACCEPT"]
