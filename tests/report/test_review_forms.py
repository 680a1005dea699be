"""The forms of a review: JSON and SARIF are as their schemas say, markdown and text hold nothing but text from files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from fwtrans.cli.app import build
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "x<script>alert(1)</script>|`@admin`[a](javascript:b)"
OLD = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT
COMMIT
"""
NEW = OLD.replace("--dport 22", f'--dport 22:23 -m comment --comment "{HOSTILE}"').replace("--dport 25", "--dport 26")


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(build(), arguments)
    return found.exit_code, found.stdout


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, str]:
    old, new = tmp_path / "old dump", tmp_path / "new dump"
    old.write_text(OLD)
    new.write_text(NEW)
    return str(old), str(new)


def schema(name: str) -> Draft202012Validator:
    text = (REPOSITORY / "docs" / "reference" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    content = json.loads(text)
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def test_json_is_as_its_schema_says(sides: tuple[str, str]) -> None:
    status, text = run("diff", "--format", "json", *sides)
    value = json.loads(text)
    schema("review").validate(value)
    assert status == 1
    assert [(item["category"], item["region"]) for item in value["differences"]] == [
        ("newly allowed", ["tcp 23 from 10.0.0.0/8"]),
        ("newly allowed", ["tcp 26"]),
        ("newly denied", ["tcp 25"]),
    ]
    assert value["exact"]


def test_the_envelope_holds_the_same(sides: tuple[str, str]) -> None:
    envelope = json.loads(run("diff", "--json", *sides)[1])
    assert envelope["result"] == json.loads(run("diff", "--format", "json", *sides)[1])


def test_sarif_is_as_its_schema_says(sides: tuple[str, str]) -> None:
    value = json.loads(run("diff", "--format", "sarif", *sides)[1])
    schema("sarif").validate(value)
    results = value["runs"][0]["results"]
    assert [item["level"] for item in results] == ["error", "error", "warning"]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/new%20dump")
    assert place["region"]["startLine"] == 5
    rules = value["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[item["ruleIndex"]]["id"] == item["ruleId"] for item in results)


def test_markdown_renders_and_names_from_files_are_text(sides: tuple[str, str]) -> None:
    text = run("diff", "--format", "markdown", *sides)[1]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<table>" in page
    assert "<td>newly allowed</td>" in page
    assert "<script" not in page
    assert "href" not in page
    assert page.count("<tr>") == 4


def test_text_holds_rules_with_their_lines(sides: tuple[str, str]) -> None:
    text = run("diff", *sides)[1]
    assert text.startswith("3 differences: 2 newly allowed, 1 newly denied. Proved to be all.\n")
    assert f"now: {sides[1]}:5: -A INPUT -s 10.0.0.0/8" in text


def test_colors_and_control_characters_are_ours_alone(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(OLD)
    new.write_text(OLD.replace("--dport 22", '--dport 23 -m comment --comment "a\x1b[31mb"'))
    assert "\x1b" not in run("diff", str(old), str(new))[1]


@pytest.mark.parametrize(
    ("words", "status"),
    [(("--fail-on", "allowed"), 1), (("--fail-on", "denied"), 1), (("--fail-on", "any"), 1), ((), 1)],
)
def test_differences_are_1(sides: tuple[str, str], words: tuple[str, ...], status: int) -> None:
    assert run("diff", *words, *sides)[0] == status


def test_only_what_was_asked_for_fails(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(OLD)
    new.write_text(OLD.replace("-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT\n", ""))
    assert run("diff", "--fail-on", "allowed", str(old), str(new))[0] == 0
    assert run("diff", "--fail-on", "denied", str(old), str(new))[0] == 1
    assert run("diff", "--fail-on", "allowed", str(new), str(old))[0] == 1
    assert run("diff", "--fail-on", "denied", str(new), str(old))[0] == 0


def test_no_difference_is_0(sides: tuple[str, str]) -> None:
    status, text = run("diff", sides[0], sides[0])
    assert status == 0
    assert text.startswith("No difference: both treat every packet alike, proved.\n")


def test_what_cannot_be_read_is_3(sides: tuple[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text(OLD.replace("--dport 22", "--bogus"))
    assert run("diff", sides[0], str(broken))[0] == 3
    assert run("diff", sides[0], str(tmp_path / "missing"))[0] == 3
