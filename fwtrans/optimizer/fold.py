"""Tests that are decided before a packet comes to them, and all that goes with them.

    ct state invalid drop; ct state invalid,new jump smurfs      ct state invalid drop; ct state new jump smurfs
    iifname tap1 jump a;   a: iifname tap1 tcp drop              iifname tap1 jump a;   a: tcp drop
    jump empty; l4proto tcp udp drop                             (nothing)

What a test shows holds behind it: in its own rule, in a chain that no other rule leads to, and, the other way round, in the
rules behind one that has taken all packets that pass its only test. What a rule writes is known as long as nothing writes
over it. See `specialise.py` for why that is safe: it is the same walk, with nothing known where packets come in.

It declines for chains with several callers, which would have to be cloned, and for tables without a base chain, where
nothing is used and nobody knows what it is there for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.specialise import Entry, specialise_entries
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset, Table


def folded(table: Table) -> Table:
    """Return the table as its base chains need it, with nothing known but what its own rules show."""
    entries = [Entry(chain.name, {}) for chain in table.chains if chain.base is not None]
    return specialise_entries(table, entries, learn=True).table if entries else table


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, lambda table, _declined: folded(table)))


PASS = Pass("fold", "leave out tests that are decided already, and rules and chains that no packet comes to", _run)
