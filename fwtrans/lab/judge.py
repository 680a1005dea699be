"""Two rulesets, the same packets, one kernel: what became of each packet, and where that differs."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.lab.agent import ANSWER
from fwtrans.lab.kernels import Kernel, run_script, scratch
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
    found = judge_all([Question(side, topology, tuple(probes))], kernel, seconds=seconds)[0]
    if isinstance(found, LabFailed):
        raise found
    return found


class Question(NamedTuple):
    """A side, where to load it, and what to send."""

    side: Side
    topology: PveTopology | RouterTopology
    probes: tuple[Probe, ...]

    def as_json(self) -> dict[str, object]:
        """Return what travels."""
        return {
            "topology": self.topology.as_json(),
            "loads": self.side.loads,
            "bridge_nf_call": self.side.bridge_nf_call,
            "groups": self.side.groups,
            "probes": [probe.as_json() for probe in self.probes],
        }


def judge_all(
    questions: Sequence[Question], kernel: Kernel, *, seconds: int = 300
) -> list[list[Observation] | LabFailed]:
    """Ask several questions, each in a namespace of its own, in one run of the kernel; what does not load is an answer too."""
    answers = _ask([question.as_json() for question in questions], kernel, seconds)
    return [
        LabFailed(f"{question.side.name} side does not load in {kernel.name}: {answer['failed']}")
        if "failed" in answer
        else [observation_from_json(one) for one in answer["observations"]]
        for question, answer in zip(questions, answers, strict=True)
    ]


def _ask(orders: Sequence[dict[str, object]], kernel: Kernel, seconds: int) -> list[dict[str, Any]]:
    """Run the agent in the kernel."""
    package = Path(__file__).resolve().parents[2]
    with scratch() as folder:
        path = folder / "orders.json"
        path.write_text(json.dumps(orders), encoding="utf-8")
        words = shlex.join([sys.executable, "-m", "fwtrans.lab.agent", str(path)])
        script = f"cd / && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={shlex.quote(str(package))} exec {words}\n"
        found = run_script(kernel, script, seconds=seconds)
    before, _, after = found.output.partition(f"\n{ANSWER}\n")
    if found.status or not after:
        raise LabFailed(f"no answer came from {kernel.name}: exit status {found.status}\n{before.strip()[-4000:]}")
    answers: list[dict[str, Any]] = json.loads(after.splitlines()[0])
    return answers


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
    old, new = list(old), list(new)
    if not (_tracks(old) and _tracks(new)):
        # a ruleset that asks for no connection has none tracked: no rule of the other one sees a mark of theirs but 0
        old, new = _unmarked(old), _unmarked(new)
    found = []
    for before, after in zip(old, new, strict=True):
        difference = _difference(before, after, ignore)
        if difference is not None:
            found.append(difference)
    return found


def _tracks(observations: list[Observation]) -> bool:
    return any(step.ct_mark is not None for one in observations for step in one.steps)


def _unmarked(observations: list[Observation]) -> list[Observation]:
    """Return the observations with marks of 0 as none at all."""
    return [
        replace(one, steps=tuple(replace(step, ct_mark=step.ct_mark or None) for step in one.steps))
        for one in observations
    ]


class Lasting(NamedTuple):
    """Differences that show whenever the packets are sent, and how many did not."""

    differences: list[Difference]
    unsteady: int


def lasting(old: Sequence[list[Observation]], new: Sequence[list[Observation]]) -> Lasting:
    """Return what differs in two runs of both sides, of packets that each side treats alike in both.

    A limit that runs out, or a port by chance, differs from run to run: that is no difference of the rulesets.
    """
    found = compare(old[0], new[0])
    again = {(item.id, item.what) for item in compare(old[1], new[1])}
    shaky = {item.id for side in (old, new) for item in compare(side[0], side[1])}
    steady = [item for item in found if (item.id, item.what) in again and item.id not in shaky]
    return Lasting(steady, len(found) - len(steady))


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
