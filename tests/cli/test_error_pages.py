"""The example of a page is tried: it is the smallest input that makes the code appear."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fwtrans.cli.app import build
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.diagnostics import CODES, Severity
from tests.places import ERROR_PAGES

if TYPE_CHECKING:
    from pathlib import Path

FENCE = re.compile(r"^## Example\n\n```(\S+)\n(.+?\n)```$", re.MULTILINE | re.DOTALL)
NOT_INPUT = {"sh", "text"}
"""Commands to type, and what a program says. Every other word behind the fence is a format that `translate` reads."""
NAMES = {"pve-guest": "qemu-server/100.conf", "corosync": "corosync.conf", "vms": "vms.json"}
"""Formats that are told by the file's path alone."""


def examples() -> dict[str, tuple[str, str]]:
    found = {}
    for code in CODES:
        match = FENCE.search((ERROR_PAGES / f"{code}.md").read_text(encoding="utf-8"))
        if match and match[1] not in NOT_INPUT:
            found[code] = (NAMES.get(match[1], "input"), match[2])
    return found


@pytest.mark.parametrize(("code", "example"), examples().items(), ids=examples())
def test_the_example_makes_its_code_appear(code: str, example: tuple[str, str], tmp_path: Path) -> None:
    name, text = example
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    done = CliRunner().invoke(build(), ["translate", str(path), "--json", "--no-optimize"])
    envelope = json.loads(done.stdout)
    assert code in {item["code"] for item in envelope["diagnostics"]}, envelope["diagnostics"]
    if CODES[code].severity is Severity.ERROR:
        expected = ExitCode.UNREADABLE if code < "FWT200" else ExitCode.UNTRANSLATABLE
        assert done.exit_code == expected
    else:
        assert done.exit_code == ExitCode.DONE


def test_most_pages_have_an_example_that_is_tried() -> None:
    assert len(examples()) >= 20
