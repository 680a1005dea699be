"""The reference of commands and the manual page say what the command line says; both render; completion works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.exitcodes import ExitCode
from tests.docs.generated import CommandHelp, command_helps, commands_page, manual_page
from tests.golden import UPDATE_OPTION
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = REPOSITORY / "docs" / "reference" / "commands.md"
MANUAL = REPOSITORY / "docs" / "fwtrans.1"


@pytest.mark.parametrize(("place", "made"), [(PAGE, commands_page), (MANUAL, manual_page)], ids=["commands", "manual"])
def test_it_is_what_the_command_line_says(place: Path, made: Callable[[], str], request: pytest.FixtureRequest) -> None:
    if request.config.getoption(UPDATE_OPTION):
        place.write_text(made(), encoding="utf-8")
    assert place.read_text(encoding="utf-8") == made(), (
        f"write it anew with: pytest {request.node.nodeid} {UPDATE_OPTION}"
    )


def test_every_command_and_option_is_told_with_a_text() -> None:
    for item in command_helps():
        assert item.summary
        assert [one.written for one in item.parameters if not one.text] == []
        assert "--json" in {one.written for one in item.parameters}


@pytest.mark.parametrize("item", command_helps(), ids=lambda item: item.name)
def test_each_option_is_one_that_the_command_takes(item: CommandHelp) -> None:
    shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", run(item.name, "--help").stdout))
    told = {name for one in item.parameters if one.is_option for name in re.findall(r"(?:^|, )(-[-a-z]+)", one.written)}
    assert told <= shown
    listed = re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", run(item.name, "--help").stdout, re.MULTILINE)
    assert set(listed) - {"--help"} <= told


def test_the_manual_page_renders_without_a_warning() -> None:
    if shutil.which("man") is None:
        pytest.fail("needs man (Debian: man-db)")
    environment = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""}
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(MANUAL)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""


def test_the_table_of_exit_statuses_has_every_one() -> None:
    page = (REPOSITORY / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    told = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    assert told == [code.value for code in ExitCode]


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_some_test_sees_each_exit_status(code: ExitCode) -> None:
    forms = re.compile(rf"ExitCode\.{code.name}\b|(returncode|status) == {code.value}\b|Outcome\.{code.name}\b")
    here = REPOSITORY / "tests" / "docs"
    assert [
        path
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        if path.parent != here and forms.search(path.read_text())
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_a_completion(shell: str) -> None:
    done = run(environment={"_FWTRANS_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0
    assert "_FWTRANS_COMPLETE=complete_" + shell in done.stdout


def test_commands_are_completed() -> None:
    environment = {"_FWTRANS_COMPLETE": "complete_bash", "COMP_WORDS": "fwtrans tra", "COMP_CWORD": "1"}
    assert run(environment=environment).stdout.split() == ["translate"]


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fwtrans", *words],
        capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}, cwd=REPOSITORY,
    )  # fmt: skip
