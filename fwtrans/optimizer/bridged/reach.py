"""Which chains a chain leads to by jumps and gotos; fragments of iptables have no verdict maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.verdict import Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.ruleset import Chain


def reached(chains: Mapping[str, Chain], *starts: str) -> tuple[str, ...]:
    """Return the chains that the first ones lead to, these included."""
    seen, waiting = dict.fromkeys(starts), list(starts)
    while waiting:
        for rule in chains[waiting.pop()].rules:
            verdict = rule.verdict
            if isinstance(verdict, (Jump, Goto)) and verdict.chain not in seen:
                seen[verdict.chain] = None
                waiting.append(verdict.chain)
    return tuple(seen)
