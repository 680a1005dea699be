"""The commands of the how-tos do what the pages say: what needs no root is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.app import COMMANDS
from tests.docs.generated import command_helps
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", *DOCS.glob("how-to/*.md"), *DOCS.glob("tutorial/*.md")])
_CALL = re.compile(r"\bfwtrans ([a-z]+)((?: +[^\s`|;&<>]+)*)")


def blocks(name: str) -> list[str]:
    """Return the indented blocks of a page, without their indent."""
    page = (DOCS / "how-to" / f"{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:^    [^\n]*\n)+", page, re.MULTILINE)
    return ["".join(line[4:] for line in block.splitlines(keepends=True)) for block in found]


def run(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    assert command.startswith("fwtrans ")
    words = command.partition("#")[0].split()[1:]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", "fwtrans", *words], capture_output=True, text=True, check=False, cwd=place, env=environment)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_and_option_that_a_page_names_is_there(page: Path) -> None:
    options = {item.name: " ".join(one.written for one in item.parameters) for item in command_helps()}
    names = {command.__name__ for command in COMMANDS}
    for name, rest in _CALL.findall(page.read_text(encoding="utf-8")):
        if name in names:
            for option in re.findall(r"(?<!\S)--?[a-z][-a-z]*", rest):
                assert re.search(rf"(^|[ ,]){option}\b", options[name]), f"{name} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_a_plain_host(tmp_path: Path) -> None:
    (tmp_path / "rules.v6").write_text("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    (tmp_path / "rules.v4").write_text("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")
    *prepare, translate, verify = blocks("plain-host")[0].splitlines()
    for command in prepare:
        subprocess.run(command.split(), check=True, cwd=tmp_path)
    assert run(translate, tmp_path).returncode == 0
    assert (tmp_path / "report.html").is_file()
    assert run(verify, tmp_path).stdout.startswith("equal")


def test_a_gateway_from_interfaces(tmp_path: Path) -> None:
    lines, translate, simulate, *_ = blocks("nat-gateway")
    (tmp_path / "interfaces").write_text(lines)
    done = run(translate.replace("/etc/network/", ""), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 rules read\n       4  exact" in done.stderr
    told = run(simulate, tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("accept")
    assert "dnat to 10.10.0.80" in told.stdout


def test_rules_beside_dockers(tmp_path: Path) -> None:
    (tmp_path / "mine.v4").write_text("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 23 -j DROP\nCOMMIT\n")
    commands = next(block for block in blocks("docker-host") if "mine.v4" in block).splitlines()
    assert [run(command, tmp_path).returncode for command in commands] == [0, 0, 0]
    timer = next(block for block in blocks("docker-host") if "systemd-run" in block)
    table = re.search(r"nft delete (table \S+ \S+)", timer)
    assert table is not None
    assert f"{table[1]} {{" in (tmp_path / "mine.nft").read_text()
