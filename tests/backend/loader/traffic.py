"""Packets while a ruleset is swapped: a sender, the router whose rules are swapped, a receiver that counts.

    sender 192.0.2.1 --- 192.0.2.254 router 192.0.2.129 --- 192.0.2.130 receiver

The sender floods one UDP port and sends another at a steady rate; both sides count with nft, which loses nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.namespaces import assert_inside

if TYPE_CHECKING:
    from types import TracebackType

_COUNTERS = """
table inet count {
	counter denied {
	}
	counter allowed {
	}
	chain first {
		type filter hook %s priority -400; policy accept;
		udp dport %d counter name "denied"
		udp dport %d counter name "allowed"
	}
}
"""

_SENDER = """
import socket, sys, time
denied, allowed = int(sys.argv[1]), int(sys.argv[2])
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.connect(("192.0.2.130", denied))
steady = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
steady.connect(("192.0.2.130", allowed))
print("ready", flush=True)
while True:
    for _ in range(20):
        try:
            flood.send(b"x" * 20)
        except OSError:
            pass
    try:
        steady.send(b"x" * 20)
    except OSError:
        pass
"""


@dataclass(frozen=True, slots=True)
class Passed:
    """How many packets of each kind were sent and how many arrived."""

    denied_sent: int
    denied_arrived: int
    allowed_sent: int
    allowed_arrived: int


class Traffic:
    """Traffic through the namespace that this thread is in. Its rules are the test's business."""

    def __init__(self, denied: int, allowed: int) -> None:
        assert_inside()
        self.ports = denied, allowed
        self.sides: list[subprocess.Popen[bytes]] = []
        self.sender: subprocess.Popen[bytes] | None = None
        _run("ip", "link", "set", "lo", "up")
        self._side("sender", "192.0.2.1/25", "192.0.2.126/25")
        self._side("receiver", "192.0.2.130/25", "192.0.2.129/25")
        for setting in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"):
            _run("sysctl", "-qw", setting)

    def __enter__(self) -> Self:
        for side, hook in zip(self.sides, ("output", "prerouting"), strict=True):
            _in(side, "nft", "-f", "-", text=_COUNTERS % (hook, *self.ports))
        command = ["nsenter", "-t", str(self.sides[0].pid), "-n", "taskset", "-c", str((os.cpu_count() or 1) - 1)]
        self.sender = subprocess.Popen(
            [*command, sys.executable, "-c", _SENDER, *map(str, self.ports)], stdout=subprocess.PIPE
        )
        assert self.sender.stdout is not None
        assert self.sender.stdout.readline() == b"ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_sender()
        for side in self.sides:
            side.kill()
            side.wait()

    def _stop_sender(self) -> None:
        if self.sender is not None:
            self.sender.kill()
            self.sender.wait()
            assert self.sender.stdout is not None
            self.sender.stdout.close()
            self.sender = None

    def denied_arrived(self) -> bool:
        """Tell whether a packet has slipped through yet."""
        return "packets 0 " not in _in(self.sides[1], "nft", "list", "counter", "inet", "count", "denied")

    def result(self) -> Passed:
        """Stop sending and count."""
        self._stop_sender()
        counts = [_in(side, "nft", "list", "counters") for side in self.sides]
        numbers = [
            [int(words[1]) for line in text.splitlines() if (words := line.split())[0] == "packets"] for text in counts
        ]
        return Passed(numbers[0][0], numbers[1][0], numbers[0][1], numbers[1][1])

    def _side(self, name: str, own: str, router: str) -> None:
        side = subprocess.Popen(["unshare", "-n", "sleep", "14400"])
        self.sides.append(side)
        while Path(f"/proc/{side.pid}/ns/net").stat().st_ino == Path("/proc/thread-self/ns/net").stat().st_ino:
            assert side.poll() is None
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", str(side.pid))
        _run("ip", "addr", "add", router, "dev", name)
        _run("ip", "link", "set", name, "up")
        _in(side, "ip", "addr", "add", own, "dev", "uplink")
        _in(side, "ip", "link", "set", "uplink", "up")
        _in(side, "ip", "route", "add", "default", "via", router.split("/", maxsplit=1)[0])


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _in(side: subprocess.Popen[bytes], *words: str, text: str = "") -> str:
    done = subprocess.run(
        ["nsenter", "-t", str(side.pid), "-n", *words], check=True, capture_output=True, input=text.encode()
    )
    return done.stdout.decode()
