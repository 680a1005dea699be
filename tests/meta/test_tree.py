"""The repository holds nothing of the machine that it was written on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.exitcodes import ExitCode
from tests.places import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_OURS = {".git", ".venv", "__pycache__", "build", "dist", "out"}
CHANGE = re.compile(r"\d+\.(added|changed|fixed|removed|security)\.md")


def files() -> Iterator[Path]:
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith(("_cache", ".egg-info"))]
        yield from (REPOSITORY / folder / name for name in names if name != ".git")


def test_no_path_of_a_machine_is_in_the_tree() -> None:
    patterns = [str(REPOSITORY).encode(), b"/work" + b"/"]
    guilty = [
        f"{path.relative_to(REPOSITORY)}: {pattern.decode()}"
        for path in files()
        if ".hypothesis" not in path.parts
        for pattern in patterns
        if pattern in path.read_bytes()
    ]
    assert not guilty, "\n".join(guilty)


def test_every_golden_case_says_why_and_is_run() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    for about in sorted((FIXTURES / "golden").glob("*/*/about.toml")):
        folder = about.parent
        assert tomllib.loads(about.read_text(encoding="utf-8")).get("why"), f"{about} says no reason"
        assert f'golden_cases("{folder.parent.name}")' in tests, f"no test runs the stage of {folder}"
        for expected in folder.glob("expected.*"):
            suffix = expected.name.removeprefix("expected.")
            assert f'"{suffix}"' in tests, f"nothing compares {expected}"


def test_no_golden_folder_lacks_its_reason() -> None:
    for folder in (FIXTURES / "golden").glob("*/*"):
        assert (folder / "about.toml").is_file(), f"{folder} has no about.toml"


def test_every_exit_status_is_documented() -> None:
    page = (REPOSITORY / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {code.value for code in ExitCode}


def test_change_notes_are_named_so_that_they_can_be_gathered() -> None:
    names = {path.name for path in (REPOSITORY / "docs/changelog.d").iterdir()} - {"README.md"}
    assert all(CHANGE.fullmatch(name) for name in names), names


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_help_names_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {target for line in re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE) for target in line.split()}
    assert {"venv", "system", "demo", "test", "check", "bench", "lab-long", "help"} <= targets
    for target in targets:
        assert re.search(rf"^  {target} ", shown, re.MULTILINE), f"`make help` does not tell of {target}"
