"""Nanoseconds a packet on a Proxmox VE node, over the number of guests, and through flat chains, over the number of rules.

Every side is in the same kernel in the same run; `own` is its time without that of the same path without rules. iptables can
only judge guests behind firewall bridges, which it is therefore measured with; ours with them and without.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nodes
from kernel import ROOT, bench_kernel, run_inside
from lists import entries, first_address, ruleset
from measure import OUT, write
from prepare import Wanted, make_all

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Dispatch
from fwtrans.lab.topology import GuestNic, PveTopology, RouterTopology, Uplink
from fwtrans.optimizer import calibration
from fwtrans.optimizer.search_nodes import look_up_time
from fwtrans.optimizer.steps import rule_price
from fwtrans.read import read_inputs
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import HookVisit, Packet
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Network

    from lists import Entry

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset

GUESTS = tuple(map(int, os.environ.get("BENCH_GUESTS", "10 100 500 1000").split()))
RULES = tuple(map(int, os.environ.get("BENCH_FLAT", "100 1000 5000 20000").split()))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "100"))
MOST_OPTIMISED = int(os.environ.get("BENCH_MOST_OPTIMISED", "20000"))
CANDIDATES, STEPS_UPHILL = 1500, 12
OUTSIDE = "10.30.0.7"
NO_RULES, DIRECT = "no rules", ", no firewall bridges"
CONNTRACK = "conntrack alone"
ONLY_CONNTRACK = """
table bridge alone {
	chain prerouting {
		type filter hook prerouting priority 0; policy accept;
		ct state invalid drop
	}
}
"""
CORPUS = ROOT.parent / "shared" / "proxmox-firewall-corpus"


def main() -> None:
    if os.geteuid():
        raise SystemExit("bench_packets: it needs root")
    print(f"kernel: {bench_kernel().name}", flush=True)
    if GUESTS:
        rows = list(node_rows())
        write("packets_nodes", rows, "Nanoseconds a packet; see the report for what the columns are.")
    if RULES:
        rows = list(flat_rows())
        write("packets_flat", rows, "Nanoseconds a packet; see the report for what the columns are.")


def node_rows() -> Iterator[dict[str, object]]:
    """Yield a row for each number of guests, packet, state and side."""
    wanted = [Wanted(f"node-{guests}{kind}", nodes.configuration(guests), (*options, "--no-verify"))
              for guests in GUESTS for kind, options in (("", ()), ("-plain", ("--no-optimize",)))]  # fmt: skip
    made = make_all(wanted)
    for place, guests in enumerate(GUESTS):
        ours, plain = made[2 * place], made[2 * place + 1]
        found = run_inside("flood.py", [node_order(guests, ours.text, plain.text)])
        for row in with_own(found["rows"]):
            yield {"guests": guests, "kernel": found["kernel"], **row}
        print(f"{guests} guests done", flush=True)


def node_order(guests: int, ours: str, plain: str) -> dict[str, Any]:
    classic, direct = (topology(guests, with_firewall_bridges=with_them).as_json() for with_them in (True, False))
    legacy, new = loads_of(guests)
    nft = ["nft", "-f", "-"]
    sides = [
        {"name": NO_RULES, "topology": classic, "loads": []},
        {"name": NO_RULES + DIRECT, "topology": direct, "loads": []},
        {"name": CONNTRACK + DIRECT, "topology": direct, "loads": [(nft, ONLY_CONNTRACK)], "control": NO_RULES + DIRECT},
        {"name": "iptables-legacy", "topology": classic, "loads": legacy, "bridge_nf_call": True, "control": NO_RULES},
        {"name": "iptables-nft", "topology": classic, "loads": new, "bridge_nf_call": True, "control": NO_RULES},
        {"name": "ours, unoptimised", "topology": direct, "loads": [(nft, plain)], "control": NO_RULES + DIRECT},
        {"name": "ours, optimised", "topology": direct, "loads": [(nft, ours)], "control": NO_RULES + DIRECT},
        {"name": "ours, optimised, still with firewall bridges", "topology": classic, "loads": [(nft, ours)], "control": NO_RULES},
    ]  # fmt: skip
    theirs = CORPUS / str(guests) / "ruleset.nft"
    if theirs.exists():
        text = theirs.read_text()
        sides.append(
            {
                "name": "Proxmox VE's nftables firewall",
                "topology": direct,
                "loads": [(nft, text)],
                "control": NO_RULES + DIRECT,
            }
        )
    return {"case": f"{guests} guests", "sides": sides, "packets": list(node_packets(guests)), "rounds": ROUNDS}


def node_packets(guests: int) -> Iterator[dict[str, Any]]:
    """Yield packets that all sides let pass: to the last guest from outside, and from the first guest to the last."""
    last, first = last_of(guests), 0
    common = {"receiver": nodes.port(last), "destination": nodes.address(last), "port": 5100, "delivered": 1.0}
    for state in ("new", "new flow", "established"):
        yield {"name": "outside to the last guest", "sender": "eth0", "source": OUTSIDE, "state": state, **common}
    for state in ("new", "new flow", "established"):
        yield {
            "name": "first guest to the last",
            "sender": nodes.port(first),
            "source": nodes.address(first),
            "state": state,
            **common,
        }


def last_of(guests: int) -> int:
    """Return the guest whose port comes last in Proxmox VE's lists, which are in the order of names."""
    return max(range(guests), key=nodes.port)


def topology(guests: int, *, with_firewall_bridges: bool) -> PveTopology:
    """Return a node with the guests that packets come from and go to; rules name the others too."""
    some = sorted({0, last_of(guests)})
    nics = [
        GuestNic(name=nodes.port(one), bridge="vmbr0", mac=nodes.mac(one).lower(), addresses=(nodes.address(one),))
        for one in some
    ]
    return PveTopology(
        guests=tuple(nics), uplinks=(Uplink(addresses=(OUTSIDE,)),), vlan_aware=False,
        with_firewall_bridges=with_firewall_bridges,
    )  # fmt: skip


Loads = list[tuple[list[str], str]]


def loads_of(guests: int) -> tuple[Loads, Loads]:
    """Return what is loaded for iptables-legacy and for iptables-nft."""
    dumps = nodes.dumps(guests)
    sets = (["ipset", "restore"], dumps.ipset.text)
    found = [
        [
            sets,
            ([f"iptables-{variant}-restore"], dumps.ip.text),
            ([f"ip6tables-{variant}-restore"], dumps.ip6.text),
            ([f"ebtables-{variant}-restore"], dumps.ebtables.text),
        ]
        for variant in ("legacy", "nft")
    ]
    return found[0], found[1]


def with_own(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add what the ruleset alone takes: the time without that of the same path without rules."""
    controls = {(row["case"], row["packet"], row["state"], row["side"]): row["ns"] for row in rows}
    for row in rows:
        control = controls.get((row["case"], row["packet"], row["state"], row["control"]))
        yield {**row, "own": None if control is None else round(row["ns"] - control, 1)}


def flat_rows() -> Iterator[dict[str, object]]:
    """Yield a row for each length of a chain and each side."""
    lists = {size: entries("acl", size) for size in RULES}
    wanted = [
        Wanted(f"flat-{size}", {"acl.nft": ruleset(rules, last="accept")}, ("--no-verify",), "optimize")
        for size, rules in lists.items()
        if size <= MOST_OPTIMISED
    ]
    made = dict(zip([size for size in RULES if size <= MOST_OPTIMISED], make_all(wanted), strict=True))
    for size, rules in lists.items():
        text = ruleset(rules, last="accept")
        ours = made[size].text if size in made else ""
        order = flat_order(size, rules, text, ours)
        found = run_inside("flood.py", [order])
        for row in with_own(found["rows"]):
            yield {"rules": size, "kernel": found["kernel"], **row}
        print(f"{size} rules done", flush=True)


def flat_order(size: int, rules: list[Entry], text: str, ours: str) -> dict[str, Any]:
    router = RouterTopology(interfaces=("in0", "out0")).as_json()
    dump, nft = iptables_of(rules), ["nft", "-f", "-"]
    loads = {
        "iptables-legacy": (["iptables-legacy-restore"], dump),
        "iptables-nft": (["iptables-nft-restore"], dump),
        "ours, unoptimised": (nft, text),
        "nft -o": (nft, nft_optimised(text)),
        "ours, optimised": (nft, ours),
    }
    sides: list[dict[str, Any]] = [{"name": NO_RULES, "topology": router, "loads": []}]
    sides += [
        {"name": name, "topology": router, "loads": [load], "control": NO_RULES}
        for name, load in loads.items()
        if load[1]
    ]
    return {"case": f"{size} rules", "sides": sides, "packets": list(flat_packets(rules, ours)), "rounds": ROUNDS}


def iptables_of(rules: list[Entry]) -> str:
    """Return the list as iptables has it."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    for rule in rules:
        words = ["-A FORWARD"]
        words += [f"-s {rule.source}"] if rule.source else []
        words += [f"-d {rule.target}"] if rule.target else []
        words += [f"-p {rule.protocol} -m {rule.protocol}"] if rule.protocol else []
        for option, ports in (("--sport", rule.from_ports), ("--dport", rule.to_ports)):
            low, high = ports
            words += [f"{option} {low if low == high else f'{low}:{high}'}"] if ports != (0, 65535) else []
        lines.append(" ".join([*words, f"-j {rule.verdict.upper()}"]))
    return "\n".join([*lines, "COMMIT", ""])


def nft_optimised(text: str) -> str:
    """Return what `nft -o` makes of it; nothing where it takes longer than a minute or fails."""
    OUT.mkdir(exist_ok=True)
    path = OUT / "flat.nft"
    path.write_text(text)
    script = ["unshare", "-n", "bash", "-c", 'nft -o -f "$1" > /dev/null 2>&1 && nft list ruleset', "-", str(path)]
    try:
        done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        print("nft -o: left out, no answer after a minute", flush=True)
        return ""
    return done.stdout if not done.returncode else ""


def flat_packets(rules: list[Entry], ours: str) -> Iterator[dict[str, Any]]:
    """Yield the packet that no rule is for, which is the worst of a list, and those that take most steps of the search."""
    common = {"sender": "in0", "receiver": "out0", "state": "new"}
    source, target = (str(first_address(None)) for _ in range(2))
    nobodys = {
        "source": source,
        "destination": target.replace(".77", ".99"),
        "sport": 1111,
        "port": 9,
        "protocol": "udp",
    }
    yield {"name": "no rule's", **common, **nobodys, "delivered": 1.0}
    if not ours:
        return
    for place, found in enumerate(worst_packets(rules, ours)):
        yield {"name": f"worst of the search {place + 1}", **common, **found}


def worst_packets(rules: list[Entry], ours: str, most: int = 3) -> list[dict[str, Any]]:
    """Return accepted packets that take longest by the model of costs, of some that rules ask for and of what is near those.

    Packets that are dropped spare the rest of the way, so that their time says nothing beside that of the path without rules.
    """
    reading = read_inputs([SourceFile("ours.nft", ours)], DiagnosticSink(), FileAccess())
    assert reading is not None
    draw = random.Random(len(rules))  # noqa: S311 -- the same packets each time are wanted
    asked = [rule for rule in rules if rule.protocol]
    costs = _Costs(reading.ruleset)
    found: dict[tuple[Any, ...], tuple[float, dict[str, Any]]] = {}

    def weigh(packet: dict[str, Any]) -> None:
        if tuple(packet.values()) not in found:
            found[tuple(packet.values())] = (costs.of(packet), packet)

    def worst(count: int) -> list[dict[str, Any]]:
        return [packet for _, packet in sorted(found.values(), key=lambda item: -item[0])[:count]]

    for _ in range(CANDIDATES):
        weigh(_asked_by(draw, draw.choice(asked), draw.choice(asked)))
    for _ in range(STEPS_UPHILL):
        for packet in worst(most * 8):
            for _ in range(8):
                other = _asked_by(draw, draw.choice(asked), draw.choice(asked))
                name = draw.choice(("source", "destination", "port", "sport"))
                weigh({**packet, name: other[name]})
    return [{**packet, "delivered": 1.0, "model": round(costs.of(packet))} for packet in worst(most)]


def _asked_by(draw: random.Random, one: Entry, other: Entry) -> dict[str, Any]:
    """Return a packet that a rule asks for, with half of what another one asks for."""
    target = (one if draw.random() < 0.5 else other).target
    return {
        "source": _some(draw, one.source), "destination": _some(draw, target), "protocol": one.protocol,
        "sport": max(one.from_ports[0], 1), "port": max(draw.choice((one, other)).to_ports[0], 1),
    }  # fmt: skip


class _Costs:
    """What packets take by the model: each rule that is passed, with its look-ups."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._maps = {item.name: item for table in ruleset.tables for item in table.maps}

    def of(self, packet: dict[str, Any]) -> float:
        """Return the nanoseconds of an accepted packet; nothing for one that does not come out."""
        outcome = evaluate(self._ruleset, HookVisit(Family.IP, Hook.FORWARD), Packet(_values(packet)))
        if outcome.decision is not Decision.ACCEPT:
            return 0.0
        return sum(self._passed(item.rule) for item in outcome.trace)

    def _passed(self, rule: Rule) -> float:
        if not isinstance(rule.verdict, Dispatch):
            return rule_price(rule).nanoseconds
        parts = rule.verdict.key
        keys = [element.key for element in self._maps[rule.verdict.map_name].elements]
        masked = any(part.mask is not None for part in parts)
        return calibration.JUMP + look_up_time([part.field for part in parts], keys, masked=masked)


def _some(draw: random.Random, network: IPv4Network | None) -> str:
    """Return an address of the network that can be routed to."""
    if network is not None:
        for _ in range(8):
            address = network[draw.randrange(network.num_addresses)]
            if not (address.is_multicast or address.is_loopback or address.is_reserved or int(address) >> 24 == 0):
                return str(address)
    return str(IPv4Address("203.0.113.0") + draw.randrange(1, 255))


def _values(packet: dict[str, Any]) -> dict[Field, int | str]:
    return {
        known.NFPROTO: 2, known.ETHER_PROTOCOL: 0x800, known.HAS_CONNTRACK: 1, known.CT_STATE: 3,
        known.IP_SADDR: int(IPv4Address(packet["source"])), known.IP_DADDR: int(IPv4Address(packet["destination"])),
        known.L4PROTO: {"tcp": 6, "udp": 17}[packet["protocol"]],
        known.HAS_TRANSPORT: 1, known.SPORT: packet["sport"], known.DPORT: packet["port"],
    }  # fmt: skip


if __name__ == "__main__":
    main()
