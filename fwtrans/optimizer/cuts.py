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
from math import inf
from typing import TYPE_CHECKING

from fwtrans.ir.effect import Log
from fwtrans.ir.fields import IP6_DADDR, IP6_SADDR, IP_DADDR, IP_SADDR, NFPROTO, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import TERMINAL, Accept, Dispatch, Drop, Goto, Jump
from fwtrans.optimizer import calibration
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.boxes import Boxes
from fwtrans.optimizer.cells import Cells
from fwtrans.optimizer.clauses import Clause, Clauses, clauses_of
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.fronts import front, tables_of
from fwtrans.optimizer.keys import guard, values_of
from fwtrans.optimizer.names import CUT, Names, digest, is_cut
from fwtrans.optimizer.search import Effort, Search
from fwtrans.optimizer.search_nodes import (
    Cut,
    Leaf,
    Node,
    Row,
    depth_of,
    has_whole,
    is_test,
    is_verdict,
    joined,
    origins_of,
    time_of,
)
from fwtrans.optimizer.size import size_of
from fwtrans.optimizer.trees import NANOSECONDS_A_STEP, Trees
from fwtrans.optimizer.tuples import RANGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.verdict import Verdict

SHORTEST = 24
# A chain that is nothing but rules that decide, most of them for addresses, is cut from so many on.
SHORTEST_LIST = 8
_ADDRESSES = frozenset({IP_SADDR, IP_DADDR, IP6_SADDR, IP6_DADDR})
MOST_GROWTH = 4
# A search that takes more than half the steps is not worth its size.
LEAST_GAIN = 2
# So many rules may stand in tables in front of the search.
FIRST_RULES = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192)
# Of lists of so many rules no cells are made where a tree has no more steps than this.
MANY_RULES, FEW_STEPS = 1000, 40
# A second tree grows with this thrift: which one is better depends on how rules overlap, and only the whole tree tells.
_OTHER_THRIFT = 1.5
# With more room than by default, fewer steps may take so many times as long.
_TIME_FOR_STEPS = 2.5
_EFFORT = Effort(6, 2, 4, 1.5)
# Parts of the room that is allowed, and what share of the steps twice the room must save at least.
_ROOMS = (0.25, 0.5, 1.0)
_LEAST_SAVED = 0.2


def sized(factor: float = MOST_GROWTH, entries: int = 0) -> Pass:
    """Return the pass with a limit of its own: a search has no more rules and elements than so many times the run's.

    `entries` is the size of a ruleset before other passes; what they saved may be spent here.
    """

    def run(ruleset: Ruleset) -> Passed:
        now = size_of(ruleset).entries
        spare = max(factor * (entries - now), 0)
        left = max(factor * entries - now, 0) if entries else inf
        longest = max((chain for table in ruleset.tables for chain in table.chains), key=_length, default=None)
        return each_table(ruleset, lambda table, declined: _table(table, declined, factor, longest, spare, left))

    return Pass("cuts", "a long run of rules becomes look-ups that lead to a few rules each", run)


def _found_before(table: Table) -> set[str]:
    """Return the chains below maps of addresses and ports together: what a search has left, for want of room."""
    seeds = [
        element.value.chain
        for item in table.maps
        for element in item.elements
        if isinstance(element.value, (Jump, Goto)) and len(item.fields) > 1 and RANGED.issuperset(item.fields)
    ]
    return {chain.name for chain in callees_last(table, list(dict.fromkeys(seeds)))}


def is_of_a_cut(chain: Chain) -> bool:
    """Tell whether a chain is part of a long list that became a search, or leads into one."""
    ways = (rule.verdict for rule in chain.rules)
    return is_cut(chain.name) or any(
        (isinstance(way, Dispatch) and is_cut(way.map_name)) or (isinstance(way, (Jump, Goto)) and is_cut(way.chain))
        for way in ways
    )


def is_long(clauses: Sequence[Clause]) -> bool:
    """Tell whether so many rules decide for good that they are cut as a run, and most of them ask for addresses.

    No packet is to take more steps for what becomes of such a list, not even where it is not worth to cut it.
    """
    run = [clause for clause in clauses if clause.is_plain and isinstance(clause.verdict, (Accept, Drop))]
    least = SHORTEST_LIST if is_list(clauses) else SHORTEST
    return len(run) >= least and 2 * sum(not _ADDRESSES.isdisjoint(clause.tests) for clause in run) > len(run)


def is_list(clauses: Iterable[Clause]) -> bool:
    """Tell whether a chain is nothing but rules that decide: then each packet takes as many steps as its rule has a number."""
    return all(clause.is_plain and isinstance(clause.verdict, (Accept, Drop)) for clause in clauses)


def _length(chain: Chain) -> int:
    return len(chain.rules)


PASS = sized()


def _table(table: Table, declined: list[str], factor: float, longest: Chain | None, spare: float, left: float) -> Table:
    clauses = clauses_of(table)
    names = Names(table)
    room: Mapping[str, int] | None = None
    additions: list[Addition] = []
    found = _found_before(table)
    for chain in table.chains:
        if len(chain.rules) < SHORTEST_LIST or chain.name in found or is_cut(chain.name):
            continue
        shortest = SHORTEST_LIST if is_long(listed := [*map(clauses.of, chain.rules)]) and is_list(listed) else SHORTEST
        if len(chain.rules) < shortest:
            continue
        room = room_below(table) if room is None else room
        addition = _Cutting(
            chain,
            clauses,
            names,
            room[chain.name],
            declined,
            table.family,
            factor,
            spare if chain is longest else 0,
            left,
            shortest,
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
    left: float
    shortest: int
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
        return min(self.factor * count + self.spare, count + self.left)

    def _search(self, run_: Sequence[Clause], *, at_end: bool) -> Node | None:
        if len(run_) < self.shortest:
            return None
        where = f"chain {self.chain.name}, {len(run_)} rules"
        always = _always(self.family)
        most = self.most(len(run_))
        nodes = [
            node
            for node in _candidates(run_, always, most, at_end=at_end)
            if node.size <= most and depth_of(node) + 1 <= self.room
        ]
        best = min(nodes, key=_rank, default=None)
        if best is not None and self.factor > MOST_GROWTH:
            # who gives more room than by default asks for few steps, but not for a search that is not worth its time
            longest, worth = _TIME_FOR_STEPS * time_of(best), calibration.RULE_OF_A_RUN * len(run_)
            quick = [node for node in nodes if node is best or (time_of(node) <= longest and time_of(node) < worth)]
            best = min(quick, key=lambda node: (node.steps, _rank(node)))
        if best is None:
            self.declined.append(f"{where}: a search would be more than {self.factor:g} times as big, or too deep")
            return None
        if best.steps * LEAST_GAIN >= len(run_) or time_of(best) >= calibration.RULE_OF_A_RUN * len(run_):
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
        tests = () if node.there else guard(node.key)
        if is_test(node):
            ((part,), branch) = node.branches[0]
            test = FieldTest(node.key[0], values_of(node.key[0], part))
            return Rule((*tests, test), self._value(branch, leads), tuple(dict.fromkeys(origins_of(branch))))
        values = {id(branch): self._value(branch, leads) for _, branch in node.branches}
        elements = tuple(MapElement(key, values[id(branch)]) for key, branch in node.branches)
        name = self.names.new(self.chain.name, CUT, "by", *(item.name for item in node.key))
        self._maps.append(NamedMap(name, node.key, "verdict", elements, self.chain.origin))
        origins = tuple(dict.fromkeys(origins_of(node)))
        masks = node.masks or (None,) * len(node.key)
        return Rule(tests, Dispatch(tuple(map(KeyPart, node.key, masks)), name), origins)

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
        name = self.names.new(self.chain.name, CUT)
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
            name = self.names.new(self.chain.name, CUT, digest(map(repr, (r.steps for r in rules))))
            self._made[rules] = name
            self._chains.append(Chain(name, rules, origin=self.chain.origin))
        return leads(self._made[rules])


def _rank(node: Node) -> tuple[float, ...]:
    """Return what the best form has the least of: time, or what its steps are worth, if that is more; as a tree weighs it."""
    return (max(time_of(node), NANOSECONDS_A_STEP * node.steps), node.steps, node.size)


def _always(family: Family) -> dict[Field, ValueSet]:
    """Return what all packets of a table have in common, as far as addresses need it."""
    protocols = {Family.IP: (2,), Family.IP6: (10,), Family.INET: (2, 10)}.get(family)
    return {} if protocols is None else {NFPROTO: IntervalSet.values(8, protocols)}


def _candidates(
    run_: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, *, at_end: bool
) -> Iterator[Node]:
    """Yield forms in which no packet takes more steps than before."""
    tree = _tree(run_, always, most, at_end=at_end)
    if tree is not None:
        yield tree
    # one map of thousands of intervals takes longer than a tree of few steps, and long to be made
    is_quick = tree is not None and tree.steps <= FEW_STEPS and len(run_) >= MANY_RULES
    cells = None if is_quick else _cells(run_, always, most, at_end=at_end)
    if cells is not None:
        yield cells
    if tree is None or cells is None or _rank(tree) < _rank(cells):
        other = _tree(run_, always, most, _OTHER_THRIFT, at_end=at_end)
        if other is not None:
            yield other
    search = Search(Boxes.of(run_, always), _EFFORT).build()
    if search.size <= most and (cells is None or search.steps < cells.steps):
        found = _behind_first(run_, search, always, at_end=at_end)
        if found is not None:
            yield found


def _tree(
    run_: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, thrift: float = 1, *, at_end: bool
) -> Node | None:
    """Return the run as a tree, behind as few of its first rules as save the steps that the first look-up takes."""
    jump = int(not at_end)
    first = front(run_, always, 1 + jump)
    if first is None:
        return None
    count, node = first
    tree = Trees(Boxes.of(run_[count:], always), count - node.steps - jump, most - node.size, thrift)
    found = tree.build()
    return joined(node, found) if tree.excess <= 0 and node.size + found.size <= most else None


def _cells(run_: Sequence[Clause], always: Mapping[Field, ValueSet], most: float, *, at_end: bool) -> Node | None:
    """Return the run as cells, behind as few of its first rules as is needed, and no bigger than is worth it."""
    jump = int(not at_end)
    excess = 0
    for count in FIRST_RULES:
        if 2 * count > len(run_):
            return None
        tables = tables_of(run_[:count], always)
        if tables is None or tables.steps + jump + excess > count:
            continue
        boxes = Boxes.of(run_[count:], always)
        if not excess:
            # a few halvings tell what more the look-ups take
            rough = Cells(boxes, 2 * len(boxes.boxes), every_field=True)
            rough.build(inf)
            excess = max(rough.excess, 0)
            if tables.steps + jump + excess > count:
                continue
        cells = Cells(boxes, most - tables.size)
        best: Node | None = None
        for room in (1.0,) if cells.with_tables() else _ROOMS:
            found = joined(tables, cells.build(room * most - tables.size))
            if found.size > most:
                break
            if tables.steps + jump + cells.excess > count:
                excess = max(excess, cells.excess)
                continue
            if best is None or found.steps < (1 - _LEAST_SAVED) * best.steps:
                best = found
        if best is not None:
            return best
    return None


def _behind_first(run_: Sequence[Clause], node: Node, always: Mapping[Field, ValueSet], *, at_end: bool) -> Node | None:
    """Return the search behind tables for the first rules, so that no packet takes more steps than before.

    Whoever comes to the search then has passed as many rules before as the whole costs; None where that is nowhere so.
    """
    if node.steps <= 1:
        return node
    for count in FIRST_RULES:
        if count >= len(run_) or count < node.steps:
            continue
        tables = tables_of(run_[:count], always)
        if tables is None or tables.steps + node.steps > count + 1:
            continue
        rest = Search(Boxes.of(run_[count:], always), _EFFORT).build()
        jump = int(has_whole(rest) and not at_end)
        if tables.steps + rest.steps + jump <= count + 1:
            return joined(tables, rest)
    return None


def _decides_for_good(clause: Clause) -> bool:
    """Tell whether a rule, once its tests hold, ends the packet, and before that does nothing but log."""
    if not isinstance(clause.verdict, TERMINAL) or clause.writes:
        return False
    steps = list(clause.rest)
    while steps and isinstance(steps[-1], Log):
        steps.pop()
    return all(map(is_pure, steps))
