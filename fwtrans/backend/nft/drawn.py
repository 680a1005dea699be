"""Look-ups by a number that is drawn for each packet, put together again from the rules that they were read as.

    drawn 0: goto a                   numgen inc mod 2 vmap { 0 : goto a, 1 : goto b }
    drawn 1: goto b

A packet has one number in all these rules, and nft would draw one for each. So only all of them together can be printed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.stateful import Drawn, StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Return

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwtrans.backend.nft.expand import FlatRule
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.verdict import Verdict

    Expanded = tuple[Rule, tuple[FlatRule, ...]]

_PLAIN = {Accept: "accept", Drop: "drop", Return: "return"}


class DrawnWays(NamedTuple):
    """Where a drawn number leads: the generator, and each value or range with its verdict."""

    generator: str
    ways: tuple[tuple[str, Verdict | None], ...]


def drawn_of(flat: FlatRule) -> Drawn | None:
    """Return the draw that a flat rule ends with."""
    last = flat[0][-1] if flat[0] else None
    return last.object.kind if isinstance(last, StatefulTest) and isinstance(last.object.kind, Drawn) else None


def ways_from(rules: Sequence[Expanded], start: int) -> DrawnWays | None:
    """Return the look-up whose first way is the rule at this place, None where it is no such rule or not all are there."""
    first = rules[start][1]
    drawn = drawn_of(first[0]) if len(first) == 1 else None
    if drawn is None or drawn.way:
        return None
    found: list[tuple[str, Verdict | None]] = []
    for number in range(drawn.ways):
        copies = rules[start + number][1] if start + number < len(rules) else ()
        this = drawn_of(copies[0]) if len(copies) == 1 else None
        if this is None or (this.generator, this.way, this.ways) != (drawn.generator, number, drawn.ways):
            return None
        if copies[0][0][:-1] != first[0][0][:-1]:
            return None
        found.append((this.value, copies[0][1]))
    return DrawnWays(drawn.generator, tuple(found))


def look_up(ways: DrawnWays, chain_name: Callable[[str], str]) -> str:
    """Return the statement as JSON, with verdicts as they are now."""
    pairs = [[json.loads(value), _verdict(verdict, chain_name)] for value, verdict in ways.ways]
    return json.dumps({"vmap": {"key": json.loads(ways.generator), "data": {"set": pairs}}})


def _verdict(verdict: Verdict | None, chain_name: Callable[[str], str]) -> dict[str, dict[str, str] | None]:
    word = _PLAIN.get(type(verdict))
    if word is not None:
        return {word: None}
    if isinstance(verdict, (Jump, Goto)):
        return {"jump" if isinstance(verdict, Jump) else "goto": {"target": chain_name(verdict.chain)}}
    raise Refused("FWT200", "a look-up by a number that is drawn leads to what a map of nft cannot hold")
