"""Options, fixtures, and an end of run that says aloud what was left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import UPDATE_OPTION, GoldenCase, bind_case
from tests.places import SHARED

if TYPE_CHECKING:
    from pathlib import Path

IN_CI = bool(os.environ.get("CI"))
NETNS_TOOLS = ("nft", "ip", "unshare", "iptables-restore", "ip6tables-restore", "ipset")

# how long it takes to make examples is the machine's business
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _ANY_MACHINE, derandomize=IN_CI)
settings.register_profile("long", _ANY_MACHINE, max_examples=2_000)

left_out: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fwtrans")
    group.addoption(UPDATE_OPTION, action="store_true", help="write the expected files of golden cases")
    group.addoption("--lab-long", action="store_true", help="run the big random comparisons too (make lab-long)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden: compares with the files of a golden directory")
    config.addinivalue_line("markers", "lab_long: takes long; runs under --lab-long only")
    if IN_CI and config.getoption(UPDATE_OPTION):
        message = (
            f"{UPDATE_OPTION} is refused where CI is set: expected files are read by a person before they are committed"
        )
        raise pytest.UsageError(message)
    settings.load_profile("long" if config.getoption("--lab-long") else "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    in_namespaces = [item for item in items if item.get_closest_marker("netns")]
    if in_namespaces and (reason := _netns_obstacle()):
        for item in in_namespaces:
            item.add_marker(pytest.mark.skip(reason=reason))
    if not config.getoption("--lab-long"):
        long = [item for item in items if item.get_closest_marker("lab_long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
        if long:
            left_out["runs under `make lab-long` only"] += len(long)


def _netns_obstacle() -> str:
    """Return why tests cannot make network namespaces here, or nothing. A tool that is missing in CI is a failure, not a skip."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    missing = [tool for tool in NETNS_TOOLS if shutil.which(tool) is None]
    if not missing:
        allowed = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0
        return "" if allowed else "this container may not make network namespaces"
    reason = f"needs {', '.join(missing)} (`make system` installs them)"
    if IN_CI:
        raise pytest.UsageError(f"the kernel tests cannot run: {reason}")
    return reason


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[reason.removeprefix("Skipped: ")] += 1


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not left_out:
        return
    terminalreporter.section("left out", yellow=True)
    for reason, count in sorted(left_out.items()):
        terminalreporter.write_line(f"{count} test{'' if count == 1 else 's'}: {reason}")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> GoldenCase:
    """The golden case that `golden_cases` chose."""
    return bind_case(request.param, request)


@pytest.fixture
def lab_long(request: pytest.FixtureRequest) -> bool:
    """Whether to run a random comparison at its full size (make lab-long)."""
    return bool(request.config.getoption("--lab-long"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The corpora beside the repository; the one folder that may be missing."""
    if not SHARED.is_dir():
        pytest.skip("the corpora in ../shared are not here")
    return SHARED
