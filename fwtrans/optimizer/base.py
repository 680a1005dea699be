"""What a pass is: a name, and a function from a ruleset to a ruleset that means the same.

A pass is pure and deterministic, and running it on its own result changes nothing. It leaves alone what it does not
understand. What it looked at and left, it may tell with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap, NamedSet


class Passed(NamedTuple):
    """What a pass made of a ruleset, and what it left as it was and why."""

    ruleset: Ruleset
    declined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass. `about` is one line for people."""

    name: str
    about: str
    run: Callable[[Ruleset], Passed]


class Addition(NamedTuple):
    """A chain's new form, with the chains, maps and sets that it needs."""

    chain: Chain
    chains: tuple[Chain, ...] = ()
    maps: tuple[NamedMap, ...] = ()
    sets: tuple[NamedSet, ...] = ()


def with_additions(table: Table, additions: Iterable[Addition]) -> Table:
    """Return the table with chains in their new form; new chains stand in front of the chain that needs them."""
    found = {addition.chain.name: addition for addition in additions}
    chains: list[Chain] = []
    for chain in table.chains:
        addition = found.get(chain.name)
        if addition is None:
            chains.append(chain)
        else:
            chains.extend((*addition.chains, addition.chain))
    return replace(
        table,
        chains=tuple(chains),
        maps=(*table.maps, *(item for addition in found.values() for item in addition.maps)),
        sets=(*table.sets, *(item for addition in found.values() for item in addition.sets)),
    )


def with_rules(chain: Chain, rules: tuple[Rule, ...]) -> Chain:
    """Return the chain with these rules: itself where they are its own, so that what is known of it need not be found again."""
    is_same = len(rules) == len(chain.rules) and all(map(is_, rules, chain.rules))
    return chain if is_same else replace(chain, rules=rules)


def until_it_stays(change: Callable[[Table], Table], table: Table) -> Table:
    """Return a table that a change leaves as it is: what was changed may be changed once more."""
    before = None
    while table is not before:
        before = table
        table = change(table)
    return table


def each_table(ruleset: Ruleset, change: Callable[[Table, list[str]], Table]) -> Passed:
    """Return the ruleset with every table changed; the function may add reasons to the list that it is given."""
    declined: list[str] = []
    changed = ((table, change(table, declined)) for table in ruleset.tables)
    # of a table that stays itself other passes need not find again what is known
    tables = tuple(table if found == table else found for table, found in changed)
    if all(map(is_, tables, ruleset.tables)):
        return Passed(ruleset, tuple(declined))
    return Passed(replace(ruleset, tables=tables), tuple(declined))
