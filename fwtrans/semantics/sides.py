"""One side's own judgement of a witness: the concrete evaluator is asked, and which rules decided is read off its trace."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.effect import SetUpdate
from fwtrans.ir.fields import Field
from fwtrans.semantics.concrete import Decision, Outcome, evaluate
from fwtrans.semantics.outcome import DifferenceKind, Place, SideResult
from fwtrans.semantics.packet import Packet, Unknown, UnknownKind
from fwtrans.semantics.side import table_name
from fwtrans.semantics.visible import visible
from fwtrans.semantics.visits import base_chains

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Family
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.semantics.concrete import Passed
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.path import Hop
    from fwtrans.semantics.session import Evaluation
    from fwtrans.semantics.side import Side

_DECIDING = (*verdicts.TERMINAL, verdicts.Dispatch)
_LOGS = ("log", "")
_KINDS = (UnknownKind.STATEFUL, UnknownKind.MEMBER)


def judge(
    session: Evaluation,
    side: Side,
    hops: Sequence[Hop],
    packet: Packet,
    assignment: Sequence[bool],
    pairing: Mapping[int, int],
) -> SideResult:
    """Return what the side does with the packet on its way, given the values of the unknowns."""
    answers = _Answers(dict(_answers(session, side, assignment, pairing)))
    values = dict(packet.values)
    outcome = Outcome(Decision.ACCEPT, (), values, (), None)
    places: list[Place] = []
    for hop in hops:
        here = evaluate(side.ruleset, hop.visit, Packet({**values, **hop.values}), answers)
        answers.hop_done(here)
        values = here.values
        decided = list(_deciding(side, hop.visit, here))
        if here.decision is not Decision.ACCEPT:
            places = decided
        elif any(place.number >= 0 for place in decided) or not places:
            places = [*(place for place in places if place.number >= 0), *decided]
        effects, trace = (*outcome.effects, *here.effects), (*outcome.trace, *here.trace)
        outcome = Outcome(here.decision, effects, values, trace, here.decided_by)
        if here.decision is not Decision.ACCEPT:
            break
    return SideResult(outcome, tuple(places), answers.asked)


class _Answers:
    """Answers the concrete evaluator, which counts touches from the start at each hop, and keeps what was asked."""

    def __init__(self, known: Mapping[Unknown, bool]) -> None:
        self._known = known
        self._before: Counter[str] = Counter()
        self.asked: dict[Unknown, bool] = {}

    def __call__(self, unknown: Unknown) -> bool:
        usual = unknown.kind is UnknownKind.STATEFUL
        key = unknown.key if unknown.kind is UnknownKind.MEMBER else ()
        later = unknown._replace(nth=unknown.nth + self._before[unknown.identity])
        self.asked[later] = self._known.get(later._replace(key=key), usual)
        return self.asked[later]

    def hop_done(self, outcome: Outcome) -> None:
        """Count what was touched at a hop."""
        for effect in outcome.effects:
            if isinstance(effect, tuple) and effect[0] == "touch":
                self._before[effect[1].identity] += 1
            elif isinstance(effect, SetUpdate):
                self._before[effect.set_name] += 1


def _answers(
    session: Evaluation, side: Side, assignment: Sequence[bool], pairing: Mapping[int, int]
) -> Iterator[tuple[Unknown, bool]]:
    """Yield the answers under the names that the side itself uses."""
    variables = session.variables.unknowns
    for unknown, number in variables.items():
        if unknown.kind is UnknownKind.OPAQUE:
            yield unknown, assignment[number]
    for thing in side.objects:
        same = pairing.get(thing, thing)
        for kind in _KINDS:
            for unknown, number in session.variables.questions(kind, same):
                identity = session.program.objects.items[thing].identity.removeprefix(side.alias)
                key = unknown.key if kind is UnknownKind.MEMBER else ()
                value = assignment[number] if number < len(assignment) else kind is UnknownKind.STATEFUL
                yield Unknown(kind, identity, key, unknown.nth), value


def _deciding(side: Side, visit: HookVisit, outcome: Outcome) -> Iterator[Place]:
    """Yield the rules that ended base chains: the one that stopped the packet, or all that accepted it."""
    last = Place("", "", -1)
    found: list[Place] = []
    for table, chain, passed in _parts(side, visit, outcome):
        last = Place(table_name(table), chain.name, -1, (chain.origin,) if chain.origin is not None else ())
        if passed is not None and passed.held and isinstance(passed.rule.verdict, _DECIDING):
            last = Place(table_name(table), passed.chain.name, passed.number, passed.rule.origins)
            found.append(last)
    if outcome.decision is Decision.ACCEPT and found:
        yield from found
    elif last.chain:
        yield last


def _parts(side: Side, visit: HookVisit, outcome: Outcome) -> Iterator[tuple[Table, Chain, Passed | None]]:
    """Yield the base chains that the packet went through, each with the last rule that was looked at."""
    trace, at = outcome.trace, 0
    for table, chain in base_chains(side.ruleset, visit):
        start = at
        if start < len(trace) and trace[start].chain is chain:
            at += 1
            while at < len(trace) and (trace[at].number or trace[at].chain.base is None):
                at += 1
        elif chain.rules:
            continue  # a nat chain that does not see the packet
        yield table, chain, trace[at - 1] if at > start else None
        by_rule = outcome.decided_by is not None
        if outcome.decision is not Decision.ACCEPT and at == len(trace) and (by_rule or _drops(chain)):
            return


def _drops(chain: Chain) -> bool:
    return chain.base is not None and not chain.base.accepts


def confirms(
    kind: DifferenceKind,
    subject: Hashable,
    packet: Packet,
    old: Outcome,
    new: Outcome,
    family: Family,
    names: Mapping[str, str],
) -> bool:
    """Tell whether two concrete outcomes differ in the way that was found; `names` say which object is which."""
    before, after = visible(old, packet, family), visible(new, packet, family, names)
    if kind is DifferenceKind.VERDICT:
        return before.verdict != after.verdict
    if isinstance(subject, Field):
        return before.fields.get(subject) != after.fields.get(subject)
    logs, other_logs = before.streams.get(_LOGS, ()), after.streams.get(_LOGS, ())
    if kind is DifferenceKind.LOG:
        return logs.count(subject) != other_logs.count(subject)
    if kind is DifferenceKind.LOG_ORDER:
        return logs != other_logs and Counter(logs) == Counter(other_logs)
    return before.streams != after.streams
