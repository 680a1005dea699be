"""REJECT as a drop, at the hooks where a bridge cannot answer.

A bridge's `reject` loads at prerouting and input only (Linux 6.1 and 6.12). A chain that other hooks use as well keeps its
REJECT for those: the others get a copy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Drop, Goto, Jump, Reject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table

_MAY_ANSWER = frozenset({Hook.PREROUTING, Hook.INPUT})


def dropping_where_mute(table: Table) -> Table:
    """Return a bridge table whose REJECTs all stand where the kernel can answer."""
    return replace(table, chains=tuple(_Muting(table).chains()))


class _Muting:
    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._rejects: dict[str, bool] = {}
        self._copies: dict[str, Chain] = {}

    def chains(self) -> Iterator[Chain]:
        """Yield the chains, those of mute hooks with copies of what rejects."""
        for chain in self._chains.values():
            is_mute = chain.base is not None and chain.base.hook not in _MAY_ANSWER
            yield replace(chain, rules=tuple(map(self._muted, chain.rules))) if is_mute else chain
        yield from self._copies.values()

    def _rejecting(self, name: str) -> bool:
        if name not in self._rejects:
            self._rejects[name] = False
            self._rejects[name] = any(
                isinstance(rule.verdict, Reject)
                or (isinstance(rule.verdict, (Jump, Goto)) and self._rejecting(rule.verdict.chain))
                for rule in self._chains[name].rules
            )
        return self._rejects[name]

    def _muted(self, rule: Rule) -> Rule:
        verdict = rule.verdict
        if isinstance(verdict, Reject):
            return replace(rule, verdict=Drop())
        if not isinstance(verdict, (Jump, Goto)) or not self._rejecting(verdict.chain):
            return rule
        name = f"{verdict.chain}-mute"
        if name not in self._copies:
            original = self._chains[verdict.chain]
            self._copies[name] = replace(original, name=name, rules=())
            self._copies[name] = replace(original, name=name, rules=tuple(map(self._muted, original.rules)))
        return replace(rule, verdict=replace(verdict, chain=name))
