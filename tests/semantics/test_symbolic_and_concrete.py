# ruff: noqa: S311 -- seeds make failures repeatable
"""The symbolic side says of every packet what the concrete evaluator says, and a mutant never passes for equal."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.effect import Log
from fwtrans.ir.stateful import StatefulObject
from fwtrans.semantics.concrete import Decision, Outcome, evaluate
from fwtrans.semantics.domain import contradictions
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.packet import Unknown, UnknownKind
from fwtrans.semantics.program import LOG
from fwtrans.semantics.session import Session
from fwtrans.semantics.visible import visible
from fwtrans.semantics.visits import arrives_whole, visits_of
from tests.semantics.rewrites import rewritten
from tests.semantics.rulesets import mutant, random_packet, random_ruleset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.packet import HookVisit, Packet
    from fwtrans.semantics.summary import Bits

NODES = 2_000_000


def answer_for(seed: int, unknown: Unknown) -> bool:
    """Answer any question, always the same way; a stateful one without regard to its key, a set's with it."""
    key = tuple((part.field.name, part.mask) for part in unknown.key) if unknown.kind is UnknownKind.MEMBER else ()
    return Random(f"{seed} {unknown.kind} {unknown.identity} {key} {unknown.nth}").random() < 0.5


def assignment(session: Session, packet: Packet, seed: int) -> list[tuple[int, bool]]:
    variables = session.variables
    found = [False] * len(session.bdd.variables)
    for field, span in variables.spans.items():
        value = packet.values.get(field)
        if value is None:
            continue
        place = (
            variables.names[field].class_of(str(value))
            if field in variables.names
            else variables.numbers[field].class_of(int(value))
        )
        for at, number in enumerate(reversed(span)):
            found[number] = bool(place >> at & 1)
    for slot, number in variables.slots.items():
        found[number] = bool(int(packet.values.get(slot.field, 0)) >> slot.bit & 1)
    for unknown, number in variables.unknowns.items():
        named = unknown
        if unknown.kind is not UnknownKind.OPAQUE:
            named = unknown._replace(identity=session.program.objects.items[int(unknown.identity)].identity)
        found[number] = answer_for(seed, named)
    return list(enumerate(found))


def check(ruleset: Ruleset, session: Session, visit: HookVisit, packet: Packet, seed: int) -> None:
    outcome = evaluate(ruleset, visit, packet, lambda unknown: answer_for(seed, unknown))
    visited = next(item for item in session.compared if item.path.visit == visit)
    pairs = assignment(session, packet, seed)

    def holds(node: Node) -> bool:
        return node.eval(pairs)

    assert holds(visited.packets.conceivable)
    whole = arrives_whole(ruleset, visit)
    assert holds(visited.possible) or contradictions(visit, packet, malformed=False, whole=whole)
    leaving = [exit_ for exit_, node in visited.old.exits.items() if holds(node)]
    if holds(visited.old.through):
        leaving.append(verdicts.Accept())
    assert len(leaving) == 1
    assert decision(leaving[0]) is outcome.decision
    if visited.old.events.get(LOG):
        told = [[what for what, node in place.items() if holds(node)] for place in visited.old.events[LOG].contents]
        assert [item for place in told for item in place] == [item for item in outcome.effects if isinstance(item, Log)]
    else:
        assert not any(isinstance(item, Log) for item in outcome.effects)
    counted = Counter[str]()
    for stream, events in visited.old.events.items():
        if stream.kind == "touch":
            identity = session.program.objects.items[stream.object].identity
            counted[identity] += sum(holds(node) for node in events.reached)
    assert +counted == Counter(
        item[1].identity
        for item in outcome.effects
        if isinstance(item, tuple) and len(item) == 3 and isinstance(item[1], StatefulObject)
    )
    check_values(packet, outcome, pairs, visited.old.writes)


def check_values(
    packet: Packet, outcome: Outcome, pairs: list[tuple[int, bool]], writes: Mapping[Field, tuple[Bits, ...]]
) -> None:
    for field, groups in writes.items():
        if field not in packet.values:
            assert not any(written.eval(pairs) for _, written, _ in groups)
            continue
        value = int(packet.values[field])
        for mask, written, ones in groups:
            if written.eval(pairs):
                value = value & ~mask | (mask if ones.eval(pairs) else 0)
        assert value == outcome.values[field], field
    for field, written_value in outcome.values.items():
        if written_value != packet.values.get(field):
            assert field in writes


def decision(leaving: object) -> Decision:
    if isinstance(leaving, verdicts.Accept):
        return Decision.ACCEPT
    if isinstance(leaving, verdicts.Drop):
        return Decision.DROP
    return Decision.REJECT if isinstance(leaving, verdicts.Reject) else Decision.PROXY


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_symbolic_evaluation_agrees_with_the_concrete_one(seed: int) -> None:
    source = Random(seed)
    ruleset = random_ruleset(source)
    session = Session(ruleset, ruleset, NODES)
    assert not session.failed
    for visit in visits_of(ruleset):
        for number in range(12):
            check(ruleset, session, visit, random_packet(source, visit), seed + number)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_a_mutant_is_different_with_a_confirmed_witness_or_equal_on_every_sample(seed: int) -> None:
    source = Random(seed)
    old = random_ruleset(source)
    new = mutant(source, old)
    found = compare(old, new)
    assert all(difference.confirmed for difference in found.differences)
    assert not found.undecided
    if not found.differences:
        for visit in visits_of(old):
            for number in range(40):
                whole = arrives_whole(old, visit) and arrives_whole(new, visit)
                packet = random_packet(source, visit, malformed=False, whole=whole)
                answers = partial(answer_for, seed + number)
                before, after = evaluate(old, visit, packet, answers), evaluate(new, visit, packet, answers)
                assert visible(before, packet, visit.family) == visible(after, packet, visit.family), (packet, visit)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_what_is_written_in_another_way_is_equal(seed: int) -> None:
    source = Random(seed)
    old = random_ruleset(source)
    found = compare(old, rewritten(source, old))
    assert found.equal, found
