from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fwtrans.cli.app import build
from fwtrans.diagnostics import CODES
from tests.places import ERROR_PAGES

RUNNER = CliRunner()


@pytest.mark.parametrize("word", ["FWT112", "fwt112", "112", "[FWT112]"])
def test_a_code_is_found_however_it_is_written(word: str) -> None:
    done = RUNNER.invoke(build(), ["explain", word])
    assert done.exit_code == 0
    assert done.stdout == (ERROR_PAGES / "FWT112.md").read_text(encoding="utf-8")


def test_the_json_form_holds_the_page() -> None:
    result = json.loads(RUNNER.invoke(build(), ["explain", "FWT203", "--json"]).stdout)["result"]
    page = (ERROR_PAGES / "FWT203.md").read_text(encoding="utf-8")
    assert result == {"code": "FWT203", "title": CODES["FWT203"].title, "severity": "note", "page": page}


def test_without_a_code_all_are_listed() -> None:
    done = RUNNER.invoke(build(), ["explain"])
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CODES)
    assert "FWT203  note    rule can never match" in lines
    listed = json.loads(RUNNER.invoke(build(), ["explain", "--json"]).stdout)["result"]["codes"]
    assert [row["code"] for row in listed] == list(CODES)


def test_an_unknown_code_is_a_usage_error_that_names_near_ones() -> None:
    done = RUNNER.invoke(build(), ["explain", "FWT11"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no code 'FWT11'; near it: FWT11" in " ".join(done.stderr.split())


def test_hostile_words_are_shown_as_escapes() -> None:
    done = RUNNER.invoke(build(), ["explain", "\x1b[31m../../etc/passwd"])
    assert done.exit_code == 2
    assert "\x1b" not in done.output
