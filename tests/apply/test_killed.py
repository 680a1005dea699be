"""Killed at any step, the kernel holds the old firewall or the new one in full, and the way back fires where it was armed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.run import apply
from fwtrans.backend.loader.pending import guard_is_alive, read_pending
from fwtrans.backend.loader.real import LibNft
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink

if TYPE_CHECKING:
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


def wait_until(what: str, seconds: float, test: object) -> None:
    deadline = time.monotonic() + seconds
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
    wait_until("the way back did not fire", 20, lambda: read_pending(host.state) is None or step == "pending")
    assert host.listing() == before
    assert not (host.etc / "nftables.d").exists(), "a boot would come up with the new rules"
    wait_until("the process that goes back is still there", 20, lambda: not guard_is_alive(host.state))


def test_all_steps_are_tried(host: Host) -> None:
    assert tuple(apply_and_die(host, "loaded", confirm_within=0.2)) == STEPS
    wait_until("the way back did not fire", 20, lambda: read_pending(host.state) is None)
    assert len(STEPS) >= 12
