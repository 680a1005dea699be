"""`fwtrans optimize`: what it writes, what it tells, and that running it again changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fwtrans.cli.app import build
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.base import Pass, Passed
from fwtrans.optimizer.registry import PASSES

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

RULES = "\n  ".join(f"tcp dport {port} accept" for port in (22, 25, 80, 110, 143, 443, 993))
RULESET = (
    f'table inet t {{\n chain input {{ type filter hook input priority 0; policy drop;\n  {RULES} comment "last"\n'
    '  udp dport 53 limit rate 5/second log prefix "x"\n }\n}\n'
)


@pytest.fixture
def ruleset(tmp_path: Path) -> Path:
    path = tmp_path / "host.nft"
    path.write_text(RULESET)
    return path


def optimize(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["optimize", *arguments])


def test_the_result_is_written_to_stdout_and_the_report_to_stderr(ruleset: Path) -> None:
    done = optimize(str(ruleset), "--report")
    assert done.exit_code == 0, done.output
    assert "meta l4proto . th dport vmap" in done.stdout
    assert "tcp . 993 : accept" in done.stdout
    assert "inet t input" in done.stderr
    assert "proved in" in done.stderr


def test_again_changes_nothing(ruleset: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.nft", tmp_path / "twice.nft"
    assert optimize(str(ruleset), "-o", str(once)).exit_code == 0
    assert optimize(str(once), "-o", str(twice)).exit_code == 0
    assert once.read_text() == twice.read_text()


def test_json_has_costs_and_passes(ruleset: Path) -> None:
    result = json.loads(optimize(str(ruleset), "--json").stdout)["result"]
    assert result["chains"][0]["after"]["steps"] < result["chains"][0]["before"]["steps"]
    # an empty hook of a file that was written for nftables stays
    assert {item["name"] for item in result["passes"]} == {item.name for item in PASSES} - {"idle-hooks"}
    assert result["size"]["after"]["rules"] < result["size"]["before"]["rules"]


TWINS = "".join(
    f"table {family} filter {{\n chain input {{ type filter hook input priority 0; policy drop;\n"
    f"  ct state invalid drop\n  {family} saddr {address} accept\n }}\n"
    " chain forward { type filter hook forward priority 0; policy drop;\n  ct state invalid drop\n"
    '  iifname "a" tcp dport 22 accept\n }\n}\n'
    for family, address in (("ip", "10.0.0.1"), ("ip6", "2001:db8::1"))
)


def test_base_chains_of_both_families_that_become_one_are_told_by_their_old_names(tmp_path: Path) -> None:
    """The names of base chains behind the passes are others, and fewer."""
    path = tmp_path / "twins.nft"
    path.write_text(TWINS)
    done = optimize(str(path), "--report")
    assert done.exit_code == 0, done.stderr
    assert "table inet filter" in done.stdout
    assert "ip6 filter forward" in done.stderr
    result = json.loads(optimize(str(path), "--json").stdout)["result"]
    chains = [(item["table"], item["chain"]) for item in result["chains"]]
    assert chains == [(f"{family} filter", name) for family in ("ip", "ip6") for name in ("input", "forward")]
    assert all(0 < item["after"]["steps"] <= item["before"]["steps"] for item in result["chains"])
    paths = {(item["family"], item["hook"]): item["steps_after"] for item in result["paths"]}
    assert set(paths) == {(family, hook) for family in ("ip", "ip6") for hook in ("input", "forward")}
    assert paths["ip", "forward"] == paths["ip6", "forward"] > 0


def test_each_stage_is_shown(ruleset: Path) -> None:
    shown = optimize(str(ruleset), "--explain-passes").stderr
    assert "--- " in shown
    assert "vmap @" in shown, "as nft has it"
    assert "comment" not in shown


def test_a_pass_can_be_left_out_by_a_name_that_there_is(ruleset: Path) -> None:
    done = optimize(str(ruleset), *(word for item in PASSES for word in ("--skip", item.name)))
    assert done.stdout.count("accept comment") + done.stdout.count(" accept\n") == 7
    assert optimize(str(ruleset), "--skip", "nonsense").exit_code == 2


def test_a_pass_that_changes_the_meaning_is_refused(ruleset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_left(found: Ruleset) -> Passed:
        return Passed(Ruleset((), found.assumptions))

    monkeypatch.setattr("fwtrans.optimize.PASSES", (Pass("wrong", "loses everything", nothing_left),))
    done = optimize(str(ruleset))
    assert done.exit_code == 0
    assert "FWT403" in done.stderr
    assert "dport 22" in done.stdout
