"""A long run of rules that decide for good becomes a search: look-ups that lead to a few rules each.

    before   5,000 rules on addresses, protocol and ports, one after the other
    after    ip daddr vmap @forward-cut-1          a packet finds the rules for its destination, a handful,
             meta l4proto . th dport vmap @...     comes back where none holds, and tries those with no destination
             ip saddr 10.0.0.0/8 tcp dport ...     what is wide in everything is left, one after the other

Why it is safe: the rule that decides is still the first that holds. A branch has all rules of the run that could come
before one of its own and decide otherwise; rules that decide alike may stand in any order (`fwtrans.optimizer.search`).

It declines for runs that are short, and where the search is no cheaper or would be more than four times as big. Rules
that go on after they match, or have a memory, end a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Log
from fwtrans.ir.fields import NFPROTO, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import KeyPart
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.clauses import Clause, Clauses
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.keys import guard
from fwtrans.optimizer.names import Names, digest
from fwtrans.optimizer.search import Effort, Search
from fwtrans.optimizer.search_nodes import (
    Cut,
    Leaf,
    Node,
    Row,
    depth_of,
    has_whole,
    is_verdict,
    joined,
    origins_of,
    time_of,
)
from fwtrans.optimizer.size import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.verdict import Verdict

SHORTEST = 24
MOST_GROWTH = 4
# A search that takes more than half the steps is not worth its size.
LEAST_GAIN = 2
# What a rule of a run takes that turns a packet away at its first or second test.
NANOSECONDS_A_RULE = 16
# So many rules may stand in tables in front of the search.
FIRST_RULES = (6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192)
_EFFORTS = (Effort(6, 2, 4, 1.5), Effort(6, 2, 8, 2), Effort(6, 2, 16, 3), Effort(6, 2, 32, 4))


def sized(factor: float = MOST_GROWTH, entries: int = 0) -> Pass:
    """Return the pass with a limit of its own: a search has no more rules and elements than so many times the run's.

    `entries` is the size of a ruleset before other passes; what they saved may be spent here.
    """

    def run(ruleset: Ruleset) -> Passed:
        spare = max(factor * (entries - size_of(ruleset).entries), 0)
        longest = max((chain for table in ruleset.tables for chain in table.chains), key=_length, default=None)
        return each_table(ruleset, lambda table, declined: _table(table, declined, factor, longest, spare))

    return Pass("cuts", "a long run of rules becomes look-ups that lead to a few rules each", run)


def _length(chain: Chain) -> int:
    return len(chain.rules)


PASS = sized()


def _table(table: Table, declined: list[str], factor: float, longest: Chain | None, spare: float) -> Table:
    clauses = Clauses(table)
    names = Names(table)
    room: dict[str, int] | None = None
    additions: list[Addition] = []
    for chain in table.chains:
        if len(chain.rules) < SHORTEST:
            continue
        room = room_below(table) if room is None else room
        addition = _Cutting(
            chain, clauses, names, room[chain.name], declined, table.family, factor, spare if chain is longest else 0
        ).run()
        if addition is not None:
            additions.append(addition)
    return with_additions(table, additions) if additions else table


@dataclass(slots=True)
class _Cutting:
    """One chain."""

    chain: Chain
    clauses: Clauses
    names: Names
    room: int
    declined: list[str]
    family: Family
    factor: float
    spare: float
    _chains: list[Chain] = field(default_factory=list)
    _maps: list[NamedMap] = field(default_factory=list)
    _made: dict[tuple[Rule, ...], str] = field(default_factory=dict)

    def run(self) -> Addition | None:
        rules: list[Rule] = []
        waiting: list[Clause] = []
        changed = False
        for rule in (*self.chain.rules, None):
            clause = self.clauses.of(rule) if rule is not None else None
            if clause is not None and _decides_for_good(clause):
                waiting.append(clause)
                continue
            found = self._search(waiting, at_end=rule is None)
            changed = changed or found is not None
            rules.extend([item.rule for item in waiting] if found is None else self._root(found, at_end=rule is None))
            waiting = []
            if rule is not None:
                rules.append(rule)
        if not changed:
            return None
        return Addition(replace(self.chain, rules=tuple(rules)), tuple(self._chains), tuple(self._maps))

    def most(self, count: int) -> float:
        """Return how many rules and elements may stand in the place of so many rules."""
        return self.factor * count + self.spare

    def _search(self, run_: Sequence[Clause], *, at_end: bool) -> Node | None:
        if len(run_) < SHORTEST:
            return None
        where = f"chain {self.chain.name}, {len(run_)} rules"
        always = _always(self.family)
        boxes = Boxes.of(run_, always)
        best: Node | None = None
        for effort in _EFFORTS:
            node = Search(boxes, effort).build()
            if node.size > self.most(len(run_)):
                break
            found = _behind_first(run_, node, effort, always, at_end=at_end)
            if found is None or found.size > self.most(len(run_)) or depth_of(found) + 1 > self.room:
                continue
            node = found
            if best is None or (node.steps, node.size) < (best.steps, best.size):
                best = node
        if best is None:
            self.declined.append(f"{where}: a search would be more than {self.factor:g} times as big, or too deep")
            return None
        if best.steps * LEAST_GAIN >= len(run_) or time_of(best) >= NANOSECONDS_A_RULE * len(run_):
            self.declined.append(f"{where}: look-ups would be no cheaper")
            return None
        return best

    # --- the new form ---

    def _rules(self, node: Node) -> tuple[Rule, ...]:
        if isinstance(node, Leaf):
            return node.rules
        rest = self._rules(node.rest)
        if isinstance(node, Row):
            return (*node.rules, *rest)
        return (self._look_up(node), *rest)

    def _look_up(self, node: Cut) -> Rule:
        leads = Goto if node.whole else Jump
        values = {id(branch): self._value(branch, leads) for _, branch in node.branches}
        elements = tuple(MapElement(key, values[id(branch)]) for key, branch in node.branches)
        name = self.names.new(self.chain.name, "by", *(item.name for item in node.key))
        self._maps.append(NamedMap(name, node.key, "verdict", elements, self.chain.origin))
        origins = tuple(dict.fromkeys(origins_of(node)))
        return Rule(guard(node.key), Dispatch(tuple(map(KeyPart, node.key)), name), origins)

    def _root(self, node: Node, *, at_end: bool) -> tuple[Rule, ...]:
        """Return the rules that stand in the run's place.

        A goto would leave the rules behind the run out: where there are any, what uses it is reached by a jump.
        """
        if at_end or not has_whole(node):
            return self._rules(node)
        if isinstance(node, Row):
            return (*node.rules, *self._root(node.rest, at_end=False))
        if isinstance(node, Cut) and not node.whole:
            return (self._look_up(node), *self._root(node.rest, at_end=False))
        rules = self._rules(node)
        name = self.names.new(self.chain.name, "cut")
        self._chains.append(Chain(name, rules, origin=self.chain.origin))
        return (Rule((), Jump(name), tuple(dict.fromkeys(origins_of(node)))),)

    def _value(self, node: Node, leads: type[Jump | Goto]) -> Verdict:
        """Return what the map holds for a branch: its verdict, or the way to a chain with its rules.

        From a cut whose branches are whole a goto leads there: what stands behind the look-up is for other packets.
        """
        if isinstance(node, Leaf) and len(node.rules) == 1 and is_verdict(node.rules[0]):
            found = node.rules[0].verdict
            assert found is not None  # noqa: S101 -- that is what is_verdict says
            return found
        rules = self._rules(node)
        if rules not in self._made:
            name = self.names.new(self.chain.name, digest(map(repr, (r.steps for r in rules))))
            self._made[rules] = name
            self._chains.append(Chain(name, rules, origin=self.chain.origin))
        return leads(self._made[rules])


def _always(family: Family) -> dict[Field, ValueSet]:
    """Return what all packets of a table have in common, as far as addresses need it."""
    protocol = {Family.IP: 2, Family.IP6: 10}.get(family)
    return {} if protocol is None else {NFPROTO: IntervalSet.single(8, protocol)}


def _behind_first(
    run_: Sequence[Clause], node: Node, effort: Effort, always: Mapping[Field, ValueSet], *, at_end: bool
) -> Node | None:
    """Return the search behind tables for the first rules, so that no packet takes more steps than before.

    Whoever comes to the search then has passed as many rules before as the whole costs; None where that is nowhere so.
    """
    if node.steps <= 1:
        return node
    for count in FIRST_RULES:
        if count >= len(run_) or count < node.steps:
            continue
        front = Search(Boxes.of(run_[:count], always), effort).tables(count)
        if front is None or front.steps + node.steps > count + 1:
            continue
        rest = Search(Boxes.of(run_[count:], always), effort).build()
        jump = int(has_whole(rest) and not at_end)
        if front.steps + rest.steps + jump <= count + 1:
            return joined(front, rest)
    return None


def _decides_for_good(clause: Clause) -> bool:
    """Tell whether a rule, once its tests hold, ends the packet, and before that does nothing but log."""
    if not isinstance(clause.verdict, TERMINAL) or clause.writes:
        return False
    steps = list(clause.rest)
    while steps and isinstance(steps[-1], Log):
        steps.pop()
    return all(map(is_pure, steps))
