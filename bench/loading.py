"""Inside a kernel: how long rulesets take to load where nothing is, and what a change of a loaded one takes.

Every load is into a namespace of its own; the rulesets take turns, the quickest of each counts, for a machine that does other
things too makes a load longer and never shorter. What does not load ends the bench.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fwtrans.backend.loader.image_text import read_image
from fwtrans.backend.loader.load import assess
from fwtrans.backend.loader.load import load as load_image
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.lab.agent import load
from fwtrans.lab.netns import enter_another, set_sysctl

ANSWER = "\n---flood---\n"


def whole(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each ruleset."""
    walls: dict[str, list[float]] = {side["name"]: [] for side in order["sides"]}
    used: dict[str, list[float]] = {side["name"]: [] for side in order["sides"]}
    for _ in range(order["rounds"]):
        for side in order["sides"]:
            enter_another()
            set_sysctl("net/ipv4/ip_forward", 0)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            failed = load(side["loads"])
            if failed:
                sys.exit(f"{side['name']} does not load: {failed}")
            walls[side["name"]].append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used[side["name"]].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [
        {
            "ruleset": name, "ms": _ms(min(walls[name])), "median": _ms(statistics.median(walls[name])),
            "cpu": _ms(min(used[name])), "loads": order["rounds"],
        }
        for name in walls
    ]  # fmt: skip


def changes(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each pair: from the first to the second ruleset, and back, by what differs alone."""
    rows = []
    for pair in order["pairs"]:
        images = [read_image(text) for text in (pair["first"], pair["second"])]
        enter_another()
        client = LibNft()
        state = load_image(client, images[0], None).state
        runs, plans = [], []
        for turn in range(2 * order["rounds"]):
            wanted = images[(turn + 1) % 2]
            start = time.perf_counter()
            plan = make_plan(assess(client, state, [table.name for table in wanted]).present, wanted)
            planned = time.perf_counter()
            state = load_image(client, wanted, state).state
            loaded = time.perf_counter()
            if state is None:
                sys.exit(f"{pair['name']} does not load")
            plans.append(planned - start)
            runs.append(loaded - planned)
        client.close()
        rows.append(
            {
                "change": pair["name"], "ms": _ms(min(runs)), "median": _ms(statistics.median(runs)),
                "planning": _ms(min(plans)), "commands": sum(len(part.commands) for part in plan.transactions),

            }
        )  # fmt: skip
    return rows


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    found = {"kernel": os.uname().release, "whole": whole(order), "changes": changes(order)}
    sys.stdout.write(ANSWER + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
