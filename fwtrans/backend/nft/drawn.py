"""Look-ups by a number that is drawn for each packet, put together again from the rules that they were read as.

    drawn 0: goto a                   numgen inc mod 2 vmap { 0 : goto a, 1 : goto b }
    drawn 1: goto b

A packet has one number in all these rules, and nft would draw one for each. So only all of them together can be printed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import Drawn, StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Return

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwtrans.ir.expand import FlatRule
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.verdict import Verdict

    Expanded = tuple[Rule, tuple[FlatRule, ...]]

_PLAIN = {Accept: "accept", Drop: "drop", Return: "return"}


class DrawnWays(NamedTuple):
    """Where a drawn number leads: the generator, and each value or range with its verdict."""

    generator: str
    ways: tuple[tuple[str, Verdict | None], ...]


def ways_from(rules: Sequence[Expanded], start: int) -> DrawnWays | None:
    """Return the look-up whose first way is the rule at this place, None where it is no such rule.

    A way may be missing: a rule that does nothing is left out, and a map without the element goes on as well.
    """
    draw = _draw_of(rules[start])
    if draw is None:
        return None
    found: list[tuple[str, Verdict | None]] = []
    number = -1
    asked = tuple(step for step in rules[start][1][0][0][:-1] if is_pure(step))
    for rule in rules[start:]:
        this = _draw_of(rule)
        if this is None or this.name != draw.name or this.drawn.way <= number:
            break
        ((steps, verdict),) = rule[1]
        if found and steps[:-1] != asked:
            break
        found.append((this.drawn.value, verdict))
        number = this.drawn.way
    return DrawnWays(draw.drawn.generator, tuple(found))


class _Draw(NamedTuple):
    name: str
    drawn: Drawn


def _draw_of(rule: Expanded) -> _Draw | None:
    """Return the draw that a rule ends with, and what it has in common with the other ways of the same look-up."""
    copies = rule[1]
    last = copies[0][0][-1] if len(copies) == 1 and copies[0][0] else None
    if not isinstance(last, StatefulTest) or not isinstance(last.object.kind, Drawn):
        return None
    return _Draw(last.object.identity.rpartition("/")[0], last.object.kind)


def look_up(ways: DrawnWays, chain_name: Callable[[str], str]) -> str:
    """Return the statement as JSON, with verdicts as they are now."""
    pairs = [[json.loads(value), _verdict(verdict, chain_name)] for value, verdict in ways.ways]
    return json.dumps({"vmap": {"key": json.loads(ways.generator), "data": {"set": pairs}}})


def _verdict(verdict: Verdict | None, chain_name: Callable[[str], str]) -> dict[str, dict[str, str] | None]:
    if verdict is None:
        return {"continue": None}
    word = _PLAIN.get(type(verdict))
    if word is not None:
        return {word: None}
    if isinstance(verdict, (Jump, Goto)):
        return {"jump" if isinstance(verdict, Jump) else "goto": {"target": chain_name(verdict.chain)}}
    raise Refused("FWT200", "a look-up by a number that is drawn leads to what a map of nft cannot hold")
