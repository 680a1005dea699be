"""Which rules of a chain packets of one port can match, where rules ask for one port each.

    physdev-out tap100i0 jump tap100i0-IN       of a thousand such rules, a packet that leaves by tap100i0 matches the first,
    physdev-out tap101i0 jump tap101i0-IN       and whatever asks for no port or for several

A list of guests is gone through once for every guest, with what is known of that guest's packets. So that the work does not
grow with the square of the guests, rules that ask for another name are not looked at. Nothing would come of it: a test that
fails, in front of all that a rule does, leaves what is known of a packet as it was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from heapq import merge
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NameSet
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import pure_front

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain
    from fwtrans.optimizer.facts import Facts

_FEWEST = 8


class _ByName(NamedTuple):
    """The numbers of rules by the name that they ask for in one field, and those of all others."""

    field: Field | None
    named: Mapping[str, Sequence[int]]
    others: Sequence[int]


def rules_for(chain: Chain, start: int, facts: Facts) -> Iterator[tuple[int, Rule]]:
    """Yield the rules with their numbers, from one on, but those that ask for another name than the facts know."""
    rules = chain.rules
    known = _by_name(chain)
    fact = facts.get(known.field) if known.field is not None else None
    name = fact.only if isinstance(fact, NameSet) else None
    if name is None:
        yield from ((number, rules[number]) for number in range(start, len(rules)))
        return
    mine = known.named.get(name, ())
    numbers = merge(mine[bisect_left(mine, start) :], known.others[bisect_left(known.others, start) :])
    yield from ((number, rules[number]) for number in numbers)


@once
def _by_name(chain: Chain) -> _ByName:
    asked = [dict(_names(rule)) for rule in chain.rules] if len(chain.rules) >= _FEWEST else []
    times = Counter(field for names in asked for field in names)
    field = max(times, key=times.__getitem__, default=None)
    if field is None or times[field] < _FEWEST:
        return _ByName(None, {}, ())
    named: dict[str, list[int]] = {}
    others: list[int] = []
    for number, names in enumerate(asked):
        if field in names:
            named.setdefault(names[field], []).append(number)
        else:
            others.append(number)
    return _ByName(field, named, others)


def _names(rule: Rule) -> Iterator[tuple[Field, str]]:
    """Yield the fields that a rule asks for one name before it does anything."""
    for step in pure_front(rule):
        if isinstance(step, FieldTest) and isinstance(step.values, NameSet) and step.values.only is not None:
            yield step.field, step.values.only
