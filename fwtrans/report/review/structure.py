"""What changed in the rulesets themselves: rules, sets and their elements, chains, tables. Numbering is not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern
from fwtrans.ir.pprint import print_rule, print_values
from fwtrans.report.review.causes import rule_text
from fwtrans.report.review.model import StructureItem, counted, plain
from fwtrans.report.review.moves import moved_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fwtrans.semantics.changes import Changes, RuleChange, SetChange, Sited


def structure_of(found: Changes, telling: Collection[RuleChange] | None = None) -> tuple[StructureItem, ...]:
    """Return the items in the order table, chain, set, rule; rules of a chain that came or went are told with it.

    A rule that only moved is told if it is among the `telling` ones: those that make a difference.
    """
    return tuple(_items(found, telling))


def _items(found: Changes, telling: Collection[RuleChange] | None) -> Iterator[StructureItem]:
    for name, is_new in found.tables:
        yield StructureItem("table", "added" if is_new else "removed", name)
    for chain in found.chains:
        rules = f"{chain.rules} rules"
        action = "added" if chain.is_new else "removed"
        yield StructureItem(
            "chain",
            action,
            f"{chain.table} {chain.name}",
            () if chain.is_new else (rules,),
            (rules,) if chain.is_new else (),
        )
    for item in found.sets:
        yield _set_item(item)
    yield from _joined(_rule_items(found, telling))


def _joined(items: Iterator[StructureItem]) -> Iterator[StructureItem]:
    """Yield rules, those of one line of the input once: PVE makes some for each guest, each family and each of its services."""
    alike: dict[object, list[StructureItem]] = {}
    for item in items:
        key = (item.action, item.before, item.now, item.locations) if item.locations else id(item)
        alike.setdefault(key, []).append(item)
    for group in alike.values():
        names = list(dict.fromkeys(item.name for item in group))
        name = names[0] if len(names) == 1 else f"{names[0]} and {counted(len(names) - 1, 'more chain')}"
        yield group[0]._replace(name=name)


def _rule_items(found: Changes, telling: Collection[RuleChange] | None) -> Iterator[StructureItem]:
    moved: set[tuple[str, str, object]] = set()
    for change in found.rules:
        if change.sets or change.whole or (change.moved and telling is not None and change not in telling):
            continue
        key = (change.sited.spot.table, change.sited.chain.name, change.sited.rule)
        if change.moved and key in moved:
            continue
        if change.moved:
            moved.add(key)
        yield _rule_item(change)


def _set_item(item: SetChange) -> StructureItem:
    action = "added" if item.old is None else "removed" if item.new is None else "changed"
    named = item.new or item.old
    kind = "map" if named is not None and hasattr(named, "value") else "set"
    origins = [named.origin.location] if named is not None and named.origin is not None else []
    return StructureItem(
        kind, action, f"{item.table} {item.name}",
        tuple(_element(item, element) for element in item.removed),
        tuple(_element(item, element) for element in item.added), tuple(origins),
    )  # fmt: skip


def _element(item: SetChange, element: object) -> str:
    named = item.new or item.old
    fields = named.fields if named is not None else ()
    parts = []
    for field, part in zip(fields, element.key, strict=False):  # type: ignore[attr-defined] # both kinds have a key
        if isinstance(part, NamePattern):
            parts.append(part.text + ("*" if part.is_prefix else ""))
        else:
            parts.append(print_values(field, IntervalSet(field.width, (part,))).strip("{}"))
    value = getattr(element, "value", None)
    return " . ".join(parts) + (f" : {value}" if value is not None else "")


def _rule_item(change: RuleChange) -> StructureItem:
    action = (
        "moved" if change.moved else "added" if change.old is None else "removed" if change.new is None else "changed"
    )
    sides = (change.old, change.new)
    locations = tuple(dict.fromkeys(text for sited in sides if sited is not None and (text := _location(sited))))
    old, new = (_text(sited) if sited is not None else "" for sited in sides)
    if old == new and not change.moved:  # the line says the same, and means something else
        ends = moved_values(change)
        if ends is not None:  # an alias became another address
            old, new = (f"{text} ({end})" for text, end in zip((old, new), ends, strict=True))
        else:
            old, new = (plain(print_rule(sited.rule)) if sited is not None and sited.rule else "" for sited in sides)
    return StructureItem(
        "rule", action, f"{change.sited.spot.table} {change.sited.chain.name}",
        (old,) if old and not change.moved else (), (new or old,) if new or change.moved else (), locations,
    )  # fmt: skip


def _text(sited: Sited) -> str:
    if sited.rule is None:
        return f"policy {'accept' if sited.chain.base is not None and sited.chain.base.accepts else 'drop'}"
    return rule_text(sited)


def _location(sited: Sited) -> str:
    origins = sited.rule.origins if sited.rule is not None else ()
    return origins[0].location if origins else ""
