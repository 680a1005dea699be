"""The process that goes back: ready when it is there for this very apply, and at work where the disk is full."""

from __future__ import annotations

import fcntl
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.finish import confirm
from fwtrans.backend.loader.guard import NotArmed, _go_back, _restore, arm
from fwtrans.backend.loader.pending import (
    GUARD_FILE,
    Pending,
    end_pending,
    guard_is_alive,
    lock,
    read_pending,
    seconds_since_boot,
    write_pending,
)
from fwtrans.backend.loader.state import this_host
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.conftest import mounted
from tests.apply.test_apply import Run, guard_of, rolled_back, wait_until
from tests.apply.test_hostile_state import fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns


def waiting(host: Host, identity: str) -> Pending:
    found = Pending(identity=identity, host=this_host(), deadline=seconds_since_boot() + 600, wait=600.0, loaded=True)
    write_pending(host.state, found)
    return found


# --- the way back of one apply is not that of the next ---


def test_a_guard_that_has_not_ended_yet_is_not_taken_for_that_of_the_next_apply(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.state.mkdir(mode=0o700)
    with lock(host.state):
        waiting(host, "first")
        arm(host.state, "first")
        assert guard_is_alive(host.state, "first")
        old = guard_of(host)
        os.kill(old, signal.SIGSTOP)
        try:
            end_pending(host.state)
            waiting(host, "second")
            monkeypatch.setattr("fwtrans.backend.loader.guard._READY_WITHIN", 0.5)
            with pytest.raises(NotArmed):
                arm(host.state, "second")
            assert not guard_is_alive(host.state, "second")
        finally:
            os.kill(old, signal.SIGCONT)
        wait_until(lambda: guard_is_alive(host.state, "second"))
        assert guard_of(host) != old
        end_pending(host.state)
    wait_until(lambda: not guard_is_alive(host.state))


def test_a_guard_comes_up_though_somebody_asks_for_it_just_then(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.state.mkdir(mode=0o700)
    waiting(host, "asked")
    asking = os.open(host.state / GUARD_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not guard_is_alive(host.state), "who asks is not the guard"
    monkeypatch.setattr("fwtrans.backend.loader.guard._READY_WITHIN", 1.0)
    with pytest.raises(NotArmed):
        arm(host.state, "asked")
    os.close(asking)
    wait_until(lambda: guard_is_alive(host.state, "asked"))
    end_pending(host.state)
    wait_until(lambda: not guard_is_alive(host.state))


def test_a_guard_that_finds_nothing_to_go_back_from_is_not_ready(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where systemd starts it in another network namespace: the apply that waits is not one of that namespace."""
    host.state.mkdir(mode=0o700)
    write_pending(host.state, replace(waiting(host, "elsewhere"), host="another boot"))
    monkeypatch.setattr("fwtrans.backend.loader.guard._READY_WITHIN", 1.0)
    with pytest.raises(NotArmed):
        arm(host.state, "elsewhere")
    assert not guard_is_alive(host.state)


# --- a full disk does not keep anybody from deciding ---


def test_the_lock_is_there_without_a_byte_left_and_the_way_back_fires(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    with mounted(host.state, "size=2m,mode=0700"):
        before = host.listing()
        going = Run(host).wait_for_load()
        with lock(host.state, wait=60.0):
            (host.state / "lock").write_bytes(b"")
            pending = read_pending(host.state)
            assert pending is not None
            write_pending(host.state, replace(pending, deadline=0.0))
            fill(host.state)
        assert going.result()["outcome"] == "restored"
        assert host.listing() == before
        assert not confirm(host.state, DiagnosticSink(), host.boot_files).done
        wait_until(lambda: not guard_is_alive(host.state))


# --- another program at work does not end the way back ---


@pytest.mark.parametrize(("patience", "answers", "wanted"), [
    (600.0, [75, 75, 75, 75, 75, 0], 0), (600.0, [75, 6, 75, 6, 6], 6), (0.0, [75, 75, 75], 75), (600.0, [6, 6, 6], 6),
])  # fmt: skip
def test_who_holds_the_lock_of_iptables_costs_no_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, answers: list[int], wanted: int
) -> None:
    asked = tmp_path / "asked"

    def restore(*_: object) -> int:
        with asked.open("a") as file:  # each is a process of its own
            file.write("x")
        return answers[asked.stat().st_size - 1]

    monkeypatch.setattr("fwtrans.backend.loader.guard._WAITS_FOR_OTHERS", patience)
    monkeypatch.setattr("fwtrans.backend.loader.guard._restore", restore)
    assert _go_back(tmp_path, "held") == wanted
    assert asked.stat().st_size == len(answers)


def test_the_lock_of_iptables_is_told_from_other_trouble(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    going = Run(host).wait_for_load()
    pending = read_pending(host.state)
    assert pending is not None
    monkeypatch.setattr("fwtrans.backend.loader.real.LibNft", object)
    said = "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?"
    for message, status in ((f"iptables-legacy: `iptables-legacy-restore -w 10 -c`: {said}", 75), ("line 3 failed", 6)):
        monkeypatch.setattr("fwtrans.backend.loader.restore.restore", lambda *_, text=message: (text,))
        assert _restore(host.state, pending.identity) == status
        assert message in (host.state / "way-back.log").read_text()
    monkeypatch.undo()
    rolled_back(host)
    going.result()
