"""What the lab excuses: each intended difference by its cause, and nothing else that looks like it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.by_rules import RulesOnBridges
from fwtrans.lab.intended import TEXTS, Known, intended
from fwtrans.lab.judge import Difference, LabFailed, Question, compare, judge_all, nft_side
from fwtrans.lab.kernels import SETTING
from fwtrans.lab.on_bridges import hardware_of, topology_of
from fwtrans.lab.probe import Follow, Kind, Probe, Step
from fwtrans.lab.sides import Variant, side_of
from fwtrans.laboratory import LabResult, LabSettings, compare_in_lab
from fwtrans.read import as_dumps, read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fwtrans.lab.kernels import Kernel
    from fwtrans.lab.probe import Observation

CLUSTER = "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n"
HOST_FW = "[RULES]\n\nIN ACCEPT -p udp -dest 224.0.0.1 -dport 5353\n"
REFUSES = (
    "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[RULES]\n\nIN ACCEPT -p tcp -dport 80\nIN REJECT -p udp -dport 4000\n"
)
REFUSES_TCP = (
    "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[RULES]\n\nIN REJECT -p tcp -dport 4001\nOUT DROP -p udp -dport 5353\n"
)
NODE = '{"nodename": "pve1", "local_network": "198.51.100.0/24", "host_ip": "198.51.100.2"}\n'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration of a node with two guests."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "qemu-server").mkdir()
    texts = {"cluster.fw": CLUSTER, "host.fw": HOST_FW, "100.fw": REFUSES, "101.fw": REFUSES_TCP, "vms.json": NODE}
    for name, text in texts.items():
        (folder / name).write_text(text)
    for place, vmid in enumerate((100, 101)):
        card = f"net0: virtio=BC:24:11:00:01:0{place},bridge=vmbr0,firewall=1\n"
        (folder / "qemu-server" / f"{vmid}.conf").write_text(f"name: guest{vmid}\n{card}")
    return folder


def texts_of(folder: Path) -> tuple[SourceFile, ...]:
    sink = DiagnosticSink()
    found = read_paths([str(folder)], sink)
    assert not sink.errors, sink.errors
    return found


@pytest.fixture(scope="module")
def translated(node: Path) -> str:
    sink = DiagnosticSink()
    output = translate(texts_of(node), Settings(), sink, FileAccess()).output
    assert not sink.errors, sink.errors
    return output


# --- by what was seen, with the rules of a real configuration ---


class Hosts(NamedTuple):
    """What is known with firewall bridges still there on the new side, and without."""

    bridges: Known
    direct: Known


@pytest.fixture(scope="module")
def hosts(node: Path) -> Hosts:
    sink = DiagnosticSink()
    reading = read_inputs(texts_of(node), sink, FileAccess())
    assert reading is not None, sink.errors
    rules, host = reading.ruleset, reading.host
    classic, direct = (topology_of(rules, rules, host, with_firewall_bridges=bridges) for bridges in (True, False))
    told = frozenset(hardware_of(rules, rules, host))
    assert told == {"tap100i0", "tap101i0"}
    refusal = RulesOnBridges(rules, classic, on_every_bridge=True).refusal
    return Hosts(Known(classic, classic, refusal, told), Known(classic, direct, refusal, told))


def probe(source: str, target: str, kind: Kind, dport: int, **more: object) -> Probe:
    return Probe(id="1", source=source, target=target, kind=kind, sport=40000, dport=dport, **more)  # type: ignore[arg-type]  # those of its fields


REFUSED_UDP = probe("tap101i0", "tap100i0", Kind.UDP, 4000)
DENIED_UDP = probe("tap101i0", "tap100i0", Kind.UDP, 4001)
REFUSED_TCP = probe("tap100i0", "tap101i0", Kind.TCP, 4001)
FROM_HOST = probe("host", "tap100i0", Kind.UDP, 4000)
ALLOWED_GROUP = probe("tap100i0", "tap101i0", Kind.UDP, 5353, target_address="224.0.0.1")
DENIED_GROUP = probe("tap101i0", "tap100i0", Kind.UDP, 5353, target_address="224.0.0.1")
WHO_HAS = probe("tap100i0", "host", Kind.ARP_REQUEST, 0)
PORT = ("icmp 3/3",)


def seen(answers: Sequence[str] = (), at: Sequence[str] = (), by: Sequence[str] = (), sender: str = "") -> Step:
    return Step(sender, tuple(at), tuple(answers), heard_by=tuple(by))


def named(asked: Probe, known: Known, what: str, old: Step, new: Step, *, turned: bool = False) -> str:
    sides = [Step(asked.source, one.seen_at, one.answers, one.logs, heard_by=one.heard_by) for one in (old, new)]
    return intended(asked, Difference(asked.id, 0, tuple(what.split()), *sides), known, turned=turned)


def test_a_refusal_that_was_lost_arrives(hosts: Hosts) -> None:
    for known in hosts:
        assert named(REFUSED_UDP, known, "answers", seen(), seen(PORT)) == "reset-arrives"
        assert named(REFUSED_TCP, known, "answers", seen(), seen(("tcp-reset",))) == "reset-arrives"
        assert named(REFUSED_UDP, known, "answers", seen(PORT), seen(), turned=True) == "reset-arrives"


def test_a_drop_that_became_a_refusal_is_a_fault(hosts: Hosts) -> None:
    for known in hosts:
        assert not named(DENIED_UDP, known, "answers", seen(), seen(PORT))
        assert not named(DENIED_UDP, known, "answers arrival", seen(at=["eth0"]), seen(PORT))


def test_a_refusal_of_another_kind_is_a_fault(hosts: Hosts) -> None:
    assert not named(REFUSED_UDP, hosts.bridges, "answers", seen(), seen(("icmp 3/13",)))
    assert not named(REFUSED_UDP, hosts.bridges, "answers", seen(("icmp 3/3 at eth0",)), seen(("icmp 3/13",)))
    assert not named(REFUSED_TCP, hosts.bridges, "answers", seen(), seen(PORT))


def test_a_refusal_goes_back_and_not_elsewhere(hosts: Hosts) -> None:
    astray = seen(("icmp 3/3 at eth0",))
    assert named(REFUSED_UDP, hosts.direct, "answers", astray, seen(PORT)) == "answer-goes-back"
    assert not named(REFUSED_UDP, hosts.direct, "answers", seen(PORT), astray)


def test_what_is_refused_on_arrival_is_flooded_to_fewer(hosts: Hosts) -> None:
    flooded = seen(at=["eth0"])
    assert named(REFUSED_UDP, hosts.direct, "answers arrival", flooded, seen(PORT)) == "reject-on-arrival"
    assert not named(REFUSED_UDP, hosts.direct, "answers arrival", seen(), seen(PORT, at=["eth0"]))
    logged = Step("", (), PORT, ("a log that nobody wrote before",))
    assert not named(REFUSED_UDP, hosts.direct, "answers arrival logs", flooded, logged)


def test_what_the_host_sends_is_refused_where_it_can_be(hosts: Hosts) -> None:
    assert named(FROM_HOST, hosts.direct, "answers", seen(PORT), seen()) == "host-reject-is-drop"
    assert not named(FROM_HOST, hosts.bridges, "answers", seen(PORT), seen())


def test_a_refusal_is_a_drop_only_where_nobody_told_the_guests_address(hosts: Hosts) -> None:
    untold = hosts.direct._replace(told=frozenset({"tap101i0"}))
    assert named(REFUSED_UDP, untold, "answers", seen(PORT), seen()) == "reject-is-drop"
    assert named(REFUSED_UDP, untold, "answers", seen(("icmp 3/3 at eth0",)), seen()) == "reject-is-drop"
    behind_bridges = hosts.bridges._replace(told=untold.told)
    assert named(FROM_HOST, behind_bridges, "answers", seen(PORT), seen()) == "reject-is-drop"
    assert not named(REFUSED_UDP, hosts.direct, "answers", seen(PORT), seen())
    assert not named(DENIED_UDP, untold, "answers", seen(PORT), seen())


def test_a_group_that_the_host_heard_by_the_firewall_bridge_alone(hosts: Hosts) -> None:
    alone = seen(at=["host"], by=["fwbr101i0"])
    assert named(DENIED_GROUP, hosts.direct, "arrival", alone, seen()) == "guest-to-host-by-firewall-bridge"
    by_its_own = seen(at=["eth0", "host"], by=["fwbr100i0", "vmbr0"])
    assert not named(ALLOWED_GROUP, hosts.direct, "arrival", by_its_own, seen(at=["eth0"]))
    assert not named(DENIED_GROUP, hosts.direct, "arrival", seen(at=["host"], by=["fwbr101i0", "vmbr0"]), seen())
    assert not named(DENIED_GROUP, hosts.direct, "arrival", seen(), alone)
    assert named(DENIED_GROUP, hosts.bridges, "arrival", alone, seen()) == "guest-to-host-by-firewall-bridge"
    only_bridges = seen(at=["eth0", "host"], by=["fwbr100i0", "fwbr101i0"])
    assert (
        named(ALLOWED_GROUP, hosts.direct, "arrival", only_bridges, seen(at=["eth0"]))
        == "guest-to-host-by-firewall-bridge"
    )
    assert not named(ALLOWED_GROUP, hosts.direct, "arrival", only_bridges, seen())
    assert not named(ALLOWED_GROUP, hosts.bridges, "arrival", only_bridges, seen(at=["eth0"]))


def test_a_firewall_bridge_that_is_gone_answers_no_more(hosts: Hosts) -> None:
    both = seen(("arp-reply from fwbr100i0", "arp-reply from vmbr0"))
    rest = seen(("arp-reply from vmbr0",))
    assert named(WHO_HAS, hosts.direct, "answers", both, rest) == "guest-to-host-by-firewall-bridge"
    assert not named(WHO_HAS, hosts.direct, "answers", both, seen())
    assert not named(WHO_HAS, hosts.direct, "answers", rest, seen())
    assert not named(WHO_HAS, hosts.bridges, "answers", both, rest)
    flooded = seen((*both.answers, "arp-reply from fwbr101i0"))
    assert named(WHO_HAS, hosts.direct, "answers", flooded, rest) == "guest-to-host-by-firewall-bridge"
    assert not named(WHO_HAS, hosts.direct, "answers", flooded, both)
    assert not named(WHO_HAS, hosts.bridges, "answers", flooded, both)
    dropped = seen(("arp-reply from fwbr100i0",))
    assert named(WHO_HAS, hosts.bridges, "answers", dropped, seen()) == "guest-to-host-by-firewall-bridge"


def test_an_answer_to_a_reply_is_no_refusal(hosts: Hosts) -> None:
    """Replies belong to a known connection, which no rule of PVE refuses."""
    talk = probe("tap101i0", "tap100i0", Kind.UDP, 4000, follow=(Follow.REPLY,))
    sides = (Step("tap100i0", ()), Step("tap100i0", (), PORT))
    assert not intended(talk, Difference("1", 1, ("answers",), *sides), hosts.bridges)


def test_every_name_has_a_text() -> None:
    names = {"reset-arrives", "answer-goes-back", "host-reject-is-drop", "guest-to-host-by-firewall-bridge"}
    assert names | {"reject-is-drop", "reject-on-arrival"} <= set(TEXTS)


# --- wrong translations, in a kernel ---


def wrong_chain(family: str, hook: str, priority: int, rule: str) -> str:
    chain = f"\tchain c {{\n\t\ttype filter hook {hook} priority {priority}; policy accept;\n\t\t{rule}\n\t}}\n"
    return f"table {family} wrong {{\n{chain}}}\n"


TO_100 = "ether daddr bc:24:11:00:01:00 ct state new"
WRONG = {
    "a drop is a refusal": wrong_chain("bridge", "prerouting", -185, f"{TO_100} udp dport != 4000 reject"),
    "a refusal of another kind": wrong_chain(
        "bridge", "prerouting", -185, f"{TO_100} udp dport 4000 reject with icmpx admin-prohibited"
    ),
    "a refusal is a drop": wrong_chain("bridge", "prerouting", -185, f"{TO_100} udp dport 4000 drop"),
    "the host does not hear a group": wrong_chain("inet", "input", -1, "udp dport 5353 drop"),
}


def in_kernel(node: Path, script: str, kernel: Kernel, budget: int, monkeypatch: pytest.MonkeyPatch) -> LabResult:
    if kernel.timed:
        monkeypatch.setenv(SETTING, kernel.command[0])
    settings = LabSettings(budget=budget, kernel="uml" if kernel.timed else "running")
    sink = DiagnosticSink()
    found = compare_in_lab(texts_of(node), [SourceFile("new.nft", script)], settings, sink, FileAccess())
    assert found is not None, sink.errors
    return found


FLOOD = "[OPTIONS]\n\nprotection_synflood: 1\nprotection_synflood_rate: 1\nprotection_synflood_burst: 60\n"


@pytest.mark.netns
@pytest.mark.kernel
def test_a_rate_that_runs_dry_sooner_on_several_bridges_is_no_difference(
    node: Path, bridge_kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded = tmp_path / "flooded"
    shutil.copytree(node, flooded)
    (flooded / "host.fw").write_text(FLOOD)
    sent: list[int] = []

    def counted(questions: Sequence[Question], kernel: Kernel, *, seconds: int) -> list[list[Observation] | LabFailed]:
        sent.append(len(questions[0].probes))
        return judge_all(questions, kernel, seconds=seconds)

    monkeypatch.setattr("fwtrans.laboratory.judge_all", counted)
    output = translate(texts_of(flooded), Settings(), DiagnosticSink(), FileAccess()).output
    found = in_kernel(flooded, output, bridge_kernel, 300, monkeypatch)
    assert found.same, found.disagreements[:3]
    first, again = sent
    assert first == 300
    assert 0 < again <= found.unsteady < 60


@pytest.mark.netns
@pytest.mark.kernel
def test_a_right_translation_differs_as_it_is_meant_to(
    node: Path, translated: str, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = in_kernel(node, translated, bridge_kernel, 500, monkeypatch)
    assert found.same, found.disagreements[:3]
    assert "reset-arrives" in {name for name, _ in found.intended}


@pytest.mark.netns
@pytest.mark.kernel
def test_the_kernel_tells_by_which_bridge_the_host_heard_a_group(
    node: Path, translated: str, hosts: Hosts, bridge_kernel: Kernel
) -> None:
    sink = DiagnosticSink()
    classic = side_of("old", as_dumps(texts_of(node), FileAccess()), Variant.LEGACY, sink)
    assert classic is not None, sink.errors
    probes = (DENIED_GROUP, replace(ALLOWED_GROUP, id="2"))
    questions = [
        Question(classic, hosts.direct.several, probes), Question(nft_side(translated), hosts.direct.once, probes)
    ]  # fmt: skip
    old, new = judge_all(questions, bridge_kernel)
    assert not isinstance(old, LabFailed), old
    assert not isinstance(new, LabFailed), new
    assert [one.steps[0].heard_by for one in old] == [("fwbr101i0",), ("fwbr100i0", "fwbr101i0", "vmbr0")]
    assert [one.steps[0].heard_by for one in new] == [(), ("vmbr0",)]
    (difference,) = compare(old, new)
    assert intended(DENIED_GROUP, difference, hosts.direct) == "guest-to-host-by-firewall-bridge"


@pytest.mark.netns
@pytest.mark.kernel
@pytest.mark.parametrize("kind", WRONG)
def test_a_fault_that_looks_like_an_intended_difference_is_found(
    kind: str, node: Path, translated: str, bridge_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = in_kernel(node, translated + WRONG[kind], bridge_kernel, 900, monkeypatch)
    assert found.disagreements, found.intended
