"""`X set Y`: an nft value expression as one bitwise function, field = ((field & keep) ^ source) ^ constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable, BitsOf
from fwtrans.ir.fields import CT_LABEL, ETHER_PROTOCOL, L4PROTO, NFPROTO, SEVERAL_PROTOCOLS, Family
from fwtrans.ir.match import KeyPart, number
from fwtrans.ir.names import NamePattern
from fwtrans.lower.nft.implied import FRAMES
from fwtrans.lower.nft.json_types import Json, NotModelled, as_list, as_object
from fwtrans.lower.nft.matches import lower_key
from fwtrans.lower.nft.selectors import part_of
from fwtrans.lower.nft.sets import map_elements
from fwtrans.lower.nft.values import bit_words, single

if TYPE_CHECKING:
    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import Part as KeyPiece
    from fwtrans.lower.nft.scope import Scope
    from fwtrans.lower.nft.selectors import Part

_OPERATORS = {"&", "|", "^", "<<", ">>"}


class _Value(NamedTuple):
    """The written part's own bits kept, bits of another field, and a constant."""

    keep: int
    constant: int
    source: BitsOf | None = None


def lower_mangle(content: Json, scope: Scope) -> tuple[Step, ...]:
    """Return the steps of {"mangle": {"key", "value"}}."""
    found = as_object(content, "mangle")
    target = part_of(found.get("key"), scope.family)
    before = (*_asked(target, scope.family), *target.before)
    value = found.get("value")
    if isinstance(value, dict) and "map" in value:
        asked, step = _from_map(target, as_object(value["map"], "map"), scope)
        return (*before, *(test for test in asked if test not in before), step)
    result = _evaluate(value, target, scope)
    field = target.field
    if field is L4PROTO:
        raise NotModelled("the protocol in the header, set; what matches ask for is what the kernel has found")
    if field is CT_LABEL:
        # the kernel sets the bits that are given and leaves the others as they are
        return (*before, Assign(field, ((1 << field.width) - 1) & ~result.constant, result.constant))
    ones, part_ones = (1 << field.width) - 1, (1 << target.width) - 1
    keep = (ones & ~(part_ones << target.shift)) | ((result.keep & part_ones) << target.shift)
    source = result.source
    if source is not None and target.shift:
        source = BitsOf(source.field, source.mask, source.shift + target.shift)
    return (*before, Assign(field, keep, (result.constant & part_ones) << target.shift, source))


def _from_map(
    target: Part, content: dict[str, Json], scope: Scope
) -> tuple[tuple[PureTest, ...], AssignFromMap | AssignFromTable]:
    if not target.whole:
        raise NotModelled("a part of a field set from a map")
    key, before = lower_key(content.get("key"), scope)
    data = content.get("data")
    if isinstance(data, str) and data.startswith("@"):
        name = data[1:]
    else:
        entries = as_list(as_object(data, "map").get("set"))
        if key == (KeyPart(target.field),) and (table := _table_of(target, entries)) is not None:
            return before, table
        name = scope.anonymous_map(tuple(part.field for part in key), entries, target.field.name)
    return before, AssignFromMap(target.field, key, name)


def _table_of(target: Part, entries: list[Json]) -> AssignFromTable | None:
    """Return the arithmetic on a field that has an element for each of its values, None where a packet may find none."""
    if len(entries) != 1 << target.width:
        return None
    elements = map_elements((target.field,), target.field.name, entries)
    found = {number: element.value for element in elements for number in _numbers(element.key[0])}
    changes = sorted((number, value) for number, value in found.items() if isinstance(value, int))
    return AssignFromTable(target.field, tuple(changes)) if len(changes) == len(entries) else None


def _numbers(part: KeyPiece) -> tuple[int, ...]:
    """Return the number that an element's key is, none where it is several or a name."""
    return (part[0],) if not isinstance(part, NamePattern) and part[0] == part[1] else ()


def _asked(target: Part, family: Family) -> tuple[PureTest, ...]:
    """Return the test of the family that nft makes where packets of both pass: a rule ends where a packet has no such field."""
    if family not in SEVERAL_PROTOCOLS or target.field.spelling[0] != "payload":
        return ()
    answered = (value for name, value in target.field.requires if name == NFPROTO.name)
    if family is Family.INET:
        return tuple(number(NFPROTO, value) for value in answered)
    # not the frame's type, as in front of ICMP: a frame with a tag is asked what it carries
    return tuple(number(ETHER_PROTOCOL, FRAMES[value]) for value in answered)


def _evaluate(value: Json, target: Part, scope: Scope) -> _Value:
    if not isinstance(value, dict):
        return _Value(0, bit_words(target, value))
    kind, content = next(iter(value.items()))
    if kind in _OPERATORS:
        operands = as_list(content)
        result = _evaluate(operands[0], target, scope)
        for operand in operands[1:]:
            result = _applied(kind, result, _number(operand, target), target)
        return result
    part = part_of(value, scope.family)
    ones = (1 << part.width) - 1
    if part.field is target.field and part.shift == target.shift and part.width == target.width:
        return _Value(ones, 0)
    if not part.whole:
        raise NotModelled(f"a part of {part.field.name} as a value")
    return _Value(0, 0, BitsOf(part.field, ones))


def _number(value: Json, target: Part) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return single(target, value)


def _applied(operator: str, value: _Value, number: int, target: Part) -> _Value:
    source = value.source
    if operator == "&":
        moved = _masked(source, number)
        return _Value(value.keep & number, value.constant & number, moved)
    if operator == "|":
        # or-ing n is clearing its bits, then flipping them
        return _Value(value.keep & ~number, (value.constant & ~number) | number, _masked(source, ~number))
    if operator == "^":
        return _Value(value.keep, value.constant ^ number, source)
    shift = number if operator == "<<" else -number
    if source is None and value.keep and target.whole:
        # the field's own bits, moved: they are a source like another field's
        source, value = BitsOf(target.field, value.keep), value._replace(keep=0)
    if value.keep or value.constant:
        raise NotModelled("a shift of what was computed before")
    if source is None:
        raise Refused("FWT112", "a shift needs something to shift")
    return _Value(0, 0, BitsOf(source.field, source.mask, source.shift + shift))


def _masked(source: BitsOf | None, number: int) -> BitsOf | None:
    """Return the source with only those bits that the mask keeps, told in the source's own positions."""
    if source is None:
        return None
    own = number >> source.shift if source.shift >= 0 else number << -source.shift
    return BitsOf(source.field, source.mask & own, source.shift)
