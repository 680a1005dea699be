"""Two that decide the same apply at once: whoever is later finds it decided, and touches nothing."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.finish import roll_back, undo
from fwtrans.apply.request import Outcome
from fwtrans.apply.run import apply
from fwtrans.backend.loader.pending import (
    GUARD_FILE,
    Pending,
    end_pending,
    guard_is_alive,
    is_locked,
    lock,
    read_pending,
    write_pending,
)
from fwtrans.backend.loader.state import this_host
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.test_apply import (
    Run,
    confirmed,
    confirmed_and_another,
    guard_of,
    rolled_back,
    time_is_over,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns


@pytest.fixture
def twice(host: Host, tmp_path: Path) -> Iterator[tuple[Host, Run, str]]:
    """A host with a confirmed apply and a second one that waits, its process, and the listing between the two."""
    between, new = confirmed_and_another(host, tmp_path)
    second = Run(host, wanted=host.wanted(new)).wait_for_load()
    wait_until(lambda: not is_locked(host.state))
    yield host, second, between
    if read_pending(host.state) is not None:
        rolled_back(host)


# --- one decides while another waits for the lock ---


def overtaken(monkeypatch: pytest.MonkeyPatch, by: Callable[[], object]) -> None:
    """Have somebody else be quicker, after the next command has looked and before it has the lock."""

    def late(directory: Path, *, wait: float = 0.0) -> AbstractContextManager[None]:
        monkeypatch.setattr("fwtrans.apply.finish.lock", lock)
        by()
        return lock(directory, wait=wait)

    monkeypatch.setattr("fwtrans.apply.finish.lock", late)


@pytest.mark.parametrize("other", ["the way back", "rollback", "confirm"])
def test_a_rollback_that_comes_too_late_does_not_undo_the_apply_before(
    twice: tuple[Host, Run, str], other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, going, between = twice

    def fire() -> None:
        time_is_over(host)
        wait_until(lambda: read_pending(host.state) is None)

    by = {"the way back": fire, "rollback": lambda: rolled_back(host), "confirm": lambda: confirmed(host)}[other]
    overtaken(monkeypatch, by)
    sink = DiagnosticSink()
    assert not roll_back(host.state, "", sink, host.boot_files).done
    ((code, message),) = [(item.code, item.message) for item in sink.errors]
    assert code == "FWT615"
    assert "does not wait any more (" in message
    assert going.result()["outcome"] == ("confirmed" if other == "confirm" else "restored")
    if other == "confirm":
        assert "2222" in host.listing()
    else:
        assert host.listing() == between


def test_an_interrupt_that_comes_too_late_does_not_undo_the_apply_before(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, new = confirmed_and_another(host, tmp_path)

    def decided_and_interrupted(*_: object) -> None:
        rolled_back(host)
        raise KeyboardInterrupt

    monkeypatch.setattr("fwtrans.apply.run._wait", decided_and_interrupted)
    found = apply(host.wanted(new), host.request(), DiagnosticSink(), FileAccess())
    assert found.outcome is Outcome.RESTORED
    assert host.listing() == between


def test_what_was_confirmed_is_not_undone(twice: tuple[Host, Run, str]) -> None:
    host, going, _ = twice
    identity = confirmed(host).identity
    assert not undo(host.state, identity, DiagnosticSink(), host.boot_files).done
    assert going.result()["outcome"] == "confirmed"
    assert "2222" in host.listing()


@pytest.mark.parametrize("at", ["armed", "switched", "noted", "emptied iptables-legacy", "loaded"])
def test_an_interrupt_at_any_step_goes_back_at_once(host: Host, at: str) -> None:
    before = host.listing()

    def step(name: str) -> None:
        if name == at:
            raise KeyboardInterrupt

    found = apply(host.wanted(), host.request(step=step), DiagnosticSink(), FileAccess())
    assert found.outcome is Outcome.RESTORED
    assert read_pending(host.state) is None
    assert host.listing() == before
    wait_until(lambda: not guard_is_alive(host.state))


def test_an_interrupt_before_anything_has_begun_is_one(host: Host) -> None:
    def step(name: str) -> None:
        if name == "proved":
            raise KeyboardInterrupt

    before = host.listing()
    with pytest.raises(KeyboardInterrupt):
        apply(host.wanted(), host.request(step=step), DiagnosticSink(), FileAccess())
    assert host.listing() == before
    assert not (host.state / GUARD_FILE).exists()


def test_the_snapshot_of_the_next_apply_is_not_cleared_away_while_it_waits(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was set back in between, so by its name it is the oldest."""
    folder = host.state / "snapshots" / "20000101T000000Z"

    def another_begins(*_: object) -> None:
        identity = confirmed(host).identity
        shutil.copytree(folder.parent / identity, folder)
        (folder.parent / "20010101T000000Z").mkdir()
        write_pending(host.state, Pending(identity=folder.name, host=this_host(), deadline=0.0, wait=60.0))

    monkeypatch.setattr("fwtrans.apply.run._wait", another_begins)
    found = apply(host.wanted(), replace(host.request(), keep=0), DiagnosticSink(), FileAccess())
    assert found.outcome is Outcome.CONFIRMED
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, found.identity}


# --- nobody can go back ---


def test_nobody_waits_for_ever_where_the_way_back_and_the_snapshot_are_gone(twice: tuple[Host, Run, str]) -> None:
    host, going, _ = twice
    pending = read_pending(host.state)
    assert pending is not None
    guard = guard_of(host)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: not guard_is_alive(host.state))
    loaded = host.listing()
    for file in (host.state / "snapshots" / pending.identity).glob("*-save"):
        file.write_text(f"# changed\n{file.read_text()}")
    time_is_over(host)
    found = going.result()
    assert found["outcome"] == Outcome.RESTORE_FAILED.value
    said = str(found["said"])
    assert "that is whole" in said
    assert "the new rules are still loaded" in said
    assert host.listing() == loaded
    end_pending(host.state)
