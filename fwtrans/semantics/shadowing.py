"""Rules that no packet gets to, that earlier rules have left nothing for, and that change nothing.

    found = lint(ruleset)
    found.findings[0].kind, .place, .because      what is wrong with which rule, and the rules that make it so

Every finding holds for every packet and every answer to what cannot be known (opaque matches, limits); where a hook cannot
be decided, nothing is said of the rules there. Rules that cannot match may all be taken away together. A rule that never
matters is judged with all others in place: take one away and look again, because two of them may stand in for each other.
What a rule in a user chain decides is compared with what the rest of that chain does, not with what comes behind its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.effect import Count
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.outcome import Limits, Place, Undecided
from fwtrans.semantics.path import visit_path
from fwtrans.semantics.reach import after, changing, leading, walked
from fwtrans.semantics.session import Session
from fwtrans.semantics.side import table_name
from fwtrans.semantics.visits import base_chains, visits_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.semantics.bdd import Bdd, Node
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.reach import Walked
    from fwtrans.semantics.summary import Summary

_DEFAULT = Limits()
_RETURN = verdicts.Return()
_TESTS = (FieldTest, MemberTest, OpaqueTest, AnyOf, Count)
# As many rules are named as the ones that decide what a rule that never matters decides.
_MOST_NAMED = 8


class FindingKind(Enum):
    """What is wrong with a rule, or with all rules of a chain."""

    UNREACHABLE_CHAIN = "unreachable chain"
    NEVER_MATCHES = "can never match"
    SHADOWED = "shadowed"
    NEVER_MATTERS = "never matters"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, or a chain (number -1) with its rules, and the rules that make it so."""

    kind: FindingKind
    place: Place
    reason: str
    because: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Lint:
    """What was found. `counting` rules only count or carry a comment: they decide nothing and are meant so."""

    findings: tuple[Finding, ...]
    undecided: tuple[Undecided, ...]
    assumptions: tuple[str, ...]
    rules: int
    counting: int


class _Verdict(NamedTuple):
    """What one visit says of a rule."""

    kind: FindingKind
    reason: str
    because: tuple[Place, ...] = ()


_Key = tuple[str, str, int]


def lint(ruleset: Ruleset, *, limits: Limits = _DEFAULT) -> Lint:
    """Return the rules that no packet matches and those that change nothing, as far as that can be proved."""
    every = [(table, chain, rule) for table in ruleset.tables for chain in table.chains for rule in chain.rules]
    counting = sum(_only_counts(rule) for _, _, rule in every)
    try:
        session = Session(ruleset, ruleset, limits.nodes)
    except OutOfNodes:
        lost = tuple(Undecided(visit_path(visit), "out of memory", ()) for visit in visits_of(ruleset))
        return Lint((), lost, (), len(every), counting)
    judging = _Judging(session)
    findings = tuple(judging.findings())
    return Lint(findings, tuple(judging.undecided), session.old.assumptions, len(every), counting)


class _Judging:
    """Puts together what the visits say of each rule: a finding is what holds at all of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ruleset = session.old.ruleset
        self.undecided = [
            Undecided(path, error.reason, (error.chain,) if error.chain else ()) for path, error in session.failed
        ]
        self._open: set[str] = set()
        self._said: dict[_Key, list[_Verdict | None]] = {}

    def findings(self) -> Iterator[Finding]:
        """Yield the findings in the order of the rules."""
        for compared in self._session.compared:
            self._visit(compared.path.visit)
        for undecided in self.undecided:
            self._open |= {table_name(table) for table, _ in base_chains(self._ruleset, undecided.visit)}
        single = _lines_of_one_rule(self._ruleset)
        dead: dict[Hashable, list[Finding | None]] = {}
        for table in self._ruleset.tables:
            if table_name(table) in self._open:
                continue
            for chain in table.chains:
                for finding, rule in self._chain(table, chain):
                    lines = {origin[:2] for origin in rule.origins} if rule is not None else set()
                    if not lines or lines <= single:
                        if finding is not None:
                            yield finding
                        continue
                    for line in lines:
                        dead.setdefault(line, []).append(finding)
        yield from _whole_lines(dead)

    def _visit(self, visit: HookVisit) -> None:
        try:
            for chain in walked(self._session, visit):
                judge = _ChainJudge(self._session, visit, chain)
                name = table_name(chain.table)
                for number, verdict in judge.verdicts():
                    self._said.setdefault((name, chain.chain.name, number), []).append(verdict)
        except OutOfNodes:
            self.undecided.append(Undecided(visit_path(visit), "out of memory", ()))

    def _chain(self, table: Table, chain: Chain) -> Iterator[tuple[Finding | None, Rule | None]]:
        name = table_name(table)
        whole = self._said.get((name, chain.name, -1), [])
        reached = any(verdict is None for verdict in whole)
        if not reached:
            if chain.rules and (chain.base is None or whole):
                yield self._unreachable(name, chain, whole), None
            return
        for number, rule in enumerate(chain.rules):
            if _is_policy(chain, rule):
                continue
            said = self._said.get((name, chain.name, number), [])
            place = Place(name, chain.name, number, rule.origins)
            yield _joined(place, said), rule

    def _unreachable(self, name: str, chain: Chain, whole: Sequence[_Verdict | None]) -> Finding:
        because = tuple(dict.fromkeys(place for verdict in whole if verdict for place in verdict.because))
        reason = "no packet gets to the rules that lead to it" if because else "no rule leads to it"
        if chain.base is not None:
            reason = "chains before it let no packet through"
        origins = (chain.origin,) if chain.origin is not None else ()
        return Finding(FindingKind.UNREACHABLE_CHAIN, Place(name, chain.name, -1, origins), reason, because)


def _is_policy(chain: Chain, rule: Rule) -> bool:
    """Tell whether a rule is what its chain's own line says of the end (ebtables' user chains have a policy)."""
    return chain.origin is not None and any(origin[:2] == chain.origin[:2] for origin in rule.origins)


def _joined(place: Place, said: Sequence[_Verdict | None]) -> Finding | None:
    """Return what all visits say of a rule together; the finding that says most about the rest of the ruleset leads."""
    verdicts_found = [verdict for verdict in said if verdict is not None]
    if not said or len(verdicts_found) < len(said):
        return None
    kinds = {verdict.kind for verdict in verdicts_found}
    order = (FindingKind.NEVER_MATTERS, FindingKind.SHADOWED, FindingKind.NEVER_MATCHES)
    kind = next(kind for kind in order if kind in kinds)
    leading_ones = [verdict for verdict in verdicts_found if verdict.kind is kind]
    because = tuple(dict.fromkeys(item for verdict in leading_ones for item in verdict.because))
    return Finding(kind, place, leading_ones[0].reason, because)


def _lines_of_one_rule(ruleset: Ruleset) -> set[Hashable]:
    """Return the source lines that have made one rule; what is said of a line must hold for all that it has made."""
    counted: dict[Hashable, int] = {}
    for table in ruleset.tables:
        for chain in table.chains:
            for rule in chain.rules:
                for origin in rule.origins:
                    counted[origin[:2]] = counted.get(origin[:2], 0) + 1
    return {line for line, count in counted.items() if count == 1}


def _whole_lines(found: Mapping[Hashable, list[Finding | None]]) -> Iterator[Finding]:
    """Yield one finding for each line of which no rule can match.

    That several rules of one line each never matter does not say that the line never does.
    """
    for findings in found.values():
        sure = [item for item in findings if item is not None and item.kind is not FindingKind.NEVER_MATTERS]
        if len(sure) == len(findings):
            first = next((item for item in sure if item.kind is FindingKind.SHADOWED), sure[0])
            because = tuple(dict.fromkeys(place for item in sure for place in item.because))
            yield Finding(first.kind, first.place, first.reason, because)


def _only_counts(rule: Rule) -> bool:
    return rule.verdict is None and all(isinstance(step, _TESTS) for step in rule.steps)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What the rules of a chain from some place on do: by which exit packets leave, which are changed on the way."""

    exits: Mapping[Hashable, Node]
    touched: Node
    onward: Node

    def sure(self, leaving: Hashable, false: Node) -> Node:
        """Return the packets that leave so and are not changed."""
        return self.exits.get(leaving, false) & ~self.touched


class _ChainJudge:
    """Judges the rules of one chain at one visit."""

    def __init__(self, session: Session, visit: HookVisit, found: Walked) -> None:
        self._session = session
        self._bdd: Bdd = session.bdd
        self._evaluator = session.evaluator(visit)
        self._visit = visit
        self._found = found
        self._name = table_name(found.table)
        rules = session.program.rules.items
        self._asked = [leading(session, visit, rules[number]).asked for number in found.rules]

    def verdicts(self) -> Iterator[tuple[int, _Verdict | None]]:
        """Yield number and verdict of each rule, None where the rule may matter; number -1 is the chain itself."""
        if self._found.entered == self._bdd.false:
            places = tuple(self._place(self._found.table, site.chain, site.number) for site in self._found.sites)
            yield -1, _Verdict(FindingKind.UNREACHABLE_CHAIN, "", places)
            return
        yield -1, None
        dead = {
            number for number, asked in enumerate(self._asked) if self._found.before[number] & asked == self._bdd.false
        }
        idle = dict(self._idle(dead))
        for number, rule in enumerate(self._found.chain.rules):
            if _only_counts(rule):
                yield number, None
            elif number in dead:
                yield number, self._dead(number)
            else:
                yield number, idle.get(number)

    # --- rules that no packet matches ---

    def _dead(self, number: int) -> _Verdict:
        wanted = self._asked[number]
        came = self._found.entered & wanted
        if came != self._bdd.false:
            return _Verdict(FindingKind.SHADOWED, "earlier rules take all it asks for", self._takers(number))
        possible = next(item.possible for item in self._session.compared if item.path.visit == self._visit)
        if possible & wanted == self._bdd.false:
            return _Verdict(FindingKind.NEVER_MATCHES, "no packet can be all that it asks for")
        if self._found.chain.base is not None:
            return _Verdict(FindingKind.NEVER_MATCHES, "chains before this one let no such packet through")
        places = tuple(self._place(self._found.table, site.chain, site.number) for site in self._found.sites)
        return _Verdict(FindingKind.NEVER_MATCHES, "no such packet is sent to this chain", places)

    def _takers(self, number: int) -> tuple[Place, ...]:
        """Return few earlier rules that together decide such packets, or change them so that they ask for another rule."""
        wanted = self._asked[number]
        took: list[tuple[int, Node]] = []
        for earlier in range(number):
            packets = self._found.before[earlier] & wanted
            if packets == self._bdd.false:
                continue
            summary = self._summary(earlier)
            taken = ~summary.through
            if summary.changes:
                changed = changing(self._session, summary)
                leaves = after(self._session, packets & changed, summary) & ~wanted != self._bdd.false
                taken = taken | changed if leaves else taken
            if packets & taken != self._bdd.false:
                took.append((earlier, wanted & taken))
        came = self._bdd.any_of([self._found.before[earlier] & some for earlier, some in took])
        kept = self._fewest(took, came)
        return tuple(self._place(self._found.table, self._found.chain.name, earlier) for earlier in kept)

    def _fewest(self, took: Sequence[tuple[int, Node]], packets: Node) -> list[int]:
        """Return the rules without those that the others make up for, the earliest gone first."""
        behind = [self._bdd.false]
        for _, some in reversed(took):
            behind.append(behind[-1] | some)
        kept, covered = [], self._bdd.false
        for at, (earlier, some) in enumerate(took):
            if packets & ~(covered | behind[len(took) - at - 1]) != self._bdd.false:
                kept.append(earlier)
                covered = covered | some
        return kept

    # --- rules that change nothing ---

    def _idle(self, dead: set[int]) -> Iterator[tuple[int, _Verdict]]:
        """Yield the rules without which packets end the same, from the last to the first.

        Compared with the rest of the chain as it stands, and as it is without what has been found already, so that of
        two rules that stand in for each other one is left.
        """
        whole = fewer = self._end()
        gone = set(dead)
        for number in reversed(range(len(self._found.rules))):
            summary = self._summary(number)
            if number in dead:
                whole = self._before(summary, whole)
                continue
            idle = self._is_idle(number, summary, whole) and self._is_idle(number, summary, fewer)
            if idle:
                yield number, self._why_idle(number, fewer, gone)
                gone.add(number)
            same = whole is fewer
            whole = self._before(summary, whole)
            if not idle:
                fewer = whole if same else self._before(summary, fewer)
        self._bdd.collect()

    def _end(self) -> _Rest:
        base = self._found.chain.base
        ending: Hashable = _RETURN
        if base is not None:
            ending = verdicts.Accept() if base.accepts else verdicts.Drop()
        return _Rest({ending: self._bdd.true}, self._bdd.false, self._bdd.true)

    def _before(self, summary: Summary, rest: _Rest) -> _Rest:
        """Return what a rule and the rest behind it do."""
        through, touched = summary.through, rest.touched
        if summary.changes:
            changed = changing(self._session, summary)
            through = through & ~changed
            touched = changed | (through & touched)
        elif touched != self._bdd.false:
            touched = through & touched
        exits = {leaving: through & packets for leaving, packets in rest.exits.items()}
        for leaving, packets in summary.exits.items():
            ending = self._ending(leaving)
            exits[ending] = exits.get(ending, self._bdd.false) | packets
        return _Rest(exits, touched, through & rest.onward)

    def _ending(self, leaving: Hashable) -> Hashable:
        base = self._found.chain.base
        if leaving != _RETURN or base is None:
            return leaving
        return verdicts.Accept() if base.accepts else verdicts.Drop()

    def _is_idle(self, number: int, summary: Summary, rest: _Rest) -> bool:
        packets = self._found.before[number]
        false = self._bdd.false
        if summary.changes and packets & changing(self._session, summary) != false:
            return False
        return all(
            packets & some & ~rest.sure(self._ending(leaving), false) == false
            for leaving, some in summary.exits.items()
        )

    def _why_idle(self, number: int, rest: _Rest, gone: set[int]) -> _Verdict:
        kind, table, chain = FindingKind.NEVER_MATTERS, self._found.table, self._found.chain
        left = self._found.before[number] & ~self._summary(number).through
        if left == self._bdd.false:
            return _Verdict(kind, "nothing happens to the packets that it matches")
        ends_as = "the policy decides the same" if chain.base is not None else "the end of the chain does the same"
        if left & ~rest.onward == self._bdd.false:
            return _Verdict(kind, ends_as)
        deciding: list[Place] = []
        for later in (at for at in range(number + 1, len(self._found.rules)) if at not in gone):
            through = self._summary(later).through
            if left & ~through != self._bdd.false:
                deciding.append(self._place(table, chain.name, later))
                left = left & through
            if left == self._bdd.false or len(deciding) == _MOST_NAMED:
                break
        return _Verdict(kind, "what comes behind it decides the same", tuple(deciding))

    def _summary(self, number: int) -> Summary:
        return self._evaluator.rule(self._found.rules[number])

    def _place(self, table: Table, chain: str, number: int) -> Place:
        found = table.chain(chain)
        assert found is not None  # noqa: S101 -- it was walked
        return Place(self._name, chain, number, found.rules[number].origins)
