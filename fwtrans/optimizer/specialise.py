"""A chain for packets of which something is known: what they cannot match is left out, what they always match is not asked.

    facts: bridge.port_in is tap1 or tap2, bridge.port_out is fwln*

    physdev-in fwln+ physdev-is-bridged jump FWBR-IN       gone, and FWBR-IN with it
    physdev-out fwln+ physdev-is-bridged jump FWBR-OUT     jump FWBR-OUT

Why it is safe: a test is left out only where every value that the packet may have passes, and the field is known to be
there; a rule only where no such value passes. A fact about a field that a rule writes is replaced behind the write by what
the write makes of it. What a rule does before a test that never holds (a limit that is charged, a log) stays.

What it does not do: a test of a field of which nothing is known stays, with all that it leads to. A chain that several
rules lead to is cloned only where facts that hold for all packets, or values that rules have written, differ; what the
tests of one caller show (`learn`) is used in chains that have no other caller. A chain with a draw or a count that has no
name in nftables (`statistic`, `connlimit` of all connections) is cloned only where packets come in with facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.optimizer.facts import as_facts
from fwtrans.optimizer.interpreter import Interpreter
from fwtrans.optimizer.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Chain, Table


class Entry(NamedTuple):
    """Where packets come in: a chain, what is known of them, and what the chain is called afterwards (empty: as before)."""

    chain: str
    facts: Mapping[Field, ValueSet]
    name: str = ""


class Specialised(NamedTuple):
    """What is left: a table with the entries, all that they lead to, and the sets and maps named there.

    `entries` are the names of the entry chains, in the order in which they were asked for; each keeps its base hook.
    """

    table: Table
    entries: tuple[str, ...]

    @property
    def entry(self) -> Chain:
        """Return the first entry's chain."""
        found = self.table.chain(self.entries[0])
        assert found is not None  # noqa: S101 -- it was made
        return found


def specialise(table: Table, chain: str, facts: Mapping[Field, ValueSet], *, learn: bool = False) -> Specialised:
    """Return a chain for packets of which something is known; a fact about a field holds where the field is there."""
    return specialise_entries(table, (Entry(chain, facts),), learn=learn)


def specialise_entries(table: Table, entries: Sequence[Entry], *, learn: bool = False) -> Specialised:
    """Return several chains for several kinds of packets, in one table in which what is equal is shared.

    With `learn` what the tests of rules show is used as well: behind a rule that takes packets away, and in chains that
    only one rule leads to.
    """
    names = tuple(entry.name or entry.chain for entry in entries)
    found = _walked(table, entries, names, learn=learn)
    # what has gone may have been all that stood in the way of something else: a write, a second caller
    while found != table:
        table = found
        found = _walked(
            table, [Entry(name, entry.facts) for name, entry in zip(names, entries, strict=True)], names, learn=learn
        )
    return Specialised(found, names)


def _walked(table: Table, entries: Sequence[Entry], names: Sequence[str], *, learn: bool) -> Table:
    any_known = any(entry.facts for entry in entries)
    interpreter = Interpreter(table, learn=learn, names=names, clones_counting=any_known)
    for entry, name in zip(entries, names, strict=True):
        facts = as_facts(entry.facts)
        interpreter.entry(entry.chain, State(facts, facts), name)
    return interpreter.result(names)
