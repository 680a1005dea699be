"""Rules that no packet matches, or that change nothing, as far as that can be proved.

    saddr 10.0.0.0/8 drop;  saddr 10.1.0.0/16 tcp dport 22 accept;  ...        the second gets no packet
    saddr 1 tcp dport 22 accept;  saddr 1 accept                               the first changes nothing

`semantics/shadowing.py` finds them for all packets at once, through calls and marks. Rules that no packet matches go
together. Of rules that change nothing two may stand in for each other, so what goes is chosen such that no rule goes that
another one was said to rest on, and is proved again as a whole; where that fails, by halves.

It declines where a hook cannot be decided, and stops looking for rules that change nothing after a number of proofs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.optimizer.base import Pass, Passed
from fwtrans.optimizer.reached import reached
from fwtrans.optimizer.tracking import tracks_alike
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.shadowing import FindingKind, lint
from fwtrans.semantics.side import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.semantics.shadowing import Finding

_NO_PACKET = frozenset({FindingKind.SHADOWED, FindingKind.NEVER_MATCHES})
_MOST_PROOFS = 12

_Place = tuple[str, str, int]


def without_shadowed_rules(ruleset: Ruleset) -> Passed:
    """Return the ruleset without rules that can be proved to do nothing."""
    while True:
        found = lint(ruleset)
        after = _without(ruleset, {_place(item) for item in found.findings if item.kind in _NO_PACKET})
        idle = list(_independent(found.findings))
        after = _Proofs().without(after, idle) if after == ruleset else after
        if after == ruleset:
            return Passed(
                ruleset, tuple(f"{item.path.name} cannot be decided: {item.reason}" for item in found.undecided)
            )
        ruleset = after


def _place(finding: Finding) -> _Place:
    return finding.place.table, finding.place.chain, finding.place.number


def _independent(findings: Iterable[Finding]) -> Iterable[_Place]:
    """Yield rules that change nothing, none of which another one of them is said to rest on."""
    gone: set[_Place] = set()
    needed: set[_Place] = set()
    for finding in findings:
        place = _place(finding)
        if finding.kind is not FindingKind.NEVER_MATTERS or place in needed:
            continue
        because = {(item.table, item.chain, item.number) for item in finding.because}
        if not because & gone:
            gone.add(place)
            needed |= because
            yield place


class _Proofs:
    """Takes rules away in as large parts as can be proved."""

    def __init__(self) -> None:
        self._left = _MOST_PROOFS

    def without(self, ruleset: Ruleset, places: Sequence[_Place]) -> Ruleset:
        """Return the ruleset without as many of the rules as can be proved to change nothing together.

        The last of the rules go first, so that the numbers of the others stay.
        """
        if not places or not self._left:
            return ruleset
        self._left -= 1
        after = _without(ruleset, set(places))
        if compare(ruleset, after).equal:
            return after
        half = len(places) // 2
        if not half:
            return ruleset
        return self.without(self.without(ruleset, places[half:]), places[:half])


def _without(ruleset: Ruleset, gone: set[_Place]) -> Ruleset:
    if not gone:
        return ruleset
    after = replace(ruleset, tables=tuple(_table(table, gone) for table in ruleset.tables))
    return after if tracks_alike(ruleset, after) else ruleset


def _table(table: Table, gone: set[_Place]) -> Table:
    name = table_name(table)
    chains = tuple(
        replace(chain, rules=tuple(rule for at, rule in enumerate(chain.rules) if (name, chain.name, at) not in gone))
        for chain in table.chains
    )
    entries = [chain.name for chain in chains if chain.base is not None]
    return reached(replace(table, chains=chains), entries) if entries else table


PASS = Pass(
    "shadowed", "leave out rules that are proved to get no packet, or to change nothing", without_shadowed_rules
)
