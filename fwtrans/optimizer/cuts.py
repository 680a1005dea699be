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
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.clauses import Clause, Clauses
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.keys import guard
from fwtrans.optimizer.names import Names, digest
from fwtrans.optimizer.search import Cut, Effort, Leaf, Node, Search, is_verdict
from fwtrans.optimizer.steps import rule_price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.source import Origin

SHORTEST = 24
MOST_GROWTH = 4
# Longer runs are searched with less effort: the time grows faster than the run.
MANY_RULES = 2000
_EFFORTS = (Effort(8, 2, 4, 1), Effort(5, 2, 4, 2), Effort(5, 2, 8, 3), Effort(3, 3, 8, 4))


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with searches in the place of long runs."""
    return each_table(ruleset, _table)


PASS = Pass("cuts", "a long run of rules becomes look-ups that lead to a few rules each", run)


def _table(table: Table, declined: list[str]) -> Table:
    clauses = Clauses(table)
    names = Names(table)
    room: dict[str, int] | None = None
    additions: list[Addition] = []
    for chain in table.chains:
        if len(chain.rules) < SHORTEST:
            continue
        room = room_below(table) if room is None else room
        addition = _Cutting(chain, clauses, names, room[chain.name], declined).run()
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
            found = self._search(waiting)
            changed = changed or found is not None
            rules.extend([item.rule for item in waiting] if found is None else self._root(found))
            waiting = []
            if rule is not None:
                rules.append(rule)
        if not changed:
            return None
        return Addition(replace(self.chain, rules=tuple(rules)), tuple(self._chains), tuple(self._maps))

    def _search(self, run_: Sequence[Clause]) -> Node | None:
        if len(run_) < SHORTEST:
            return None
        where = f"chain {self.chain.name}, {len(run_)} rules"
        boxes = Boxes.of(run_)
        best: Node | None = None
        for effort in _EFFORTS if len(run_) <= MANY_RULES else _EFFORTS[:2]:
            node = Search(boxes, effort).build()
            if node.size > MOST_GROWTH * len(run_) or depth_of(node) + 1 > self.room:
                break
            if best is None or node.steps < best.steps:
                best = node
        if best is None:
            self.declined.append(f"{where}: a search would be more than {MOST_GROWTH} times as big, or too deep")
            return None
        if time_of(best) >= sum(10 for _ in run_):
            self.declined.append(f"{where}: look-ups would be no cheaper")
            return None
        return best

    # --- the new form ---

    def _rules(self, node: Node) -> tuple[Rule, ...]:
        if isinstance(node, Leaf):
            return node.rules
        rest = self._rules(node.rest)
        leads = Goto if node.whole else Jump
        values = {id(branch): self._value(branch, leads) for _, branch in node.branches}
        elements = tuple(MapElement(key, values[id(branch)]) for key, branch in node.branches)
        name = self.names.new(self.chain.name, "by", *(item.name for item in node.key))
        self._maps.append(NamedMap(name, node.key, "verdict", elements, self.chain.origin))
        origins = tuple(dict.fromkeys(_origins(node)))
        return (Rule(guard(node.key), Dispatch(tuple(map(KeyPart, node.key)), name), origins), *rest)

    def _root(self, node: Node) -> tuple[Rule, ...]:
        """Return the rules that stand in the run's place: the search, or where it uses goto, a jump to it."""
        rules = self._rules(node)
        if not _has_whole(node):
            return rules
        name = self.names.new(self.chain.name, "cut")
        self._chains.append(Chain(name, rules, origin=self.chain.origin))
        return (Rule((), Jump(name), tuple(dict.fromkeys(_origins(node)))),)

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


def _decides_for_good(clause: Clause) -> bool:
    """Tell whether a rule, once its tests hold, ends the packet, and before that does nothing but log."""
    if not isinstance(clause.verdict, TERMINAL) or clause.writes:
        return False
    steps = list(clause.rest)
    while steps and isinstance(steps[-1], Log):
        steps.pop()
    return all(map(is_pure, steps))


def _origins(node: Node) -> Iterator[Origin]:
    if isinstance(node, Leaf):
        for rule in node.rules:
            yield from rule.origins
        return
    for branch in {id(branch): branch for _, branch in node.branches}.values():
        yield from _origins(branch)
    yield from _origins(node.rest)


def _has_whole(node: Node) -> bool:
    return isinstance(node, Cut) and (node.whole or _has_whole(node.rest))


def depth_of(node: Node) -> int:
    """Return how many jumps lead to the lowest branch."""
    if isinstance(node, Leaf):
        return 0
    branches = {id(branch): branch for _, branch in node.branches}.values()
    return max(1 + max(map(depth_of, branches)), depth_of(node.rest))


def time_of(node: Node) -> float:
    """Return what the worst packet takes, by the model."""
    if isinstance(node, Leaf):
        return sum(rule_price(rule).nanoseconds for rule in node.rules)
    exact = all(_is_exact(part) for key, _ in node.branches for part in key)
    look_up = cost.HASH if exact else cost.interval_cost(len(node.branches))
    branches = {id(branch): branch for _, branch in node.branches}.values()
    return look_up + cost.JUMP + max(map(time_of, branches)) + time_of(node.rest)


def _is_exact(part: Part) -> bool:
    return isinstance(part, NamePattern) or part[0] == part[1]
