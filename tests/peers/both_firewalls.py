"""The same packets before iptables-legacy and before its translation, each alone in a namespace of its own.

Alone, because rules that write marks or change sets would otherwise see each other's work. A counter for each rule is
the answer; the rules stand in mangle PREROUTING, where every received packet passes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lower.extensions import frames
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.report.translation import Translation

NEAR, FAR = "10.9.0.1", "10.9.0.2"
NEAR6, FAR6 = "fd00:9::1", "fd00:9::2"
REPLAY = REPOSITORY / "tests" / "lower" / "extensions" / "replay.py"
_ETHERNET = bytes.fromhex("020000000001020000000002")
_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")

kernel = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore"),
]


class Counted(NamedTuple):
    """How many packets a rule counted, on either side."""

    rule: str
    iptables: int
    nft: int


def mangle(rules: Iterable[str], chains: Iterable[str] = ()) -> str:
    """Return a dump whose rules stand in mangle PREROUTING; one that begins with `-A` says itself where it stands."""
    lines = [rule if rule.startswith("-A ") else f"-A PREROUTING {rule}" for rule in rules]
    heads = [*(f":{name} ACCEPT [0:0]" for name in _CHAINS), *(f":{name} - [0:0]" for name in chains)]
    return "\n".join(["*mangle", *heads, *lines, "COMMIT", ""])


def translated(dump: str, *, family: str = "ip", ipsets: str = "", counters: bool = False) -> Translation:
    """Return the translation of a dump and its ipsets; the test fails where any part of it is refused."""
    sources = [SourceFile("iptables-save" if family == "ip" else "ip6tables-save", dump)]
    if ipsets:
        sources.append(SourceFile("ipset-save", ipsets))
    sink = DiagnosticSink()
    result = translate(sources, Settings(counters=counters), sink, FileAccess())
    refused = [f"{error.code} {error.message}" for error in sink.errors]
    assert refused == [], refused
    return result


def count(
    rules: Sequence[str], packets: Iterable[bytes], *, family: str = "ip", ipsets: str = "", chains: Iterable[str] = ()
) -> list[Counted]:
    """Send the packets to both firewalls and return what each rule counted. What the kernel itself sends is left out.

    A last rule drops, so that nobody answers.
    """
    rules = ("! -i v1 -j DROP", *rules, "-j DROP")
    dump = mangle(rules, chains)
    script = translated(dump, family=family, ipsets=ipsets, counters=True).output
    sent = [ethernet(packet) for packet in packets]
    left = _counted_by_iptables(
        _replay({"iptables": {family: dump}, "nft": "", "frames": sent, "ipset": ipsets}), family
    )
    right = _counted_by_nft(_replay({"iptables": {}, "nft": script, "frames": sent}))
    first = dump.split("\n").index(next(line for line in dump.split("\n") if line.startswith("-A "))) + 1
    places = [place for place, line in enumerate(dump.split("\n")[first - 1 : -2], first)]
    in_order = sorted(range(len(rules)), key=lambda number: _chain_of(rules[number], chains))
    assert len(left) == len(rules)
    by_rule = dict(zip(in_order, left, strict=True))
    return [Counted(rule, by_rule[number], right.get(places[number], 0)) for number, rule in enumerate(rules)][1:-1]


def assert_alike(counted: Sequence[Counted]) -> None:
    """Fail where the two sides differ, or where no packet said anything."""
    different = [item for item in counted if item.iptables != item.nft]
    assert different == [], different
    assert any(item.iptables for item in counted), "no rule counted a packet: the packets are the wrong ones"


def ethernet(packet: bytes) -> str:
    """Return the frame of an IP packet, in hexadecimal."""
    kind = frames.IPV4 if packet[0] >> 4 == 4 else frames.IPV6
    return (_ETHERNET + kind.to_bytes(2, "big") + packet).hex()


def bytecode(script: str, zone: str = "UTC") -> str:
    """Return nft's own instructions for a script, loaded by someone in the time zone."""
    done = subprocess.run(
        ["unshare", "-n", "nft", "--debug=netlink", "-f", "-"],
        input=script, text=True, capture_output=True, check=False, env={"TZ": zone, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def listing(script: str) -> str:
    """Load a script into a namespace of its own and return what the kernel holds."""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", "ip link set lo up; nft -f -; nft -s list ruleset"],
        input=script, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _chain_of(rule: str, chains: Iterable[str]) -> tuple[int, str]:
    """Return the order in which iptables-legacy-save prints the chains: built-in ones, then the others by name."""
    chain = rule.split()[1] if rule.startswith("-A ") else "PREROUTING"
    return (1, chain) if chain in set(chains) else (0, f"{_CHAINS.index(chain)}")


def _replay(order: dict[str, object]) -> dict[str, object]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(REPLAY)],
        input=json.dumps(order), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _counted_by_iptables(answer: dict[str, object], family: str) -> list[int]:
    saved = answer["iptables"]
    assert isinstance(saved, dict)
    table = str(saved[family]).partition("*mangle")[2].partition("COMMIT")[0]
    return [int(number) for number in re.findall(r"^\[(\d+):\d+\] -A ", table, re.MULTILINE)]


def _counted_by_nft(answer: dict[str, object]) -> dict[int, int]:
    listed = answer["nft"]
    assert isinstance(listed, dict)
    found: dict[int, int] = {}
    for item in listed["nftables"]:
        rule = item.get("rule", {})
        if rule.get("table") == "fwtrans" and "comment" in rule:  # those without are parts of one that has it
            line = int(rule["comment"].split()[0].partition(":")[2])
            packets = sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
            found[line] = found.get(line, 0) + packets
    return found
