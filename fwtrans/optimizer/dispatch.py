"""Rules that ask one field for exact values become a look-up in a verdict map.

    before   iifname "tap101i0" jump tap101i0-OUT       after   iifname vmap @FORWARD-by-iifname
             ct state invalid drop                              ct state invalid drop
             iifname "tap102i0" jump tap102i0-OUT

A key is one field or several that all the rules ask for; values, verdicts and what else the rules test may differ: what is
left of a rule once its key is known stands in a leaf, a chain that keys with the same rest share.

Why it is safe: with its key a packet finds exactly the rules that its key passes, in their order; one without the key's
fields, or with another key, passes none of them. A rule from further below is taken along only where it may swap places
with every rule between: no packet reaches both, or both do nothing but decide alike. A leaf is entered by a jump and comes
back behind the look-up, as a rule that does not match goes on with the next.

It declines where the model says that the rules are cheaper than a look-up (a map for two rules is a loss), where a rule
changes the key's fields, for fields of flags, for a `return` or `goto` that would stand in a leaf, in long lists that it is
not worth to cut (`fwtrans.optimizer.cuts`), and in chains that such a list became, whose size is limited. In a base chain that
is nothing but a list of rules it declines for leaves, which would take the packets of a first rule a step more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import TERMINAL, Accept, Dispatch, Drop, Goto, Jump, Return
from fwtrans.optimizer import cost
from fwtrans.optimizer.base import Addition, Pass, Passed, each_table, with_additions
from fwtrans.optimizer.clauses import Clause, Clauses, clauses_of, may_swap, touches, without
from fwtrans.optimizer.cuts import is_list, is_long
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.keys import GUESTS, exact_values, guard, in_order, part_text, values_of
from fwtrans.optimizer.names import Names, is_cut
from fwtrans.optimizer.steps import is_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import Part
    from fwtrans.ir.verdict import Verdict
    from fwtrans.source import Origin

# How many rules a rule may be taken across, in chains up to so many rules and in longer ones: a bound on the time.
MOST_SKIPPED = 64
MANY_RULES = 500
FEW_SKIPPED = 8
# A rule with more combinations of values than this for one guest has no exact key.
MOST_KEYS = 64
_ESTABLISHED = IntervalSet.values(3, (1, 2))
_MAP_VALUES = (Accept, Drop, Jump, Goto, Return)

Key = tuple["Field", ...]


class _Keyed(NamedTuple):
    """A clause with the exact values that it asks each field for, where these are few."""

    clause: Clause
    exact: Mapping[Field, tuple[Part, ...]]


class _Group(NamedTuple):
    """Rules, by number, that one map takes over; the look-up stands where the first of them stood."""

    key: Key
    rules: tuple[int, ...]
    leaves: Mapping[tuple[Part, ...], tuple[Rule, ...]]
    gain: float


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with verdict maps where they pay."""
    return each_table(ruleset, _table)


PASS = Pass("dispatch", "rules that ask one field for exact values become a verdict map", run)


def _table(table: Table, declined: list[str]) -> Table:
    waiting = {chain.name for chain in table.chains}
    while waiting:
        names = Names(table)
        clauses = clauses_of(table)
        room = room_below(table)
        additions: list[Addition] = []
        for chain in table.chains:
            if chain.name not in waiting or is_cut(chain.name):
                continue
            if is_long([*map(clauses.of, chain.rules)]):
                declined.append(f"chain {chain.name}: some packets would take more steps than in the list")
                continue
            addition = _Dispatching(chain, clauses, names, declined).run()
            if addition is None:
                continue
            if room.get(chain.name, 1) < 1:
                declined.append(f"chain {chain.name}: the kernel takes no more nested jumps")
                continue
            additions.append(addition)
        if not additions:
            break
        table = with_additions(table, additions)
        waiting = {name for item in additions for name in (item.chain.name, *(chain.name for chain in item.chains))}
    return table


@dataclass(slots=True)
class _Dispatching:
    """One chain."""

    chain: Chain
    clauses: Clauses
    names: Names
    declined: list[str]

    def run(self) -> Addition | None:
        keyed = [self._keyed(self.clauses.of(rule)) for rule in self.chain.rules]
        # in a list its first rule takes a packet one step, so that the look-up has to say all
        is_direct = self.chain.base is not None and is_list(item.clause for item in keyed)
        best: _Group | None = None
        for key in _candidates(keyed):
            for group in self._groups(key, keyed):
                if is_direct and any(_map_value(rules) is None for rules in group.leaves.values()):
                    continue
                if best is None or group.gain > best.gain:
                    best = group
        if best is None:
            return None
        if best.gain <= 0:
            fields = " . ".join(field.name for field in best.key)
            self.declined.append(
                f"chain {self.chain.name}: {len(best.rules)} rules on {fields} are cheaper than a look-up"
            )
            return None
        return self._applied(best)

    def _keyed(self, clause: Clause) -> _Keyed:
        exact: dict[Field, tuple[Part, ...]] = {}
        if _lets_some_through(clause):
            return _Keyed(clause, exact)
        for field, values in clause.tests.items():
            if touches(field, clause.writes):
                continue
            parts = exact_values(field, values)
            if parts is not None:
                exact[field] = parts
        return _Keyed(clause, exact)

    # --- which rules ---

    def _groups(self, key: Key, keyed: Sequence[_Keyed]) -> Iterator[_Group]:
        left = [number for number, item in enumerate(keyed) if _has_key(item, key)]
        while len(left) > 1:
            taken = self._taken(set(left), left[0], keyed)
            leaves = self._leaves(key, [keyed[number] for number in taken])
            unfit = _unfit(leaves)
            if unfit is None:
                yield _Group(key, taken, leaves, _gain(key, [keyed[number].clause for number in taken], leaves))
                done = set(taken)
            else:
                done = {number for number in taken if keyed[number].clause.rule.origins == unfit.origins} or set(taken)
            left = [number for number in left if number not in done]

    def _taken(self, wanted: set[int], first: int, keyed: Sequence[_Keyed]) -> tuple[int, ...]:
        """Return the rules that can stand together with the first one, at its place."""
        taken, skipped = [first], list[Clause]()
        most = MOST_SKIPPED if len(keyed) <= MANY_RULES else FEW_SKIPPED
        for number in range(first + 1, len(keyed)):
            clause = keyed[number].clause
            if number in wanted and all(may_swap(clause, other) for other in skipped):
                taken.append(number)
                continue
            skipped.append(clause)
            if len(skipped) > most:
                break
        return tuple(taken)

    def _leaves(self, key: Key, taken: Sequence[_Keyed]) -> dict[tuple[Part, ...], tuple[Rule, ...]]:
        """Return for each key what its packets have still to pass."""
        found: dict[tuple[Part, ...], list[Rule]] = {}
        closed: set[tuple[Part, ...]] = set()
        for item in taken:
            for parts in product(*(item.exact[field] for field in key)):
                if parts in closed:
                    continue
                known = {field: values_of(field, part) for field, part in zip(key, parts, strict=True)}
                rule = self._here(without(item.clause, known))
                found.setdefault(parts, []).append(rule)
                if not rule.steps and isinstance(rule.verdict, (*TERMINAL, Goto, Return)):
                    closed.add(parts)
        return {parts: tuple(rules) for parts, rules in found.items()}

    def _here(self, rule: Rule) -> Rule:
        """Return the rule with what its verdict means in a base chain."""
        if self.chain.base is not None and isinstance(rule.verdict, Return):
            return replace(rule, verdict=Accept() if self.chain.base.accepts else Drop())
        return rule

    # --- the new form ---

    def _applied(self, group: _Group) -> Addition:
        by_content: dict[tuple[Rule, ...], str] = {}
        origins: dict[tuple[Rule, ...], list[tuple[Origin, ...]]] = {}
        elements: list[MapElement] = []
        for parts, rules in group.leaves.items():
            value = _map_value(rules)
            if value is None:
                if rules not in by_content:
                    by_content[rules] = self.names.new(self.chain.name, *map(part_text, parts))
                    origins[rules] = [() for _ in rules]
                origins[rules] = [(*old, *rule.origins) for old, rule in zip(origins[rules], rules, strict=True)]
                value = Jump(by_content[rules])
            elements.append(MapElement(parts, value))
        name = self.names.new(self.chain.name, "by", *(field.name for field in group.key))
        mapping = NamedMap(name, group.key, "verdict", tuple(elements), self.chain.origin)
        chains = tuple(
            Chain(
                leaf,
                tuple(
                    replace(rule, origins=tuple(dict.fromkeys(come)))
                    for rule, come in zip(rules, origins[rules], strict=True)
                ),
                origin=self.chain.origin,
            )
            for rules, leaf in by_content.items()
        )
        come = tuple(dict.fromkeys(o for number in group.rules for o in self.chain.rules[number].origins))
        look_up = Rule(guard(group.key), Dispatch(tuple(KeyPart(field) for field in group.key), name), come)
        taken = set(group.rules)
        rules = tuple(
            look_up if number == group.rules[0] else rule
            for number, rule in enumerate(self.chain.rules)
            if number == group.rules[0] or number not in taken
        )
        return Addition(replace(self.chain, rules=rules), chains, (mapping,))


def _lets_some_through(clause: Clause) -> bool:
    """Tell whether a rule lets known connections of some protocol through: it is asked first, and would be dearer in a map."""
    some = known.TCP_FLAGS in clause.tests or known.L4PROTO in clause.tests
    return some and clause.tests.get(known.CT_STATE) == _ESTABLISHED and isinstance(clause.verdict, Accept)


def _candidates(keyed: Sequence[_Keyed]) -> list[Key]:
    """Return the keys to try: what several rules ask for exactly, and each field of it alone."""
    signatures = Counter(frozenset(item.exact) for item in keyed if item.exact)
    found: dict[frozenset[Field], None] = {}
    for signature, times in signatures.most_common(12):
        if times > 1:
            found[signature] = None
    for field in dict.fromkeys(field for signature in signatures for field in in_order(signature)):
        found[frozenset((field,))] = None
    return sorted(map(in_order, found), key=lambda key: (-len(key), [field.name for field in key]))


def _has_key(item: _Keyed, key: Key) -> bool:
    keys = 1
    for field in key:
        parts = item.exact.get(field)
        if parts is None:
            return False
        keys *= 1 if field in GUESTS else len(parts)
    return keys <= MOST_KEYS


def _unfit(leaves: Mapping[tuple[Part, ...], tuple[Rule, ...]]) -> Rule | None:
    """Return a rule that cannot stand where it would have to: a return or goto in a leaf that is jumped to."""
    for rules in leaves.values():
        for place, rule in enumerate(rules):
            if isinstance(rule.verdict, (Return, Goto)) and (place or rule.steps):
                return rule
    return None


def _map_value(rules: tuple[Rule, ...]) -> Verdict | None:
    """Return the verdict that the map itself can hold in place of a leaf."""
    first = rules[0]
    if first.steps or not isinstance(first.verdict, _MAP_VALUES):
        return None
    return first.verdict if len(rules) == 1 else None


def _gain(key: Key, clauses: Sequence[Clause], leaves: Mapping[tuple[Part, ...], tuple[Rule, ...]]) -> float:
    """Return what the worst packet saves, in nanoseconds: all rules turned away, against the look-up and its leaf."""
    before = sum(max(_test_cost(clause, field) for field in key) for clause in clauses)
    after = cost.HASH + max(
        (cost.JUMP + sum(_rule_cost(rule) for rule in rules) for rules in leaves.values() if _map_value(rules) is None),
        default=0,
    )
    return before - after


def _test_cost(clause: Clause, field: Field) -> int:
    return cost.HASH if is_set(FieldTest(field, clause.tests[field])) else cost.test_cost(field)


def _rule_cost(rule: Rule) -> int:
    return 10 if rule.steps else cost.VERDICT
