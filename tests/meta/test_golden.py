"""The test tools themselves: a golden test that cannot fail, or a table whose lines get lost, proves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.golden import ExtensionCase, load_extension_table
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

TEST = """\
from tests.golden import golden_cases

@golden_cases("demo")
def test_demo(case):
    case.expect("txt", case.read_input().upper())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with our test tools and one golden case whose expected file is not there yet."""
    folder = tmp_path / "fixtures" / "golden" / "demo" / "70-upper"
    folder.mkdir(parents=True)
    (folder / "about.toml").write_text('why = "letters grow"\n')
    (folder / "input.txt").write_bytes(b"one\r\ntwo\n")
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("conftest.py", "golden.py", "places.py"):
        shutil.copy(REPOSITORY / "tests" / name, tests)
    (tests / "test_demo.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\npythonpath = .\n"
    )
    return tmp_path


def run(project: Path, *options: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=project,
        env={**environment, "COLUMNS": "200", **({"CI": "true"} if ci else {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_file_fails_and_tells_the_command(project: Path) -> None:
    done = run(project)
    assert done.returncode == 1
    assert "expected.txt is missing" in done.stdout
    assert "pytest 'tests/test_demo.py::test_demo[70-upper]' --update-golden" in done.stdout


def test_the_flag_writes_what_the_next_run_compares(project: Path) -> None:
    assert run(project, "--update-golden").returncode == 0
    expected = project / "fixtures/golden/demo/70-upper/expected.txt"
    assert expected.read_bytes() == b"ONE\r\nTWO\n"
    assert run(project).returncode == 0


def test_a_difference_fails_and_is_shown(project: Path) -> None:
    expected = project / "fixtures/golden/demo/70-upper/expected.txt"
    expected.write_bytes(b"ONE\r\nTEN\n")
    done = run(project)
    assert done.returncode == 1
    assert "-TEN" in done.stdout
    assert "+TWO" in done.stdout
    assert expected.read_bytes() == b"ONE\r\nTEN\n"


def test_the_flag_is_refused_where_ci_is_set(project: Path) -> None:
    done = run(project, "--update-golden", ci=True)
    assert done.returncode == 4
    assert "refused where CI is set" in done.stderr
    assert not (project / "fixtures/golden/demo/70-upper/expected.txt").exists()


def test_a_case_without_a_reason_stops_the_run(project: Path) -> None:
    (project / "fixtures/golden/demo/70-upper/about.toml").write_text('why = " "\n')
    done = run(project)
    assert done.returncode == 2
    assert "does not say why" in done.stdout


def test_a_stage_without_cases_stops_the_run(project: Path) -> None:
    shutil.rmtree(project / "fixtures/golden/demo/70-upper")
    done = run(project)
    assert done.returncode == 2
    assert "there is no golden case" in done.stdout


def test_what_was_left_out_is_told(project: Path) -> None:
    (project / "tests/test_more.py").write_text(
        "import pytest\n"
        "@pytest.mark.skip(reason='needs a moon')\ndef test_a(): pass\n"
        "@pytest.mark.lab_long\ndef test_b(): pass\n"
        "def test_c(shared): pass\n"
        "@pytest.mark.xfail\ndef test_d(): assert False\n"
    )
    done = run(project, "tests/test_more.py")
    assert "1 test: needs a moon" in done.stdout
    assert "1 test: runs under `make lab-long` only" in done.stdout
    assert "1 test: the corpora in ../shared are not here" in done.stdout
    assert "2 skipped, 1 deselected, 1 xfailed" in done.stdout
    assert "1 passed" in run(project, "tests/test_more.py", "--lab-long").stdout


def table(tmp_path: Path, text: str) -> list[ExtensionCase]:
    path = tmp_path / "demo.cases"
    path.write_text(text)
    return list(load_extension_table(path))


def test_a_table_line_becomes_a_case(tmp_path: Path) -> None:
    assert table(tmp_path, "# why\n\n-m mark --mark 1 ; -m mark --mark 0x1 ; OK\n") == [
        ExtensionCase(
            place="demo.cases:3",
            family="ip",
            table="filter",
            chain="FORWARD",
            input="-m mark --mark 1",
            expected="-m mark --mark 0x1",
            code="",
        )
    ]


def test_headers_hold_for_the_lines_below(tmp_path: Path) -> None:
    cases = table(tmp_path, "a ; = ; OK\n*mangle\n:INPUT\n@both\nb ; = ; OK\n@ip6\nc ; = ; OK\n")
    assert [(case.input, case.family, case.table, case.chain) for case in cases] == [
        ("a", "ip", "filter", "FORWARD"),
        ("b", "ip", "mangle", "INPUT"),
        ("b", "ip6", "mangle", "INPUT"),
        ("c", "ip6", "mangle", "INPUT"),
    ]


def test_a_failing_line_names_its_code(tmp_path: Path) -> None:
    (case,) = table(tmp_path, "-m mark ; ; FAIL FWT116\n")
    assert (case.input, case.expected, case.code) == ("-m mark", "", "FWT116")


def test_a_semicolon_inside_a_word_splits_nothing(tmp_path: Path) -> None:
    (case,) = table(tmp_path, "--comment a;b ; = ; OK\n")
    assert case.expected == "--comment a;b"


@pytest.mark.parametrize("line", ["-m mark ; OK", "-m mark ; = ; MAYBE", "-m mark ; = ; FAIL", "a ; b ; c ; OK"])
def test_a_line_that_is_no_case_stops_the_run(line: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"demo\.cases:1: "):
        table(tmp_path, line + "\n")
