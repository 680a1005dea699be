"""Which fields matter to a chain: those that it, or a chain that it leads to, reads or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import MARK
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import counts_alone
from fwtrans.ir.verdict import TransparentProxy
from fwtrans.ir.walk import fields_read, flat_steps
from fwtrans.optimizer.facts import decider_of
from fwtrans.optimizer.reached import distinct_ways
from fwtrans.optimizer.state import written_fields

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table


class Touched(NamedTuple):
    """The fields that matter to a chain, those that it or chains behind it may write, and whether one counts by itself."""

    relevant: frozenset[Field]
    written: frozenset[Field]
    counts: bool


class Touching:
    """Which fields matter to the chains of one table."""

    def __init__(self, table: Table) -> None:
        self._decider = decider_of(table)
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._known: dict[str, Touched] = {}

    def by(self, name: str) -> Touched:
        """Return which fields matter to a chain and all it leads to."""
        if name not in self._known:
            own = _touched_by(self._chains[name])
            relevant, written, counts = set(own.relevant), set(own.written), own.counts
            for target in distinct_ways(self._chains[name], self._maps):
                more = self.by(target)
                relevant |= more.relevant
                written |= more.written
                counts |= more.counts
            needed = {test.field for field in relevant | written for test in self._decider.needs(field) or ()}
            self._known[name] = Touched(frozenset(relevant | written | needed), frozenset(written), counts)
        return self._known[name]


@once
def touching(table: Table) -> Touching:
    """Return which fields matter to the chains of a table; asked again for the same one, it knows them."""
    return Touching(table)


@once
def _touched_by(chain: Chain) -> Touched:
    """Return the fields that a chain's own rules read and write."""
    relevant: set[Field] = set()
    written: set[Field] = set()
    counts = False
    for rule in chain.rules:
        own = _touched_by_rule(rule)
        relevant |= own.relevant
        written |= own.written
        counts |= own.counts
    return Touched(frozenset(relevant), frozenset(written), counts)


@once
def _touched_by_rule(rule: Rule) -> Touched:
    """Return the fields that a rule itself reads and writes."""
    written = {field for step in flat_steps(rule.steps) for field in written_fields(step)}
    if isinstance(rule.verdict, TransparentProxy):
        written.add(MARK)
    return Touched(frozenset(fields_read(rule)), frozenset(written), any(map(counts_alone, flat_steps(rule.steps))))
