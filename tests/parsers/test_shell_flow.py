"""Scripts with functions, branches and parameters: what surely runs is carried out, and what surely does not is told."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics.codes import CODES, Severity
from tests.parsers.test_shell_script import STUB, line, read

if TYPE_CHECKING:
    from pathlib import Path


def firewall(text: str) -> list[str]:
    """Return the firewall commands of a script of which all that may be told is what does not run."""
    done = read(text)
    assert set(done.codes) <= {"FWT137"}, done.codes
    return done.firewall


# --- branches ---


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ('[ "$MODE" = open ]', True), ('[ "$MODE" != open ]', False), ('test "$MODE" = shut', False), ('[ -n "$MODE" ]', True),
        ('[ -z "$MODE" ]', False), ("[ -n $EMPTY ]", True), ('[ "$EMPTY" ]', False), ("[ ! -z $MODE ]", True), ("! [ $MODE = open ]", False),
        ("[ $TWO -eq 2 ]", True), ("[ $TWO -gt 10 ]", False), ("[ 010 -eq 10 ]", True), ("true", True), (":", True), ("false", False),
        ("[ -n a ] && [ $TWO = 2 ]", True), ("[ -z a ] || [ $TWO = 2 ]", True), ("[ -z a ] && [ $X = 2 ]", False),
        ("[ -x /sbin/iptables ]", True), ("command -v iptables >/dev/null", True), ("[ ! = ! ]", True), ("[ $MODE == shut ]", False),
        ("[ ! ]", True), ("[ ]", False),
    ],
)  # fmt: skip
def test_a_known_test_chooses_the_branch(test: str, holds: bool) -> None:
    script = f"MODE=open\nTWO=2\nEMPTY=\nif {test}; then\n iptables -A yes\nelse\n iptables -A no\nfi\niptables -A z\n"
    done = read(script)
    assert done.firewall == [f"iptables -A {'yes' if holds else 'no'}", "iptables -A z"]
    assert done.codes == ["FWT137"]
    assert "what the `if` of line 4 asks is known" in done.message
    (span,) = [item.span for item in done.found]
    assert span is not None
    assert span.line == (7 if holds else 5)


@pytest.mark.parametrize(
    "test",
    [
        "[ -f /etc/x ]", '[ "$UNSET" = x ]', "[ $(id -u) = 0 ]", "grep -q x /etc/y", "[ a = a -a b = b ]", "[ $MODE == open ]",
        "[[ $MODE == o* ]]", "[[ $MODE > a ]]", "[ 1 -eq x ]", "[ $MODE = * ]", "true | false", "[ -n a ] | cat", "( true )", "[ -n a ",
        "[ -n a ] && x", "iptables -n -L INPUT", "iptables -C INPUT -j x",
    ],
)  # fmt: skip
def test_a_test_that_is_not_known_is_refused(test: str) -> None:
    done = read(f"MODE=open\nif {test}; then iptables -A yes; fi\n")
    assert "FWT135" in done.codes or "FWT132" in done.codes


def test_chains_of_branches() -> None:
    script = "M=b\nif [ $M = a ]; then iptables 1; elif [ $M = b ]; then iptables 2; elif x; then iptables 3; else iptables 4; fi\n"
    assert read(script).firewall == ["iptables 2"]
    assert read(script.replace("M=b", "M=a")).firewall == ["iptables 1"]
    done = read(script.replace("M=b", "M=c"))
    assert done.firewall == []
    assert set(done.codes) == {"FWT135"}


def test_lists_whose_tests_are_known() -> None:
    script = '[ "$M" = a ] && iptables 1 || iptables 2\n[ $M = b ] || { iptables 3; iptables 4; }\n[ $M = b ] && { iptables 5; }\n'
    done = read("M=a\n" + script)
    assert done.firewall == ["iptables 1", "iptables 3", "iptables 4"]
    assert set(done.codes) <= {"FWT135", "FWT137"}
    assert read("M=b\n" + script).firewall == ["iptables 2", "iptables 5"]


def test_a_rule_added_unless_it_is_there_in_an_if() -> None:
    done = read("if ! iptables -C a -j x 2>/dev/null; then\n  echo adding\n  iptables -A a -j x\nfi\niptables -F b\n")
    assert not done.found
    assert [(line(c), c.only_if_absent) for c in done.commands if c.is_firewall] == [
        ("iptables -A a -j x", True),
        ("iptables -F b", False),
    ]
    assert read("if iptables -C a -j x; then iptables -A a -j x; fi\n").codes == ["FWT135"]
    assert read("if ! iptables -C a -j x; then iptables -A a -j y; fi\n").codes == ["FWT135"]


def test_a_case_over_a_known_word() -> None:
    script = 'M=%s\ncase "$M" in\n open|half) iptables 1 ;;\n "s*") iptables 2;;\n [Ss]*t) ;;\n $M) iptables 3;;\n *) iptables 4\nesac\n'
    for word, ran in (("half", "1"), ("'s*'", "2"), ("Shut", ""), ("other", "3"), ("'a[b'", "4")):
        done = read(script % word)
        assert done.firewall == ([f"iptables {ran}"] if ran else []) or (word == "'a[b'" and "FWT135" in done.codes)
    assert "FWT135" in read("case $UNSET in a) iptables 1;; esac\n").codes
    assert "FWT135" in read("M=a\ncase $M in a) iptables 1;& b) iptables 2;; esac\n").codes


# --- how the script is called ---


def test_an_init_script_is_read_as_it_starts() -> None:
    done = read(
        "start() {\n iptables -A a\n}\nstop() {\n iptables -F\n}\n"
        'case "$1" in\n start)\n  start\n  ;;\n stop) stop;;\n restart) stop; start;;\n *) echo "usage: $0 start|stop"; exit 1;;\nesac\n'
    )
    assert done.firewall == ["iptables -A a"]
    assert set(done.codes) == {"FWT137"}
    assert any("as it runs with `start`" in item.message for item in done.found)
    assert any("nothing calls the function `stop`" in item.message for item in done.found)
    assert all(CODES[code].severity is Severity.WARNING for code in done.codes)


def test_what_a_script_is_called_with_is_not_known_otherwise() -> None:
    assert set(read('case "$1" in on) iptables 1;; esac\n').codes) == {"FWT135"}
    assert read("iptables -i $1\n").codes == ["FWT132"]
    assert read('if [ "$1" = start ]; then iptables 1; else iptables 2; fi\n').firewall == ["iptables 1"]


@pytest.mark.parametrize(
    "script",
    [
        'ACTION="$1"\ncase $ACTION in start) iptables 1;; *) iptables 2;; esac\n',
        'case "${1:-start}" in\nstart|restart) iptables 1;;\nesac\n',
        'main() {\n case "$1" in\n start) iptables 1;;\n stop) iptables 2;;\n esac\n}\nmain "$@"\n',
        'start() { iptables 1; }\nif [ "$1" = start ]; then "$1"; fi\n',
    ],
)
def test_ways_to_ask_for_start(script: str) -> None:
    assert firewall(script) == ["iptables 1"]


def test_a_function_whose_call_sets_a_variable_is_refused() -> None:
    assert "FWT135" in read("f() { iptables $X; }\nX=1 f\n").codes
    assert "FWT132" in read("f() for p in 1 2; do iptables $p; done\n").codes
    assert read("myfilter -A INPUT -j DROP\n").codes == ["FWT132"]
    assert read('ipt() { iptables -w "$@"; }\nipt -A INPUT -j DROP\n').firewall == ["iptables -w -A INPUT -j DROP"]


# --- functions ---


def test_a_function_is_its_commands_with_its_parameters() -> None:
    assert firewall(
        'open_port() {\n local proto=${2:-tcp}\n iptables -p $proto --dport $1 -m comment --comment "$3"\n}\nproto=x\n'
        'open_port 22 udp "two words"\nopen_port 80\niptables $proto\n'
        'function each { for p in "$@"; do iptables "$p"; done; }\neach a "b c"\n'
        "n() { iptables $# $*; shift; iptables $1; }\nn 1 2 3\nN=1\nset_n() { N=2; }\nset_n\niptables $N\n"
    ) == [
        "iptables -p udp --dport 22 -m comment --comment two words",
        "iptables -p tcp --dport 80 -m comment --comment ",
        "iptables x", "iptables a", "iptables b c", "iptables 3 1 2 3", "iptables 2", "iptables 2",
    ]  # fmt: skip


def test_a_function_returns() -> None:
    script = "f() {\n [ $1 = a ] && return 0\n iptables $1\n [ $1 = b ] || return 1\n iptables end\n}\nf a && iptables x\nf b\nf c || iptables y\n"
    assert firewall(script) == ["iptables x", "iptables b", "iptables end", "iptables c", "iptables y"]
    done = read("f() { grep -q x /y && return; iptables 1; }\nf\niptables 2\n")
    assert done.codes == ["FWT135"]
    assert "only if its function has not returned in line 1" in done.message
    assert done.firewall == ["iptables 2"]


@pytest.mark.parametrize(
    "call",
    [
        "grep -q x /y && f", "if x; then f; fi", "f &", "f | cat", "echo a | f", "while x; do f; done", "trap f EXIT", "X=$(f)", "echo $(f)",
        "eval f", "$UNKNOWN", "sudo f", "(f)", "! f", "f < /x", "f $UNKNOWN", "if x; then f() { :; }; fi; f", "timeout 5 f",
        "iptables -A a || f", "xargs f", "g() { f; }; x && g", 'find . -exec sh -c "f {}" ";"',
    ],
)  # fmt: skip
def test_a_function_that_may_run_or_not_is_refused(call: str) -> None:
    done = read(f"f() {{ iptables -A x; }}\n{call}\n")
    assert {"FWT135", "FWT133"} & set(done.codes), done.codes


def test_a_function_that_calls_itself_ends() -> None:
    assert "FWT135" in read("f() { iptables -A x; f; }\nf\n").codes
    assert "FWT135" in read("f() { iptables -A x; g; g; }\ng() { f; f; }\nf\n").codes


@pytest.mark.parametrize("call", ["f0", "x && f0", "", "[ -n a ] || f0"])
def test_functions_that_call_each_other_twice_are_followed_once(call: str) -> None:
    """Two to the power of 60 calls: it ends, or the test never does."""
    chain = "".join(f"f{number}() {{ f{number + 1}; f{number + 1}; }}\n" for number in range(60))
    done = read(f"{chain}f60() {{ iptables -A x; }}\n{call}\n")
    assert set(done.codes) <= {"FWT135", "FWT137"}
    assert done.codes
    assert not done.firewall


def test_a_function_that_nothing_calls_is_told() -> None:
    done = read('f() {\n echo\n iptables -F\n}\ng() { f; }\nh() { echo; }\necho "f or g"\niptables -A x\n')
    assert done.firewall == ["iptables -A x"]
    assert [item.code for item in done.found] == ["FWT137", "FWT137"]
    assert ["nothing calls the function `f`" in item.message for item in done.found] == [True, False]


def test_an_exit_in_a_function_ends_the_script() -> None:
    assert "behind the `exit` of line 1" in read("f() { exit 0; }\nf\niptables 1\n").message
    assert firewall("die() { echo $1; exit 1; }\nM=a\n[ $M = a ] || die x\nx || die y\niptables 1\n") == ["iptables 1"]
    assert "only if the script has not ended" in read("f() { exit 0; }\nx || f\niptables 1\n").message
    assert "only if the script has not ended" in read("g() { :; }\nf() { g; exit 0; }\nx || f\niptables 1\n").message


def test_the_systems_functions_for_init_scripts_change_no_variable() -> None:
    assert firewall(". /lib/lsb/init-functions\nP=1\n. /etc/init.d/functions\niptables $P\n") == ["iptables 1"]
    assert read("P=1\n. /root/functions\niptables $P\n").codes == ["FWT133"]


def test_words_for_a_function_say_nothing_of_what_it_does() -> None:
    assert firewall('die() { echo "$1"; exit 1; }\ncommand -v iptables || die "no iptables"\niptables -F\n') == [
        "iptables -F"
    ]
    assert not read('die() { echo "$1"; }\ncommand -v iptables || die "no iptables -F"\n').found


# --- lists of bash's ---

LISTS = """\
PORTS=(22 80)
PORTS+=("1 2"
  3)  # one more
for p in "${PORTS[@]}"; do iptables "$p"; done
for p in ${PORTS[*]} {8..10}; do iptables $p; done
iptables "${PORTS[*]}" a{b,c{d,e}}
N=x
for p in {1..2}{a,$N}; do iptables "$p"; done
iptables {3..1} {-1..1} {x,"y z"} {} {a} '{1,2}' "{1,2}" a{,b} {,c}
f() { for p in "$@"; do iptables -p tcp --dport "$p"; done; }
f "${PORTS[@]}"
"""


@pytest.mark.netns
def test_lists_of_bash_are_what_bash_makes_of_them(tmp_path: Path) -> None:
    text = "\n".join(
        line for line in LISTS.splitlines() if "d,e" not in line and "$N}" not in line and '"y z"' not in line
    )
    assert real_calls("#!/bin/bash\n" + text, "/bin/bash", tmp_path) == our_calls("#!/bin/bash\n" + text + "\n")
    assert firewall("#!/usr/bin/env bash\niptables {1..3} x{a,b}y{,z}\n") == ["iptables 1 2 3 xay xayz xby xbyz"]


@pytest.mark.parametrize(
    "line",
    [
        "iptables {01..10}", "iptables {a..c}", "iptables {1..9..2}", "iptables a{b,c{d,e}}", 'iptables {x,"y z"}', "N=1; iptables {1..$N}",
        "iptables {1..99999999}", "A=(1 2); iptables $A", "A=([1]=x); iptables ${A[@]}", "A=(*); iptables ${A[@]}", "iptables ${A[@]}",
        "A=(1 2); A=3; iptables ${A[@]}", "A=(1 2); A[0]=3; iptables ${A[@]}", "A=(1); x && A=(2); iptables ${A[@]}", "A=(1); iptables ${A[0]}",
        "A=($(x)); iptables ${A[@]}", "A=(1); f() { local A=(2); }; f; iptables ${A[@]}", "A=(1); . ./x; iptables ${A[@]}",
        "declare -A A=(1 2); iptables ${A[@]}", "A=(1); iptables x${A[@]}", "A=(1); unset A; iptables ${A[@]}", "A=('*'); iptables ${A[@]}", "A=1; A+=(2); iptables $A",
    ],
)  # fmt: skip
def test_lists_that_are_not_known_are_refused(line: str) -> None:
    assert set(read(f"#!/bin/bash\n{line}\n").codes) & {"FWT132", "FWT133"}


def test_exec_ends_a_script() -> None:
    assert firewall("iptables 1\nexec 3>&1 >/dev/null\nexec 2>/x\niptables 2\nexec sleep 1\n") == [
        "iptables 1",
        "iptables 2",
    ]
    assert firewall('iptables 1\nexec "$@"\n') == ["iptables 1"]
    assert "behind the `exec` of line 1" in read("exec sleep 1\niptables 1\n").message
    assert "only if the script has not ended in line 1" in read("[ -f /x ] && exec sleep 1\niptables 1\n").message
    assert firewall("exec iptables 1\n") == ["iptables 1"]
    assert firewall("f() { iptables $1; exec sleep 1; }\nf 1\n") == ["iptables 1"]


def test_harmless_ends_are_no_fault() -> None:
    ends = "iptables-save > /etc/iptables/rules.v4\nip6tables-save -c >/x\nnetfilter-persistent save\nservice iptables save\nipset save > /x\n"
    assert not read("iptables 1\n" + ends + "systemctl enable netfilter-persistent\nexit 0\n").found


# --- the real shells ---


def our_calls(text: str) -> str:
    calls = (
        "\t".join((c.program, *(f"[{word.value}]" for word in c.words))) for c in read(text).commands if c.is_firewall
    )
    return "".join(f"{call}\n---\n" for call in calls)


def real_calls(text: str, shell: str, folder: Path) -> str:
    """The only program that the shell can find is a stub, and it runs in a network namespace of its own all the same."""
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "iptables").write_text(STUB, encoding="utf-8")
    (stubs / "iptables").chmod(0o755)
    calls, script = folder / "calls", folder / "script"
    calls.write_text("", encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    environment = {"PATH": str(stubs), "CALLS": str(calls)}
    command = ["/usr/bin/unshare", "-n", shell, str(script), "start"]
    subprocess.run(command, env=environment, cwd=stubs, check=False, capture_output=True)
    return calls.read_text(encoding="utf-8")


class ScriptMaker:
    """Random scripts of nested constructs over variables, parameters and functions, which end."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- tests want the same numbers again
        self.known: list[str] = []

    def script(self) -> str:
        parts = ["A=a B='b c' N=2"]
        for name in ("f", "g", "h"):
            parts.append(f"{name}() {{\n{self.block(3, inside=True)}\n}}")
            self.known.append(name)
            parts.append(self.block(2))
        if self.random.random() < 0.5:
            parts.append(f'case "$1" in\n start) {self.block(2)} ;;\n stop) {self.block(2)} ;;\nesac')
        return "\n".join(parts) + "\n"

    def block(self, depth: int, *, inside: bool = False) -> str:
        return "\n".join(self.one(depth, inside=inside) for _ in range(self.random.randint(1, 3)))

    def one(self, depth: int, *, inside: bool) -> str:
        more = [self.branch, self.cases, self.loop, self.group] if depth > 0 else []
        choice = self.random.choice([self.plain, self.plain, self.call, self.assign, self.guarded, *more])
        return choice(depth - 1, inside=inside)

    def plain(self, _depth: int, *, inside: bool) -> str:
        words = " ".join(
            self.random.choice(("$A", '"$B"', "$N", "x", '"$1"', "$2", '"$@"', "$#", "$*", "${2:-y}")) for _ in range(2)
        )
        return f"iptables {words if inside else words.replace('@', '1').replace('*', '1')}"

    def call(self, depth: int, *, inside: bool) -> str:
        if not self.known:
            return self.plain(depth, inside=inside)
        return f"{self.random.choice(self.known)} " + " ".join(
            self.random.choice(("p", "$A", '"$B"', '"q r"')) for _ in range(self.random.randint(0, 3))
        )

    def assign(self, _depth: int, *, inside: bool) -> str:
        word = self.random.choice(("a", "'b c'", "$N", '"$A"', "2"))
        options = ["", "", *(["local "] if inside else [])]
        found = f"{self.random.choice(options)}{self.random.choice('AB')}={word}"
        return self.random.choice(
            (found, found, "shift 2>/dev/null" if inside and self.random.random() < 0.3 else found)
        )

    def guarded(self, depth: int, *, inside: bool) -> str:
        ends = [self.plain(depth, inside=inside), *([f"return {self.random.choice(('', '0', '1'))}"] if inside else [])]
        return f"{self.test()} {self.random.choice(('&&', '||'))} {self.random.choice(ends)}"

    def test(self) -> str:
        if self.random.random() < 0.04:
            return self.random.choice(("[ -d / ]", "[ -d /no ]"))
        return self.random.choice(
            (
                '[ "$A" = a ]',
                '[ -n "$2" ]',
                "[ $# -gt 1 ]",
                "! true",
                '[ "$1" = p ]',
                '[ "$B" != "b c" ]',
                '[ "$N" -eq 2 ]',
            )
        )

    def branch(self, depth: int, *, inside: bool) -> str:
        other = self.random.choice(
            (
                "",
                f"else\n{self.block(depth, inside=inside)}\n",
                f"elif {self.test()}; then\n{self.block(depth, inside=inside)}\n",
            )
        )
        return f"if {self.test()}; then\n{self.block(depth, inside=inside)}\n{other}fi"

    def cases(self, depth: int, *, inside: bool) -> str:
        subject = self.random.choice(('"$A"', "$N", '"$1"'))
        return f"case {subject} in\na|p) {self.block(depth, inside=inside)};;\n[b2]*)\n;;\n*) {self.block(depth, inside=inside)}\nesac"

    def loop(self, depth: int, *, inside: bool) -> str:
        words = self.random.choice(("1 2", '"$@"' if inside else "$A", "$B"))
        return f"for N in {words}; do\n{self.block(depth, inside=inside)}\ndone\nN=2"

    def group(self, depth: int, *, inside: bool) -> str:
        return f"{self.test()} {self.random.choice(('&&', '||'))} {{\n{self.block(depth, inside=inside)}\n}}"


@pytest.mark.netns
@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
@pytest.mark.parametrize("seed", range(4))
def test_the_real_shells_make_the_same_calls(seed: int, shell: str, tmp_path: Path) -> None:
    compared = 0
    for number in range(60):
        text = ScriptMaker(seed * 1000 + number).script()
        if all(CODES[code].severity is not Severity.ERROR for code in read(text).codes):
            assert real_calls(text, shell, tmp_path) == our_calls(text), text
            compared += 1
    assert compared >= 10, "nearly all scripts are refused: the comparison says little"
