"""Golden Proxmox VE nodes: the ruleset that becomes of a configuration, its report, its findings; and that it loads."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics.render import render_all
from fwtrans.lab.kernels import run_script
from fwtrans.report.translation import translation_report
from fwtrans.translate import Settings
from tests.golden import golden_cases
from tests.hosts import translated
from tests.lab.conftest import bridge_kernel  # noqa: F401 -- a fixture
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from fwtrans.lab.kernels import Kernel
    from tests.golden import GoldenCase

OPTIMISED = Settings(optimize=True)


@golden_cases("proxmox")
def test_node_becomes_this_ruleset(case: GoldenCase) -> None:
    result, found = translated(case.input, OPTIMISED)
    place = f"{REPOSITORY}/"
    case.expect("nft", result.output)
    case.expect("report", translation_report(result).replace(place, ""))
    case.expect("diag", render_all(found).replace(place, "") if found else "")


@pytest.mark.kernel
@golden_cases("proxmox")
def test_node_loads_and_lists(case: GoldenCase, bridge_kernel: Kernel) -> None:  # noqa: F811
    result, _ = translated(case.input, OPTIMISED)
    script = f"printf %s {shlex.quote(result.output)} | nft -f - && nft list ruleset"
    found = run_script(bridge_kernel, script, seconds=300)
    assert found.status == 0, found.output
    assert "table bridge fwtrans" in found.output


@golden_cases("proxmox")
def test_nothing_of_the_firewall_bridges_is_left(case: GoldenCase) -> None:
    result, _ = translated(case.input, OPTIMISED)
    assert not [word for word in ("fwbr", "fwln", "fwpr", "physdev", "meta mark") if word in result.output]
