"""The matches from addrtype to limit: their case tables, held against our pipeline, iptables, nft and the kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.lower.extensions.match_cases import NAMES, Case, dump_of, read_cases, rules_of, translate

if TYPE_CHECKING:
    from pathlib import Path

CASES = read_cases()
# Extensions that nftables cannot say at all.
REFUSED = {"bpf", "cluster", "eui64", "ipvs"}
# These take no negation.
WITHOUT_NEGATION = {"comment", "limit", *REFUSED}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place)
def test_case(case: Case) -> None:
    found = translate(dump_of(case.table, case.chain, [case.rule]), case.family)
    assert found.codes == ((case.code,) if case.code else ())
    if not case.code:
        chain = case.chain if case.table == "filter" else f"{case.table}-{case.chain}"
        assert rules_of(found.script, chain) == case.expected


@pytest.mark.parametrize("name", NAMES)
def test_table_has_plain_negated_and_malformed_cases(name: str) -> None:
    cases = [case for case in CASES if case.extension == name]
    right = [case for case in cases if not case.code]
    assert (not right) == (name in REFUSED)
    assert any(" ! --" in case.rule for case in right) or name in WITHOUT_NEGATION | {"dccp"} or "! --" in str(right)
    assert any(case.code for case in cases) or name == "eui64"


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=lambda case: case.place)
def test_refusal_names_what_it_is_about(case: Case) -> None:
    found = translate(dump_of(case.table, case.chain, [case.rule]), case.family).found
    (error,) = [item for item in found if item.severity.value == "error"]
    assert "`" in error.message
    assert error.span is not None
    assert (
        error.span.line
        == dump_of(case.table, case.chain, [case.rule]).split("\n").index(f"-A {case.chain} {case.rule}") + 1
    )


def _in_namespace(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    return done.stdout


@pytest.mark.netns
@pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore")
@pytest.mark.parametrize("name", NAMES)
def test_iptables_takes_what_we_take(name: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.extension == name]
    for number, case in enumerate(cases):
        (tmp_path / f"{number:03d}.{case.family}").write_text(dump_of(case.table, case.chain, [case.rule]))
    script = """
        cat /proc/net/ip_tables_matches /proc/net/ip6_tables_matches
        for file in *.ip; do [ -e "$file" ] && iptables-legacy-restore "$file" 2>/dev/null && echo "$file taken"; done
        for file in *.ip6; do [ -e "$file" ] && ip6tables-legacy-restore "$file" 2>/dev/null && echo "$file taken"; done
    """
    answer = _in_namespace("iptables-legacy -nL >/dev/null; ip6tables-legacy -nL >/dev/null;" + script, tmp_path)
    lines = set(answer.splitlines())
    if {"state": "conntrack"}.get(name, name) not in lines:
        cases = [case for case in cases if case.code not in {"", "FWT200"}]
        if not cases:
            pytest.skip(f"the running kernel has no match `{name}`")
    wrong = [
        f"{case.place}: {case.rule}"
        for number, case in enumerate(cases)
        if (f"{number:03d}.{case.family} taken" in lines) != (case.code in {"", "FWT200"})
    ]
    assert not wrong


@pytest.mark.netns
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_nft_loads_lists_and_loads_again(name: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.extension == name and not case.code]
    for number, case in enumerate(cases):
        script = translate(dump_of(case.table, case.chain, [case.rule]), case.family).script
        (tmp_path / f"{number:03d}.nft").write_text(script)
    answer = _in_namespace(
        """
        for file in *.nft; do
            nft -f "$file" && nft -s list ruleset > first && nft flush ruleset && nft -f first \
                && nft -s list ruleset > second && cmp -s first second && echo "$file good"
            nft flush ruleset
        done
        """,
        tmp_path,
    )
    good = set(re.findall(r"^(\d+)\.nft good$", answer, re.MULTILINE))
    assert [case.place for number, case in enumerate(cases) if f"{number:03d}" not in good] == []


def test_places_are_unique() -> None:
    seen: defaultdict[str, list[Case]] = defaultdict(list)
    for case in CASES:
        seen[f"{case.family} {case.table} {case.chain} {case.rule}"].append(case)
    assert [cases for cases in seen.values() if len(cases) > 1] == []
