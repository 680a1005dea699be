"""The matches from mac to udp, and tcp: their case tables, held against our pipeline, iptables and nft."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lower.extensions.second_half import IPSETS, MORE_IPSETS, NAMES, Case, dump_of, nft_of, read_cases, translate

if TYPE_CHECKING:
    from pathlib import Path

CASES = [case for name in NAMES for case in read_cases(name)]
# Extensions that nftables cannot say at all; physdev needs the bridge family.
REFUSED = {"physdev", "rateest", "string"}
WITHOUT_NEGATION = {"nfacct", "rpfilter", "socket"}
# What iptables takes and the kernel, or what the rule names, decides about elsewhere.
TAKEN_BY_IPTABLES = {"", "FWT200", "FWT201"}
# Their rules name objects that somebody has to make first.
NEEDS_OBJECTS = {"nfacct", "rateest"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place)
def test_case(case: Case) -> None:
    found = translate(dump_of(case.table, case.chain, [case.rule]), case.family)
    assert found.codes == ((case.code,) if case.code else ())
    if not case.code:
        assert nft_of(case) == case.expected


@pytest.mark.parametrize("name", NAMES)
def test_table_has_plain_negated_and_malformed_cases(name: str) -> None:
    cases = [case for case in CASES if case.extension == name]
    right = [case for case in cases if not case.code]
    assert (not right) == (name in REFUSED)
    assert any(" ! --" in f" {case.rule}" for case in right) or name in WITHOUT_NEGATION | REFUSED | {"osf"}
    assert any(case.code not in TAKEN_BY_IPTABLES for case in cases)


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=lambda case: case.place)
def test_refusal_names_what_it_is_about(case: Case) -> None:
    dump = dump_of(case.table, case.chain, [case.rule])
    (error,) = [item for item in translate(dump, case.family).found if item.severity.value == "error"]
    assert "`" in error.message or "physdev" in error.message
    assert error.span is not None
    assert error.span.line == dump.split("\n").index(f"-A {case.chain} {case.rule}") + 1


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
    (tmp_path / "sets").write_text(IPSETS)
    (tmp_path / "more").write_text(MORE_IPSETS)
    answer = _in_namespace(
        """
        ipset restore < sets && ipset restore < more 2>/dev/null && echo more sets
        for file in *.ip; do [ -e "$file" ] && iptables-legacy-restore "$file" 2>/dev/null && echo "$file taken"; done
        for file in *.ip6; do [ -e "$file" ] && ip6tables-legacy-restore "$file" 2>/dev/null && echo "$file taken"; done
        cat /proc/net/ip_tables_matches /proc/net/ip6_tables_matches
        """,
        tmp_path,
    )
    lines = set(answer.splitlines())
    if name not in lines or name in NEEDS_OBJECTS:
        cases = [case for case in cases if case.code not in TAKEN_BY_IPTABLES]
    if "more sets" not in lines:
        cases = [case for case in cases if not re.search(r" (bymark|hardware) ", case.rule)]
    if not cases:
        pytest.skip(f"the running kernel has no match `{name}`")
    wrong = [
        f"{case.place}: {case.rule}"
        for number, case in enumerate(case for case in CASES if case.extension == name)
        if case in cases and (f"{number:03d}.{case.family} taken" in lines) != (case.code in TAKEN_BY_IPTABLES)
    ]
    assert not wrong


@pytest.mark.netns
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_nft_loads_lists_and_loads_again(name: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.extension == name and not case.code]
    for number, case in enumerate(cases):
        script = translate(dump_of(case.table, case.chain, [case.rule]), case.family).script
        (tmp_path / f"{number:03d}.nft").write_text(script)
    # nft prints hours in the zone of the one who lists them.
    answer = _in_namespace(
        """
        export TZ=UTC
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


@pytest.mark.netns
def test_time_means_the_same_in_every_zone_of_the_loader(tmp_path: Path) -> None:
    rule = "-m time --timestart 10:00 --timestop 18:30 --weekdays Mon --datestart 2024-06-01"
    (tmp_path / "rules.nft").write_text(translate(dump_of("filter", "FORWARD", [rule]), "ip").script)
    answer = _in_namespace(
        """
        for zone in UTC America/New_York Asia/Kolkata Pacific/Kiritimati; do
            TZ=$zone nft --debug=netlink -f rules.nft | grep -c 'cmp gte reg 1 0xa08c0000'
            nft flush ruleset
        done
        """,
        tmp_path,
    )
    # 10:00 is second 36000 of the day, 0x8ca0
    assert answer.split() == ["1"] * 4


def test_places_are_unique() -> None:
    seen: dict[tuple[str, str, str, str], Case] = {}
    for case in CASES:
        key = (case.family, case.table, case.chain, case.rule)
        assert key not in seen, (case.place, seen[key].place)
        seen[key] = case
