"""Packets on both sides of every boundary that a rule draws.

Beside the ends of an interval, with one flag more or less, with a name that just fits, and with keys of the sets and maps
that the rule looks into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import CT_STATE, ICMP6_CODE, ICMP6_TYPE, ICMP_CODE, ICMP_TYPE, L4PROTO, NFPROTO
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.verdict import Dispatch
from fwtrans.ir.walk import flat_steps, map_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import Part

Values = dict["Field", "int | str"]
_MOST_INTERVALS, _MOST_ELEMENTS = 4, 6
OTHER_INTERFACE = "other0"
_LONGEST_NAME = 15
_RELATED = 2


def variants(rule: Rule, table: Table, values: Mapping[Field, int | str], source: Random) -> Iterator[Values]:
    """Yield the packet with what the rule looks at moved to a boundary, one at a time."""
    for step in flat_steps(rule.steps):
        if isinstance(step, FieldTest):
            for value in _beside(step, source):
                related = _error_about(values) if (step.field, value) == (CT_STATE, _RELATED) else {}
                yield {**values, step.field: value, **related}
        elif isinstance(step, MemberTest):
            named = next((one for one in table.sets if one.name == step.set_name), None)
            keys = [element.key for element in named.elements] if named is not None else []
            yield from _by_keys(step.key, keys, values, source)
    names = set(map_names(rule))
    if isinstance(rule.verdict, Dispatch):
        for mapping in table.maps:
            if mapping.name in names:
                yield from _by_keys(rule.verdict.key, [element.key for element in mapping.elements], values, source)


def _error_about(values: Mapping[Field, int | str]) -> Values:
    """Return what makes the packet an ICMP error, the only packet that is related by itself."""
    if values.get(NFPROTO) == 10:
        return {L4PROTO: 58, ICMP6_TYPE: 1, ICMP6_CODE: 4}
    return {L4PROTO: 1, ICMP_TYPE: 3, ICMP_CODE: 3}


def _beside(test: FieldTest, source: Random) -> Iterator[int | str]:
    found = test.values
    if test.field is L4PROTO:
        assert isinstance(found, IntervalSet)  # noqa: S101 -- a protocol is a number
        yield from (one for one in (6, 17, 253) if one not in found)
    elif isinstance(found, NameSet):
        yield from _names(found)
    elif isinstance(found, BitSet):
        for mask, value in sorted(found.cubes)[:_MOST_INTERVALS]:
            yield value
            yield from (value ^ 1 << bit for bit in range(test.field.width) if mask >> bit & 1)
            yield value | ~mask & (1 << test.field.width) - 1
    else:
        ranges = list(_smaller(found).ranges)
        source.shuffle(ranges)
        for low, high in ranges[:_MOST_INTERVALS]:
            yield from _ends(low, high, test.field.width)


def _smaller(values: IntervalSet) -> IntervalSet:
    """Return the set or its complement, whichever a person would have written: their boundaries are the same."""
    other = values.complement()
    return values if values.size <= other.size else other


def _ends(low: int, high: int, width: int) -> Iterator[int]:
    yield from dict.fromkeys(one for one in (low, high, low - 1, high + 1) if 0 <= one < 1 << width)


def _names(values: NameSet) -> Iterator[str]:
    for pattern, _ in values.entries:
        if not pattern.text:
            continue
        yield pattern.text + "7" * pattern.is_prefix if len(pattern.text) < _LONGEST_NAME else pattern.text
    yield OTHER_INTERFACE


def _by_keys(
    key: Sequence[KeyPart], keys: Sequence[tuple[Part, ...]], values: Mapping[Field, int | str], source: Random
) -> Iterator[Values]:
    chosen = (
        list(keys)
        if len(keys) <= _MOST_ELEMENTS
        else [keys[0], keys[-1], *source.sample(list(keys), _MOST_ELEMENTS - 2)]
    )
    for element in chosen:
        inside = {**values, **{part.field: _one_of(value) for part, value in zip(key, element, strict=True)}}
        yield inside
        for part, value in zip(key, element, strict=True):
            if not isinstance(value, NamePattern):
                yield from ({**inside, part.field: end} for end in _ends(*value, part.field.width) if end != value[0])


def _one_of(value: Part) -> int | str:
    if isinstance(value, NamePattern):
        return value.text + ("7" if value.is_prefix else "")
    return value[0]
