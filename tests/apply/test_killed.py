"""Killed at any step, the kernel holds the old firewall or the new one in full, and the way back fires where it was armed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.finish import confirm
from fwtrans.apply.run import apply
from fwtrans.backend.loader.pending import end_pending, guard_is_alive, read_pending
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.restore import restore
from fwtrans.backend.loader.snapshot import read_snapshot
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.conftest import run
from tests.apply.test_apply import PATIENCE, time_is_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns

STEPS = (
    "locked",
    "checked",
    "agreed",
    "read",
    "saved",
    "proved",
    "pending",
    "armed",
    "prepared",
    "switched",
    "noted",
    "bridged",
    "emptied iptables-legacy",
    "tested",
    "loaded",
)
BEFORE_ARMED = frozenset(STEPS[: STEPS.index("armed")])
BEFORE_SWITCHED = frozenset(STEPS[: STEPS.index("switched")])


def wait_until(what: str, test: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not test():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def apply_and_die(host: Host, at: str, confirm_within: float) -> list[str]:
    """Run `apply` in a process of its own that is killed when the step is done; return the steps before."""
    reader, writer = os.pipe()
    wanted = host.wanted()
    child = os.fork()
    if child == 0:
        os.setsid()

        def step(name: str) -> None:
            os.write(writer, f"{name}\n".encode())
            if name == at:
                os.kill(os.getpid(), signal.SIGKILL)

        sink = DiagnosticSink()
        try:
            apply(wanted, host.request(confirm_within=confirm_within, step=step), sink, FileAccess())
            os.write(writer, f"{sink.found}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        steps = stream.read().split("\n")[:-1]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, f"there is no step {at}: {steps}"
    return steps


def is_new(host: Host) -> bool:
    """Tell whether all of our tables are there."""
    client = LibNft()
    try:
        listings = {table.name: client.listing(table.name) for table in host.wanted().image}
    finally:
        client.close()
    found = [listing for listing in listings.values() if listing is not None]
    if not found:
        return False
    assert len(found) == len(listings), "half of our tables are there"
    for table in host.wanted().image:
        listing = listings[table.name]
        assert listing is not None
        assert {chain.name: len(chain.rules) for chain in listing.chains} == {
            chain.name: len(chain.rules) for chain in table.chains
        }
    return True


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_two_steps(host: Host, step: str) -> None:
    before = host.listing()
    others = host.others()
    apply_and_die(host, step, confirm_within=0.2)
    assert host.others() == others
    if step in BEFORE_SWITCHED:
        assert not is_new(host)
    if step in BEFORE_ARMED:
        assert host.listing() == before
    wait_until("the way back did not fire", lambda: read_pending(host.state) is None or step == "pending")
    assert host.listing() == before
    assert not (host.etc / "nftables.d").exists(), "a boot would come up with the new rules"
    wait_until("the process that goes back is still there", lambda: not guard_is_alive(host.state))


def test_all_steps_are_tried(host: Host) -> None:
    assert tuple(apply_and_die(host, "loaded", confirm_within=0.2)) == STEPS
    wait_until("the way back did not fire", lambda: read_pending(host.state) is None)
    assert len(STEPS) >= 12


# --- the way back, and the confirmation ---

RESTORED = ("sets", "old rules", "dormant tables", "bridge settings", "tables")


def loaded_without_a_guard(host: Host, monkeypatch: pytest.MonkeyPatch) -> str:
    """Apply without the process that goes back, and without waiting; return the snapshot's name."""
    monkeypatch.setattr("fwtrans.apply.run.arm", lambda *_: None)
    monkeypatch.setattr("fwtrans.apply.run._wait", lambda *_: None)
    monkeypatch.setattr("fwtrans.apply.run._decided", lambda work, *_: work.identity)
    identity: object = apply(host.wanted(), host.request(), DiagnosticSink(), FileAccess())
    assert isinstance(identity, str), identity
    return identity


def killed_in_a_child(work: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def is_old(host: Host) -> bool:
    """Tell whether the rules of both variants judge packets."""
    return (
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT" in run("iptables-legacy-save")
        and "-A guests -s 198.51.100.7/32 -j DROP" in run("iptables-legacy-save")
        and "dormant" not in run("nft", "list", "table", "ip6", "filter")
        and host.state.is_dir()
    )


@pytest.mark.parametrize("step", RESTORED)
def test_going_back_may_be_killed_between_two_steps_and_done_again(
    host: Host, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.listing()
    identity = loaded_without_a_guard(host, monkeypatch)
    saved = read_snapshot(host.state, identity)
    assert saved is not None

    def until(name: str) -> None:
        if name == f"restored {step}":
            os.kill(os.getpid(), signal.SIGKILL)

    killed_in_a_child(lambda: restore(LibNft(), saved, host.state, until))
    assert is_old(host) or is_new(host), "neither is there in full"
    client = LibNft()
    assert restore(client, saved, host.state) == ()
    client.close()
    end_pending(host.state)
    assert host.listing() == before


@pytest.mark.parametrize("place", ["mark_confirmed", "snapshot.note_outcome", "_tidy", "boot.persist", "end_pending"])
def test_a_confirmation_may_be_killed_and_is_the_old_or_the_new(
    host: Host, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed just before each of its parts: before the first it is not confirmed, after it nothing goes back."""
    monkeypatch.setattr("fwtrans.apply.run._wait", lambda *_: None)
    monkeypatch.setattr("fwtrans.apply.run._decided", lambda work, *_: work.identity)
    before = host.listing()
    apply(host.wanted(), host.request(persist=True), DiagnosticSink(), FileAccess())

    def interrupted() -> None:
        monkeypatch.setattr(f"fwtrans.apply.finish.{place}", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        confirm(host.state, DiagnosticSink(), host.boot_files)

    killed_in_a_child(interrupted)
    assert is_new(host)
    if place == "mark_confirmed":
        time_is_over(host)
    wait_until("the process that goes back is still there", lambda: not guard_is_alive(host.state))
    if place == "mark_confirmed":
        assert host.listing() == before
        assert not host.boot_files.rules.exists()
        return
    assert is_new(host)
    sink = DiagnosticSink()
    assert confirm(host.state, sink, host.boot_files).done, sink.found
    assert is_new(host)
    assert host.boot_files.rules.exists()
    assert "table ip6 filter" not in run("nft", "list", "tables").splitlines()
