"""Lists, in which each packet takes as many steps as the rule that decides has a number: what look-ups may stand for them.

A look-up with its leaf takes two steps, the first rule of a list one. So what is left of a list in a leaf is held against the
rules of the list, each by its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Led(NamedTuple):
    """What some packets find: the look-ups that lead there, the rules of the list that are for them, by number, and the leaf.

    `leaf` is the number of rules that are left; a leaf that is `direct` is the verdict of an element.
    """

    look_ups: int
    rules: Sequence[int]
    leaf: int
    direct: bool


def takes_more(found: Iterable[Led], saved: int) -> bool:
    """Tell whether some packet may take more steps than in the list, of which steps were saved in front of the look-ups."""
    return any(_takes_more(led, saved) for led in found)


def _takes_more(led: Led, saved: int) -> bool:
    if not led.rules:
        return False
    if led.direct:
        return led.look_ups > saved + led.rules[0] + 1
    if led.leaf < len(led.rules):
        # which of them are gone is not known: whoever they took passes the whole leaf
        return led.look_ups + led.leaf > saved + led.rules[0] + 1
    return any(led.look_ups + place > saved + rule for place, rule in enumerate(led.rules))
