"""How long entries of ipsets stay: for ever in a set that has a time, the longest of several, in lists of sets too."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.report.translation import Translation

ASKED = "-A INPUT -m set --match-set {name} src -j DROP"


def of(tmp_path: Path, sets: str, *rules: str) -> tuple[Translation, list[str]]:
    (tmp_path / "ipset-save").write_text(sets)
    (tmp_path / "iptables-save").write_text("\n".join(["*filter", ":INPUT ACCEPT [0:0]", *rules, "COMMIT", ""]))
    result, found = translated(tmp_path)
    return result, [item.message for item in found]


def block(text: str, name: str) -> str:
    """Return what stands in a set."""
    return " ".join(text.partition(f"set {name} {{")[2].partition("\t}")[0].split())


def assert_loads(text: str) -> None:
    loaded = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=text, text=True, capture_output=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.netns
def test_what_stays_for_ever_stays_in_a_set_that_has_a_time(tmp_path: Path) -> None:
    """An element of nft without a time gets the set's: such a set has none, and what rules enter says it."""
    sets = "create a hash:ip family inet timeout 600\nadd a 10.0.0.1 timeout 0\nadd a 10.0.0.2 timeout 60\n"
    rule = "-A INPUT -p tcp -j SET --add-set a src --exist"
    result, found = of(tmp_path, sets, ASKED.format(name="a"), rule)
    assert not found
    kept = block(result.output, "a")
    assert "elements = { 10.0.0.1, 10.0.0.2 timeout 1m }" in kept
    assert "timeout 10m" not in kept
    assert "update @a { ip saddr timeout 10m }" in result.output
    assert sum("set a" in text for text in result.assumptions) >= 2
    assert_loads(result.output)


def test_a_set_without_such_an_entry_keeps_its_time(tmp_path: Path) -> None:
    result, _ = of(tmp_path, "create a hash:ip timeout 600\nadd a 10.0.0.2 timeout 60\n", ASKED.format(name="a"))
    assert "timeout 10m elements = { 10.0.0.2 timeout 1m }" in block(result.output, "a")


@pytest.mark.netns
def test_of_overlapping_entries_the_longest_time_counts(tmp_path: Path) -> None:
    sets = (
        "create n hash:net timeout 600\nadd n 2.0.0.0/24 timeout 60\nadd n 2.0.0.1 timeout 300\n"
        'add n 2.0.0.128/25 timeout 20\nadd n 9.0.0.0/8 timeout 30 comment "x"\n'
    ).replace("timeout 600", "timeout 600 comment")
    result, found = of(tmp_path, sets, ASKED.format(name="n"))
    assert not found
    assert "{ 2.0.0.0 timeout 1m, 2.0.0.1 timeout 5m, 2.0.0.2-2.0.0.255 timeout 1m, 9.0.0.0/8 timeout 30s comment" in (
        block(result.output, "n")
    )
    assert_loads(result.output)


@pytest.mark.netns
def test_boxes_side_by_side_keep_their_times(tmp_path: Path) -> None:
    sets = (
        "create p hash:ip,port netmask 24 timeout 600\nadd p 2.0.0.0,tcp:80 timeout 60\nadd p 2.0.0.0,tcp:81 timeout 30\n"
        "add p 3.0.0.0,udp:53 timeout 0\n"
    )
    result, found = of(tmp_path, sets, "-A INPUT -p tcp -m set --match-set p src,dst -j DROP")
    assert not found
    assert block(result.output, "p").count("timeout") == 3
    assert_loads(result.output)


def test_what_nomatch_takes_out_for_a_time_is_refused(tmp_path: Path) -> None:
    sets = "create n hash:net timeout 600\nadd n 2.0.0.0/24 timeout 60\nadd n 2.0.0.1 timeout 30 nomatch\n"
    result, found = of(tmp_path, sets, ASKED.format(name="n"))
    assert not result.output
    assert "nomatch and timeouts" in found[0]


def test_exclusions_hold_where_all_entries_go_at_once(tmp_path: Path) -> None:
    sets = "create n hash:net timeout 600\nadd n 2.0.0.0/30\nadd n 2.0.0.1 nomatch\nadd n 9.0.0.0/8\n"
    result, _ = of(tmp_path, sets, ASKED.format(name="n"))
    kept = block(result.output, "n")
    assert "timeout 10m elements = { 2.0.0.0 timeout 10m, 2.0.0.2/31 timeout 10m, 9.0.0.0/8 timeout 10m }" in kept


@pytest.mark.netns
def test_a_list_keeps_the_times_of_its_members_and_loads_without_their_counters(tmp_path: Path) -> None:
    sets = (
        "create a hash:ip timeout 60 counters\nadd a 10.0.0.1 timeout 5 packets 7 bytes 700\nadd a 10.0.0.9 timeout 9 packets 0 bytes 0\n"
        "create b hash:ip\nadd b 10.0.0.1\ncreate both list:set\nadd both a\nadd both b\n"
        "create one list:set counters\nadd one a packets 0 bytes 0\n"
    )
    result, found = of(tmp_path, sets, ASKED.format(name="both"), ASKED.format(name="one"))
    assert not found
    assert "elements = { 10.0.0.1, 10.0.0.9 timeout 9s }" in block(result.output, "both")
    assert "elements = { 10.0.0.1 timeout 5s, 10.0.0.9 timeout 9s }" in block(result.output, "one")
    assert_loads(result.output)
