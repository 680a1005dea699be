from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from typing import TYPE_CHECKING

import pytest
import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import SCHEMA, Result, perform, wants_color
from fwtrans.diagnostics import Diagnostic
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

NOTE = Diagnostic(code="FWT203", message="rule can never match")


def run_script(body: str, *, streams: str = "{}", cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command function in a process of its own, as `main` does, with `streams` around it in the shell."""
    script = cwd / "script.py"
    script.write_text(
        "import sys\n"
        "from fwtrans.cli.output import Result, perform\n"
        f"def command():\n    {body}\n"
        "sys.exit(perform('demo', command, as_json='--json' in sys.argv))\n"
    )
    line = streams.format(f"'{sys.executable}' '{script}'")
    kept = {name: value for name, value in os.environ.items() if name not in {"FWTRANS_DEBUG", "NO_COLOR"}}
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**kept, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def test_data_goes_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(data="table ip x\n", report="1 rule", diagnostics=(NOTE,), exit_code=ExitCode.FINDINGS)
    assert perform("demo", lambda: result, as_json=False) is ExitCode.FINDINGS
    out, err = capsys.readouterr()
    assert out == "table ip x\n"
    assert err == "fwtrans: note[FWT203]: rule can never match\n\n1 rule\n"


def test_a_silent_result_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform("demo", Result, as_json=False) is ExitCode.DONE
    assert capsys.readouterr() == ("", "")


def test_the_envelope_has_exactly_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(data="text", value={"equal": True}, report="words", diagnostics=(NOTE,))
    assert perform("demo", lambda: result, as_json=True) is ExitCode.DONE
    out, err = capsys.readouterr()
    assert err == ""
    envelope = json.loads(out)
    assert list(envelope) == ["schema", "command", "ok", "result", "diagnostics"]
    assert envelope["schema"] == SCHEMA == 1
    assert envelope["command"] == "demo"
    assert envelope["ok"] is True
    assert envelope["result"] == {"equal": True}
    assert [item["code"] for item in envelope["diagnostics"]] == ["FWT203"]


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.DONE])
def test_only_exit_status_zero_is_ok(code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform("demo", lambda: Result(exit_code=code), as_json=True) is code
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_the_envelope_holds_no_raw_control_or_format_character(capsys: pytest.CaptureFixture[str]) -> None:
    perform("demo", lambda: Result(value={"text": "\x1b\u202e\x9b\udc80"}), as_json=True)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def fail() -> Result:
    raise KeyError("x")


def test_a_fault_of_ours_is_exit_status_70_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FWTRANS_DEBUG", raising=False)
    assert perform("demo", fail, as_json=False) is ExitCode.INTERNAL
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fwtrans: error[FWT300]: KeyError: 'x'")
    assert "FWTRANS_DEBUG=1" in err
    assert "Traceback" not in err


def test_the_traceback_comes_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FWTRANS_DEBUG", "1")
    assert perform("demo", fail, as_json=False) is ExitCode.INTERNAL
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_ours_is_in_the_envelope_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert perform("demo", fail, as_json=True) is ExitCode.INTERNAL
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["ok"] is False
    assert envelope["diagnostics"][0]["code"] == "FWT300"


def test_a_fault_names_the_place_in_our_code(capsys: pytest.CaptureFixture[str]) -> None:
    def break_inside() -> Result:
        return Result(diagnostics=(Diagnostic(code="FWT999", message="no such code"),))

    perform("demo", lambda: Result(value={"severity": break_inside().diagnostics[0].severity}), as_json=False)
    assert "(diagnostics/diagnostic.py:" in capsys.readouterr().err


def test_an_interrupt_is_exit_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> Result:
        raise KeyboardInterrupt

    assert perform("demo", interrupted, as_json=False) is ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "fwtrans: interrupted\n"


def test_a_usage_fault_is_left_to_typer() -> None:
    def misused() -> Result:
        raise typer.BadParameter("no")

    with pytest.raises(typer.BadParameter):
        perform("demo", misused, as_json=False)


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    done = run_script(
        "return Result(data='x\\n' * 10**6)", streams="{} | head -1; exit ${{PIPESTATUS[0]}}", cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


@pytest.mark.parametrize(("streams", "reason"), [("> /dev/full", "No space left on device"), (">&-", "it is closed")])
def test_output_that_cannot_be_written_is_never_success(streams: str, reason: str, tmp_path: Path) -> None:
    done = run_script("return Result(data='x')", streams="{} " + streams, cwd=tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == f"fwtrans: standard output cannot be written: {reason}\n"


def test_a_closed_stderr_does_not_change_the_result(tmp_path: Path) -> None:
    done = run_script("return Result(data='x', report='y')", streams="{} 2>&-", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x")
    done = run_script("return Result(data='x', report='y')", streams="{} 2>/dev/full", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x")


def test_a_signal_from_the_keyboard_ends_a_command_quietly(tmp_path: Path) -> None:
    done = run_script("import os, signal; os.kill(os.getpid(), signal.SIGINT); return Result(data='x')", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fwtrans: interrupted\n")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_color_is_for_terminals_that_want_it(
    stream: StringIO, environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color(stream) is expected
