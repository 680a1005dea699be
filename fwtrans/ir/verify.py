"""Well-formedness: what every stage may rely on. A breach is a fault of ours (FWT300), except a loop of jumps.

Checked: jump and map targets exist, sets exist and have the key's shape, no loop of jumps, names are unique, every rule
has an origin, value sets fit their fields.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import SetUpdate
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.ir.walk import chain_targets, flat_steps, map_names, map_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedSet


def verify(ruleset: Ruleset) -> tuple[str, ...]:
    """Return what is wrong, one sentence each; empty where all is well."""
    return tuple(fault for table in ruleset.tables for fault in _table_faults(table))


def _table_faults(table: Table) -> Iterator[str]:
    chains = [chain.name for chain in table.chains]
    sets = {item.name: item for item in table.sets}
    maps = {item.name for item in table.maps}
    named = [*[item.name for item in table.sets], *[item.name for item in table.maps]]
    for what, names in (("chain", chains), ("set", named)):
        for name in sorted(
            {name for name in names if names.count(name) > 1} if len(names) < 2000 else _repeated(names)
        ):
            yield f"{what} {name} is declared twice"
    known = set(chains)
    for chain in table.chains:
        for rule in chain.rules:
            yield from (f"chain {chain.name}: {fault}" for fault in _rule_faults(rule, known, sets, maps))
    yield from loops(table)


def _repeated(names: list[str]) -> set[str]:
    return {name for name, times in Counter(names).items() if times > 1}


_KINDS = {FieldKind.BITS: BitSet, FieldKind.NAME: NameSet}


def _rule_faults(rule: Rule, chains: set[str], sets: Mapping[str, NamedSet], maps: set[str]) -> Iterator[str]:
    if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain not in chains:
        yield f"no chain {rule.verdict.chain}"
    if not rule.origins:
        yield "a rule without an origin"
    for name in map_names(rule):
        if name not in maps:
            yield f"no map {name}"
    for step in flat_steps(rule.steps):
        if isinstance(step, (MemberTest, SetUpdate)) and step.set_name not in sets:
            yield f"no set {step.set_name}"
        if isinstance(step, FieldTest):
            wanted = _KINDS.get(step.field.kind, IntervalSet)
            if not isinstance(step.values, wanted):
                yield f"field {step.field.name} is compared with {type(step.values).__name__}"
            elif not isinstance(step.values, NameSet) and step.values.width != step.field.width:
                yield f"field {step.field.name} is compared with values of {step.values.width} bits"
        elif isinstance(step, MemberTest):
            found = sets.get(step.set_name)
            if found is not None and len(found.fields) != len(step.key):
                yield f"set {step.set_name} is asked with {len(step.key)} of {len(found.fields)} fields"


def loops(table: Table) -> Iterator[str]:
    """Yield one sentence for each loop of jumps; the kernel refuses such a ruleset."""
    return map(loop_text, loop_ways(table))


def loop_text(way: tuple[str, ...]) -> str:
    """Return the sentence for a loop."""
    return f"chains {' -> '.join(way)} form a loop"


def loop_ways(table: Table) -> Iterator[tuple[str, ...]]:
    """Yield the loops of jumps, each as the chains on a way that ends in one where it was before."""
    targets = {chain.name: tuple(_leads_to(table, chain)) for chain in table.chains}
    state: dict[str, int] = {}
    for start, first in targets.items():
        if start in state:
            continue
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(first))]
        state[start] = 1
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                state[name] = 2
                stack.pop()
            elif state.get(following) == 1:
                yield (*(item for item, _ in stack), following)
            elif following in targets and following not in state:
                state[following] = 1
                stack.append((following, iter(targets[following])))


def _leads_to(table: Table, chain: Chain) -> Iterator[str]:
    yield from chain_targets(chain)
    for rule in chain.rules:
        for map_name in map_names(rule):
            yield from map_targets(table, map_name)
