"""The commands as a person or a script runs them: streams, exit status, envelope."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader.pending import read_pending
from tests.namespaces import assert_inside
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns


def start(*words: str) -> subprocess.Popen[bytes]:
    assert_inside()
    command = [sys.executable, "-m", "fwtrans", *words]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    )


def fwtrans(*words: str) -> tuple[int, str, str]:
    process = start(*words)
    output, error = process.communicate(timeout=600)
    return process.returncode, output.decode(), error.decode()


def test_from_collecting_to_going_back(host: Host) -> None:
    state = ("--state-dir", str(host.state))
    folder = str(host.dumps.with_name("before"))
    before = host.listing()
    status, output, _ = fwtrans("collect", "-o", folder)
    assert status == 0
    assert {"iptables-save", "ip6tables-save", "ipset-save"} <= set(output.split())
    assert host.listing() == before

    status, output, error = fwtrans("apply", folder, *state)
    assert (status, output) == (1, "")
    assert "error[FWT620]: nobody is there to be asked" in error
    assert "take out of the way: iptables-legacy, ip6 filter" in error

    going = start("apply", folder, *state, "--yes", "--confirm-within", "600")
    deadline = time.monotonic() + 600
    while (pending := read_pending(host.state)) is None or not pending.loaded:
        assert going.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status, output, _ = fwtrans("status", *state, "--json")
    value = json.loads(output)
    assert (status, value["ok"], value["result"]["pending"]["loaded"]) == (1, False, True)
    status, output, _ = fwtrans("confirm", *state)
    assert (status, output) == (0, f"confirmed {pending.identity}\n")
    output, error = (stream.decode() for stream in going.communicate(timeout=600))
    assert (going.returncode, output) == (0, "confirmed\n")
    assert "Open a NEW connection" in error

    status, output, _ = fwtrans("status", *state)
    assert status == 0
    assert "table ip fwtrans: " in output
    status, output, _ = fwtrans("rollback", *state)
    assert (status, output) == (0, f"restored {pending.identity}\n")
    status, output, _ = fwtrans("confirm", *state)
    assert (status, output) == (1, "")
    status, _, error = fwtrans("rollback", *state, "--to", "nothing")
    assert status == 1
    assert "there is no snapshot `nothing` that is whole" in error


def test_not_confirmed_ends_with_five_and_one_envelope(host: Host) -> None:
    before = host.listing()
    status, output, error = fwtrans(
        "apply", str(host.dumps), "--state-dir", str(host.state), "--yes", "--confirm-within", "1", "--json"
    )
    value = json.loads(output)
    assert status == 5
    assert error == ""
    assert (value["command"], value["ok"], value["result"]["outcome"]) == ("apply", False, "restored")
    assert [item["code"] for item in value["diagnostics"]] == ["FWT618", "FWT613"]
    assert host.listing() == before


def test_what_cannot_be_translated_is_not_applied(host: Host) -> None:
    (host.dumps / "iptables-save").write_text(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m string --algo bm --string x -j DROP\nCOMMIT\n"
    )
    before = host.listing()
    status, _, error = fwtrans("apply", str(host.dumps), "--state-dir", str(host.state), "--yes")
    assert status == 4
    assert "FWT200" in error
    assert host.listing() == before


def test_a_firewall_that_was_changed_ends_with_one(host: Host) -> None:
    subprocess.run(["iptables-legacy", "-A", "INPUT", "-j", "DROP"], check=True)
    status, _, error = fwtrans("apply", str(host.dumps), "--state-dir", str(host.state), "--yes")
    assert status == 1
    assert "error[FWT607]" in error
