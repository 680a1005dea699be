"""What each rule matches, counted by the kernel: the rule in iptables, its translation in nft, the same packets.

Only the matches stand in the rules, so that every rule sees every packet. Both rulesets sit at the same hook and
priority of one namespace. See `replay.py`, which runs inside.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lower.extensions import traffic
from tests.lower.extensions.match_cases import Case, dump_of, read_cases, translate, without_target

REPLAY = Path(__file__).with_name("replay.py")
CONNECTIONS = {"conntrack", "state", "connmark", "connbytes", "connlabel", "helper"}
# Rates of more than a few a minute fill a bucket while the packets pass, by clocks of different grain.
FAST = re.compile(r"--(hash)?limit(-upto|-above)? \S*(/s|b/s|[0-9] |[0-9]$)|/second|/SEC")

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore"),
]


class Counted(NamedTuple):
    rule: str
    iptables: int
    nft: int


def count(rules: list[str], family: str, chain: str, frames: list[str], *, more: str = "") -> list[Counted]:
    """Return how often each rule matched on either side. `more` is another table for iptables alone."""
    dump = dump_of("mangle", chain, rules)
    found = translate(dump, family, counters=True)
    assert found.codes == ()
    order = {"iptables": {family: dump + more}, "nft": found.script, "frames": frames, "bind": [traffic.OPEN_PORT]}
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(REPLAY)],
        input=json.dumps(order), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    saved = answer["iptables"][family].partition("*mangle")[2].partition("COMMIT")[0]
    left = [int(number) for number in re.findall(rf"^\[(\d+):\d+\] -A {chain}\b", saved, re.MULTILINE)]
    assert len(left) == len(rules)
    first = dump.split("\n").index(f"-A {chain} {rules[0]}") + 1
    right = [0] * len(rules)
    for item in answer["nft"]["nftables"]:
        rule = item.get("rule", {})
        if rule.get("table") == "fwtrans":
            packets = sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
            right[int(rule["comment"].split()[0]) - first] += packets
    return [Counted(*both) for both in zip(rules, left, right, strict=True)]


def assert_equal(counted: list[Counted]) -> None:
    assert [item for item in counted if item.iptables != item.nft] == []
    # most rules must have had something to say, or the packets are the wrong ones
    assert sum(item.iptables > 0 for item in counted) * 2 > len(counted)


def _rules(family: str, *, connections: bool, protocol: bool | None = None) -> list[str]:
    return [
        _with_own_table(without_target(case.rule), number)
        for number, case in enumerate(read_cases())
        if case.family == family
        and not case.code
        and (case.extension in CONNECTIONS) == connections
        and _stands_at_the_entrance(case)
        and (protocol is None or case.rule.startswith("-p ") == protocol)
    ]


def _stands_at_the_entrance(case: Case) -> bool:
    """Tell whether a rule may stand in PREROUTING and can be counted with others: it neither drops nor labels."""
    if case.chain not in {"FORWARD", "PREROUTING"} or "--dst-group" in case.rule:
        return False
    return case.extension != "connlimit" and "--set" not in case.rule and not FAST.search(case.rule)


def _with_own_table(rule: str, number: int) -> str:
    return re.sub(r"(--hashlimit-name) \S+", rf"\1 table{number}", rule)


def test_ipv4_without_connections_and_with_fragments() -> None:
    # with ports in its key, hashlimit takes the payload of later fragments for ports: said as an assumption
    rules = [rule for rule in _rules("ip", connections=False) if not re.search("mode.*port", rule)]
    assert_equal(count(rules, "ip", "PREROUTING", traffic.ipv4(fragments=True)))


def test_ipv4_with_connections() -> None:
    rules = [*_rules("ip", connections=True), *_rules("ip", connections=False)]
    translated = "*nat\n-A PREROUTING -p udp --dport 5353 -j DNAT --to-destination 10.9.0.1:5000\nCOMMIT\n"
    counted = count(rules, "ip", "PREROUTING", traffic.ipv4(fragments=True), more=translated)
    assert_equal(counted)
    seen = {item.rule: item.iptables for item in counted}
    # only the second packet of a translated connection shows its status here, before nat
    assert seen["-m conntrack --ctstate NEW,DNAT"] > seen["-m conntrack --ctstate SNAT,DNAT"] > 0
    assert seen["-m conntrack --ctdir reply"] > 0


@pytest.mark.parametrize("connections", [False, True])
def test_ipv6_without_protocols(connections: bool) -> None:
    rules = _rules("ip6", connections=False, protocol=False)
    if connections:
        rules += _rules("ip6", connections=True)
    frames = traffic.ipv6(fragments=not connections, authenticated=True)
    assert_equal(count(rules, "ip6", "PREROUTING", frames))


@pytest.mark.parametrize("fragments", [False, True])
def test_ipv6_with_protocols(fragments: bool) -> None:
    """Behind an authentication header nftables sees no protocol, so that there is none in these packets."""
    frames = traffic.ipv6(fragments=fragments, authenticated=False)
    assert_equal(count(_rules("ip6", connections=False, protocol=True), "ip6", "PREROUTING", frames))


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize("chain", ["OUTPUT", "POSTROUTING"])
def test_on_the_way_out(family: str, chain: str) -> None:
    rules = [
        "-m addrtype --limit-iface-out --src-type LOCAL",
        "-m addrtype ! --dst-type LOCAL --limit-iface-out",
        "-m addrtype --dst-type UNICAST",
        "-m devgroup --dst-group 0/3",
        "-m devgroup ! --dst-group 0",
        "-m cgroup --cgroup 0",
        "-m cgroup ! --cgroup 0",
        "-m length --length :100",
    ]
    frames = traffic.ipv4(fragments=False) if family == "ip" else traffic.ipv6(fragments=False, authenticated=True)
    assert_equal(count(rules, family, chain, frames))


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize(
    "rule",
    [
        "-p udp -m connlimit --connlimit-above 2",
        "-p udp -m connlimit --connlimit-upto 2 --connlimit-daddr",
        "-p udp -m connlimit ! --connlimit-above 3 --connlimit-mask 16",
        "-p udp -m connlimit --connlimit-above 3 --connlimit-mask 0",
        "-p udp -m connlimit --connlimit-above 7 --connlimit-mask 31",
    ],
)
def test_connections_are_counted_alike(family: str, rule: str) -> None:
    """A count that cannot be made drops the packet on both sides: one rule at a time."""
    (counted,) = count([rule], family, "PREROUTING", traffic.connections(family))
    assert counted.iptables == counted.nft
    assert 0 < counted.nft < 36


def test_rules_of_one_table_name_share_its_buckets() -> None:
    """The second rule states another rate and key; in the kernel those of the first count, and each rule charges."""
    rules = [
        "-p udp -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 7 --hashlimit-mode srcip --hashlimit-name one",
        "-p udp -m hashlimit --hashlimit-upto 9/hour --hashlimit-burst 9 --hashlimit-mode dstip --hashlimit-name one",
        "-p udp -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 7 --hashlimit-mode srcip --hashlimit-name two",
    ]
    counted = count(rules, "ip", "PREROUTING", traffic.ipv4(fragments=False))
    assert_equal(counted)
    assert counted[0].iptables + counted[1].iptables == counted[2].iptables


def test_a_label_that_is_set_is_there_for_later_rules() -> None:
    rules = [
        "-m connlabel --label 64",
        "-m connlabel --label 64 --set",
        "-m connlabel --label 64",
        "-m connlabel ! --label 64",
    ]
    (first, setting, later, without) = count(rules, "ip", "PREROUTING", traffic.ipv4(fragments=False))
    assert setting.iptables == setting.nft == later.nft == later.iptables
    assert without.nft == without.iptables
    assert 0 < first.nft < later.nft
