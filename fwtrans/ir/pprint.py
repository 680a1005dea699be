"""The IR as stable text, one rule a line: what goldens compare and what `--explain-passes` shows."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest, OpaqueTest
from fwtrans.ir.names import NamePattern

if TYPE_CHECKING:
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap, NamedSet, Part


def print_ruleset(ruleset: Ruleset) -> str:
    """Return the whole ruleset, tables in their order."""
    return "\n".join(print_table(table) for table in ruleset.tables)


def print_table(table: Table) -> str:
    """Return a table: sets, maps, chains."""
    lines = [f"table {table.family.value} {table.name}"]
    for named in table.sets:
        lines.extend(_set_lines(named))
    for mapping in table.maps:
        lines.extend(_map_lines(mapping))
    lines.extend(f"  {item.kind} {item.name}: {item.content}" for item in table.kept)
    for chain in table.chains:
        lines.extend(_chain_lines(chain))
    return "\n".join(lines) + "\n"


def _chain_lines(chain: Chain) -> list[str]:
    head = f"  chain {chain.name}"
    if chain.base is not None:
        policy = "accept" if chain.base.accepts else "drop"
        head += f" : {chain.base.kind} {chain.base.hook.value} {chain.base.priority} {policy}"
    return [head, *(f"    {print_rule(rule)}" for rule in chain.rules)]


def print_rule(rule: Rule) -> str:
    """Return one rule without its origins."""
    parts = [print_step(step) for step in rule.steps]
    if rule.verdict is not None:
        parts.append("=> " + _plain(rule.verdict))
    return "; ".join(parts) if parts else "(nothing)"


def print_step(step: Step) -> str:
    """Return one step."""
    if isinstance(step, FieldTest):
        return f"{step.field.name} in {print_values(step.field, step.values)}"
    if isinstance(step, AnyOf):
        branches = (" & ".join(print_step(test) for test in branch) or "true" for branch in step.branches)
        return "any(" + " | ".join(branches) + ")"
    if isinstance(step, MemberTest):
        word = "in" if step.inside else "not in"
        return f"{_key(step.key)} {word} @{step.set_name}{' (dynamic)' if step.dynamic else ''}"
    if isinstance(step, OpaqueTest):
        return f"{'' if step.holds else 'not '}opaque<{step.identity}>"
    return _plain(step)


def _key(key: tuple[KeyPart, ...]) -> str:
    return " . ".join(part.field.name if part.mask is None else f"{part.field.name} & {part.mask:#x}" for part in key)


def _plain(value: object) -> str:
    """Return any other frozen value as Name(field=value ...), defaults left out."""
    if isinstance(value, Field):
        return value.name
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple) and value and isinstance(value[0], KeyPart):
        return f"[{_key(value)}]"
    if is_dataclass(value):
        given = (
            f"{item.name}={_plain(getattr(value, item.name))}"
            for item in dataclass_fields(value)
            if getattr(value, item.name) != item.default
        )
        return f"{type(value).__name__}({', '.join(given)})"
    return repr(value)


def print_values(field: Field, values: ValueSet) -> str:
    """Return a set of values in the field's own notation."""
    if isinstance(values, IntervalSet):
        others = values.complement()
        if values.ranges and len(others.ranges) < len(values.ranges):
            return "not {" + ", ".join(_range(field, low, high) for low, high in others.ranges) + "}"
        return "{" + ", ".join(_range(field, low, high) for low, high in values.ranges) + "}"
    if isinstance(values, BitSet):
        return "{" + ", ".join(f"{value:#x}/{mask:#x}" for mask, value in values.cubes) + "}"
    return "{" + ", ".join(f"{'' if inside else '!'}{_pattern(pattern)}" for pattern, inside in values.entries) + "}"


def _pattern(pattern: NamePattern) -> str:
    return f'"{pattern.text}{"*" if pattern.is_prefix else ""}"'


def _range(field: Field, low: int, high: int) -> str:
    size = high - low + 1
    aligned = size & (size - 1) == 0 and low % size == 0
    if low != high and aligned and field.kind in {FieldKind.IPV4, FieldKind.IPV6}:
        return f"{_number(field, low)}/{field.width - size.bit_length() + 1}"
    return _number(field, low) if low == high else f"{_number(field, low)}-{_number(field, high)}"


def _number(field: Field, value: int) -> str:
    if field.kind is FieldKind.IPV4:
        return str(IPv4Address(value))
    if field.kind is FieldKind.IPV6:
        return str(IPv6Address(value))
    if field.kind is FieldKind.MAC:
        return ":".join(f"{value >> shift & 0xFF:02x}" for shift in range(40, -1, -8))
    return field.symbol(value) or str(value)


def _part(field: Field, part: Part) -> str:
    return _pattern(part) if isinstance(part, NamePattern) else _range(field, *part)


def _set_lines(named: NamedSet) -> list[str]:
    kind = " . ".join(field.name for field in named.fields)
    flags = [word for word, given in (("dynamic", named.dynamic), ("counters", named.has_counters)) if given]
    if named.timeout is not None:
        flags.append(f"timeout {named.timeout}")
    lines = [f"  set {named.name} : {' '.join([kind, *flags])}"]
    for element in named.elements:
        text = " . ".join(_part(field, part) for field, part in zip(named.fields, element.key, strict=True))
        extra = [
            f"{name}={value!r}"
            for name, value in (
                ("timeout", element.timeout), ("expires", element.expires), ("comment", element.comment or None),
                ("counters", element.counters),
            )
            if value is not None
        ]  # fmt: skip
        lines.append("    " + " ".join([text, *extra]))
    return lines


def _map_lines(mapping: NamedMap) -> list[str]:
    kind = " . ".join(field.name for field in mapping.fields)
    lines = [f"  map {mapping.name} : {kind} -> {mapping.value}"]
    for element in mapping.elements:
        text = " . ".join(_part(field, part) for field, part in zip(mapping.fields, element.key, strict=True))
        lines.append(f"    {text} : {_plain(element.value)}")
    return lines
