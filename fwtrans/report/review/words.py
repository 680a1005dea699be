"""What a rule asks for, in people's words: `tcp 22 and 8000-8100 from 10.0.0.0/8`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign, Count, Log
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.pprint import print_step, print_values
from fwtrans.ir.stateful import StatefulTest
from fwtrans.report.packets import PROTOCOL_NAMES
from fwtrans.report.review.model import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.sets import Part

REST = "everything that no earlier rule decides"
_PREPOSITIONS = {
    "ip.saddr": "from", "ip6.saddr": "from", "ip.daddr": "to", "ip6.daddr": "to", "ether.saddr": "from hardware address",
    "ether.daddr": "to hardware address", "iifname": "by", "oifname": "leaving by", "th.sport": "from port",
    "mark": "with mark", "ct.mark": "with connection mark", "tcp.flags": "with flags", "meta.pkttype": "sent as",
}  # fmt: skip
_TOLD_OTHERWISE = frozenset(
    {"has.transport", "bridge.forwarded", "bridge.port_in", "bridge.port_out", "has.conntrack", "nfproto"}
)
_MOST_VALUES = 8


def rule_words(rule: Rule, narrowed: Mapping[Field, ValueSet] | None = None) -> str:
    """Return what a rule asks for; `narrowed` says of a field which of its values are meant."""
    return " ".join(_words(rule, narrowed or {})) or REST


def _words(rule: Rule, narrowed: Mapping[Field, ValueSet]) -> list[str]:
    tests = {step.field: narrowed.get(step.field, step.values) for step in rule.steps if isinstance(step, FieldTest)}
    found = [_protocol(tests)] if known.L4PROTO in tests or known.DPORT in tests else []
    for step in rule.steps:
        if isinstance(step, FieldTest):
            if step.field not in {known.L4PROTO, known.DPORT} and step.field.name not in _TOLD_OTHERWISE:
                text = _test(step.field, tests[step.field])
                if step.field in {known.ICMP_TYPE, known.ICMP6_TYPE}:
                    found.insert(1, text)
                else:
                    found.append(text)
        elif not isinstance(step, (Log, Assign, Count)):
            found.append(_other(step, narrowed))
    return [word for word in found if word]


def _protocol(tests: Mapping[Field, ValueSet]) -> str:
    protocols = tests.get(known.L4PROTO)
    words = _protocols(protocols) if isinstance(protocols, IntervalSet) else ""
    ports = tests.get(known.DPORT)
    return " ".join(filter(None, (words, values_words(known.DPORT, ports) if ports is not None else "")))


def _protocols(values: IntervalSet) -> str:
    others = values.complement()
    if others.size < values.size:
        return f"any protocol but {_protocols(others)}" if not others.is_empty else ""
    names = [
        PROTOCOL_NAMES.get(number, f"protocol {number}")
        for low, high in values.ranges
        for number in range(low, high + 1)
    ]
    return listed(names)


def _test(field: Field, values: ValueSet) -> str:
    if field is known.CT_STATE and isinstance(values, IntervalSet):
        return f"of {values_words(field, values).replace('-', ' and ')} connections"
    if field in {known.ICMP_TYPE, known.ICMP6_TYPE}:
        return values_words(field, values)
    return f"{_PREPOSITIONS.get(field.name, f'with {field.name}')} {values_words(field, values)}"


def _other(step: object, narrowed: Mapping[Field, ValueSet]) -> str:
    if isinstance(step, MemberTest):
        field = step.key[0].field
        if len(step.key) == 1 and field in narrowed:
            return f"{_PREPOSITIONS.get(field.name, field.name)} {values_words(field, narrowed[field])}"
        word = (
            _PREPOSITIONS.get(field.name, field.name)
            if len(step.key) == 1
            else " . ".join(part.field.name for part in step.key)
        )
        return f"{word} {'' if step.inside else 'outside '}set {set_words(step.set_name)}"
    if isinstance(step, AnyOf):
        branches = [" ".join(filter(None, (_branch(test) for test in branch))) for branch in step.branches]
        return "either " + " or ".join(filter(None, branches))
    if isinstance(step, OpaqueTest):
        return f"{'' if step.holds else 'not '}matching {step.identity}"
    if isinstance(step, StatefulTest):
        return "over a limit" if step.over else "within a limit"
    return print_step(step)  # type: ignore[arg-type] # any other step


def _branch(test: object) -> str:
    if isinstance(test, FieldTest):
        if test.field is known.DPORT:
            return f"to port {values_words(test.field, test.values)}"
        return "" if test.field.name in _TOLD_OTHERWISE else _test(test.field, test.values)
    return _other(test, {})


def set_words(name: str) -> str:
    """Return a set's name as people gave it: PVE adds the scope and the address family."""
    bare = name.removesuffix("-v4").removesuffix("-v6")
    parts = bare.split("-", 2)
    if parts[0] == "PVEFW" and len(parts) == 3:
        return parts[2] if parts[1] == "0" else f"{parts[2]} of guest {parts[1]}" if parts[1].isdigit() else bare
    return bare


def values_words(field: Field, values: ValueSet) -> str:
    """Return values as a person writes them."""
    if isinstance(values, IntervalSet):
        others = values.complement()
        if not others.is_empty and len(others.ranges) <= 1 < len(values.ranges):
            return f"anything but {values_words(field, others)}"
        if field.kind in {FieldKind.IPV4, FieldKind.IPV6} and len(values.ranges) <= _MOST_VALUES:
            return listed(_addresses(field, values), _MOST_VALUES)
    if isinstance(values, NameSet):
        wanted = [_pattern(item) for item, inside in values.entries if inside and item.text]
        other = [_pattern(item) for item, inside in values.entries if not inside and item.text]
        return listed(wanted, _MOST_VALUES) if wanted or not other else f"any but {listed(other, _MOST_VALUES)}"
    text = print_values(field, values).removeprefix("not ")
    inner = text.strip("{}").split(", ") if text.strip("{}") else ["nothing"]
    if isinstance(values, BitSet):
        return listed(inner, _MOST_VALUES)
    word = "anything but " if print_values(field, values).startswith("not ") else ""
    return word + listed(inner, _MOST_VALUES)


def _addresses(field: Field, values: IntervalSet) -> list[str]:
    found: list[str] = []
    for low, high in values.ranges:
        prefixes = IntervalSet(values.width, ((low, high),)).prefixes()
        ranges = [(address, address + (1 << (values.width - length)) - 1) for address, length in prefixes]
        shown = ranges if len(ranges) <= 2 else [(low, high)]
        found.extend(print_values(field, IntervalSet(values.width, (one,))).strip("{}") for one in shown)
    return found


def _pattern(pattern: NamePattern) -> str:
    return pattern.text + ("*" if pattern.is_prefix else "")


def elements_words(field: Field, parts: Sequence[Part]) -> str:
    """Return elements of one dimension of a set."""
    ranges = [part for part in parts if not isinstance(part, NamePattern)]
    if ranges:
        return values_words(field, IntervalSet.of(field.width, ranges))
    return listed([_pattern(part) for part in parts if isinstance(part, NamePattern)])


def size_words(rule: Rule, narrowed: Mapping[Field, ValueSet]) -> str:
    """Return how much a rule asks for: `256 sources, 101 ports`."""
    found: list[str] = []
    for field, word in (
        (known.IP_SADDR, "source address"),
        (known.IP_DADDR, "destination address"),
        (known.DPORT, "port"),
    ):
        steps = [step for step in rule.steps if isinstance(step, FieldTest) and step.field is field]
        values = narrowed.get(field, steps[0].values if steps else None)
        if isinstance(values, IntervalSet) and not values.is_full:
            plural = word + ("es" if word.endswith("s") else "s")
            found.append(f"{values.size:,} {word if values.size == 1 else plural}")
    return ", ".join(found)
