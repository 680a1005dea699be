"""From iptables to nft and back under a flood, on two CPUs: what both deny never gets through."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.request import Outcome
from fwtrans.apply.run import apply
from fwtrans.backend.loader.pending import end_pending, read_pending
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.restore import restore
from fwtrans.backend.loader.snapshot import read_snapshot
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.conftest import run
from tests.backend.loader.traffic import Traffic

if TYPE_CHECKING:
    from tests.apply.conftest import Host

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="on one CPU no packet can meet a half-made ruleset"),
]
DENIED, ALLOWED = 7, 53


def rules(guests: int) -> str:
    """A firewall of the size of a node with fifty guests, as iptables has it."""
    chains = "".join(f":guest{number} - [0:0]\n" for number in range(guests))
    jumps = "".join(f"-A FORWARD -d 198.51.100.{number}/32 -j guest{number}\n" for number in range(guests))
    leaves = "".join(
        f"-A guest{number} -p tcp -m tcp --dport {port} -j ACCEPT\n"
        for number in range(guests)
        for port in range(20, 35)
    )
    return (
        f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{chains}"
        f"-A FORWARD -p udp -m udp --dport {DENIED} -j DROP\n{jumps}"
        f"-A FORWARD -p udp -m udp --dport {ALLOWED} -j ACCEPT\n{leaves}COMMIT\n"
    )


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_no_packet_slips_through_between_iptables_and_nft(
    host: Host, variant: str, monkeypatch: pytest.MonkeyPatch, lab_long: bool
) -> None:
    """The steps that are tested are those of `apply` and of the way back; only the process that waits is left out."""
    run("iptables-legacy", "-P", "INPUT", "ACCEPT")
    run("iptables-legacy", "-F")
    run("iptables-legacy", "-t", "nat", "-F")
    run(f"iptables-{variant}-restore", given=rules(50))
    (host.dumps / "iptables-save").write_text(run(f"iptables-{variant}-save"))
    monkeypatch.setattr("fwtrans.apply.run.arm", lambda *_: None)
    monkeypatch.setattr("fwtrans.apply.run._wait", lambda *_: None)
    monkeypatch.setattr("fwtrans.apply.run._decided", lambda work, *_: work.identity)
    monkeypatch.setattr("fwtrans.backend.loader.snapshot.prove_snapshot", lambda _: ())
    wanted = host.wanted()
    client = LibNft()
    with Traffic(DENIED, ALLOWED) as traffic:
        for _ in range(200 if lab_long else 30):
            identity = apply(wanted, host.request(), DiagnosticSink(), FileAccess())
            assert isinstance(identity, str), identity
            assert identity not in {Outcome.REFUSED, ""}
            saved = read_snapshot(host.state, identity)
            assert saved is not None
            assert restore(client, saved, host.state) == ()
            end_pending(host.state)
            assert read_pending(host.state) is None
        passed = traffic.result()
    client.close()
    assert passed.denied_sent > 10_000
    assert passed.allowed_sent > 500
    assert passed.denied_arrived == 0
    assert passed.allowed_arrived == passed.allowed_sent
