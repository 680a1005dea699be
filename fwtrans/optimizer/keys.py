"""Keys of maps: which fields may be one, and the exact values that a test asks for.

A field of flags is never a key: `tcp flags & syn == syn` holds for SYN+ACK as well. A mark is one where it is compared as a
whole. What nft 1.0.6 takes as a set's type was tried there, alone and in concatenations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import HAS_TRANSPORT, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import present
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.optimizer.clauses import needs
from fwtrans.semantics.domain import POSSIBLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import FieldTest, ValueSet
    from fwtrans.ir.sets import Part

_ORDER: tuple[Field, ...] = (
    known.CT_STATE, known.IBRNAME, known.OBRNAME, known.IIFNAME, known.OIFNAME, known.ETHER_TYPE, known.ETHER_PROTOCOL,
    known.ETHER_SADDR, known.ETHER_DADDR, known.IP_SADDR, known.IP6_SADDR, known.IP_DADDR, known.IP6_DADDR,
    known.MARK, known.CT_MARK, known.L4PROTO, known.SPORT, known.DPORT, known.ICMP_TYPE, known.ICMP6_TYPE,
    known.PACKET_TYPE,
)  # fmt: skip
RANK = {field: place for place, field in enumerate(_ORDER)}
_WHOLE_MARKS = frozenset({known.MARK, known.CT_MARK})

# A test for more values than this is no test of exact values: 1024-65535 would make a map of 64,512 elements.
MOST_VALUES = 16
# Guests have their numbers one after the other: how many there are in a row says nothing of what a test asks for.
_MOST_GUESTS = 0xFFFF
GUESTS = frozenset({known.IIFNAME, known.OIFNAME, known.ETHER_SADDR, known.ETHER_DADDR})
"""By what guests are told apart: how many of their values there are is how many guests, and nothing to decide by."""


def in_order(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return fields in the order that they have in a key."""
    return tuple(sorted(fields, key=RANK.__getitem__))


def exact_values(field: Field, values: ValueSet) -> tuple[Part, ...] | None:
    """Return the values one by one, if they are few and the field may be a key; None otherwise."""
    if field not in RANK:
        return None
    if isinstance(values, IntervalSet):
        values = values.intersection(POSSIBLE.get(field, values))
        most = _MOST_GUESTS if field in GUESTS else MOST_VALUES
        if values.is_empty or (values.size > most and any(low != high for low, high in values.ranges)):
            return None
        return tuple((value, value) for low, high in values.ranges for value in range(low, high + 1))
    if isinstance(values, NameSet):
        named = [pattern for pattern, inside in values.entries if pattern.text or not pattern.is_prefix]
        if values.by_default or not named or any(pattern.is_prefix for pattern in named):
            return None
        return tuple(named)
    ones = (1 << values.width) - 1
    if field not in _WHOLE_MARKS or values.is_empty or any(mask != ones for mask, _ in values.cubes):
        return None
    return tuple((value, value) for _, value in values.cubes)


def values_of(field: Field, part: Part) -> ValueSet:
    """Return a part of a key as the values that it stands for."""
    if isinstance(part, NamePattern):
        return NameSet.of((part,))
    if field.kind is FieldKind.BITS:
        return BitSet.exact(field.width, part[0])
    return IntervalSet(field.width, (part,))


def guard(fields: Iterable[Field]) -> tuple[FieldTest, ...]:
    """Return the test that keeps a later fragment's bytes from being taken for ports."""
    if any(HAS_TRANSPORT in needs(field) for field in fields):
        return (present(HAS_TRANSPORT),)
    return ()


def part_text(part: Part) -> str:
    """Return a part of a key for a name."""
    if isinstance(part, NamePattern):
        return part.text or "none"
    return f"{part[0]:x}" if part[0] > 0xFFFF else str(part[0])
