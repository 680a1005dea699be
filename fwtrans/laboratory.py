"""Would anything change? Two sides are loaded into a kernel, one after the other, and get the same packets.

The answer is the kernel's. What is asked of it is derived from what both sides mean (lab/derive.py), so that each rule gets
a packet that it holds for and one on the far side of each of its tests.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic
from fwtrans.lab.blame import deciding_rule
from fwtrans.lab.derive import DEFAULT_BUDGET, Derived, derive, interfaces_of
from fwtrans.lab.judge import Difference, LabFailed, Question, Side, compare, judge_all, lasting
from fwtrans.lab.kernels import NoKernel, choice, named
from fwtrans.lab.sides import Variant, side_of
from fwtrans.lab.topology import HOST, RouterTopology
from fwtrans.read import read_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.lab.kernels import Kernel
    from fwtrans.lab.probe import Observation, Probe
    from fwtrans.read import Files, Reading
    from fwtrans.source import SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """How many packets, which kernel (`auto`, `running`, `uml`, a launcher), which iptables; the same seed, the same packets."""

    budget: int = DEFAULT_BUDGET
    kernel: str = "auto"
    variant: Variant = Variant.LEGACY
    seed: int = 0
    seconds: int = 600


class Disagreement(NamedTuple):
    """A packet that the kernel treats differently under the two sides, and the rules that are likely to decide."""

    probe: Probe
    difference: Difference
    old_rule: str
    new_rule: str
    made_for: str
    """The rule that the packet was derived from."""


@dataclass(frozen=True, slots=True)
class LabResult:
    """What the kernel said. `unsteady` packets were treated differently from run to run by one and the same side."""

    kernel: str
    passed_over: tuple[str, ...]
    probes: int
    verdicts: dict[str, int]
    """How many packets the old side delivered, refused, lost."""
    rules_aimed_at: int
    disagreements: tuple[Disagreement, ...]
    unsteady: int

    @property
    def same(self) -> bool:
        """Tell whether no packet was treated differently."""
        return not self.disagreements


class Stage(NamedTuple):
    """What is being done, for a progress bar: a word, and how much of how much."""

    name: str
    done: int
    total: int


def compare_in_lab(
    old: Sequence[SourceFile],
    new: Sequence[SourceFile],
    settings: LabSettings,
    sink: DiagnosticSink,
    files: Files,
    told: Callable[[Stage], None] = lambda _stage: None,
) -> LabResult | None:
    """Return what the kernel says of the two sides; None where it could not be asked (the sink says why)."""
    readings = [read_inputs(sources, sink, files) for sources in (old, new)]
    sides = [side_of(name, sources, settings.variant, sink) for name, sources in (("old", old), ("new", new))]
    before, after = readings
    if before is None or after is None or sides[0] is None or sides[1] is None or sink.errors:
        return None
    loaded = (sides[0], sides[1])
    try:
        told(Stage("looking for a kernel that loads both", 0, 4))
        chosen = choice(needs(loaded), named(settings.kernel))
    except NoKernel as error:
        sink.add(Diagnostic(code="FWT700", message=f"no kernel here can load both sides: {error}"))
        return None
    told(Stage("deriving packets", 1, 4))
    derived = derive(before.ruleset, after.ruleset, budget=settings.budget, seed=settings.seed)
    asking = _Asking(loaded, derived, chosen.kernel, settings, told)
    try:
        observed, differences, unsteady = asking.ask()
    except LabFailed as error:
        sink.add(
            Diagnostic(code="FWT702", message=str(error).splitlines()[0], notes=tuple(str(error).splitlines()[1:9]))
        )
        return None
    by_id = {item.probe.id: item for item in derived}
    found = tuple(_disagreement(by_id[item.id], item, before, after) for item in differences)
    verdicts = {"delivered": 0, "refused": 0, "lost": 0}
    for observation in observed:
        verdicts[observation.verdict] += 1
    aims = {item.aim.origin for item in derived if item.aim.origin is not None}
    return LabResult(chosen.kernel.name, chosen.passed_over, len(derived), verdicts, len(aims), found, unsteady)


class _Asking(NamedTuple):
    """The questions to one kernel."""

    sides: tuple[Side, Side]
    derived: Sequence[Derived]
    kernel: Kernel
    settings: LabSettings
    told: Callable[[Stage], None]

    def ask(self) -> tuple[list[Observation], list[Difference], int]:
        """Return what the old side does, where the new one differs, and for how many packets that does not last."""
        probes = [item.probe for item in self.derived]
        old, new = self._both(probes, 2)
        if not compare(old, new):
            return old, [], 0
        again_old, again_new = self._both(probes, 3)
        steady = lasting((old, again_old), (new, again_new))
        return old, steady.differences, steady.unsteady

    def _both(self, probes: list[Probe], stage: int) -> tuple[list[Observation], list[Observation]]:
        topology = RouterTopology(interfaces=interfaces_of(probes, HOST))
        self.told(Stage("sending packets" if stage == 2 else "sending them again", stage, 4))
        questions = [Question(side, topology, tuple(probes)) for side in self.sides]
        old, new = judge_all(questions, self.kernel, seconds=2 * self.settings.seconds)
        for found in (old, new):
            if isinstance(found, LabFailed):
                raise found
        return old, new  # type: ignore[return-value]  # what failed has been raised


def needs(sides: Sequence[Side]) -> str:
    """Return a script that succeeds where both sides load, each in a namespace of its own."""
    lines = ["set -e"]
    for side in sides:
        loads = []
        for words, text in side.loads:
            data = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
            loads.append(f"base64 -d <<< {data} | {shlex.join(words)}")
        inner = "set -e -o pipefail; ip link set lo up; " + "; ".join(loads)
        lines.append(f"unshare -n bash <<'END-OF-SIDE'\n{inner}\nEND-OF-SIDE")
    return "\n".join(lines) + "\n"


def _disagreement(derived: Derived, difference: Difference, before: Reading, after: Reading) -> Disagreement:
    probe = derived.probe
    whole = replace(probe, ipv6=":" in probe.source_address)
    rules = (deciding_rule(before.ruleset, whole), deciding_rule(after.ruleset, whole))
    made_for = derived.aim.origin.location if derived.aim.origin is not None else ""
    return Disagreement(probe, difference, *rules, made_for)
