"""Golden hosts: the printed ruleset, its report, its findings; and that the real nft loads what we print."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics.render import render_all
from fwtrans.report.translation import translation_report
from fwtrans.translate import Settings
from tests.golden import golden_cases
from tests.hosts import translated
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from tests.golden import GoldenCase


@golden_cases("hosts")
def test_host_becomes_this_ruleset(case: GoldenCase) -> None:
    result, found = translated(case.input)
    place = f"{REPOSITORY}/"
    case.expect("nft", result.output)
    case.expect("report", translation_report(result).replace(place, ""))
    case.expect("diag", render_all(found).replace(place, "") if found else "")


def listing(command: list[str], text: str, show: str = "nft -s list ruleset") -> str:
    """Load into a fresh namespace and return what the kernel lists."""
    run = subprocess.run(
        ["unshare", "-n", "sh", "-ec", f'ip link set lo up; "$@"; {show}', "sh", *command],
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.netns
@golden_cases("hosts")
def test_text_and_json_of_a_host_list_back_equal(case: GoldenCase) -> None:
    text, _ = translated(case.input)
    if not text.output:
        assert case.about.get("refused"), "nothing was printed, and the case does not say that this is so"
        return
    as_json, _ = translated(case.input, Settings(as_json=True))
    json.loads(as_json.output)
    assert listing(["nft", "-f", "-"], text.output) == listing(["nft", "-j", "-f", "-"], as_json.output)


@pytest.mark.netns
@golden_cases("hosts")
def test_a_host_with_counters_loads(case: GoldenCase) -> None:
    result, _ = translated(case.input, Settings(counters=True))
    if result.output:
        assert "counter packets" in listing(["nft", "-f", "-"], result.output, "nft list ruleset")
