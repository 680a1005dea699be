"""What every pass is held to: it does the same, says nothing new when it runs again, and leaves a well-formed ruleset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_table
from fwtrans.ir.ruleset import Ruleset, Table
from fwtrans.ir.verify import verify
from fwtrans.semantics.equivalence import compare
from tests.optimizer.corpus import ORIGIN
from tests.semantics.builders import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.ruleset import Chain
    from fwtrans.optimizer.base import Pass


def with_origins(before: Table) -> Table:
    """Return a table whose rules pass for rules that were read."""
    chains = (
        replace(chain, origin=ORIGIN, rules=tuple(replace(rule, origins=(ORIGIN,)) for rule in chain.rules))
        for chain in before.chains
    )
    return replace(before, chains=tuple(chains))


def assert_safe(change: Callable[[Table], Table], before: Table) -> Table:
    """Return what a pass makes of a table, proved."""
    before = with_origins(before)
    after = change(before)
    assert verify(Ruleset((after,))) == ()
    found = compare(Ruleset((before,)), Ruleset((after,)))
    assert found.equal, [(item.kind, item.subject, item.packet) for item in found.differences] or found.undecided
    assert change(after) == after
    return after


def assert_safe_everywhere(change: Callable[[Ruleset], Ruleset], whole: Ruleset) -> Ruleset:
    """Return what a pass makes of a ruleset, proved."""
    before = Ruleset(tuple(map(with_origins, whole.tables)), whole.assumptions)
    after = change(before)
    assert verify(after) == ()
    found = compare(before, after)
    assert found.equal, [(item.kind, item.subject, item.packet) for item in found.differences] or found.undecided
    assert change(after) == after
    return after


def proved_change(one: Pass, before: Ruleset) -> Ruleset | None:
    """Return what a pass makes of a ruleset that was read, proved and a fixed point, or None where it changes nothing."""
    after = one.run(before).ruleset
    assert compare(before, after).equal
    assert one.run(after).ruleset is after
    return None if after is before else after


def becomes(change: Callable[[Table], Table], *chains: Chain) -> str:
    """Return what a pass makes of chains, proved, as text."""
    return print_table(assert_safe(change, table(*chains)))


def shown(*chains: Chain) -> str:
    """Return chains as text, in a table like the one of `becomes`."""
    return print_table(table(*chains))
