"""Loading, in the kernel of the other benches: whole rulesets of a Proxmox VE node, and a change of a loaded one.

whole     everything where nothing is, by the tools that each ruleset was written for
change    one guest more or one rule, by the loader: what differs alone is sent
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import drawn_changes
import nodes
from bench_packets import CORPUS, loads_of
from kernel import run_inside
from measure import write
from prepare import Wanted, make_all

GUESTS = tuple(map(int, os.environ.get("BENCH_GUESTS", "10 100 500 1000").split()))
MOST_CHANGED = 500
"""Up to so many guests every change is made; above, the one that is promised to take the same whatever their number."""
PROMISED = "one guest more"
OF_MANY_KINDS = CORPUS.parent / "pve-corpus" / "s200" / "input"
"""A node of 200 guests of nearly as many kinds; so many changes of it are drawn."""
DRAWN = {"guests": 4, "rules": 16}
ROUNDS = int(os.environ.get("BENCH_LOADS", "5"))
FEWER = {500: 3, 1000: 1}
"""How many loads tell where one takes so many seconds."""


def changed(guests: int) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Return nodes before and after, by what is changed."""
    whole = nodes.configuration(guests)
    found = {
        PROMISED: (nodes.with_more(guests, 2, logs=False), nodes.with_more(guests, 3, logs=False)),
        "one guest more, who logs": (whole, nodes.with_more(guests, 1, logs=True)),
        "one rule of all guests": (whole, nodes.with_another_rule(guests)),
    }
    return found if guests <= MOST_CHANGED else {PROMISED: found[PROMISED]}


def of_many_kinds() -> list[dict[str, object]]:
    """Return what drawn changes take on a node where hardly two guests have the same rules; some change nothing for packets."""
    node = drawn_changes.files(OF_MANY_KINDS)
    drawn = list(drawn_changes.drawn(node, **DRAWN))
    wanted = [
        Wanted(f"many-kinds-{turn}", texts, ("--no-verify",))
        for turn, texts in enumerate((node, *dict(drawn).values()))
    ]
    before, *after = (made.text for made in make_all(wanted))
    pairs = [{"name": name, "first": before, "second": text} for (name, _), text in zip(drawn, after, strict=True)]
    found = run_inside("loading.py", {"sides": [], "pairs": pairs, "rounds": ROUNDS})
    print("200 guests of as many kinds done", flush=True)
    return [
        {"guests": "200, of as many kinds", **row, "kernel": found["kernel"]}
        for row in found["changes"]
        if row["commands"]
    ]


def main() -> None:
    whole: list[dict[str, object]] = []
    changes: list[dict[str, object]] = []
    for guests in GUESTS:
        wanted = [
            Wanted(f"node-{guests}", nodes.configuration(guests), ("--no-verify",)),
            Wanted(f"node-{guests}-plain", nodes.configuration(guests), ("--no-optimize", "--no-verify")),
        ]
        wanted += [
            # the node as it is has been translated once
            wanted[0] if files == wanted[0].texts else Wanted(f"node-{guests}-{name}-{turn}", files, ("--no-verify",))
            for name, both in changed(guests).items()
            for turn, files in enumerate(both)
        ]
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
        pairs = [
            {"name": name, "first": first, "second": second}
            for name, first, second in zip(changed(guests), more[::2], more[1::2], strict=True)
        ]
        rounds = min([ROUNDS, *(loads for least, loads in FEWER.items() if guests >= least)])
        found = run_inside("loading.py", {"sides": sides, "pairs": pairs, "rounds": rounds})
        lines = {side["name"]: sum(text.count("\n") for _, text in side["loads"]) for side in sides}
        whole += [
            {"guests": guests, **row, "lines": lines[row["ruleset"]], "kernel": found["kernel"]}
            for row in found["whole"]
        ]
        changes += [{"guests": guests, **row, "kernel": found["kernel"]} for row in found["changes"]]
        print(f"{guests} guests done", flush=True)
    if OF_MANY_KINDS.is_dir():
        changes += of_many_kinds()
    else:
        sys.stderr.write(f"bench_load: {OF_MANY_KINDS} is not here, left out\n")
    most = ", ".join(f"of {loads} from {guests} guests on" for guests, loads in FEWER.items())
    write(
        "load",
        whole,
        f"Milliseconds, the quickest of {ROUNDS} loads, {most}; `start` is what the tools take with nothing to load, "
        "`own` the rest. Median, processor time and lines beside it.",
    )
    write(
        "load_changes",
        changes,
        f"Milliseconds from the first command until packets see the change, the quickest of {ROUNDS}; `back` the other way round, `by libnftables` all through that library. "
        "What was to be sent was found in `planning` and shown to the kernel in `checking`; in `summing` sets were read back after it.",
    )


if __name__ == "__main__":
    main()
