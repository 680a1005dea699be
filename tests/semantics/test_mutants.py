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
from dataclasses import replace
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import fields as known
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
from fwtrans.semantics.visible import visible
from fwtrans.semantics.visits import arrives_whole, visits_of
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.places import FIXTURES, SHARED
from tests.random_dumps import random_dump
from tests.semantics.builders import DROP, HAS_PORTS, TCP, dport, limit, rule, ruleset
from tests.semantics.mutants import Change, Mutant, mutant, sites
from tests.semantics.samples import Ways, boundaries, random_packet, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Chain, Ruleset
    from fwtrans.semantics.concrete import Outcome
    from fwtrans.semantics.outcome import Comparison, Difference
    from fwtrans.semantics.packet import HookVisit, Packet, Unknown

HOSTS = sorted(path.name for path in (FIXTURES / "golden" / "hosts").iterdir())
PVE = ("f-pol-drop-drop", "f-host-both", "f-ipsets", "f-icmp", "f-foreign", "f-opt-l2")


class Subject(NamedTuple):
    """Two rulesets that are equal, and whose objects have the same names: an input, and what is going to be changed."""

    name: str
    old: Ruleset
    new: Ruleset


# --- where rulesets come from ----------------------------------------------------------------------------------------


def read(sources: Sequence[SourceFile]) -> Ruleset:
    sink = DiagnosticSink()
    reading = read_inputs(sources, sink, FileAccess())
    assert reading is not None, sink.found
    return reading.ruleset


def own_subject(name: str, sources: Sequence[SourceFile]) -> Subject:
    ruleset = read(sources)
    return Subject(name, ruleset, ruleset)


def printed_subject(name: str, sources: Sequence[SourceFile]) -> Subject | None:
    """Return the input beside what is printed for it and read back; None where it has no exact form."""
    sink = DiagnosticSink()
    result = translate(sources, Settings(verify=False), sink, FileAccess())
    if sink.errors:
        assert {error.code for error in sink.errors} == {"FWT200"}, sink.errors
        return None
    old, printed = read(sources), read([SourceFile("printed", result.output)])
    kinds = {kind: name for name, kind in object_kinds(old).items()}
    if len(kinds) != len(object_kinds(old)):
        return None
    printed = with_names(printed, {name: kinds[kind] for name, kind in object_kinds(printed).items()})
    # what the proof of `translate` refuses is no output: several branches that charge one limit
    return Subject(name, old, printed) if compare(old, printed).equal else None


def with_names(ruleset: Ruleset, names: Mapping[str, str]) -> Ruleset:
    """Return the ruleset with its stateful objects called by other names."""

    def named(step: Step) -> Step:
        if not isinstance(step, StatefulTest):
            return step
        return replace(step, object=replace(step.object, identity=names[step.object.identity]))

    tables = []
    for table in ruleset.tables:
        chains = []
        for chain in table.chains:
            rules = (replace(rule, steps=tuple(map(named, rule.steps))) for rule in chain.rules)
            chains.append(replace(chain, rules=tuple(rules)))
        tables.append(replace(table, chains=tuple(chains)))
    return replace(ruleset, tables=tuple(tables))


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
        sources = (SourceFile("ip6tables-save" if family == "ip6" else "iptables-save", dump),)
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
        told = (what, difference.kind, difference.subject, difference.packet)
        assert contradictions(difference.visit, difference.packet) == (), told
        before, after = difference.old.answers, difference.new.answers
        another = made.change is Change.LIMIT  # a bucket of another size may answer otherwise
        assert another or all(after.get(unknown, answer) == answer for unknown, answer in before.items()), told
        assert tells_apart(of, made, difference), told
        # a limit of another rate is not confirmed: see test_another_rate_is_confirmed
        assert difference.confirmed or another, told


def tells_apart(of: Subject, made: Mutant, difference: Difference) -> bool:
    """Tell whether the concrete evaluator does other things with the witness on either side, in the way that is said."""
    visit, packet = difference.visit, difference.packet
    old = evaluate(of.old, visit, packet, lambda unknown: difference.old.answers[unknown])
    new = evaluate(made.ruleset, visit, packet, lambda unknown: difference.new.answers[unknown])
    if difference.kind is DifferenceKind.VERDICT:
        left, right = (visible(side, packet, visit.family).verdict for side in (old, new))
        return left != right
    if difference.kind is DifferenceKind.LOG_ORDER:
        return logs(old) != logs(new) and Counter(logs(old)) == Counter(logs(new))
    return seen(old, packet, visit.family, by_name=True) != seen(new, packet, visit.family, by_name=True)


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
def pool(name: str, visit: HookVisit, samples: int) -> tuple[Sample, ...]:
    """Return random packets for a hook, half of them led to a rule, and what both unchanged rulesets do with them."""
    of, source = subject(name), Random(f"{name} {visit.family} {visit.hook}")
    bounds, ways = boundaries(of.old, of.new), Ways(of.new)
    kinds, new_kinds = object_kinds(of.old), object_kinds(of.new)
    found: list[Sample] = []
    while len(found) < samples:
        wishes = random_wishes(source, of.new, ways, visit) if len(found) % 2 else {}
        whole = arrives_whole(of.old, visit) and arrives_whole(of.new, visit)
        packet = random_packet(source, visit, bounds, wishes, whole=whole)
        if packet is None:
            continue
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
    ways = Ways(made.ruleset)
    table = made.ruleset.tables[made.site.table]
    names = [name for _, name in made.chains] or [table.chains[made.site.chain].name]
    hooks = set().union(*(ways.hooks(made.site.table, name) for name in names))
    visits = [visit for visit in visits_of(made.ruleset) if visit.hook in hooks]
    for visit in visits:
        for sample in pool(of.name, visit, samples):
            if not made.chains or made.chains & sample.chains:
                new = evaluate(made.ruleset, visit, sample.packet, answers_for(sample.seed, new_kinds))
                shown = seen(new, sample.packet, visit.family, by_name=False)
                assert shown == sample.outcome, (what, visit, sample.packet, sample.seed)
    chain = next(item for item in table.chains if item.name == source.choice(sorted(names)))
    for visit, packet in boundary_packets(of, made, chain, ways, visits):
        for seed in (0, 1):
            old = evaluate(of.old, visit, packet, answers_for(seed, kinds))
            new = evaluate(made.ruleset, visit, packet, answers_for(seed, new_kinds))
            shown = seen(old, packet, visit.family, by_name=False)
            assert shown == seen(new, packet, visit.family, by_name=False), (what, visit, packet, seed)


def boundary_packets(
    of: Subject, made: Mutant, chain: Chain, ways: Ways, visits: list[HookVisit]
) -> Iterator[tuple[HookVisit, Packet]]:
    """Yield packets led to the changed place, each with another boundary value of one field."""
    source = Random(str(made.site))
    table = made.ruleset.tables[made.site.table]
    bounds = boundaries(of.old, made.ruleset)
    number = min(max(made.site.rule, 0), len(chain.rules) - 1)
    rule = chain.rules[number] if chain.rules and made.change is not Change.ELEMENT else None
    for field, values in bounds.items():
        for value in values:
            wishes, first = ways.wishes(source, made.site.table, chain.name, rule)
            base = next(item.base for item in table.chains if item.name == first)
            for visit in (visit for visit in visits if base is not None and visit.hook is base.hook):
                others = {wished: wanted for wished, wanted in wishes.items() if wished is not field}
                whole = arrives_whole(of.old, visit) and arrives_whole(made.ruleset, visit)
                packet = random_packet(source, visit, {**bounds, field: (value,)}, others, whole=whole)
                if packet is not None:
                    yield visit, packet


# --- faults that these mutants have found ----------------------------------------------------------------------------


def test_another_rate_is_confirmed() -> None:
    found = compare(ruleset(rule(limit("one", 5), DROP)), ruleset(rule(limit("one", 6), DROP)))
    assert [difference.kind for difference in found.differences if not difference.confirmed] == []


def test_a_limit_that_other_packets_touch_is_shown_by_one_of_these() -> None:
    """Both limits are the only ones of their kind: what differs is whether port 23 touches them."""
    found = compare(
        ruleset(rule(TCP, HAS_PORTS, dport(22, 23), limit("mine"))),
        ruleset(rule(TCP, HAS_PORTS, dport(22), limit("yours"))),
    )
    assert {difference.packet.values[known.DPORT] for difference in found.differences} == {23}


# --- many ------------------------------------------------------------------------------------------------------------

NORMAL = [
    *((f"{kind}:{host}", 100) for host in HOSTS for kind in ("host", "printed-host")),
    *((f"random:{number}", 60) for number in range(24)),
]
FROM_PVE = [(f"pve:{folder}", 130) for folder in ("f-pol-drop-drop", "f-icmp", "f-opt-l2")]
LONG = [
    *((name, 10 * times) for name, times in NORMAL),
    *((f"random:{number}", 100) for number in range(24, 100)),
    *((f"pve:{folder}", 500) for folder in PVE),
]


def judge_all(plan: list[tuple[str, int]], samples: int) -> Counter[tuple[Change, str]]:
    """Judge that many mutants of each subject, on all processors."""
    found: Counter[tuple[Change, str]] = Counter()
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as executor:
        for counted in executor.map(judge_some, plan, repeat(samples)):
            found += counted
    return found


def judge_some(part: tuple[str, int], samples: int) -> Counter[tuple[Change, str]]:
    """Judge the mutants of one subject."""
    name, times = part
    return Counter(judge_mutant(name, seed, samples) for seed in range(times))


def assert_all_kinds(found: Counter[tuple[Change, str]], least: int) -> None:
    """Fail where a kind of change was never made, or never mattered, or nothing was found equal."""
    assert found.total() >= least
    assert all(found[change, "different"] for change in Change), found
    assert sum(count for (_, answer), count in found.items() if answer == "equal") >= least // 20, found


def test_two_thousand_mutants_are_told_apart_or_do_the_same(shared: Path) -> None:
    assert_all_kinds(judge_all([*FROM_PVE, *NORMAL], 1000), 2000)
    assert shared


@pytest.mark.lab_long
def test_many_more_mutants_are_told_apart_or_do_the_same(shared: Path) -> None:
    assert_all_kinds(judge_all(LONG, 10_000), 12_000)
    assert shared
