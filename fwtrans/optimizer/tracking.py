"""The last rule that needs connection tracking does something beside matching: it makes the kernel track.

Where connections are tracked, fragments are put together before any rule sees them. A rule that no packet matches may be
the only one that sees to that, so leaving it out changes what other rules see. Where no other rules are left, nobody sees it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.optimizer.base import Passed
from fwtrans.semantics.visits import arrives_whole, base_chains, visits_of

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

_REASON = "what would be left does not make the kernel put fragments together"


def tracks_alike(before: Ruleset, after: Ruleset) -> bool:
    """Tell whether packets arrive whole in both rulesets, or in neither, wherever there are rules that look at them."""
    visits = (visit for visit in visits_of(before) if any(chain.rules for _, chain in base_chains(after, visit)))
    return all(arrives_whole(before, visit) == arrives_whole(after, visit) for visit in visits)


def if_tracked(before: Ruleset, passed: Passed) -> Passed:
    """Return a pass's result, with tables as they were where connections would not be tracked any more."""
    if passed.ruleset is before or tracks_alike(before, passed.ruleset):
        return passed
    return Passed(_while_tracked(before, passed.ruleset), (*passed.declined, _REASON))


def _while_tracked(before: Ruleset, found: Ruleset) -> Ruleset:
    """Return the ruleset with the tables that can be changed, one after the other."""
    if len(found.tables) != len(before.tables):
        return before
    kept = before
    for number, table in enumerate(found.tables):
        if table != before.tables[number]:
            trial = replace(kept, tables=(*kept.tables[:number], table, *kept.tables[number + 1 :]))
            if tracks_alike(before, trial):
                kept = trial
    return kept
