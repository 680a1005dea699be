# ruff: noqa: S311 -- seeds make failures repeatable
"""A changed ruleset never passes for the same: `compare` shows a packet, or no packet of all that are tried is judged otherwise.

The witness is judged anew by the concrete evaluator, on both sides. Where `compare` says equal, packets are tried that
are led to the changed rule and have each boundary value of each field in turn, and 1,000 random ones at each hook (10,000
under --lab-long). A packet that never comes to a changed chain goes its way as before, and is not judged twice.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.effect import Log
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verify import verify
from fwtrans.ir.walk import flat_steps
from fwtrans.read import read_inputs
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.domain import contradictions
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.outcome import DifferenceKind
from fwtrans.semantics.packet import UnknownKind
from fwtrans.semantics.side import visits_of
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.places import FIXTURES, SHARED
from tests.random_dumps import random_dump
from tests.semantics.mutants import Change, Mutant, mutant, sites
from tests.semantics.samples import Ways, boundaries, random_packet, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.concrete import Outcome
    from fwtrans.semantics.outcome import Comparison, Difference
    from fwtrans.semantics.packet import HookVisit, Packet, Unknown

HOSTS = sorted(path.name for path in (FIXTURES / "golden" / "hosts").iterdir())
PVE = ("f-pol-drop-drop", "f-host-both", "f-ipsets", "f-icmp", "f-foreign", "f-opt-l2")


class Subject(NamedTuple):
    """Two rulesets that are equal: an input, and what is going to be changed. `same_names` where objects have one name."""

    name: str
    old: Ruleset
    new: Ruleset
    same_names: bool


# --- where rulesets come from ----------------------------------------------------------------------------------------


def read(sources: list[SourceFile]) -> Ruleset:
    sink = DiagnosticSink()
    reading = read_inputs(sources, sink, FileAccess())
    assert reading is not None, sink.found
    return reading.ruleset


def own_subject(name: str, sources: list[SourceFile]) -> Subject:
    ruleset = read(sources)
    return Subject(name, ruleset, ruleset, same_names=True)


def printed_subject(name: str, sources: list[SourceFile]) -> Subject | None:
    """Return the input beside what is printed for it and read back; None where it has no exact form."""
    sink = DiagnosticSink()
    result = translate(sources, Settings(verify=False), sink, FileAccess())
    if sink.errors:
        assert {error.code for error in sink.errors} == {"FWT200"}, sink.errors
        return None
    printed = read([SourceFile("printed", result.output)])
    old = read(sources)
    # what the proof of `translate` refuses is no output: several branches that charge one limit
    return Subject(name, old, printed, same_names=False) if compare(old, printed).equal else None


@cache
def subject(name: str) -> Subject:
    """Return the subject of a name: a host's or a PVE dump, or a random one by its number."""
    kind, _, rest = name.partition(":")
    if kind in {"host", "pve"}:
        place = FIXTURES / "golden" / "hosts" / rest / "input" if kind == "host" else SHARED / "pve-corpus" / rest
        sources = read_paths([str(place)], DiagnosticSink())
    elif kind == "printed-host":
        sources = read_paths([str(FIXTURES / "golden" / "hosts" / rest / "input")], DiagnosticSink())
        return printed_subject(name, sources) or own_subject(name, sources)
    else:
        family = "ip6" if int(rest) % 4 == 3 else "ip"
        dump = random_dump(Random(int(rest)), family)
        sources = [SourceFile("ip6tables-save" if family == "ip6" else "iptables-save", dump)]
        if int(rest) % 2:
            return printed_subject(name, sources) or own_subject(name, sources)
    return own_subject(name, sources)


# --- one mutant ------------------------------------------------------------------------------------------------------


def judge_mutant(name: str, seed: int, samples: int) -> tuple[Change, str]:
    """Make one mutant, compare, and hold the answer against the concrete evaluator; return the change and the answer."""
    of, source = subject(name), Random(f"{name} {seed}")
    places = sites(of.new)
    changes = sorted(places, key=lambda change: change.value)
    change = changes[seed % len(changes)]
    made = mutant(source, of.new, change, source.choice(places[change]))
    assert verify(made.ruleset) == (), (name, seed, change)
    found = compare(of.old, made.ruleset)
    assert not found.undecided, (name, seed, change, found.undecided)
    if found.differences:
        check_witnesses(of, made, found, f"{name} {seed} {change}")
        return change, "different"
    check_samples(of, made, source, samples, f"{name} {seed} {change}")
    return change, "equal"


def check_witnesses(of: Subject, made: Mutant, found: Comparison, what: str) -> None:
    for difference in found.differences:
        assert difference.confirmed, (what, difference.kind, difference.subject)
        assert contradictions(difference.visit, difference.packet) == (), what
        opaque = UnknownKind.OPAQUE
        before, after = difference.old.answers, difference.new.answers
        assert all(after.get(unknown, answer) == answer for unknown, answer in before.items() if unknown.kind is opaque), what
        assert tells_apart(of, made, difference), (what, difference.kind, difference.subject, difference.packet)


def tells_apart(of: Subject, made: Mutant, difference: Difference) -> bool:
    """Tell whether the concrete evaluator does other things with the witness on either side, in the way that is said."""
    visit, packet = difference.visit, difference.packet
    old = evaluate(of.old, visit, packet, lambda unknown: difference.old.answers[unknown])
    new = evaluate(made.ruleset, visit, packet, lambda unknown: difference.new.answers[unknown])
    if difference.kind is DifferenceKind.VERDICT:
        left, right = (seen(side, packet, visit.family, by_name=False) for side in (old, new))
        return left[0] != right[0]  # type: ignore[index]
    if difference.kind is DifferenceKind.LOG_ORDER:
        return logs(old) != logs(new) and Counter(logs(old)) == Counter(logs(new))
    by_name = of.same_names
    return seen(old, packet, visit.family, by_name=by_name) != seen(new, packet, visit.family, by_name=by_name)


def logs(outcome: Outcome) -> list[Log]:
    return [effect for effect in outcome.effects if isinstance(effect, Log)]


# --- packets for what is said to be equal ----------------------------------------------------------------------------


class Sample(NamedTuple):
    """A packet that both unchanged rulesets judge alike, what is seen of it, and the chains that it comes through."""

    visit: HookVisit
    packet: Packet
    seed: int
    outcome: Hashable
    chains: frozenset[tuple[str, str]]


def answers_for(seed: int, kinds: Mapping[str, str]) -> Callable[[Unknown], bool]:
    """Return fixed answers that do not rest on what objects are called, only on what they are: 0 and 1 answer all alike."""

    def answer(unknown: Unknown) -> bool:
        if unknown.kind is UnknownKind.OPAQUE:
            return Random(f"{seed} {unknown.identity}").random() < 0.5
        if seed < 2:
            return bool(seed)
        key = tuple((part.field.name, part.mask) for part in unknown.key)
        what = (kinds[unknown.identity],) if unknown.kind is UnknownKind.STATEFUL else key
        return Random(f"{seed} {what} {unknown.nth}").random() < 0.5

    return answer


@cache
def kinds_of(ruleset_id: int) -> dict[str, str]:
    return {}


def object_kinds(ruleset: Ruleset) -> dict[str, str]:
    """Return what each stateful object is, by its identity."""
    return {
        step.object.identity: repr(step.object.kind)
        for table in ruleset.tables
        for chain in table.chains
        for rule in chain.rules
        for step in flat_steps(rule.steps)
        if isinstance(step, StatefulTest)
    }


@cache
def pool(name: str, samples: int) -> tuple[Sample, ...]:
    """Return random packets for each hook, half of them led to a rule, and what both unchanged rulesets do with them."""
    of, source = subject(name), Random(name)
    bounds, ways = boundaries(of.old, of.new), Ways(of.new)
    kinds, new_kinds = object_kinds(of.old), object_kinds(of.new)
    found = []
    for visit in visits_of(of.new):
        for number in range(samples):
            packet = None
            while packet is None:
                wishes = random_wishes(source, of.new, ways, visit) if number % 2 else {}
                packet = random_packet(source, visit, bounds, wishes)
            seed = source.choice((0, 1, 1, source.randrange(2, 2**32)))
            old = evaluate(of.old, visit, packet, answers_for(seed, kinds))
            new = evaluate(of.new, visit, packet, answers_for(seed, new_kinds))
            shown = seen(old, packet, visit.family, by_name=False)
            assert seen(new, packet, visit.family, by_name=False) == shown, (name, visit, packet)
            chains = {(f"{passed.table.family.value} {passed.table.name}", passed.chain.name) for passed in new.trace}
            found.append(Sample(visit, packet, seed, shown, frozenset(chains)))
    return tuple(found)


def random_wishes(source: Random, ruleset: Ruleset, ways: Ways, visit: HookVisit) -> dict:  # type: ignore[type-arg]
    """Return what a packet must have to come to a random rule behind a chain of this hook."""
    for _ in range(20):
        at = source.randrange(len(ruleset.tables))
        chain = source.choice(ruleset.tables[at].chains)
        rule = source.choice(chain.rules) if chain.rules else None
        wishes, first = ways.wishes(source, at, chain.name, rule)
        base = next(item.base for item in ruleset.tables[at].chains if item.name == first)
        if base is not None and base.hook is visit.hook:
            return wishes
    return {}


def check_samples(of: Subject, made: Mutant, source: Random, samples: int, what: str) -> None:
    kinds, new_kinds = object_kinds(of.old), object_kinds(made.ruleset)
    for sample in pool(of.name, samples):
        if not made.chains or made.chains & sample.chains:
            new = evaluate(made.ruleset, sample.visit, sample.packet, answers_for(sample.seed, new_kinds))
            shown = seen(new, sample.packet, sample.visit.family, by_name=False)
            assert shown == sample.outcome, (what, sample.visit, sample.packet, sample.seed)
    for visit, packet in boundary_packets(of, made, source):
        for seed in (0, 1):
            old = evaluate(of.old, visit, packet, answers_for(seed, kinds))
            new = evaluate(made.ruleset, visit, packet, answers_for(seed, new_kinds))
            shown = seen(old, packet, visit.family, by_name=False)
            assert shown == seen(new, packet, visit.family, by_name=False), (what, visit, packet, seed)


def boundary_packets(of: Subject, made: Mutant, source: Random) -> list[tuple[HookVisit, Packet]]:
    """Return packets led to the changed place, each with another boundary value of one field."""
    bounds = boundaries(of.old, made.ruleset)
    table = made.ruleset.tables[made.site.table]
    ways, found = Ways(made.ruleset), []
    for chain in [item for item in table.chains if (f"{table.family.value} {table.name}", item.name) in made.chains] or [
        table.chains[made.site.chain]
    ]:
        number = min(max(made.site.rule, 0), len(chain.rules) - 1)
        rule = chain.rules[number] if chain.rules and made.change is not Change.ELEMENT else None
        for field, values in bounds.items():
            for value in values:
                wishes, first = ways.wishes(source, made.site.table, chain.name, rule)
                base = next(item.base for item in table.chains if item.name == first)
                if base is None:
                    continue
                for visit in (visit for visit in visits_of(made.ruleset) if visit.hook is base.hook):
                    packet = random_packet(source, visit, {**bounds, field: (value,)}, {f: w for f, w in wishes.items() if f is not field})
                    if packet is not None:
                        found.append((visit, packet))
    return found


# --- many ------------------------------------------------------------------------------------------------------------


def run(plan: list[tuple[str, int]], samples: int) -> Counter[tuple[Change, str]]:
    """Judge mutants on all processors; each subject goes to one of them."""
    parts: dict[str, list[int]] = {}
    for name, seed in plan:
        parts.setdefault(name, []).append(seed)
    found: Counter[tuple[Change, str]] = Counter()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as executor:
        for counted in executor.map(judge_part, [(name, seeds, samples) for name, seeds in parts.items()]):
            found += counted
    return found


def judge_part(part: tuple[str, list[int], int]) -> Counter[tuple[Change, str]]:
    name, seeds, samples = part
    return Counter(judge_mutant(name, seed, samples) for seed in seeds)
