"""A host to apply rulesets to: a network namespace with rules of iptables in both variants, sets, and a table of others."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.boot import BootFiles
from fwtrans.apply.request import Request
from fwtrans.apply.wanted import Wanted, read_wanted
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.translate import Settings
from tests.namespaces import assert_inside, namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEGACY = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:guests - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m set --match-set blocked src -j DROP
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -p udp -m udp --dport 7 -j DROP
-A FORWARD -j guests
-A guests -s 198.51.100.7/32 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.9.0.0/16 -o eth9 -j MASQUERADE
COMMIT
"""
SIXTH = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
OTHERS = """\
table inet monitoring {
	set seen {
		type ipv4_addr
		elements = { 192.0.2.77 }
	}
	chain watch {
		type filter hook input priority 300; policy accept;
		ip saddr @seen counter packets 0 bytes 0
	}
}
"""


def run(*words: str, given: str = "") -> str:
    """Run a program inside of the namespace and return what it prints."""
    assert_inside()
    done = subprocess.run(words, input=given.encode(), capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout.decode()


@contextmanager
def mounted(at: Path, options: str) -> Iterator[None]:
    """A tmpfs at a folder, taken away once nobody has it open: a guard ends some moments after what it has done is seen."""
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at))
    try:
        yield
    finally:
        deadline = time.monotonic() + 120
        while (done := subprocess.run(("umount", str(at)), capture_output=True, check=False)).returncode:
            assert b"busy" in done.stderr, done.stderr.decode()
            assert time.monotonic() < deadline, f"something has {at} open"
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Host:
    """Where its state is kept, and what it looked like at first."""

    state: Path
    etc: Path
    dumps: Path

    def listing(self) -> str:
        """Return everything that filters, as its owners list it, without what packets change."""
        parts = [
            *(run(f"{name}-save") for name in ("iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft")),
            run("ipset", "save"),
            run("nft", "list", "ruleset"),
        ]
        lines = [line for part in parts for line in part.splitlines() if not line.startswith("#")]
        return "\n".join(line.rsplit(" [", 1)[0] if line.startswith(":") else line for line in lines)

    def others(self) -> str:
        """Return what neither we nor iptables own."""
        return run("nft", "list", "table", "inet", "monitoring") + run("ipset", "save")

    def collect(self) -> None:
        """Keep the dumps that a translation starts from."""
        self.dumps.mkdir(exist_ok=True)
        (self.dumps / "iptables-save").write_text(run("iptables-legacy-save"))
        (self.dumps / "ip6tables-save").write_text(run("ip6tables-nft-save"))
        (self.dumps / "ipset-save").write_text(run("ipset", "save"))

    def wanted(self, *paths: Path) -> Wanted:
        """Return what to load, from files or else from the dumps."""
        sink = DiagnosticSink()
        sources = read_paths([str(path) for path in paths or (self.dumps,)], sink)
        found = read_wanted(sources, Settings(), sink, FileAccess())
        assert found is not None, sink.found
        return found

    def request(
        self,
        *,
        confirm_within: float = 60.0,
        persist: bool = False,
        allow_changes: bool = False,
        step: Callable[[str], None] = lambda _: None,
        ask: Callable[[str], bool] = lambda _: True,
    ) -> Request:
        """Return what to ask of `apply`."""
        return Request(
            directory=self.state,
            confirm_within=confirm_within,
            persist=persist,
            allow_changes=allow_changes,
            boot_files=self.boot_files,
            step=step,
            ask=ask,
        )

    @property
    def boot_files(self) -> BootFiles:
        """Return where a boot would look."""
        return BootFiles(self.etc)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with rules."""
    with namespace():
        run("ip", "link", "set", "lo", "up")
        run("ipset", "create", "blocked", "hash:ip")
        run("ipset", "add", "blocked", "203.0.113.9")
        run("iptables-legacy-restore", given=LEGACY)
        run("ip6tables-nft-restore", given=SIXTH)
        run("nft", "-f", "-", given=OTHERS)
        found = Host(tmp_path / "state", tmp_path / "etc", tmp_path / "dumps")
        found.collect()
        yield found
    assert os.path.exists("/proc/self")  # noqa: PTH110 -- back outside
