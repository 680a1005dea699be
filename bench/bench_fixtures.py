"""Is the optimised translation ever slower than the unoptimised one? Every fixture, packet class by packet class.

A class is a path (outside to a guest, guest to guest, ...), a protocol and a port, and whether the flow is new or known. What
is slower by more than the noise is measured again, longer, before it counts.
"""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kernel import ROOT, bench_kernel, run_inside
from measure import write
from prepare import Wanted, make_all

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.loadable import loadable
from fwtrans.lab.on_bridges import WITHOUT_FIREWALL, is_about_bridge_ports, topology_of
from fwtrans.lab.topology import RouterTopology
from fwtrans.lab.wiring import gateway_of
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.lab.topology import PveTopology

ROUNDS = int(os.environ.get("BENCH_FIXTURE_ROUNDS", "20"))
AGAIN = 150
ONLY = os.environ.get("BENCH_FIXTURES", "")
NOISE_NS, NOISE_PART = 40, 0.03
"""What two measurements of one ruleset differ by: nanoseconds, or a part of the whole, whichever is more."""
FAILED = "failed: "
NONE, PLAIN, OURS = "no rules", "unoptimised", "optimised"
SERVICES = (("udp", 53), ("tcp", 22), ("tcp", 80), ("tcp", 9999), ("icmp", 0))
TWICE = {53, 22}
"""Ports whose flows are measured when they are known, too."""
MOST_INTERFACES = 3
MOST_BY_CHANCE = 0.02
"""The part of packets that limits let through, or stop, now and then."""


class Fixture(NamedTuple):
    name: str
    texts: dict[str, str]
    without: int = 0
    """How many rules were left out because this kernel has no match, target or helper for them."""


def fixtures() -> Iterator[Fixture]:
    """Yield whole hosts: those of the project, and the corpora beside the checkout where they are."""
    for folder in ("golden/hosts/10-nat-gateway/input", "golden/proxmox/10-small-node/input", "lab/host"):
        yield Fixture(folder.replace("/input", ""), _texts(ROOT / "fixtures" / folder))
    shared = ROOT.parent / "shared"
    for corpus in ("pve-corpus", "proxmox-firewall-corpus"):
        for place in sorted((shared / corpus).glob("*")) if (shared / corpus).is_dir() else ():
            yield Fixture(
                f"{corpus}/{place.name}", {path.name: path.read_text() for path in sorted(place.glob("*-save"))}
            )


def _texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def main() -> None:
    bench_kernel()
    found = [_loadable(fixture) for fixture in fixtures() if re.search(ONLY, fixture.name)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # a kernel for each processor: no burst has to wait for another's
        rows = list(pool.map(_told, found, translations(found)))
    write("fixtures", rows, f"Slower means: by more than {NOISE_NS} ns and {NOISE_PART:.0%}, in {AGAIN} bursts.")
    failed = [str(row["fixture"]) for row in rows if str(row["left out"]).startswith(FAILED)]
    if failed:
        raise SystemExit(f"{FAILED}{', '.join(failed)}")


def _told(fixture: Fixture, texts: tuple[str, str]) -> dict[str, object]:
    """Return what was measured of a fixture, or that it failed: the others' figures are none the worse for it."""
    try:
        row = _compared(fixture, *texts)
    except SystemExit as fault:
        text = f"{FAILED}{' '.join(str(fault).split())[-200:]}"
        row = {
            "fixture": fixture.name, "classes": 0, "slower": 0, "worst": "", "median gain": None, "left out": text,
        }  # fmt: skip
    print(row, flush=True)
    return row


def translations(found: Sequence[Fixture]) -> list[tuple[str, str]]:
    """Return each fixture's translation, optimised and not."""
    wanted = [
        Wanted(
            fixture.name.replace("/", "-") + kind,
            {name: text for name, text in fixture.texts.items() if text.strip()},
            options,
        )
        for fixture in found
        for kind, options in (("", ("--no-verify",)), ("-plain", ("--no-optimize", "--no-verify")))
    ]
    made = make_all(wanted)
    return [(made[place].text, made[place + 1].text) for place in range(0, len(made), 2)]


def _loadable(fixture: Fixture) -> Fixture:
    """Leave out what this kernel cannot load, on both sides alike: no kernel for tests has all helpers."""
    if not any("--helper" in text for text in fixture.texts.values()):
        return fixture
    rest = loadable(fixture.texts, bench_kernel())
    return Fixture(fixture.name, rest.texts, len(rest.left_out))


def _compared(fixture: Fixture, ours: str, plain: str) -> dict[str, object]:
    order = order_of(fixture, ours, plain)
    first = _times(order, ROUNDS)
    suspects = [name for name, times in first.items() if _is_slower(times)]
    second = {}
    if suspects:
        packets = [one for one in order["packets"] if (one["name"], one["state"]) in suspects]
        second = _times({**order, "packets": packets}, AGAIN)
    slower = {name: times for name, times in second.items() if _is_slower(times)}
    gains = sorted(_own(times, PLAIN) - _own(times, OURS) for times in first.values())
    worst = max(slower, key=lambda name: slower[name][OURS] - slower[name][PLAIN], default=None)
    text = (
        ""
        if worst is None
        else f"{' '.join(worst)}: {slower[worst][OURS] - slower[worst][PLAIN]:.0f} ns of {slower[worst][PLAIN]:.0f}"
    )
    return {
        "fixture": fixture.name, "classes": len(first), "slower": len(slower), "worst": text,
        "median gain": round(gains[len(gains) // 2]),
        "left out": f"{fixture.without} rules that this kernel has no match or helper for" if fixture.without else "",
    }  # fmt: skip


Times = dict[str, float]


def _times(order: dict[str, Any], rounds: int) -> dict[tuple[str, str], Times]:
    found: dict[tuple[str, str], Times] = {}
    came: dict[tuple[str, str], dict[str, float]] = {}
    for row in run_inside("flood.py", [{**order, "rounds": rounds}])["rows"]:
        found.setdefault((row["packet"], row["state"]), {})[row["side"]] = row["ns"]
        came.setdefault((row["packet"], row["state"]), {})[row["side"]] = row["delivered"]
    for name, parts in came.items():
        if any(MOST_BY_CHANCE < parts[side] < 1 - MOST_BY_CHANCE for side in (PLAIN, OURS)):
            # a limit decides, as nothing else passes a part of packets that are all alike: how many it stops is a question
            # of how fast they come, and the slower ruleset may be too slow for it
            del found[name]
        elif abs(parts[PLAIN] - parts[OURS]) > MOST_BY_CHANCE:
            raise SystemExit(f"{OURS}: {order['case']}, {name}: {parts}")
    return found


def _own(times: Times, side: str) -> float:
    return times[side] - times[NONE]


def _is_slower(times: Times) -> bool:
    return times[OURS] - times[PLAIN] > max(NOISE_NS, NOISE_PART * times[PLAIN])


def order_of(fixture: Fixture, ours: str, plain: str) -> dict[str, Any]:
    """Return what is asked of the kernel for a fixture."""
    sources = [SourceFile(name, text) for name, text in fixture.texts.items() if text.strip()]
    reading = read_inputs(sources, DiagnosticSink(), FileAccess())
    assert reading is not None
    topology: PveTopology | RouterTopology
    if is_about_bridge_ports(reading.ruleset):
        whole = topology_of(reading.ruleset, reading.ruleset, reading.host, with_firewall_bridges=False)
        judged = [guest for guest in whole.guests if guest.name != WITHOUT_FIREWALL]
        some = {judged[0].name, judged[-1].name, WITHOUT_FIREWALL} if judged else {WITHOUT_FIREWALL}
        topology = replace(whole, guests=tuple(guest for guest in whole.guests if guest.name in some))
        packets = list(_bridged(topology))
    else:
        named = dict.fromkeys(re.findall(r'[io]ifname "([^"*]+)"', plain))
        names = [name for name in named if name != "lo"][:MOST_INTERFACES]
        topology = RouterTopology(interfaces=tuple(names) if len(names) > 1 else ("eth0", "eth1"))
        packets = list(_routed(topology))
    nft = ["nft", "-f", "-"]
    shape = topology.as_json()
    sides = [{"name": name, "topology": shape, "loads": [(nft, text)] if text else []}
             for name, text in ((NONE, ""), (PLAIN, plain), (OURS, ours))]  # fmt: skip
    return {"case": fixture.name, "sides": sides, "packets": packets}


def _bridged(topology: PveTopology) -> Iterator[dict[str, Any]]:
    addresses = {name: own for name, _, own, _, _ in topology.endpoints()}
    uplink, guests = topology.uplinks[0].name, [guest.name for guest in topology.guests]
    paths = {(uplink, guests[0]), (guests[0], uplink), (guests[0], guests[-1]), (guests[-1], guests[0])}
    paths |= {(guests[0], guests[1])} if len(guests) > 2 else set()
    for sender, receiver in sorted(paths):
        if sender != receiver:
            yield from _classes(sender, receiver, addresses[sender][0], addresses[receiver][0])
            if len(addresses[sender]) > 1 and len(addresses[receiver]) > 1:
                yield from _classes(sender, receiver, addresses[sender][1], addresses[receiver][1], SERVICES[1:2])


def _routed(topology: RouterTopology) -> Iterator[dict[str, Any]]:
    near = [gateway_of(topology.host_address(place, is_v6=False)) for place in range(len(topology.interfaces))]
    for place, sender in enumerate(topology.interfaces):
        for other, receiver in enumerate(topology.interfaces):
            if place != other:
                yield from _classes(sender, receiver, near[place], near[other])
        yield from _classes(sender, sender, near[place], topology.host_address(place, is_v6=False))


def _classes(
    sender: str, receiver: str, source: str, target: str, services: tuple[tuple[str, int], ...] = SERVICES
) -> Iterator[dict[str, Any]]:
    for protocol, port in services:
        what = f"{source} {sender} to {target if sender == receiver else receiver}, {protocol} {port or ''}".strip()
        common = {
            "sender": sender,
            "receiver": receiver,
            "source": source,
            "destination": target,
            "protocol": protocol,
            "port": port,
            "sport": 2000,
        }
        for state in ("new", "established") if port in TWICE else ("new",):
            yield {"name": what, "state": state, **common}


if __name__ == "__main__":
    main()
