"""Loading, in the kernel of the other benches: whole rulesets of a Proxmox VE node, and a change of a loaded one.

whole     everything where nothing is, by the tools that each ruleset was written for
change    one guest more, by the loader: what differs alone is sent
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nodes
from bench_packets import CORPUS, loads_of
from kernel import run_inside
from measure import write
from prepare import Wanted, make_all

GUESTS = tuple(map(int, os.environ.get("BENCH_GUESTS", "10 100 500 1000").split()))
MOST_CHANGED = 500
ROUNDS = int(os.environ.get("BENCH_LOADS", "5"))
LARGE, FEWER = 500, 3
"""From how many guests on a load takes so many seconds that fewer tell."""


def main() -> None:
    whole: list[dict[str, object]] = []
    changes: list[dict[str, object]] = []
    for guests in GUESTS:
        wanted = [
            Wanted(f"node-{guests}", nodes.configuration(guests), ("--no-verify",)),
            Wanted(f"node-{guests}-plain", nodes.configuration(guests), ("--no-optimize", "--no-verify")),
        ]
        if guests <= MOST_CHANGED:
            wanted.append(Wanted(f"node-{guests + 1}", nodes.configuration(guests + 1), ("--no-verify",)))
        ours, plain, *more = (made.text for made in make_all(wanted))
        legacy, new = loads_of(guests)
        nft = ["nft", "-f", "-"]
        sides = [
            {"name": "iptables-legacy", "loads": legacy},
            {"name": "iptables-nft", "loads": new},
            {"name": "ours, unoptimised", "loads": [(nft, plain)]},
            {"name": "ours, optimised", "loads": [(nft, ours)]},
        ]
        theirs = CORPUS / str(guests) / "ruleset.nft"
        if theirs.exists():
            sides.append({"name": "Proxmox VE's nftables firewall", "loads": [(nft, theirs.read_text())]})
        pairs = [{"name": "one guest more or less", "first": ours, "second": text} for text in more]
        rounds = min(ROUNDS, FEWER) if guests >= LARGE else ROUNDS
        found = run_inside("loading.py", {"sides": sides, "pairs": pairs, "rounds": rounds})
        lines = {side["name"]: sum(text.count("\n") for _, text in side["loads"]) for side in sides}
        whole += [
            {"guests": guests, **row, "lines": lines[row["ruleset"]], "kernel": found["kernel"]}
            for row in found["whole"]
        ]
        changes += [{"guests": guests, **row, "kernel": found["kernel"]} for row in found["changes"]]
        print(f"{guests} guests done", flush=True)
    write(
        "load",
        whole,
        f"Milliseconds, the quickest of {ROUNDS} loads, {FEWER} of large ones; median, processor time and lines beside it.",
    )
    write(
        "load_changes",
        changes,
        f"Milliseconds, the quickest of {2 * ROUNDS}; what was to be sent was found in `planning`.",
    )


if __name__ == "__main__":
    main()
