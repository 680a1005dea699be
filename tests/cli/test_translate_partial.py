from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from fwtrans.cli import app as program

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
WORD = "-m string --string x --algo bm"


def run(tmp_path: Path, rules: str, *options: str) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
    place = tmp_path / "iptables-save"
    place.write_text(f"{HEAD}{rules}COMMIT\n")
    result = CliRunner().invoke(program.build(), ["translate", "--json", *options, str(place)])
    found = json.loads(result.output)
    codes = [(item["code"], item["message"]) for item in found["diagnostics"]]
    return result.exit_code, found["result"], codes


def test_the_rest_is_written_and_the_status_is_4(tmp_path: Path) -> None:
    rules = f"-A INPUT -p tcp {WORD} -j ACCEPT\n-A FORWARD -p tcp {WORD} -j DROP\n-A INPUT -p udp -j ACCEPT\n"
    out = tmp_path / "out.nft"
    status, _, codes = run(tmp_path, rules, "--partial", "--output", str(out))
    assert status == 4
    assert [code for code, _ in codes] == ["FWT200", "FWT200", "FWT207", "FWT207"]
    lines = [line.strip().split(" comment")[0] for line in out.read_text().splitlines()]
    assert "meta l4proto udp accept" in lines
    assert "meta l4proto tcp drop" in lines
    assert "meta l4proto tcp accept" not in lines


def test_without_partial_nothing_is_written(tmp_path: Path) -> None:
    status, result, codes = run(tmp_path, f"-A INPUT -p tcp {WORD} -j ACCEPT\n")
    assert (status, result["ruleset"], [code for code, _ in codes]) == (4, None, ["FWT200"])


def test_with_nothing_left_out_the_status_is_0(tmp_path: Path) -> None:
    status, result, codes = run(tmp_path, "-A INPUT -p udp -j ACCEPT\n", "--partial")
    assert (status, codes) == (0, [])
    assert result["ruleset"]


def test_a_line_that_is_not_understood_forbids_a_part(tmp_path: Path) -> None:
    status, result, _ = run(tmp_path, f"-A INPUT {WORD} -j ACCEPT\n-A INPUT --bogus -j DROP\n", "--partial")
    assert status == 3
    assert not result["ruleset"]


def test_a_checksum_left_to_the_card_stops_nobody(tmp_path: Path) -> None:
    rules = (
        "-A FORWARD -j ACCEPT\nCOMMIT\n*mangle\n-A POSTROUTING -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill\n"
    )
    status, result, codes = run(tmp_path, rules, "--partial")
    assert (status, [code for code, _ in codes]) == (4, ["FWT200", "FWT207"])
    assert "left out" in codes[1][1]
    assert "drop" not in str(result["ruleset"]).replace('drop comment "v4:2 policy"', "")


BRIDGED = "-A FORWARD -m physdev --physdev-out tap0 --physdev-is-bridged -j DROP\n"


def test_bridge_ports_are_no_second_error(tmp_path: Path) -> None:
    assert [code for code, _ in run(tmp_path, f"{BRIDGED}-A INPUT -p tcp {WORD} -j ACCEPT\n")[2]] == ["FWT200"]


def test_a_part_is_bridged_as_well(tmp_path: Path) -> None:
    status, result, codes = run(tmp_path, f"{BRIDGED}-A INPUT -p tcp {WORD} -j ACCEPT\n", "--partial")
    assert (status, [code for code, _ in codes]) == (4, ["FWT200", "FWT207"])
    assert 'oifname "tap0" drop' in str(result["ruleset"])


def test_what_cannot_be_proved_safe_is_not_written(tmp_path: Path) -> None:
    rules = f"-A INPUT -m recent --set --name seen --rsource {WORD} -j ACCEPT\n"
    status, result, codes = run(tmp_path, rules, "--partial")
    assert status == 4
    assert not result["ruleset"]
    assert "FWT402" in [code for code, _ in codes]


def test_a_list_that_is_not_filled_any_more_forbids_a_part(tmp_path: Path) -> None:
    rules = "-A INPUT -p tcp -j SET --add-set unknown src\n-A INPUT -p udp -j ACCEPT\n"
    status, result, codes = run(tmp_path, rules, "--partial")
    assert status == 4
    assert not result["ruleset"]
    assert [code for code, _ in codes if code == "FWT207"] == []


def test_an_unknown_set_is_left_out_like_any_match(tmp_path: Path) -> None:
    rules = "-A INPUT -m set --match-set unknown src -j ACCEPT\n-A INPUT -p udp -j ACCEPT\n"
    status, result, codes = run(tmp_path, rules, "--partial")
    assert status == 4
    assert result["ruleset"]
    assert [code for code, _ in codes] == ["FWT202", "FWT207"]
