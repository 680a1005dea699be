"""What reaches a command by another way than it stands there: never passed over, and never taken for something else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics.codes import CODES, Severity
from tests.parsers.test_shell_flow import our_calls, real_calls
from tests.parsers.test_shell_script import read

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

OPEN = "f() { iptables -A INPUT -p tcp --dport $1 -j ACCEPT; }\nf 22\n"


def shell_of(script: str) -> str:
    return "/bin/bash" if script.startswith("#!/bin/bash") else "/bin/sh"


@pytest.mark.parametrize(
    "again",
    [
        'eval "f 80"', "eval $x", 'trap "f 80" EXIT', 'echo "$(f 80)"', "x=$(f 80)", "export y=$(f 80)", 'command eval "f 80"',
        "cat <<E\n$(f 80)\nE", "for i in $(f 80); do :; done", "case $(f 80) in *) ;; esac", '[ x = "$(f 80)" ]', "x=`f 80`",
    ],
)  # fmt: skip
def test_a_function_that_was_called_may_be_called_again_in_another_way(again: str) -> None:
    assert "FWT135" in read(f"{OPEN}{again}\n").codes


@pytest.mark.parametrize(
    "script",
    [
        "a=7; g() { local a=$1 b=$a; iptables -A INPUT -p tcp --dport $b -j DROP; }; g 3",
        "A=1; export A=2 B=$A; iptables -A INPUT -p tcp --dport $B -j DROP",
        "PORT=80; if export PORT=22; then iptables -A INPUT -p tcp --dport $PORT -j DROP; fi",
        "set -e; [ a = b ]; iptables -A INPUT -j DROP",
        "#!/bin/sh -e\nfalse\niptables -A INPUT -j DROP",
        "set -o errexit; f() { false; iptables -A INPUT -j DROP; }; f",
        'set -eu; f() { [ "$1" = a ]; iptables -A INPUT -j DROP; }; f b',
        "f() { iptables -A INPUT -j DROP; }; f; unset -f f; f",
        "#!/bin/bash\nif [[ 010 -eq 10 ]]; then iptables -A a; else iptables -A b; fi",
        'case b in ["a-c"]) iptables -A a;; *) iptables -A b;; esac',
        "#!/bin/bash\nshopt -s nocasematch\ncase A in a) iptables -A a;; *) iptables -A b;; esac",
        "#!/bin/bash\nshopt -s nocasematch\nif [[ A = a ]]; then iptables -A a; else iptables -A b; fi",
        "#!/bin/bash\nh() { declare -g G=9; }; G=1; h; iptables -A INPUT -p tcp --sport $G -j DROP",
        "#!/bin/bash\nf() { iptables -A a; }; unset f; f",
    ],
)
def test_it_is_right_or_refused(script: str, tmp_path: Path) -> None:
    done = read(f"{script}\n")
    refused = any(CODES[code].severity is Severity.ERROR for code in done.codes)
    assert refused or our_calls(f"{script}\n") == real_calls(f"{script}\n", shell_of(script), tmp_path)


@pytest.mark.parametrize(
    "script",
    [
        "set -e; [ a = b ] || true; iptables -A INPUT -j DROP",
        "set -e; [ a = b ] && true; iptables -A INPUT -j DROP",
        "set -e; ! true; iptables -A INPUT -j DROP",
        "set -e; if [ a = b ]; then :; fi; iptables -A INPUT -j DROP",
        "set -e; set +e; false; iptables -A INPUT -j DROP",
        "#!/bin/bash\nh() { declare -g G=9; }; G=1; h; iptables -A INPUT -p tcp --sport $G -j DROP",
        "export A=1 B=2; iptables -A INPUT -p tcp --dport $B -j DROP",
        "[ -r /etc/nothing ] && . /etc/nothing; f() { iptables -A a; }; f",
    ],
)
def test_what_is_known_is_carried_out(script: str, tmp_path: Path) -> None:
    assert our_calls(f"{script}\n") == real_calls(f"{script}\n", shell_of(script), tmp_path) != ""


@pytest.mark.parametrize(
    "numbers", ["$(seq 1 3)", "$( seq 8 11 )", "`seq 2`", "$(seq 3 1)", "x$(seq 1 2)", '"$(seq 5 5)"']
)
def test_seq_counts(numbers: str, tmp_path: Path) -> None:
    script = f"for i in {numbers}; do iptables -A INPUT -p tcp --dport 800$i -j ACCEPT; done\n"
    assert not read(script).codes
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "seq").symlink_to(shutil.which("seq") or "seq")
    assert our_calls(script) == real_calls(script, "/bin/sh", tmp_path)


@pytest.mark.parametrize("numbers", ["$(seq 01 3)", "$(seq -w 1 3)", "$(seq 1 2 9)", "$(seq 1 999999)", "$(seq $N)"])
def test_what_else_seq_can_do_is_left_to_it(numbers: str) -> None:
    assert "FWT135" in read(f"for i in {numbers}; do iptables -A INPUT -p tcp --dport $i -j ACCEPT; done\n").codes
