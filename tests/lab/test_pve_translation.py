"""Proxmox VE nodes in a kernel: classic with firewall bridges against the translation with them, without, and with some left.

The packets are those of `pve_hosts`, each in a connection of its own. Where the sides differ, the difference must have the
shape of one that is meant and named in every report (`named_differences`).

User Mode Linux has no SCTP and DCCP matches, no NFQUEUE and few conntrack helpers: rules that need them are left out of the
input, and so of both sides. So are those of NAT, zones and TCPMSS: that bridged packets meet none of them any more is named
(`no-nat-on-bridges`, `one-zone`, `no-clamp-on-bridges`) and would hide what becomes of the packets otherwise.
Limits of NFLOG rules are raised on both sides, because which packet a limit holds for is chance.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from ipaddress import ip_interface
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.host import Host
from fwtrans.lab.judge import LabFailed, Question, Side, classic_side, judge_all, nft_side
from fwtrans.lab.loadable import loadable
from fwtrans.lab.probe import Kind, Probe, verdict_of
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lab.named_differences import Judged, differences, name_of
from tests.lab.pve_hosts import FEW, MANY, Form, Ports, probes_for, topology_of
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fwtrans.lab.kernels import Kernel
    from fwtrans.lab.probe import Observation
    from fwtrans.lab.topology import PveTopology

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

DUMPS = ("iptables-save", "ip6tables-save", "ipset-save", "ebtables-save")
SPREAD = (
    "s3", "f-pol-drop-drop", "f-pol-reject-reject", "f-lxc-ipfilter", "f-log-custom", "f-host-syn", "f-host-tcpf", "f-host-inv",
    "f-opt-ips", "f-opt-l2", "f-foreign", "f-protos",
)  # fmt: skip
_SECONDS = 580
_NOT_ON_BRIDGES = re.compile(r"(?m)^-A .*-j (?:MASQUERADE|SNAT|DNAT|TCPMSS|CT --zone).*\n")
_MISSING = re.compile(r"-m (sctp|dccp)|-j NFQUEUE|--helper ")
_LOG_LIMIT = re.compile(r"(?m)^(-A .*)-m limit --limit \S+(?: --limit-burst \d+)?(.*-j NFLOG)")


class Node(NamedTuple):
    """A configuration whose dumps the kernel can load."""

    name: str
    folder: Path
    texts: dict[str, str]
    named: frozenset[str]
    """The guests' ports that rules name."""

    def topology(self, form: Form, *, vlan_aware: bool = True) -> PveTopology:
        """Return its network."""
        return topology_of(self.folder / "input", form, vlan_aware=vlan_aware)

    def translated(self, *, optimize: bool) -> str:
        """Return the translation."""
        topology = self.topology(Form.BRIDGES)
        host = Host(
            addresses=tuple(ip_interface(one.address) for one in topology.host),
            hardware={guest.name: int(guest.mac.replace(":", ""), 16) for guest in topology.guests},
        )
        sources = [SourceFile(f"{self.name}/{dump}", text) for dump, text in self.texts.items()]
        sink = DiagnosticSink()
        found = translate(sources, Settings(host=host, optimize=optimize), sink, FileAccess())
        assert not sink.errors, [item.message for item in sink.errors]
        return found.output


@cache
def node_of(name: str, kernel: Kernel) -> Node:
    """Return a configuration without what the kernel does not have."""
    folder = SHARED / "pve-corpus" / name
    texts = {
        dump: _LOG_LIMIT.sub(
            r"\1-m limit --limit 10000/sec --limit-burst 10000\2", _NOT_ON_BRIDGES.sub("", (folder / dump).read_text())
        )
        for dump in DUMPS
    }
    found = loadable(texts, kernel)
    assert all(_MISSING.search(rule) for _, _, rule in found.left_out), found.left_out
    named = re.findall(r"--physdev-(?:in|out) ((?:tap|veth)\d+i\d+)", "".join(texts.values()))
    return Node(name, folder, found.texts, frozenset(named))


def judged(questions: Sequence[Question], kernel: Kernel) -> list[list[Observation]]:
    found = []
    for answer in judge_all(questions, kernel, seconds=_SECONDS):
        if isinstance(answer, LabFailed):
            raise answer
        found.append(answer)
    return found


def named_differences(
    node: Node,
    kernel: Kernel,
    probes: tuple[Probe, ...],
    sides: Sequence[tuple[Side, PveTopology]],
    *,
    vlan_aware: bool = True,
) -> tuple[Counter[str], list[str]]:
    """Return how often each intended difference shows, and what has no name."""
    questions = [Question(classic_side(node.texts), node.topology(Form.BRIDGES, vlan_aware=vlan_aware), probes)]
    questions.extend(Question(side, topology, probes) for side, topology in sides)
    old, *others = judged(questions, kernel)
    is_meaningful(old)
    names: Counter[str] = Counter()
    unnamed = []
    for (side, topology), new in zip(sides, others, strict=True):
        for item in differences(probes, old, new, topology, node.named):
            name = name_of(item)
            names[name or "none"] += 1
            if name is None:
                unnamed.append(told(side, item))
    return names, unnamed


def told(side: Side, item: Judged) -> str:
    return f"{side.name}: {item.probe.id}, step {item.difference.step}, {item.difference.what}: {item.difference.old} {item.difference.new}"


def is_meaningful(old: Sequence[Observation]) -> None:
    """Check that packets of both kinds were sent: a network where nothing arrives would find no difference."""
    verdicts = Counter(
        verdict_of(step, "" if number else one.target) for one in old for number, step in enumerate(one.steps)
    )
    assert verdicts["delivered"] > len(old) / 10
    assert not [one.id for one in old if one.steps[0].trouble]


def check(
    name: str, kernel: Kernel, ports: Ports, plain: Sequence[Form], *, most_ends: int, vlan_aware: bool = True
) -> None:
    node = node_of(name, kernel)
    probes = tuple(probes_for(node.topology(Form.BRIDGES, vlan_aware=vlan_aware), ports, most_ends=most_ends))
    outputs = {optimize: node.translated(optimize=optimize) for optimize in ((True, False) if plain else (True,))}
    sides = [
        (
            nft_side(outputs[optimize], f"{'optimised' if optimize else 'plain'}, {form}"),
            node.topology(form, vlan_aware=vlan_aware),
        )
        for optimize, forms in ((True, tuple(Form)), (False, plain))
        for form in forms
    ]
    names, unnamed = named_differences(node, kernel, probes, sides, vlan_aware=vlan_aware)
    print(f"{name}: {len(probes)} probes, {len(sides)} sides, {dict(names)}")  # noqa: T201 -- shown with -rP
    assert not unnamed, "\n".join(unnamed[:10])


@pytest.mark.parametrize("name", SPREAD)
def test_a_node_passes_the_same_packets(name: str, shared: Path, bridge_kernel: Kernel) -> None:
    assert shared.is_dir()
    check(name, bridge_kernel, FEW, (Form.MIXED,), most_ends=2)


def test_a_bridge_for_each_tag(shared: Path, bridge_kernel: Kernel) -> None:
    assert shared.is_dir()
    check("s3", bridge_kernel, FEW, (), most_ends=3, vlan_aware=False)


@pytest.mark.lab_long
@pytest.mark.parametrize("name", sorted(path.name for path in (SHARED / "pve-corpus").glob("*")))
def test_every_node_passes_the_same_packets(name: str, shared: Path, bridge_kernel: Kernel) -> None:
    assert shared.is_dir()
    check(name, bridge_kernel, MANY, tuple(Form), most_ends=3)
    if name.startswith("s"):
        check(name, bridge_kernel, FEW, (), most_ends=3, vlan_aware=False)


@pytest.mark.parametrize("name", ["s3", "f-pol-reject-reject"])
def test_nothing_more_passes_while_iptables_still_sees_bridged_packets(
    name: str, shared: Path, bridge_kernel: Kernel
) -> None:
    """A live host between the two rulesets: bridge-nf-call-iptables is still 1, with the old rules still there or gone."""
    assert shared.is_dir()
    node = node_of(name, bridge_kernel)
    output = node.translated(optimize=True)
    probes = tuple(probes_for(node.topology(Form.BRIDGES), FEW, most_ends=2))
    ours = nft_side(output).loads
    old_rules = classic_side(node.texts).loads
    sides = [
        (Side(what, loads, bridge_nf_call=True), node.topology(form))
        for what, loads in (("ours alone", ours), ("both", (*old_rules, *ours)))
        for form in (Form.BRIDGES, Form.MIXED)
    ]
    questions = [Question(classic_side(node.texts), node.topology(Form.BRIDGES), probes)]
    old, *others = judged([*questions, *(Question(side, topology, probes) for side, topology in sides)], bridge_kernel)
    more = []
    for (side, topology), new in zip(sides, others, strict=True):
        for item in differences(probes, old, new, topology, node.named):
            passes_more = item.difference.new is not None and (
                item.difference.old is None or set(item.after.seen_at) > set(item.before.seen_at)
            )
            if passes_more and name_of(item) is None:
                more.append(told(side, item))
    assert not more, "\n".join(more[:10])
    arrived = [sum(one.verdict == "delivered" for one in side) for side in (old, *others)]
    assert min(arrived[1:]) > arrived[0] * 0.7, arrived


def test_a_guest_reaches_the_host_by_its_firewall_bridge(shared: Path, bridge_kernel: Kernel) -> None:
    """The host answers ARP on the firewall bridge too (arp_ignore=0), and what is sent there passes none of the guest's rules."""
    assert shared.is_dir()
    node = node_of("f-opt-pout_d", bridge_kernel)
    jump = "-A INPUT -j PVEFW-INPUT"
    opened = node.texts["iptables-save"].replace(jump, f"-A INPUT -p udp -m udp --dport 4789 -j ACCEPT\n{jump}")
    assert opened != node.texts["iptables-save"]
    node = node._replace(texts={**node.texts, "iptables-save": opened})
    with_bridges, direct = node.topology(Form.BRIDGES), node.topology(Form.DIRECT)
    guest = next(guest for guest in with_bridges.guests if guest.name in node.named)
    bridge = f"fwbr{guest.number}"
    probes = (
        Probe(id="who has", source=guest.name, target="host", kind=Kind.ARP_REQUEST),
        Probe(id="by vmbr0", source=guest.name, target="host", kind=Kind.UDP, dport=4789, target_mac="vmbr0"),
        Probe(
            id="by the firewall bridge", source=guest.name, target="host", kind=Kind.UDP, dport=4789, target_mac=bridge
        ),
    )
    ours = nft_side(node.translated(optimize=True))
    old, new = judged(
        [Question(classic_side(node.texts), with_bridges, probes), Question(ours, with_bridges, probes)], bridge_kernel
    )
    assert {f"arp-reply from {bridge}", "arp-reply from vmbr0"} <= {*old[0].steps[0].answers}
    assert [one.verdict for one in old[1:]] == ["lost", "delivered"]
    assert [one.verdict for one in new[1:]] == ["lost", "lost"]
    (moved,) = judged([Question(ours, direct, probes[:1])], bridge_kernel)
    assert moved[0].steps[0].answers == ("arp-reply from vmbr0",)
