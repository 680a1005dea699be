"""Two rulesets, the same packets, one kernel: what became of each packet, and where that differs."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lab.agent import ANSWER
from fwtrans.lab.kernels import Kernel, run_script
from fwtrans.lab.probe import Observation, Probe, Step, observation_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.lab.topology import PveTopology, RouterTopology


class LabFailed(Exception):  # noqa: N818 -- it is not the input's fault
    """The kernel could not be asked: a ruleset does not load there, or the machinery broke. The text says which."""


class Side(NamedTuple):
    """A ruleset as its own tools load it: command and input, in order."""

    name: str
    loads: tuple[tuple[tuple[str, ...], str], ...]
    bridge_nf_call: bool = False
    """Whether iptables sees bridged packets."""
    groups: tuple[int, ...] = (0,)
    """The NFLOG groups to read."""


_RESTORE = {
    "ipset-save": ("ipset", "restore"),
    "iptables-save": ("iptables-legacy-restore",),
    "ip6tables-save": ("ip6tables-legacy-restore",),
    "ebtables-save": ("ebtables-legacy-restore",),
}


def classic_side(texts: dict[str, str], name: str = "classic") -> Side:
    """Return a side of dumps by their names: ipset-save, iptables-save, ip6tables-save, ebtables-save."""
    loads = tuple((words, texts[dump]) for dump, words in _RESTORE.items() if texts.get(dump, "").strip())
    return Side(name, loads, bridge_nf_call=True)


def nft_side(script: str, name: str = "nft") -> Side:
    """Return a side of an nft script."""
    return Side(name, ((("nft", "-f", "-"), script),))


def judge_pve(
    side: Side, topology: PveTopology, probes: Sequence[Probe], kernel: Kernel, *, seconds: int = 300
) -> list[Observation]:
    """Load one side in a Proxmox VE topology in this kernel, send the probes, and return what became of each."""
    return judge(side, topology, probes, kernel, seconds=seconds)


def judge(
    side: Side, topology: PveTopology | RouterTopology, probes: Sequence[Probe], kernel: Kernel, *, seconds: int = 300
) -> list[Observation]:
    """Load one side in a topology in this kernel, send the probes, and return what became of each."""
    order = {
        "topology": topology.as_json(),
        "loads": side.loads,
        "bridge_nf_call": side.bridge_nf_call,
        "groups": side.groups,
        "probes": [probe.as_json() for probe in probes],
    }
    return ask(order, kernel, side.name, seconds)


def ask(order: dict[str, object], kernel: Kernel, name: str, seconds: int) -> list[Observation]:
    """Run the agent in the kernel."""
    package = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="fwtrans-lab-") as folder:
        path = Path(folder, "order.json")
        path.write_text(json.dumps(order), encoding="utf-8")
        words = shlex.join([sys.executable, "-m", "fwtrans.lab.agent", str(path)])
        script = f"cd / && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={shlex.quote(str(package))} exec {words}\n"
        found = run_script(kernel, script, seconds=seconds)
    before, _, after = found.output.partition(f"\n{ANSWER}\n")
    if found.status or not after:
        raise LabFailed(f"{name}, in {kernel.name}: exit status {found.status}\n{before.strip()[-4000:]}")
    answer = json.loads(after.splitlines()[0])
    if "failed" in answer:
        raise LabFailed(f"{name} does not load in {kernel.name}: {answer['failed']}")
    return [observation_from_json(one) for one in answer["observations"]]


class Difference(NamedTuple):
    """A probe that two sides treat differently, the step where they part, and what differs there."""

    id: str
    step: int
    what: tuple[str, ...]
    """Among: arrival, answers, logs, ct_mark, shapes, trouble, steps."""
    old: Step | None
    new: Step | None


def compare(
    old: Iterable[Observation], new: Iterable[Observation], *, ignore: frozenset[str] = frozenset()
) -> list[Difference]:
    """Return where two sides differ, at the first step of each probe where they do. `ignore` names what does not count."""
    found = []
    for before, after in zip(old, new, strict=True):
        difference = _difference(before, after, ignore)
        if difference is not None:
            found.append(difference)
    return found


def _difference(before: Observation, after: Observation, ignore: frozenset[str]) -> Difference | None:
    for number, (one, other) in enumerate(zip(before.steps, after.steps, strict=False)):
        # A packet that a later hop drops has left an entry at the hops before: no mark that anybody could see.
        arrived = bool(one.seen_at and other.seen_at)
        aspects = {
            "arrival": (one.seen_at, other.seen_at),
            "answers": (one.answers, other.answers),
            "logs": (one.logs, other.logs),
            "ct_mark": (one.ct_mark, other.ct_mark) if arrived else (None, None),
            "shapes": (one.shapes, other.shapes),
            "trouble": (one.trouble, other.trouble),
        }
        what = tuple(name for name, (here, there) in aspects.items() if name not in ignore and here != there)
        if what:
            return Difference(before.id, number, what, one, other)
    shorter = min(len(before.steps), len(after.steps))
    if len(before.steps) != len(after.steps) and "steps" not in ignore:
        return Difference(
            before.id,
            shorter,
            ("steps",),
            *(one.steps[shorter] if len(one.steps) > shorter else None for one in (before, after)),
        )
    return None
