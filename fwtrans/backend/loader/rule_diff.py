"""From the rules that a chain has to those that it should have, with as few commands as there are differences.

A rule that stays keeps its handle, and with it its counter and the bucket of its limit; where there is nothing to keep,
a short chain is emptied and filled again. Kept rules are those of a longest
common subsequence; a new rule goes in front of the kept one that follows it.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader.image import same_rule_key
from fwtrans.backend.loader.transaction import AddRule, Command, DeleteRule, FlushChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.backend.loader.image import TableName

_SHORT = 300
"""A chain so short is loaded anew in less time than libnftables takes to find one place in it: for a position it reads all
rules of all tables (1.0.6: 25 ms for 6,000). Done only where no rule holds a count or a bucket that would be lost.
"""
_STATE = re.compile(r"\b(?:(?:counter|quota)(?! name)|limit rate|ct count|last)\b")
_OF_A_SET = re.compile(r"\b(?:add|update|delete) @\S+ \{[^{}]*\}")
"""What it counts is an element's, and stays where the set does."""
_MOST_PAIRS = 250_000
"""Above it, looking for what can stay takes longer than loading the chain (SequenceMatcher is quadratic)."""


class ChainChange(NamedTuple):
    """The commands, in two parts because all that goes has to go first; how many rules stay; the rules as they are then."""

    removals: tuple[Command, ...]
    additions: tuple[Command, ...]
    kept: int
    rules: tuple[str, ...]


def change_chain(
    table: TableName, chain: str, old: Sequence[str], new: Sequence[str], handles: Sequence[int]
) -> ChainChange:
    """Return how to get from the old rules, which have these handles, to the new ones.

    Kept rules stay as they are in the kernel, an old source line in the comment included.
    """
    if tuple(old) == tuple(new):
        return ChainChange((), (), len(old), tuple(old))
    before, after = [same_rule_key(text) for text in old], [same_rule_key(text) for text in new]
    if before == after:
        return ChainChange((), (), len(old), tuple(old))
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    inner = len(before) - start - end, len(after) - start - end
    if inner[0] * inner[1] > _MOST_PAIRS:
        return refill(table, chain, new)
    matcher = SequenceMatcher(None, before[start : len(before) - end], after[start : len(after) - end], autojunk=False)
    removals: list[Command] = []
    additions: list[Command] = []
    rules = list(old[:start])
    for what, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if what == "equal":
            rules.extend(old[start + old_from : start + old_to])
            continue
        removals.extend(DeleteRule(table, chain, handles[start + index]) for index in range(old_from, old_to))
        following = start + old_to
        place = handles[following] if following < len(handles) else None
        added = new[start + new_from : start + new_to]
        additions.extend(AddRule(table, chain, text, place) for text in added)
        rules.extend(added)
    rules.extend(old[len(old) - end :] if end else ())
    needs_place = any(isinstance(command, AddRule) and command.before is not None for command in additions)
    if needs_place and len(new) <= _SHORT and not any(map(holds_state, old)):
        return refill(table, chain, new)
    return ChainChange(tuple(removals), tuple(additions), len(rules) - len(additions), tuple(rules))


def holds_state(text: str) -> bool:
    """Tell whether a rule or element counts something, or has a bucket, that is lost when it is made anew."""
    return _STATE.search(_OF_A_SET.sub("", text)) is not None


def refill(table: TableName, chain: str, new: Sequence[str]) -> ChainChange:
    """Return how to empty a chain and fill it again in the same transaction."""
    return ChainChange((FlushChain(table, chain),), tuple(AddRule(table, chain, text) for text in new), 0, tuple(new))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
