"""Each of the programs that own rules, in both of its variants: what it had comes back byte for byte, counters aside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.boot import BootFiles
from fwtrans.collect.run import collect
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.conftest import Host, run
from tests.apply.test_apply import Run, confirmed, rolled_back
from tests.namespaces import namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

IP = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i eth7 -j DROP
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i eth8 -j MARK --set-xmark 0x7/0xff
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:mine - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m set --match-set {set} src -j ACCEPT
-A FORWARD -j mine
-A mine -p tcp -m tcp --dport 443 -m comment --comment "a \\"quoted\\" word" -j ACCEPT
-A mine -p udp -m limit --limit 7/min --limit-burst 9 -j ACCEPT
COMMIT
"""
BRIDGE = """\
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:frames ACCEPT
-A FORWARD -i eth9 -j frames
-A frames -s bc:24:11:06:0f:84 -j DROP
-A frames -p ARP --arp-ip-src 192.0.2.7 -j ACCEPT
"""
ARP = (
    "-N mine",
    "-A INPUT -i eth9 -s 192.0.2.9 --opcode 1 -j DROP",
    "-A INPUT -j mine",
    "-A mine ! -d 192.0.2.0/24 -j DROP",
)


class Every(Host):
    """A host whose rules are all of one variant."""

    def listing(self, *, with_nft: bool = True) -> str:
        """Return what every program of both variants lists, and nft."""
        programs = ("iptables", "ip6tables", "ebtables", "arptables")
        parts = [run(f"{program}-nft-save") for program in programs]
        parts += [run(f"{program}-legacy-save") for program in ("iptables", "ip6tables")]
        parts.append(run("arptables-legacy", "-L", "-n"))
        parts += [run("ipset", "save"), run("nft", "list", "ruleset") if with_nft else ""]
        parts += [path.read_text() for path in sorted(Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"))]
        lines = [line for part in parts for line in part.splitlines() if not line.startswith("#")]
        return "\n".join(re.sub(r" \[\d+:\d+\]$|counter packets \d+ bytes \d+", "", line) for line in lines)


@pytest.fixture(params=["legacy", "nft"])
def every(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Every]:
    with namespace():
        run("ip", "link", "set", "lo", "up")
        run("ipset", "create", "four", "hash:net")
        run("ipset", "add", "four", "198.51.100.0/24")
        run("ipset", "create", "six", "hash:net", "family", "inet6")
        run("ipset", "add", "six", "2001:db8::/32")
        variant = request.param
        run(f"iptables-{variant}-restore", given=IP.format(set="four"))
        run(f"ip6tables-{variant}-restore", given=IP.format(set="six"))
        # not every kernel has ebtables-legacy; a Proxmox VE node is another test's, in one that has
        run("ebtables-nft-restore", given=BRIDGE)
        for rule in ARP:
            run(f"arptables-{variant}", *rule.split())
        found = Every(tmp_path / "state", tmp_path / "etc", tmp_path / "dumps")
        sink = DiagnosticSink()
        assert collect(found.dumps, tmp_path, sink) is not None
        assert sink.errors == ()
        yield found


def test_not_confirmed_all_of_it_is_byte_for_byte_what_it_was(every: Every) -> None:
    before = every.listing()
    told = Run(every, confirm_within=0.2).wait_for_load().result()
    assert told["outcome"] == "restored"
    assert every.listing() == before


def test_confirmed_it_is_out_of_the_way_and_comes_back(every: Every) -> None:
    before = every.listing(with_nft=False)
    going = Run(every).wait_for_load()
    confirmed(every)
    going.result()
    tables = run("nft", "list", "tables").splitlines()
    assert set(tables) == {f"table {family} fwtrans" for family in ("ip", "ip6", "bridge", "arp")}
    for line in every.listing().splitlines():
        assert not line.startswith(("-A ", "[0:0] -A ")), "the old rules are still there"
    rolled_back(every)
    after = every.listing(with_nft=False)
    assert sorted(after.splitlines()) == sorted(before.splitlines())
    assert "fwtrans" not in run("nft", "list", "tables")
    assert BootFiles(every.etc).rules.exists() is False
