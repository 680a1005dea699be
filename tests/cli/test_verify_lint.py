from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fwtrans.cli import app as program

if TYPE_CHECKING:
    from pathlib import Path

DUMP = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:lost - [0:0]
-A INPUT -p tcp -j DROP
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p udp -j ACCEPT
-A lost -p tcp -j DROP
COMMIT
"""


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    place = tmp_path / "iptables-save"
    place.write_text(DUMP)
    return place


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(program.build(), ["verify", *arguments])
    return result.exit_code, result.output


def test_findings_are_told_with_their_lines_and_those_to_blame(dump: Path) -> None:
    status, text = run("--lint", str(dump))
    assert status == 1
    assert text.startswith("3 findings in 4 rules\n")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("shadowed: 1") + 1 :][:3] == [
        f"rule 2 of INPUT [{dump}:7]",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        f"earlier rules take all it asks for: rule 1 of INPUT [{dump}:6]",
    ]


def test_findings_as_json(dump: Path) -> None:
    status, text = run("--lint", "--json", str(dump))
    assert status == 1
    found = json.loads(text)["result"]
    assert [(item["kind"], item["chain"], item["rule"]) for item in found["findings"]] == [
        ("shadowed", "INPUT", 2),
        ("never matters", "INPUT", 3),
        ("unreachable chain", "lost", None),
    ]
    assert found["findings"][0]["because"] == [
        {"table": "ip fwtrans", "chain": "INPUT", "rule": 1, "origins": [f"{dump}:6"]}
    ]
    assert (found["rules"], found["undecided"]) == (4, [])


def test_nothing_found_is_0(tmp_path: Path) -> None:
    place = tmp_path / "rules.nft"
    place.write_text(
        "table ip t { chain c { type filter hook input priority 0; policy accept; tcp dport 22 drop; } }\n"
    )
    status, text = run("--lint", str(place))
    assert text.startswith("every one of 1 rules can match and matters\n")
    assert status == 0


def test_what_cannot_be_read_is_3(tmp_path: Path) -> None:
    place = tmp_path / "iptables-save"
    place.write_text(DUMP.replace("-j DROP", "--bogus"))
    assert run("--lint", str(place))[0] == 3
    assert run("--lint", str(tmp_path / "missing"))[0] == 3


@pytest.mark.parametrize("arguments", [("--lint", "one", "two"), ("one",)])
def test_one_ruleset_with_lint_and_two_without(arguments: tuple[str, ...]) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert "NEW" in text
