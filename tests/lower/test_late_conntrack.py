"""The raw table's second chains: what moves there, what stays, what is refused, and that a helper really is set."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.effect import Assign, Effect, Log, NoTrack, SetHelper
from fwtrans.ir.fields import CT_STATE, CT_ZONE, DPORT, L4PROTO, MARK, Family
from fwtrans.ir.match import PureTest, bits, number
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Ruleset, Table
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulObject, StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Jump, Queue, Return, Verdict
from fwtrans.lower.extensions.targets.ct import UNCONFIRMED
from fwtrans.lower.late_conntrack import PRIORITY, with_tracked_chains
from fwtrans.source import Origin, SourceFile

SOURCE = SourceFile("dump", "-A PREROUTING -j ACCEPT\n")
RAW = BaseHook("filter", Hook.PREROUTING, -300)
TCP = number(L4PROTO, 6)
FTP = SetHelper("ftp", "ip", "tcp")
HELPED = (UNCONFIRMED, number(CT_STATE, 3), FTP)
SOMETIMES = StatefulTest(StatefulObject("bucket", Limit(1, LimitUnit.SECOND, 5)))


def rule(*steps: PureTest | StatefulTest | Effect, verdict: Verdict | None = None) -> Rule:
    return Rule(steps, verdict, (Origin(SOURCE, 1),))


def raw(*rules: Rule, name: str = "raw-PREROUTING", base: BaseHook | None = RAW) -> Chain:
    return Chain(name, rules, base)


def split(*chains: Chain) -> tuple[dict[str, Chain], DiagnosticSink]:
    sink = DiagnosticSink()
    return {chain.name: chain for chain in with_tracked_chains(chains, sink)}, sink


def test_without_a_helper_all_stays_as_it_is() -> None:
    chains = (raw(rule(TCP, NoTrack())),)
    assert with_tracked_chains(chains, DiagnosticSink()) == chains


def test_a_helper_moves_behind_connection_tracking() -> None:
    found, sink = split(raw(rule(TCP, *HELPED), rule(NoTrack())))
    assert not sink.found
    assert found["raw-PREROUTING"].rules == (rule(NoTrack()),)
    tracked = found["raw-PREROUTING-tracked"]
    assert tracked.rules == (rule(TCP, *HELPED),)
    assert tracked.base is not None
    assert (tracked.base.hook, tracked.base.priority, tracked.base.accepts) == (Hook.PREROUTING, PRIORITY, True)


def test_a_zone_stays_and_its_helper_moves() -> None:
    zone = Assign(CT_ZONE, 0, 3)
    found, _ = split(raw(rule(TCP, zone, *HELPED)))
    assert found["raw-PREROUTING"].rules == (rule(TCP, zone),)
    assert found["raw-PREROUTING-tracked"].rules == (rule(TCP, *HELPED),)


def test_what_decides_who_gets_to_the_helper_is_asked_again() -> None:
    chains = (
        raw(
            rule(number(DPORT, 1), verdict=Accept()),
            rule(number(DPORT, 2), verdict=Drop()),
            rule(number(DPORT, 3), verdict=Queue()),
            rule(number(DPORT, 4), Log("seen")),
            rule(TCP, verdict=Jump("raw-helpers")),
        ),
        raw(rule(number(DPORT, 5), verdict=Return()), rule(*HELPED), name="raw-helpers", base=None),
    )
    found, sink = split(*chains)
    assert not sink.found
    assert found["raw-PREROUTING"].rules == chains[0].rules
    assert found["raw-PREROUTING-tracked"].rules == (
        rule(number(DPORT, 1), verdict=Accept()),
        rule(number(DPORT, 3), verdict=Accept()),
        rule(TCP, verdict=Jump("raw-helpers-tracked")),
    )
    assert found["raw-helpers"].rules == (rule(number(DPORT, 5), verdict=Return()),)
    assert found["raw-helpers-tracked"].rules == (rule(number(DPORT, 5), verdict=Return()), rule(*HELPED))


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ((rule(SOMETIMES, verdict=Accept()), rule(TCP, *HELPED)), "counts packets"),
        ((rule(SOMETIMES, *HELPED),), "counts packets"),
        ((rule(Assign(MARK, 0, 1)), rule(bits(MARK, 1, 1), *HELPED)), "asks for mark"),
        ((rule(number(CT_STATE, 4), *HELPED),), "asks for ct.state"),
    ],
)
def test_what_may_answer_otherwise_is_refused_at_its_line(rules: tuple[Rule, ...], reason: str) -> None:
    found, sink = split(raw(*rules))
    (error,) = sink.errors
    assert error.code == "FWT200"
    assert reason in error.message
    assert error.span is not None
    assert error.span.line == 1
    assert set(found) == {"raw-PREROUTING"}


# A helper shows in what it does: the data connection that an FTP server announces becomes a related one.
PROBE = """
import json, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["nft", "-f", "-"], input=sys.stdin.read(), text=True, check=True)
watch = "table ip watch { chain out { type filter hook output priority 10; tcp dport %d ct state related counter; }; }"
for control, data in ((2121, 5000), (2122, 5001)):
    subprocess.run(["nft", watch % data], check=True)
    listener = socket.create_server(("127.0.0.1", control))
    data_listener = socket.create_server(("127.0.0.1", data))
    client = socket.create_connection(("127.0.0.1", control))
    server = listener.accept()[0]
    server.sendall(b"220 ready\\r\\n")  # the helper learns from the first line where lines begin
    client.recv(100)
    server.sendall(b"227 Entering Passive Mode (127,0,0,1,%d,%d)\\r\\n" % (data >> 8, data & 255))
    client.recv(100)
    socket.create_connection(("127.0.0.1", data)).close()
listing = json.loads(subprocess.run(["nft", "-j", "list", "table", "ip", "watch"], capture_output=True).stdout)
rules = [item["rule"]["expr"] for item in listing["nftables"] if "rule" in item]
print(json.dumps([next(part["counter"]["packets"] for part in rule if "counter" in part) for rule in rules]))
"""


@pytest.mark.netns
def test_a_connection_gets_its_helper_and_no_other_does() -> None:
    chain = raw(rule(TCP, number(DPORT, 2121), *HELPED), base=BaseHook("filter", Hook.OUTPUT, -300), name="raw-OUTPUT")
    sink = DiagnosticSink()
    table = Table(Family.IP, "probe", with_tracked_chains((chain,), sink))
    text = print_ruleset(lower_ruleset(Ruleset((table,)), sink, Printing()).ruleset).text
    assert not sink.found
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", PROBE], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with_helper, without = json.loads(done.stdout)
    assert with_helper > 0
    assert without == 0
