"""Inside a kernel: how long rulesets take to load where nothing is, and what a change of a loaded one takes.

Every load is into a namespace of its own; the rulesets take turns, the quickest of each counts, for a machine that does other
things too makes a load longer and never shorter. None begins before the kernel has taken the last ruleset apart, which it
does behind the scenes for seconds where there were 100,000 rules. What does not load ends the bench. Beside each ruleset its tools are
started with nothing to load, so that what the ruleset itself takes is known: in a virtual kernel starting a program is slow.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fwtrans.backend.loader.image_text import read_image
from fwtrans.backend.loader.load import assess, carry_out, check, with_sums
from fwtrans.backend.loader.load import load as load_image
from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.lab.agent import load
from fwtrans.lab.netns import enter_another, set_sysctl

if TYPE_CHECKING:
    from fwtrans.backend.loader.client import Fault
    from fwtrans.backend.loader.image import Image
    from fwtrans.backend.loader.plan import Plan
    from fwtrans.backend.loader.state import State
    from fwtrans.backend.loader.transaction import Transaction

ANSWER = "\n---flood---\n"


_MOST_WAITED = 60.0
_WATCHED = 0.2
_IDLE = 0.9

NOTHING = {"nft": "", "ipset": "", "ebtables-legacy-restore": "*filter\n", "ebtables-nft-restore": "*filter\n"}
"""What each tool is given to be started only; those of iptables need a whole table."""


def whole(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each ruleset."""
    walls: dict[str, list[float]] = {side["name"]: [] for side in order["sides"]}
    starts: dict[str, list[float]] = {side["name"]: [] for side in order["sides"]}
    used: dict[str, list[float]] = {side["name"]: [] for side in order["sides"]}
    for _ in range(order["rounds"]):
        for side in order["sides"]:
            name = side["name"]
            starts[name].append(timed_load(name, [(words, _nothing(words[0])) for words, _ in side["loads"]]))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            walls[name].append(timed_load(name, side["loads"]))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [
        {
            "ruleset": name, "ms": _ms(min(walls[name])), "median": _ms(statistics.median(walls[name])),
            "start": _ms(min(starts[name])), "own": _ms(min(walls[name]) - min(starts[name])),
            "cpu": _ms(min(used[name])), "loads": order["rounds"],
        }
        for name in walls
    ]  # fmt: skip


def timed_load(name: str, loads: list[tuple[list[str], str]]) -> float:
    """Return the seconds that the tools take to load texts where nothing is."""
    enter_another()
    set_sysctl("net/ipv4/ip_forward", 0)
    wait_for_the_kernel()
    start = time.perf_counter()
    failed = load(loads)
    if failed:
        sys.exit(f"{name} does not load: {failed}")
    return time.perf_counter() - start


def wait_for_the_kernel() -> None:
    """Wait until it has nothing left to do for namespaces that are gone."""
    end = time.monotonic() + _MOST_WAITED
    while time.monotonic() < end:
        start, idle = time.monotonic(), _idle_seconds()
        time.sleep(_WATCHED)
        if _idle_seconds() - idle >= _IDLE * (time.monotonic() - start):
            return


def _idle_seconds() -> float:
    """Return the seconds in which no processor had anything to do."""
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[1])


def _nothing(tool: str) -> str:
    return NOTHING.get(tool, "*filter\nCOMMIT\n")


class Change(NamedTuple):
    """One change of what is loaded: what was sent, the seconds of its parts, and what is loaded then."""

    plan: Plan
    planning: float
    checking: float
    sending: float
    summing: float
    state: State


class ByLibnftables(LibNft):
    """The loader's client as it is where nothing is surely understood: all goes through libnftables."""

    def by_netlink(self, transaction: Transaction, *, dry: bool) -> tuple[Fault, ...] | None:  # noqa: ARG002 -- nothing is sent, whatever it is
        return None


def changes(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each pair: from the first to the second ruleset and back, by what differs alone, as `apply` does it.

    In turns, the same is done through libnftables alone.
    """
    rows = []
    for pair in order["pairs"]:
        first, second = (read_image(text) for text in (pair["first"], pair["second"]))
        enter_another()
        client, other = LibNft(), ByLibnftables()
        state = load_image(client, first, None).state
        there, back, slower = [], [], []
        for _ in range(order["rounds"]):
            there.append(one_change(client, state, second))
            back.append(one_change(client, there[-1].state, first))
            slower.append(one_change(other, back[-1].state, second))
            state = one_change(other, slower[-1].state, first).state
        client.close()
        other.close()
        steps = there[0].plan.transactions
        rows.append(
            {
                "change": pair["name"], "ms": _ms(min(one.sending for one in there)),
                "median": _ms(statistics.median(one.sending for one in there)),
                "by libnftables": _ms(min(one.sending for one in slower)),
                "back": _ms(min(one.sending for one in back)), "planning": _ms(min(one.planning for one in there)),
                "checking": _ms(min(one.checking for one in there)),
                "summing": _ms(min(one.summing for one in there)), "commands": sum(len(step.commands) for step in steps),
                "elements only": all(step.holds_elements_only for step in steps),
            }
        )  # fmt: skip
    return rows


def one_change(client: LibNft, state: State | None, wanted: Image) -> Change:
    """Load the difference as `apply` does: the kernel looks at it first, then it is sent until packets see it.

    What nothing refers to any more goes after that.
    """
    start = time.perf_counter()
    found = assess(client, state, [table.name for table in wanted])
    plan = make_plan(found.present, under_loaded_names(found.present, wanted))
    planned = time.perf_counter()
    faults = check(client, plan)
    checked = time.perf_counter()
    done: dict[str, float] = {}
    answer = carry_out(
        client, plan, found, tidy=True, state=state, step=lambda name: done.setdefault(name, time.perf_counter())
    )
    if faults or answer.state is None:
        sys.exit("a change does not load")
    loaded = time.perf_counter()
    completed = with_sums(client, answer.state)
    summing = time.perf_counter() - loaded
    return Change(plan, planned - start, checked - planned, done["switched"] - checked, summing, completed)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    found = {"kernel": os.uname().release, "whole": whole(order), "changes": changes(order)}
    sys.stdout.write(ANSWER + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
