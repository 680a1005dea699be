"""nft match statements as IR tests, with the tests that nft makes by itself in front."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import (
    CT_EVENT,
    CT_LABEL,
    CT_STATE,
    CT_STATUS,
    FIELDS,
    HAS_ETHERNET,
    HAS_TRANSPORT,
    IP6_CLASS,
    L4PROTO,
    TCP_FLAGS,
    TIME,
    Family,
    FieldKind,
    raw_address,
    raw_payload,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import (
    AnyOf,
    FieldTest,
    KeyPart,
    MemberTest,
    OpaqueTest,
    PureTest,
    absent,
    negated,
    number,
    present,
)
from fwtrans.ir.stateful import EveryNth, Random, StatefulObject, StatefulTest
from fwtrans.lower.nft.json_types import Json, JsonObject, NotModelled, as_list, as_number, as_object, as_text, asking
from fwtrans.lower.nft.selectors import Part, part_of, raw_part
from fwtrans.lower.nft.values import bit_words, elements_of, moved, single, value_set
from fwtrans.lower.values import too_many_holes

if TYPE_CHECKING:
    from fwtrans.ir.names import NameSet
    from fwtrans.ir.rule import Step
    from fwtrans.lower.nft.scope import Scope

# nft's bitmask types: without an operator, a comparison asks for any of the bits. A mark is a number.
_FLAGS = (CT_STATUS, CT_LABEL, CT_EVENT, TCP_FLAGS)
# ARPHRD_ETHER: the test that nft itself puts in front of `ether saddr`, and the printer's question for an Ethernet header
_ETHERNET = ("ether", 1)
_LESS = {"<", "<=", ">", ">="}


def lower_match(content: Json, scope: Scope) -> tuple[Step, ...]:
    """Return the steps of {"match": {"op", "left", "right"}}."""
    found = as_object(content, "match")
    operator = as_text(found.get("op", "=="), "op")
    left, right = found.get("left"), found.get("right")
    if isinstance(left, dict) and "numgen" in left:
        return (_number_generator(left["numgen"], operator, right, scope),)
    if isinstance(right, str) and right.startswith("@"):
        return _member(left, right[1:], inside=operator != "!=", scope=scope)
    if isinstance(left, dict) and "concat" in left:
        name = scope.anonymous_set(left, elements_of(right))
        return _member(left, name, inside=operator != "!=", scope=scope)
    if isinstance(left, dict) and "&" in left:
        return _behind_transport(
            part_of(as_list(left["&"])[0], scope.family, inner=True), _masked(left["&"], operator, right, scope), found
        )
    if left == {"meta": {"key": "iiftype"}} and right in _ETHERNET and operator in {"==", ""}:
        return (present(HAS_ETHERNET),)
    if (index := _interface_index(left, operator, right)) is not None:
        return (index,)
    part = part_of(left, scope.family, inner=True)
    return _behind_transport(part, (*part.before, _compare(part, operator, right, scope)), found)


def _interface_index(left: Json, operator: str, right: Json) -> OpaqueTest | None:
    """Return the test of `iif "eth0"`: it holds for the interface that had the name when the rules were loaded.

    Which that is nobody knows from the text, so it is a question of its own, and can be asked again in the same words.
    """
    for key in ("iif", "oif"):
        if left == {"meta": {"key": key}} and isinstance(right, str) and operator in {"", "==", "!="}:
            match: JsonObject = {"match": {"op": "==", "left": left, "right": right}}
            return OpaqueTest(f"{key} {right}", json.dumps(match), holds=operator != "!=")
    return None


def _behind_transport(part: Part, steps: tuple[Step, ...], found: JsonObject) -> tuple[Step, ...]:
    """Return the steps of a match; behind which headers but TCP's and UDP's `@ih` looks depends on the kernel (6.1, 6.12)."""
    if part.field.spelling[:2] != ("raw", "ih"):
        return steps
    *before, test = steps
    assert isinstance(test, (FieldTest, MemberTest))  # noqa: S101 -- that is what a comparison of raw bits becomes
    every_kernel = number(L4PROTO, 6, 17)
    unknown = OpaqueTest(json.dumps({"match": found}, sort_keys=True))
    return (*before, AnyOf(((every_kernel, test), (negated(every_kernel), unknown))))


def _compare(part: Part, operator: str, right: Json, scope: Scope) -> PureTest:
    field = part.field
    if _is_transport_guard(part, operator, right, scope):
        return present(HAS_TRANSPORT)
    if right in ("exists", "missing") or (
        isinstance(right, bool) and field.width == 1 and field.name.startswith("has.")
    ):
        there = right in ("exists", True)
        there = there == (operator != "!=")
        return present(field) if there else absent(field)
    if field is TIME and operator in {"<=", ">"}:
        # the clock runs in nanoseconds: of a second only its first is not behind it
        operator = "<" if operator == "<=" else ">="
    if operator in _LESS:
        return FieldTest(field, _ordered(part, operator, single(part, right)))
    if field.spelling[0] == "fib" and right is True:
        return FieldTest(field, IntervalSet.single(field.width, 0).complement())  # any device but none
    if field is CT_STATE:
        return _state(right, negate=operator in {"!=", "!"})
    if operator == "!":
        # how a listing says that none of the bits is set
        return FieldTest(field, moved(BitSet.any_bit(part.width, bit_words(part, right)).complement(), part))
    if isinstance(right, list):
        found = BitSet.any_bit(part.width, bit_words(part, right))
        if operator in {"==", "!="}:  # with an operator, the words are one number
            found = BitSet.exact(part.width, bit_words(part, right))
        return FieldTest(field, moved(found.complement() if operator == "!=" else found, part))
    if field in _FLAGS and operator in {"", "in"} and not _is_set(right) and not _is_range(right):
        return FieldTest(field, BitSet.any_bit(part.width, single(part, right)))
    if field is TIME:
        return FieldTest(field, _whole_seconds(value_set(part, elements_of(right), others=False), operator))
    return FieldTest(field, value_set(part, elements_of(right), others=operator == "!="))


def _whole_seconds(values: IntervalSet | BitSet | NameSet, operator: str) -> IntervalSet:
    """Return the seconds that lie in ranges of nanoseconds: a range ends where the second after its last one begins."""
    assert isinstance(values, IntervalSet)  # noqa: S101 -- time is a number
    whole = IntervalSet.of(TIME.width, ((low, max(low, high - 1)) for low, high in values.ranges))
    return whole.complement() if operator == "!=" else whole


def _is_set(right: Json) -> bool:
    return isinstance(right, dict) and "set" in right


def _is_range(right: Json) -> bool:
    return isinstance(right, dict) and "range" in right


def _is_transport_guard(part: Part, operator: str, right: Json, scope: Scope) -> bool:
    """Tell whether this is the load of three transport bytes by which our printer asks for a whole header."""
    return operator == ">=" and right in (0, "0x0") and part == raw_part("th", 0, 24, scope.family)


def _ordered(part: Part, operator: str, value: int) -> IntervalSet | BitSet | NameSet:
    top = (1 << part.width) - 1
    low, high = {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, top), ">=": (value, top)}[operator]
    if part.field.kind is FieldKind.BITS:
        found = BitSet.from_range(part.width, low, high) if low <= high else BitSet.empty(part.width)
        return moved(found, part)
    return IntervalSet.of(part.field.width, ((low, high),) if low <= high else ())


# the kernel's bits of the states, as numbers in a ruleset name them
_STATE_BITS = {1: 0, 2: 1, 4: 2, 8: 3, 64: 4}


def _state(right: Json, *, negate: bool) -> FieldTest:
    """Conntrack states are bits for nft, but a packet has exactly one."""
    if isinstance(right, dict) and "|" in right:
        # compared with several bits at once, which no packet has
        everything = FieldTest(CT_STATE, IntervalSet.full(CT_STATE.width))
        return everything if negate else FieldTest(CT_STATE, IntervalSet.of(CT_STATE.width, ()))
    words = right if isinstance(right, list) else elements_of(right)
    states = []
    for word in words:
        if isinstance(word, int) and word in _STATE_BITS:
            states.append(_STATE_BITS[word])
            continue
        if isinstance(word, int):
            raise NotModelled(f"ct state {word}")
        text = as_text(word, "ct state")
        found = next((value for name, value in CT_STATE.symbols if name == text), None)
        if found is None:
            raise NotModelled(f"ct state {text}")
        states.append(found)
    test = number(CT_STATE, *states)
    return negated(test) if negate else test


def _masked(operands: Json, operator: str, right: Json, scope: Scope) -> tuple[Step, ...]:
    sides = as_list(operands)
    if len(sides) != 2:
        raise Refused("FWT112", "`&` has two sides")
    part = part_of(sides[0], scope.family, inner=True)
    field = part.field
    mask = bit_words(part, sides[1])
    in_word = _traffic_class(part, mask, operator, right, scope)
    if in_word is not None:
        return (*part.before, in_word)
    if isinstance(right, str) and right.startswith("@"):
        key = (KeyPart(field, mask),)
        return (*part.before, MemberTest(key, right[1:], operator != "!=", scope.is_dynamic(right[1:])))
    if operator in _LESS:
        raise NotModelled(f"a masked value with `{operator}`")
    cubes = [(mask, bit_words(part, value)) for value in elements_of(right)]
    values = BitSet.of(part.width, cubes)
    if operator == "!=":
        values = values.complement()
    if field.kind is FieldKind.BITS:
        return (*part.before, FieldTest(field, moved(values, part)))
    raw = raw_address(field)
    if raw is not None and too_many_holes(mask, field.width):
        family = (number(FIELDS[name], value) for name, value in field.requires)
        return (*part.before, *family, FieldTest(raw, values))
    ranges = _cubes_as_ranges(values)
    return (*part.before, FieldTest(field, IntervalSet.of(field.width, ranges)))


def _traffic_class(part: Part, mask: int, operator: str, right: Json, scope: Scope) -> FieldTest | None:
    """Return the test of IPv6's traffic class where it is asked for as part of the word that it lies in, as we print it."""
    if scope.family is not Family.IP6 or part.field is not raw_payload("nh", 0, 16) or mask & ~0x0FF0:
        return None
    if operator not in {"==", "!="} and not _is_set(right):
        return None
    numbers = [bit_words(part, value) for value in elements_of(right)]
    values = BitSet.of(8, [(mask >> 4, number >> 4) for number in numbers if not number & ~mask])
    return FieldTest(IP6_CLASS, values.complement() if operator == "!=" else values)


def _cubes_as_ranges(values: BitSet) -> list[tuple[int, int]]:
    """Return cubes over a number as intervals: address masks are prefixes nearly always."""
    ranges: list[tuple[int, int]] = []
    ones = (1 << values.width) - 1
    for mask, value in values.cubes:
        free = ones & ~mask
        low_run = (free + 1) & -(free + 1)
        inner = [1 << position for position in range(values.width) if (free & ~(low_run - 1)) >> position & 1]
        if len(inner) > 12:
            raise NotModelled("a mask with many holes")
        starts = [value]
        for bit in inner:
            starts.extend([start | bit for start in starts])
        ranges.extend((start, start + low_run - 1) for start in starts)
    return ranges


def lower_key(value: Json, scope: Scope) -> tuple[tuple[KeyPart, ...], tuple[PureTest, ...]]:
    """Return the key of a look-up and the tests that nft makes before it."""
    parts = as_list(value["concat"]) if isinstance(value, dict) and "concat" in value else [value]
    key: list[KeyPart] = []
    before: list[PureTest] = []
    for item in parts:
        mask: int | None = None
        selected = item
        if isinstance(item, dict) and "&" in item:
            sides = as_list(item["&"])
            selected = sides[0]
            mask = bit_words(part_of(selected, scope.family), sides[1])
        part = part_of(selected, scope.family)
        if not part.whole:
            raise NotModelled(f"a part of {part.field.name} as a key")
        before.extend(test for test in part.before if test not in before)
        key.append(KeyPart(part.field, mask))
    return tuple(key), tuple(before)


def _member(left: Json, name: str, *, inside: bool, scope: Scope) -> tuple[Step, ...]:
    if asking(scope.sets.get(name, {}).get("stmt")):
        raise NotModelled(f"what the elements of {name} ask when they are looked up")
    key, before = lower_key(left, scope)
    return (*before, MemberTest(key, name, inside, scope.is_dynamic(name)))


def _number_generator(content: Json, operator: str, right: Json, scope: Scope) -> StatefulTest:
    found = as_object(content, "numgen")
    modulus = as_number(found.get("mod"), "mod")
    offset = as_number(found.get("offset", 0), "offset")
    if offset or not isinstance(right, int):
        raise NotModelled("numgen with an offset or a set")
    if found.get("mode") == "random" and modulus == 1 << 31 and operator in {"<", ">="}:
        return StatefulTest(StatefulObject(scope.identity("random"), Random(right)), (), over=operator == ">=")
    if found.get("mode") == "inc" and operator in {"==", "!="}:
        return StatefulTest(StatefulObject(scope.identity("nth"), EveryNth(modulus, right)), (), over=operator == "!=")
    raise NotModelled("numgen")
