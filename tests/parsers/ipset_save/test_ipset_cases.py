"""Every recorded answer of the real ipset, asked of our reader; and asked again of the ipset of this machine."""

from __future__ import annotations

import subprocess

import pytest

from tests.parsers.ipset_save.reading import RestoreCase, read, restore_cases

CASES = restore_cases()
OLDER = ("set type not supported", "Your kernel is behind your ipset utility")


def test_all_verdicts_are_there() -> None:
    assert {case.verdict for case in CASES} == {"OK", "FAIL", "STRICT", "LOOSE"}
    assert len(CASES) > 400


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.script[:70].replace("\n", " | "))
def test_verdict_is_that_of_ipset(case: RestoreCase) -> None:
    _, codes = read(case.script)
    assert tuple(sorted(set(codes))) == case.codes


@pytest.mark.netns
def test_ipset_of_this_machine_says_the_same() -> None:
    wrong = []
    asked = 0
    for case in CASES:
        done = subprocess.run(
            ["unshare", "-n", "ipset", "restore"],
            input=case.script,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if any(text in done.stderr for text in OLDER):
            continue
        asked += 1
        if (done.returncode == 0) != case.ipset_takes_it:
            wrong.append((case.script, done.stderr))
    assert wrong == []
    assert asked > 300, "this kernel has hardly any set type; the comparison says nothing"
