"""What Firewall Builder's scripts begin with: loops that empty the kernel's tables, helpers handed over by name, `eval`."""

from __future__ import annotations

import pytest

from tests.parsers.test_shell_script import firewall, read

RESET = """\
cat /proc/net/ip_tables_names | while read table; do
  $IPT -t $table -L -n | while read c chain rest; do
      if test "X$c" = "XChain" ; then
        $IPT -t $table -F $chain
      fi
  done
  $IPT -t $table -X
done
"""
LOOPS = [
    RESET,
    "for t in $(cat /proc/net/ip_tables_names); do $IPT -t $t -F; $IPT -t $t -X; done\n",
    "for t in `cat /proc/net/ip_tables_names 2>/dev/null`; do $IPT -t $t -F; done\n",
    "while read t; do $IPT -t $t -F; $IPT -t $t -Z; done < /proc/net/ip_tables_names\n",
]


def codes(script: str) -> set[str]:
    return set(read(f"IPT=iptables\n{script}").codes)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_empties_the_tables_leaves_what_comes_behind_it(loop: str) -> None:
    script = f"IPT=iptables\n$IPT -P INPUT DROP\n{loop}$IPT -A INPUT -j ACCEPT\n"
    assert firewall(script) == ["iptables -P INPUT DROP", "iptables -A INPUT -j ACCEPT"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("before", ["$IPT -A INPUT -j DROP", "$IPT -N x", "$IPT -t nat -I OUTPUT -j ACCEPT"])
def test_rules_that_it_may_take_away_keep_it_from_being_passed_over(loop: str, before: str) -> None:
    assert "FWT135" in codes(f"{before}\n{loop}")


@pytest.mark.parametrize(
    "body",
    [
        "$IPT -t $t -A INPUT -j DROP", "$IPT -t $t -P INPUT DROP", "$IPT -t $t -N x", "$IPT -t $t $what", "$IPT -t $t -F; $IPT -t $t -I x -j DROP",
        "$IPT -t $t -F && $IPT -A INPUT -j DROP", "$IPT -t $t -F; sh -c 'iptables -A INPUT -j DROP'", "$IPT -t $t -F; $other", "$IPT -t $t -D INPUT 1",
    ],
)  # fmt: skip
def test_a_loop_that_does_anything_else_is_refused(body: str) -> None:
    loop = f"for t in $(cat /proc/net/ip_tables_names); do {body}; done\n"
    assert codes(loop) & {"FWT132", "FWT133", "FWT135"}


def test_other_lists_are_no_tables() -> None:
    assert "FWT135" in codes("for t in $(cat /etc/tables); do $IPT -t $t -F; done\n")
    assert "FWT135" in codes("cat /proc/net/ip_tables_names | grep -v nat | while read t; do $IPT -t $t -F; done\n")
    assert "FWT135" in codes("while read t; do $IPT -t $t -F; done\n")


EACH = "each() { func=$1; for i in $2; do $func $i; done; }\nshow() { echo $1; }\nreset() { $IPT -F; }\nL=$(ls)\n"


def test_a_function_that_is_handed_over_by_name_is_the_one_that_may_be_called() -> None:
    assert "FWT135" not in codes(f'{EACH}each show "$L"\nreset\n$IPT -A INPUT -j DROP\n')


@pytest.mark.parametrize(
    "script",
    [
        'each reset "$L"\n',
        'each $L "$L"\nreset\n',
        'f=reset; each $f "$L"\n',
        'each show "$L"\ncall=each; $call reset "$L"\n',
        'each show "$L"\nfunc=reset\n',
        'each show "$L"\nread func\n',
        'each show "$L"\nfor func in reset; do :; done\n',
    ],
)
def test_where_another_may_be_it_is_looked_at(script: str) -> None:
    """One of the functions empties the tables: whether it is called is not known."""
    assert "FWT135" in codes(EACH + script)


CUT = 'cut() { old=$IFS; IFS=@; set $1; a=$1; IFS=$old; }\nL=$(ls)\ncut "$L"\n'


def test_separators_that_are_put_back_are_as_before() -> None:
    assert not codes(f'{CUT}W="-j DROP"\n$IPT -A INPUT $W\n')


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("IFS=$old; }", "}"),
        ("IFS=$old; }", "true && IFS=$old; }"),
        ("old=$IFS; ", ""),
        ("set $1; ", "set $1; old=x; "),
        ("set $1; ", "set $1; test $1 && return; "),
        ("IFS=$old; }", "if test $1; then IFS=$old; fi; }"),
        ("IFS=$old; }", "IFS=$other; }"),
    ],
)
def test_separators_that_may_stay_changed_are_not(was: str, becomes: str) -> None:
    assert "FWT132" in codes(f'{CUT.replace(was, becomes)}W="-j DROP"\n$IPT -A INPUT $W\n')


def test_an_eval_that_sets_one_variable_leaves_the_others() -> None:
    script = 'get() { name=$1; V=$(hostname); eval "${name}_list=\\"$V\\""; eval "$name=\'\'"; }\nget addr\n'
    assert not codes(f"{script}$IPT -A INPUT -j DROP\n")
    assert "FWT133" in codes(f"addr=1.1.1.1\n{script}$IPT -A INPUT -s $addr -j DROP\n")
    assert "FWT133" in codes(f"addr_list=1.1.1.1\n{script}$IPT -A INPUT -s $addr_list -j DROP\n")


@pytest.mark.parametrize(
    "evaluated",
    ['"$V=1"', '"a=$V"', '"a=1; IPT=x"', '"a=\\"\\$(date)\\""', "\"a='1' b=2\"", "$V", '"a=`date`"', '"a" "=1"'],
)
def test_any_other_eval_leaves_nothing_known(evaluated: str) -> None:
    assert "FWT133" in codes(f"V=$(date)\neval {evaluated}\n$IPT -A INPUT -j DROP\n")
