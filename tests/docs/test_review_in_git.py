"""Reviews in git, before a commit and in a CI job: what the page shows, done in a repository as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shell = Callable[[str], subprocess.CompletedProcess[str]]

PAGE = REPOSITORY / "docs" / "how-to" / "review-a-change.md"
CLOSED = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
OPEN = CLOSED.replace("COMMIT", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT")


def block(section: str) -> str:
    """Return the block of a section of the page, without its indent."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = re.search(r"(?:^    [^\n]*\n)+", text, re.MULTILINE)
    assert found is not None
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A repository with a dump in it, whose only commit lets ssh in; `fwtrans` is on the path."""
    programs, place = tmp_path / "bin", tmp_path / "repository"
    programs.mkdir()
    place.mkdir()
    program = programs / "fwtrans"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fwtrans "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "EMAIL": "a@example.org", "GIT_AUTHOR_NAME": "a",
        "GIT_COMMITTER_NAME": "a",
    }  # fmt: skip

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=place, env=environment, capture_output=True, text=True, check=False
        )

    (place / "iptables-save").write_text(CLOSED)
    started = run("git init -q -b main . && git add . && git commit -q -m first")
    assert started.returncode == 0, started.stderr
    return run


def put(shell: Shell, text: str) -> None:
    assert shell(f"cat > iptables-save << 'END'\n{text}END\ngit add iptables-save").returncode == 0


def test_a_difftool(shell: Shell) -> None:
    put(shell, OPEN)
    assert shell("git commit -q -m second").returncode == 0
    done = shell(block("In git"))
    assert "NEWLY ALLOWED to the host: tcp 80" in done.stdout, done.stderr


def test_a_hook_before_a_commit(shell: Shell) -> None:
    hook = block("Before a commit")
    assert (
        shell(f"cat > .git/hooks/pre-commit << 'THE-END'\n{hook}THE-END\nchmod +x .git/hooks/pre-commit").returncode
        == 0
    )
    put(shell, OPEN)
    refused = shell("git commit -q -m opens")
    assert refused.returncode == 1
    assert "NEWLY ALLOWED to the host: tcp 80" in refused.stdout + refused.stderr
    assert shell("git commit -q --no-verify -m opens").returncode == 0
    put(shell, CLOSED)
    assert shell("git commit -q -m closes").returncode == 0, "what is only denied passes"


def test_a_job(shell: Shell) -> None:
    put(shell, OPEN)
    assert shell("git update-ref refs/remotes/origin/main HEAD").returncode == 0
    job = shell(f"set -e\n{block('In a CI job')}")
    assert job.returncode == 1, job.stderr
    assert "tcp 80" in shell("cat review.md").stdout
    findings = shell("cat review.sarif").stdout
    assert json.loads(findings)["version"] == "2.1.0"
