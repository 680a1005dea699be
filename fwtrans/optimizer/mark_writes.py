"""Writes of bits of the mark that nobody reads afterwards.

    mark or 0x80000000; accept      accept, where nobody looks at the bit once the packet has left the base chain

Bits outside the mask that is asked about are taken to be read always. A write is left out only as a whole: where it also
writes other bits, or bits that are read, it stays as it is. What a chain's callers do with the mark behind it is the union
over all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import MARK
from fwtrans.ir.match import AnyOf
from fwtrans.ir.order import callees_last
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.mark_bits import ALL, bits_read, bits_read_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table


# Steps behind which a rule always goes on.
_GOES_ON = (does.Log, does.Count, does.Assign, does.AssignFromTable, does.NoTrack, does.SetHelper)


def without_dead_writes(table: Table, entries: Mapping[str, bool], mask: int) -> Table:
    """Return the table without writes of bits that are not read behind them.

    `entries` are the base chains, and whether the bits are still seen once a packet has passed them.
    """
    liveness = _Liveness(table, mask)
    order = callees_last(table, list(entries))
    for name, seen in entries.items():
        liveness.enter(name, mask if seen else 0)
    new = {chain.name: replace(chain, rules=liveness.rules(chain)) for chain in order}
    return replace(table, chains=tuple(new.get(chain.name, chain) for chain in table.chains))


class _Liveness:
    """Which of the bits are read behind each point. `_behind` and `_seen` are unions over all that lead to a chain."""

    def __init__(self, table: Table, mask: int) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._mask = mask
        self._behind: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._known: dict[tuple[str, int, int], int] = {}

    def enter(self, name: str, seen: int) -> None:
        """Note a base chain."""
        base = self._chains[name].base
        self._note(name, seen if base is None or base.accepts else 0, seen)

    def _note(self, name: str, behind: int, seen: int) -> None:
        self._behind[name] = self._behind.get(name, 0) | behind
        self._seen[name] = self._seen.get(name, 0) | seen

    def rules(self, chain: Chain) -> tuple[Rule, ...]:
        """Return the rules of a chain without dead writes; all that lead to the chain have been here before."""
        behind, seen = self._behind[chain.name], self._seen[chain.name]
        found: list[Rule] = []
        live = behind
        for rule in reversed(chain.rules):
            self._calls(rule, live, behind, seen)
            left, live = self._rule(rule, live, behind, seen)
            if left.verdict is not None or left.steps or not rule.steps:
                found.append(left)
        return tuple(found[::-1])

    def _calls(self, rule: Rule, live: int, behind: int, seen: int) -> None:
        for value in self._values(rule.verdict):
            if isinstance(value, verdicts.Jump):
                self._note(value.chain, live, seen)
            elif isinstance(value, verdicts.Goto):
                self._note(value.chain, behind, seen)

    def _values(self, verdict: verdicts.Verdict | None) -> list[verdicts.Verdict | None]:
        if isinstance(verdict, verdicts.Dispatch):
            elements = self._maps[verdict.map_name].elements
            return [None, *dict.fromkeys(element.value for element in elements)]  # type: ignore[list-item]
        return [verdict]

    def _entered(self, name: str, behind: int, seen: int) -> int:
        """Return the bits that are read by packets that enter a chain."""
        key = (name, behind, seen)
        if key not in self._known:
            live = behind
            for rule in reversed(self._chains[name].rules):
                _, live = self._rule(rule, live, behind, seen)
            self._known[key] = live
        return self._known[key]

    def _rule(self, rule: Rule, after: int, behind: int, seen: int) -> tuple[Rule, int]:
        live = 0
        for value in self._values(rule.verdict):
            live |= self._verdict(value, after, behind, seen)
        if isinstance(rule.verdict, verdicts.Dispatch):
            live |= self._read_by_keys(rule)
        kept: list[Step] = []
        for step in reversed(rule.steps):
            if isinstance(step, does.Assign) and step.field is MARK:
                written = (ALL & ~step.keep) | (step.constant & ALL) | _source_bits(step)
                if not written & ~self._mask and not written & live:
                    # a source that is not there would end the rule
                    if step.source is None:
                        continue
                elif step.source is None:
                    live &= step.keep
            if not isinstance(step, _GOES_ON) or (isinstance(step, does.Assign) and step.source is not None):
                live |= after
            live |= self._read(step)
            kept.append(step)
        steps = tuple(kept[::-1])
        return (rule if steps == rule.steps else replace(rule, steps=steps)), live

    def _verdict(self, verdict: verdicts.Verdict | None, after: int, behind: int, seen: int) -> int:
        if verdict is None:
            return after
        if isinstance(verdict, verdicts.Return):
            return behind
        if isinstance(verdict, verdicts.Jump):
            return self._entered(verdict.chain, after, seen)
        if isinstance(verdict, verdicts.Goto):
            return self._entered(verdict.chain, behind, seen)
        if isinstance(verdict, (verdicts.Drop, verdicts.Reject, verdicts.SynProxy)):
            return 0
        return seen

    def _read(self, step: Step) -> int:
        found = 0
        for part in flat_steps((step,)) if isinstance(step, AnyOf) else (step,):
            found |= bits_read_by(part)
        return found & self._mask

    def _read_by_keys(self, rule: Rule) -> int:

        return bits_read(replace(rule, steps=())) & self._mask


def _source_bits(step: does.Assign) -> int:
    if step.source is None:
        return 0
    shift, mask = step.source.shift, step.source.mask
    return (mask << shift if shift >= 0 else mask >> -shift) & ALL
