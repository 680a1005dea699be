"""`live` as a side: the rules that run, whoever has loaded them; read only, and never a part of them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fwtrans.backend.loader.old_rules import ToolFailed
from fwtrans.cli.app import build
from fwtrans.collect.live import read_live
from fwtrans.diagnostics import DiagnosticSink
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULE = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
DUMP = f"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{RULE}COMMIT\n"
OPEN = DUMP.replace(RULE, "").replace("DROP", "ACCEPT")
MORE = DUMP.replace("COMMIT", "-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT\nCOMMIT")


def run(*words: str, given: str = "") -> str:
    assert_inside()
    done = subprocess.run(words, input=given.encode(), capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout.decode()


def command(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(build(), arguments)
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def dump(tmp_path: Path) -> str:
    path = tmp_path / "dump"
    path.write_text(DUMP)
    return str(path)


@pytest.fixture(autouse=True)
def inside() -> Iterator[None]:
    with namespace():
        yield


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_what_iptables_has_loaded(dump: str, variant: str) -> None:
    run(f"iptables-{variant}-restore", given=DUMP)
    assert command("diff", dump, "live")[0] == 0
    assert command("verify", "live", dump)[0] == 0
    run(f"iptables-{variant}-restore", given=MORE)
    before = run(f"iptables-{variant}-save")
    status, text, _ = command("diff", dump, "live")
    assert status == 1
    assert "1. NEWLY ALLOWED to the host: tcp 23\n" in text
    assert "now: live/iptables-save:" in text
    assert command("verify", dump, "live")[0] == 1
    packet = ("hook=input", "src=192.0.2.9", "proto=tcp", "dport=23")
    assert command("simulate", "live", *packet)[1].startswith("accept: ")
    kept = [line for line in run(f"iptables-{variant}-save").splitlines() if not line.startswith("#")]
    assert kept == [line for line in before.splitlines() if not line.startswith("#")]


def test_what_nft_has_loaded_and_dead_rules_in_it(dump: str) -> None:
    run("nft", "-f", "-", given=command("translate", dump)[1])
    assert command("diff", dump, "live")[0] == 0
    run(
        "nft",
        "-f",
        "-",
        given="table inet other { chain c { type filter hook input priority 9; tcp dport 22 drop; }; }",
    )
    status, text, _ = command("diff", dump, "live")
    assert status == 1
    assert "NEWLY DENIED to the host: tcp 22" in text
    run("nft", "-f", "-", given="table inet other { chain c { accept; tcp dport 25 drop; }; }")
    status, text, _ = command("lint", "live")
    assert status == 1
    assert "live/nft-tables.nft" in text


def test_no_rules_let_everything_through(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.write_text(OPEN)
    assert command("diff", str(path), "live")[0] == 0


def test_both_variants_at_once_are_refused(dump: str) -> None:
    run("iptables-legacy-restore", given=DUMP)
    run("iptables-nft-restore", given=DUMP)
    status, text, said = command("diff", dump, "live")
    assert (status, text) == (3, "")
    assert "FWT621" in said


def test_without_root_it_is_refused(dump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    status, text, said = command("diff", dump, "live")
    assert (status, text) == (3, "")
    assert "FWT601" in said


def test_rules_that_cannot_be_read_are_no_review(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise ToolFailed("iptables-legacy-save -c", "iptables-legacy-save is not installed")

    monkeypatch.setattr("fwtrans.backend.loader.old_rules.LEGACY", {"iptables-legacy": fails})
    sink = DiagnosticSink()
    assert read_live(sink) == ()
    assert [item.code for item in sink.found] == ["FWT115"]
