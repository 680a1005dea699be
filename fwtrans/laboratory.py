"""Would anything change? Two sides are loaded into a kernel, one after the other, and get the same packets.

The answer is the kernel's. What is asked of it is derived from what both sides mean (lab/derive.py), so that each rule gets
a packet that it holds for and one on the far side of each of its tests.
"""

from __future__ import annotations

import base64
import shlex
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic
from fwtrans.ir.effect import Log
from fwtrans.ir.stateful import Limit, StatefulTest
from fwtrans.ir.walk import flat_steps
from fwtrans.lab.blame import deciding_rule
from fwtrans.lab.by_rules import RulesOnBridges
from fwtrans.lab.derive import DEFAULT_BUDGET, Derived, derive, interfaces_of
from fwtrans.lab.intended import Known, intended
from fwtrans.lab.judge import Difference, LabFailed, Question, Side, compare, judge_all, lasting
from fwtrans.lab.kernels import NoKernel, choice, named
from fwtrans.lab.on_bridges import OnBridges, hardware_of, is_about_bridge_ports, of_all_pairs, topology_of
from fwtrans.lab.realise import realise
from fwtrans.lab.sides import Variant, side_of
from fwtrans.lab.topology import HOST, PveTopology, RouterTopology
from fwtrans.read import as_dumps, read_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.ruleset import Ruleset
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
    all_pairs: bool = False
    """Whether any two endpoints of a host with bridges get a packet, beyond the budget."""


class Disagreement(NamedTuple):
    """A packet that the kernel treats differently under the two sides, and the rules that are likely to decide."""

    probe: Probe
    difference: Difference
    old_rule: str
    new_rule: str
    made_for: str
    """The rule that the packet was derived from."""
    where: str = ""
    """On which form of the host, where there are several."""


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
    intended: tuple[tuple[str, int], ...] = ()
    """Differences that judging a bridged packet once makes and is meant to make, with how many packets showed each."""

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
    before, after = (read_inputs(sources, sink, files) for sources in (old, new))
    if sink.errors:
        return None
    sides = [_side(name, sources, settings.variant, sink, files) for name, sources in (("old", old), ("new", new))]
    if before is None or after is None or sides[0] is None or sides[1] is None or sink.errors:
        return None
    loaded = (sides[0], sides[1])
    try:
        told(Stage("looking for a kernel that loads both", 0, 4))
        chosen = choice(needs(loaded), named(settings.kernel))
    except NoKernel as error:
        hints = ("it needs root, for network namespaces and for loading",) if "not permitted" in str(error) else ()
        sink.add(Diagnostic(code="FWT700", message=f"no kernel here can load both sides: {error}", hints=hints))
        return None
    told(Stage("deriving packets", 1, 4))
    forms = _forms(before, after, loaded)
    derived = derive(
        before.ruleset, after.ruleset, budget=settings.budget, seed=settings.seed,
        realised=OnBridges(forms[0].old).realise if isinstance(forms[0].old, PveTopology) else realise,
    )  # fmt: skip
    if settings.all_pairs and isinstance(forms[0].old, PveTopology):
        derived += of_all_pairs(forms[0].old, derived, Random(settings.seed))  # noqa: S311 -- the same in every run
    try:
        found = _found(_Asking(loaded, chosen.kernel, settings, told), forms, derived, (before, after))
    except LabFailed as error:
        sink.add(
            Diagnostic(code="FWT702", message=str(error).splitlines()[0], notes=tuple(str(error).splitlines()[1:9]))
        )
        return None
    verdicts = {"delivered": 0, "refused": 0, "lost": 0}
    for observation in found.observed:
        verdicts[observation.verdict] += 1
    aims = {item.aim.origin for item in derived if item.aim.origin is not None}
    return LabResult(
        chosen.kernel.name, chosen.passed_over, len(derived), verdicts, len(aims), found.disagreements, found.unsteady,
        found.meant,
    )  # fmt: skip


class _Found(NamedTuple):
    """What the old side did in the first form of the host, and what the kernel said of the differences."""

    observed: list[Observation]
    disagreements: tuple[Disagreement, ...]
    meant: tuple[tuple[str, int], ...]
    unsteady: int


def _found(
    asking: _Asking, forms: Sequence[_Form], derived: Sequence[Derived], readings: tuple[Reading, Reading]
) -> _Found:
    """Send the packets, and those whose difference nothing explains once more: what does not last is no difference.

    Where rules hold for so many packets a second, what lasts is sent alone, too: in a crowd a limit that runs dry may part
    the same packet from the same limit's other packets twice.
    """
    by_id = {item.probe.id: item for item in derived}
    answers = asking.ask(forms, derived)
    weighed = _weigh(forms, [compare(old, new) for old, new in answers], by_id, readings)
    lasting_ones = weighed.unexplained
    if any(lasting_ones):
        again = asking.ask(forms, _asked_again(forms, derived, weighed.unexplained, readings), stage=3)
        lasting_ones = list(map(_that_last, weighed.unexplained, answers, again))
        if any(lasting_ones) and any(_has_rates(reading.ruleset) for reading in readings):
            alone = asking.ask(forms, _suspects(derived, lasting_ones), stage=3)
            lasting_ones = list(map(_that_last, lasting_ones, again, alone))
    disagreements = tuple(
        _disagreement(by_id[item.id], item, readings, form)
        for form, items in zip(forms, lasting_ones, strict=True)
        for item in items
    )
    passing = sum(map(len, weighed.unexplained)) - len(disagreements)
    return _Found(answers[0][0], disagreements, weighed.meant, weighed.by_limits + passing)


def _asked_again(
    forms: Sequence[_Form],
    derived: Sequence[Derived],
    unexplained: Sequence[Sequence[Difference]],
    readings: tuple[Reading, Reading],
) -> Sequence[Derived]:
    """Return the packets to send once more: all of them; only those in question where a rate may have run dry on one side.

    Thousands of packets in a few seconds are a flood to a rule that allows some hundred connections a second, and a side
    that judges on every bridge of the way counts each of them several times.
    """
    counts_alike = not any(form.counts_apart for form in forms)
    if counts_alike or not any(_has_rates(reading.ruleset) for reading in readings):
        return derived
    return _suspects(derived, unexplained)


def _suspects(derived: Sequence[Derived], unexplained: Sequence[Sequence[Difference]]) -> Sequence[Derived]:
    ids = {item.id for items in unexplained for item in items}
    return [item for item in derived if item.probe.id in ids]


def _that_last(found: Sequence[Difference], first: _Sides, second: _Sides) -> list[Difference]:
    """Return those of the differences that show again, of packets that each side treats as before."""
    asked = {one.id for one in second[0]}
    old, new = ([one for one in side if one.id in asked] for side in first)
    steady = {item.id for item in lasting((old, second[0]), (new, second[1])).differences}
    return [item for item in found if item.id in steady]


class _Weighed(NamedTuple):
    """What the differences are: for each form those that nothing explains, those that are meant, questions of the moment."""

    unexplained: list[list[Difference]]
    meant: tuple[tuple[str, int], ...]
    """With how many packets showed each."""
    by_limits: int


def _weigh(
    forms: Sequence[_Form],
    differences: Sequence[Sequence[Difference]],
    by_id: Mapping[str, Derived],
    readings: tuple[Reading, Reading],
) -> _Weighed:
    limited = _limited_prefixes(readings[0].ruleset) | _limited_prefixes(readings[1].ruleset)
    meant: Counter[str] = Counter()
    unexplained: list[list[Difference]] = []
    by_limits = 0
    for form, items in zip(forms, differences, strict=True):
        unexplained.append([])
        for item in items:
            if _is_of_limits(item, limited):
                by_limits += 1
            elif name := form.meant(by_id[item.id].probe, item):
                meant[name] += 1
            else:
                unexplained[-1].append(item)
    return _Weighed(unexplained, tuple(sorted(meant.items())), by_limits)


def _side(
    name: str, sources: Sequence[SourceFile], variant: Variant, sink: DiagnosticSink, files: Files
) -> Side | None:
    """Return how a side is loaded; what no tool loads, as dumps of what it leaves behind."""
    loaded = as_dumps(sources, files)
    written = [one.name for one in loaded if not any(one is source for source in sources)]
    if written:
        message = f"the {name} side is loaded as fwtrans reads it: {', '.join(written)} written from what was given"
        sink.add(Diagnostic(code="FWT703", message=message))
    return side_of(name, loaded, variant, sink)


def _limited_prefixes(ruleset: Ruleset) -> set[str]:
    """Return the prefixes of logs that a limit stands before: which packets they tell of is a question of the moment."""
    return {
        step.prefix
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
        if any(isinstance(step, StatefulTest) for step in rule.steps)
        for step in rule.steps
        if isinstance(step, Log)
    }


def _has_rates(ruleset: Ruleset) -> bool:
    """Tell whether some rule holds for so many packets a second."""
    rules = (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules)
    return any(
        isinstance(step, StatefulTest) and isinstance(step.object.kind, Limit)
        for rule in rules
        for step in flat_steps(rule.steps)
    ) or any(one.value == "limit" for table in ruleset.tables for one in table.maps)


def _is_of_limits(difference: Difference, limited: set[str]) -> bool:
    """Tell whether the only difference is whether a log with a limit spoke."""
    if difference.what != ("logs",) or difference.old is None or difference.new is None:
        return False
    one, other = Counter(difference.old.logs), Counter(difference.new.logs)
    return {*(one - other), *(other - one)} <= limited


class _Form(NamedTuple):
    """A form of the host in which both sides are compared, and what each side is loaded into."""

    name: str
    old: PveTopology | RouterTopology | None
    new: PveTopology | RouterTopology | None

    rules: tuple[RulesOnBridges, RulesOnBridges] | None = None
    """The rules of both sides, where there are bridges."""
    told: frozenset[str] = frozenset()
    """The guests whose hardware addresses are known."""

    @property
    def counts_apart(self) -> bool:
        """Tell whether one side judges a packet on every bridge of its way and the other once."""
        return self.rules is not None and self.rules[0].on_every_bridge != self.rules[1].on_every_bridge

    def meant(self, probe: Probe, difference: Difference) -> str:
        """Return the name of a difference that judging once makes, where one side judges on every bridge and the other once."""
        if self.rules is None or not self.counts_apart:
            return ""
        old, new = self.rules
        turned = new.on_every_bridge
        several, once = (new, old) if turned else (old, new)
        known = Known(several.topology, once.topology, several.refusal, self.told)
        return intended(probe, difference, known, turned=turned)


def _forms(before: Reading, after: Reading, sides: tuple[Side, Side]) -> tuple[_Form, ...]:
    """Return a router, or a host with bridges: where some are firewall bridges, the new side has to be right without them too."""
    if not is_about_bridge_ports(before.ruleset):
        return (_Form("", None, None),)
    host = before.host.joined(after.host)
    told = frozenset(hardware_of(before.ruleset, after.ruleset, host))

    def form(name: str, *, of_new: bool) -> _Form:
        old, new = (
            topology_of(before.ruleset, after.ruleset, host, with_firewall_bridges=bridges)
            for bridges in (True, of_new)
        )
        rules = (
            RulesOnBridges(before.ruleset, old, sides[0].bridge_nf_call),
            RulesOnBridges(after.ruleset, new, sides[1].bridge_nf_call),
        )
        return _Form(name, old, new, rules, told)

    with_bridges = form("with firewall bridges", of_new=True)
    classic = with_bridges.old
    if isinstance(classic, PveTopology) and not any(map(classic.has_firewall_bridge, classic.guests)):
        return (with_bridges._replace(name=""),)
    if sides[0].bridge_nf_call and not sides[1].bridge_nf_call:
        return (with_bridges, form("without firewall bridges", of_new=False))
    return (with_bridges,)


_Sides = tuple[list["Observation"], list["Observation"]]
"""What the kernel said of the old side and of the new one."""


class _Asking(NamedTuple):
    """The questions to one kernel."""

    sides: tuple[Side, Side]
    kernel: Kernel
    settings: LabSettings
    told: Callable[[Stage], None]

    def ask(self, forms: Sequence[_Form], derived: Sequence[Derived], stage: int = 2) -> list[_Sides]:
        """Ask for both sides in each form, all in one run of the kernel."""
        probes = tuple(item.probe for item in derived)
        router = RouterTopology(interfaces=interfaces_of(list(probes), HOST))
        self.told(Stage("sending packets" if stage == 2 else "sending them again", stage, 4))
        old, new = self.sides
        questions = []
        for form in forms:
            questions += [Question(old, form.old or router, probes), Question(new, form.new or router, probes)]
        answers = []
        for answer in judge_all(questions, self.kernel, seconds=len(questions) * self.settings.seconds):
            if isinstance(answer, LabFailed):
                raise answer
            answers.append(answer)
        return list(zip(answers[::2], answers[1::2], strict=True))


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


def _disagreement(
    derived: Derived, difference: Difference, readings: tuple[Reading, Reading], form: _Form
) -> Disagreement:
    probe = derived.probe
    made_for = derived.aim.origin.location if derived.aim.origin is not None else ""
    if form.rules is not None:
        old, new = (side.rule(probe, difference.step) for side in form.rules)
    else:
        old, new = (deciding_rule(reading.ruleset, probe) for reading in readings)
    return Disagreement(probe, difference, old, new, made_for, form.name)
