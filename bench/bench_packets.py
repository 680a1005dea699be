"""Nanoseconds a packet: flat chains in the running kernel; Proxmox VE nodes where a kernel has bridge conntrack.

Needs root. Each case: no rules, iptables-legacy, iptables-nft, ours; in one run, taking turns. `own` is the time without
that of the same path without rules; below 150 ns it says little. The Proxmox nodes come from ../shared and need the
launcher that FWTRANS_LAB_UML names, or the one beside the checkout.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import SETTING, NoKernel, choose, run_script
from fwtrans.lab.loadable import loadable
from fwtrans.lab.on_bridges import topology_of
from fwtrans.lab.topology import RouterTopology
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

ROOT = Path(__file__).resolve().parent.parent
COUNT, ROUNDS = int(os.environ.get("BENCH_PACKETS", "20000")), 7
SIZES = (100, 1000, 5000)
NODES = ("s10", "s50", "s200")


def translated(sources: list[SourceFile]) -> str:
    sink = DiagnosticSink()
    found = translate(sources, Settings(), sink, FileAccess())
    assert not sink.errors, [item.message for item in sink.errors]
    return found.output


def flat(size: int) -> str:
    """A chain of accepted sources and ports; the packet that is sent is the last rule's."""
    rules = [
        f"-A FORWARD -s 10.{n >> 8}.{n & 255}.0/24 -p udp -m udp --dport {1000 + n % 5000} -j ACCEPT"
        for n in range(size)
    ]
    last = "-A FORWARD -s 192.0.2.0/24 -p udp -m udp --dport 9 -j ACCEPT"
    return "\n".join(
        ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", *rules, last, "COMMIT", ""]
    )


def sides_of(loads: list[tuple[tuple[str, ...], str]], ours: str, *, bridged: bool) -> list[dict[str, Any]]:
    nft = [(tuple(word.replace("-legacy-", "-nft-") for word in words), text) for words, text in loads]
    sides = [("no rules", [], False), ("iptables-legacy", loads, bridged)]
    # ipset and iptables-nft share no namespace with bridge rules of iptables-legacy: each side has its own
    sides += [("iptables-nft", nft, bridged), ("fwtrans", [(("nft", "-f", "-"), ours)], False)]
    return [{"name": name, "loads": texts, "bridge_nf_call": call} for name, texts, call in sides]


def flat_order(size: int) -> dict[str, Any]:
    dump = flat(size)
    loads: list[tuple[tuple[str, ...], str]] = [(("iptables-legacy-restore",), dump)]
    return {
        "case": f"flat chain, {size} rules, last one", "topology": RouterTopology(interfaces=("in0", "out0")).as_json(),
        "sender": "in0", "receiver": "out0", "source": "192.0.2.7", "destination": "100.64.1.2", "port": 9, "flows": 1,
        "sides": sides_of(loads, translated([SourceFile("iptables-save", dump)]), bridged=False),
        "count": COUNT, "rounds": ROUNDS,
    }  # fmt: skip


def node_order(name: str, texts: dict[str, str]) -> dict[str, Any]:
    sources = [SourceFile(dump, text) for dump, text in texts.items() if text.strip()]
    ours = translated(sources)
    reading = read_inputs(sources, DiagnosticSink(), FileAccess())
    assert reading is not None
    topology = topology_of(reading.ruleset, reading.ruleset, reading.host, with_firewall_bridges=True)
    order = ("ipset-save", "iptables-save", "ip6tables-save", "ebtables-save")
    words = {"ipset-save": ("ipset", "restore")}
    loads = [
        (words.get(one, (one.replace("save", "legacy-restore"),)), texts[one])
        for one in order
        if texts.get(one, "").strip()
    ]
    last = [guest for guest in topology.guests if guest.firewalled][-1]
    return {
        "case": f"Proxmox node {name}, outside to the last guest, each packet a new flow", "topology": topology.as_json(),
        "sender": "eth0", "receiver": last.name, "source": "203.0.113.200", "destination": "", "port": 9, "flows": 8192,
        "sides": sides_of(loads, ours, bridged=True), "count": COUNT // 4, "rounds": ROUNDS,
    }  # fmt: skip


def ask(orders: list[dict[str, Any]], kernel: Any) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "orders.json")
        path.write_text(json.dumps(orders))
        words = shlex.join([sys.executable, str(ROOT / "bench" / "flood.py"), str(path)])
        found = run_script(kernel, f"exec {words}\n", seconds=1200)
    before, _, after = found.output.partition("\n---flood---\n")
    if found.status or not after:
        raise SystemExit(f"{kernel.name}: exit status {found.status}\n{before[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(after)
    return [{"kernel": kernel.name.partition(" (")[0], **row} for row in rows]


def rows_of(found: list[dict[str, Any]]) -> list[dict[str, object]]:
    without = {row["case"]: row["ns"] for row in found if row["ruleset"] == "no rules"}
    return [{**row, "own": row["ns"] - without[row["case"]]} for row in found]


def main() -> None:
    if os.geteuid():
        print("bench_packets: left out, it needs root")
        return
    rows = ask([flat_order(size) for size in SIZES], choose("true", {}))
    corpus = ROOT.parent / "shared" / "pve-corpus"
    environment = {SETTING: os.environ.get(SETTING, str(ROOT.parent / "shared" / "lab" / "run-uml")), **os.environ}
    try:
        kernel = choose(environment=environment)
    except NoKernel as error:
        print(f"bench_packets: Proxmox nodes are left out: {error}")
        kernel = None
    if kernel is not None and corpus.is_dir():
        for name in NODES:
            dumps = {path.name: path.read_text() for path in sorted((corpus / name).glob("*-save"))}
            rows += ask([node_order(name, loadable(dumps, kernel).texts)], kernel)
    system = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
    notes = f"Nanoseconds a packet, median of {ROUNDS} rounds, running kernel {system}. `delivered` is the part that came through."
    measure.write("packets", rows_of(rows), notes)


if __name__ == "__main__":
    main()
