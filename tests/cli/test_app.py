from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from fwtrans.cli import app as program
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result
from tests.places import REPOSITORY

HEAVY = ("lark", "oxidd", "rich", "pyroute2", "nftables", "pydantic", "pygments", "hypothesis")
"""Seconds that `fwtrans --help` may take: people ask for help while they type."""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"FWTRANS_DEBUG", "COLUMNS"}}
    return subprocess.run(
        [sys.executable, "-m", "fwtrans", *arguments],
        cwd=REPOSITORY,
        env={**kept, "COLUMNS": "80", "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def greet(
    name: Annotated[str, typer.Argument()],
    *,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> Result:
    """Greet somebody.

    Example:
        fwtrans greet
            you
    """
    if name == "fault":
        raise ZeroDivisionError(name)
    return Result(data=f"hello {name.upper() if loud else name}\n", value={"name": name}, exit_code=ExitCode.FINDINGS)


@pytest.fixture
def with_greet(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(program, "COMMANDS", (*program.COMMANDS, greet))
    monkeypatch.delenv("FWTRANS_DEBUG", raising=False)
    return program.build()


def test_help_lists_every_command_and_every_exit_status() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in program.COMMANDS:
        assert f"  {command.__name__.replace('_', '-')} " in done.stdout
    for code in ExitCode:
        assert f"{code.value} " in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("command", program.COMMANDS, ids=lambda command: command.__name__)
def test_a_command_says_in_a_short_line_what_it_does(command: object) -> None:
    summary = (command.__doc__ or "").split("\n")[0]
    assert 0 < len(summary) <= 60
    assert summary.endswith(".")


@pytest.mark.parametrize("command", program.COMMANDS, ids=lambda command: command.__name__)
def test_a_command_shows_an_example(command: object) -> None:
    assert "Example:\n        fwtrans " in (command.__doc__ or "")


def test_an_example_keeps_its_lines(with_greet: typer.Typer) -> None:
    shown = CliRunner().invoke(with_greet, ["greet", "--help"]).output
    assert "  Example:\n      fwtrans greet\n          you\n" in shown
    assert "\n  Greet somebody\n" in shown


def test_a_result_becomes_output_and_exit_status(with_greet: typer.Typer) -> None:
    done = CliRunner().invoke(with_greet, ["greet", "you", "--loud"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "hello YOU\n", "")


def test_every_command_has_the_json_envelope(with_greet: typer.Typer) -> None:
    done = CliRunner().invoke(with_greet, ["greet", "you", "--json"])
    envelope = json.loads(done.stdout)
    assert (done.exit_code, envelope["command"], envelope["result"]) == (1, "greet", {"name": "you"})


def test_a_fault_of_ours_is_told_as_one(with_greet: typer.Typer) -> None:
    done = CliRunner().invoke(with_greet, ["greet", "fault"])
    assert done.exit_code == ExitCode.INTERNAL
    assert done.stderr.startswith("fwtrans: error[FWT300]: ZeroDivisionError: fault")
    assert "Traceback" not in done.output


@pytest.mark.parametrize("arguments", [["nosuch"], ["explain", "--nosuch"], ["explain", "one", "two"]])
def test_a_wrong_command_line_is_exit_status_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "Error: " in done.stderr


def test_no_command_shows_the_help() -> None:
    assert "Commands:" in run().stdout + run().stderr


def test_the_version_is_told() -> None:
    number = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert run("--version").stdout == f"fwtrans {number}\n"


def test_the_locale_does_not_change_the_output() -> None:
    plain, latin = (
        run("explain", "FWT100"),
        run("explain", "FWT100", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    )
    assert plain.stdout == latin.stdout
    assert plain.returncode == latin.returncode == 0


def test_the_start_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom fwtrans.cli.app import main\nsys.argv = ['fwtrans', 'explain', 'FWT100']\n"
        "try: main()\nfinally: print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not set(shown.stdout.splitlines()[-1].split()) & set(HEAVY)


def test_the_end_looks_for_no_cycles() -> None:
    script = (
        "import gc, sys\nfrom fwtrans.cli.app import main\nsys.argv = ['fwtrans', '--version']\n"
        "try: main()\nfinally: print(gc.get_freeze_count() > 0)"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "True"
