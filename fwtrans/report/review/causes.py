"""What is behind a difference: which changed rules have one cause, and the cause in people's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.pprint import print_rule
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.report.review.model import plain
from fwtrans.report.review.words import set_words, values_words
from fwtrans.semantics.bridged.topology import guest_port

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.semantics.changes import RuleChange, SetChange, Sited
    from fwtrans.semantics.regions import Regions
    from fwtrans.source import Origin

_COUNTERS = re.compile(r"^\[\d+:\d+\] ")


class Causes:
    """Which changed rules have one cause: one line of the input, one set, one address that became another, one guest."""

    def __init__(self, found: Regions) -> None:
        self._became: dict[tuple[str, str], str] = {}
        self._leads: dict[tuple[str, str], list[RuleChange]] = {}
        for change in found.changes.rules:
            if change.old is not None and change.new is not None:
                old, new = _location(change.old), _location(change.new)
                if old and new:
                    self._became[change.old.chain.name, old] = new
            elif isinstance(verdict := getattr(change.sited.rule, "verdict", None), (Jump, Goto)):
                self._leads.setdefault((change.sited.spot.table, verdict.chain), []).append(change)

    def of(self, change: RuleChange | None) -> tuple[Hashable, ...]:
        """Return what is the same for changed rules of one cause."""
        if change is None:
            return ("unknown",)
        change = self._behind(change)
        if change.sets:
            return ("set", set_words(change.sets[0]))
        guest = guest_port(change.sited.chain.name.partition("-")[0])
        if change.whole:
            return ("guest", guest.vmid if guest is not None else change.sited.chain.name, change.new is not None)
        values = moved_values(change)
        if values is not None:
            return ("value", *values)
        return ("line", self._line(change))

    def _behind(self, change: RuleChange) -> RuleChange:
        """Return the rule with which a chain came or went, if it is of one line of the input; else the change itself."""
        seen: set[str] = set()
        while change.whole and change.sited.chain.name not in seen:
            seen.add(change.sited.chain.name)
            if guest_port(change.sited.chain.name.partition("-")[0]) is not None:
                return change
            leads = self._leads.get((change.sited.spot.table, change.sited.chain.name), [])
            if len({self._line(lead) for lead in leads}) != 1:
                return change
            change = leads[0]
        return change

    def _line(self, change: RuleChange) -> Hashable:
        if change.new is not None and _location(change.new):
            return _location(change.new)
        old = _location(change.old) if change.old is not None else ""
        if old and change.old is not None:
            return self._became.get((change.old.chain.name, old), f"gone {old}")
        return tuple(print_rule(sited.rule) if sited and sited.rule else None for sited in (change.old, change.new))

    def words(self, change: RuleChange | None, sets: Mapping[str, SetChange]) -> str:
        """Return the cause as a person would tell it."""
        if change is None:
            return "no changed rule was found behind this: a fault of fwtrans"
        change = self._behind(change)
        cause = self.of(change)
        kind, rest = cause[0], cause[1:]
        if kind == "set":
            return f"set {rest[0]}: {set_change_words([sets[name] for name in change.sets if name in sets])}"
        if kind == "guest":
            if not isinstance(rest[0], int):
                return "rules in chains that are new" if rest[1] else "rules of chains that are gone"
            return f"guest {rest[0]} is {'new' if rest[1] else 'gone'}"
        if kind == "value":
            return f"{rest[0]} became {rest[1]}"
        return _line_words(change)


def _line_words(change: RuleChange) -> str:
    old, new = (rule_text(sited) if sited is not None else "" for sited in (change.old, change.new))
    if change.moved:
        return f"rule moved: {new or old}"
    if old and new:
        return f"rule changed: {old} -> {new}" if old != new else f"rule changed: {new}"
    return f"rule added: {new}" if new else f"rule removed: {old}"


def rule_text(sited: Sited) -> str:
    """Return a rule as it stands in its file, without counters."""
    if sited.rule is None:
        base = sited.chain.base
        return f"policy {'accept' if base is not None and base.accepts else 'drop'} of {sited.chain.name}"
    return _COUNTERS.sub("", plain(sited.rule.origins[0].text)) if sited.rule.origins else print_rule(sited.rule)


def origin_of(sited: Sited) -> Origin | None:
    """Return where a rule, or the policy of a chain, stands in the input."""
    if sited.rule is None:
        return sited.chain.origin
    return sited.rule.origins[0] if sited.rule.origins else None


def _location(sited: Sited) -> str:
    """Return the line of the input behind a rule; nothing where it is of PVE's making."""
    origin = origin_of(sited)
    return origin.location if origin is not None and not origin.source.name.startswith("pve-firewall:") else ""


def moved_values(change: RuleChange) -> tuple[str, str] | None:
    """Return the addresses that became others, where that is all that has changed in a rule."""
    field = only_other(change)
    if field is None or field.kind not in {FieldKind.IPV4, FieldKind.IPV6, FieldKind.MAC}:
        return None
    shown = []
    for sited in (change.old, change.new):
        values = next(v for f, v in tests_of(sited.rule if sited else None).items() if f is field)
        shown.append(values_words(field, values).removeprefix("anything but "))
    return shown[0], shown[1]


def tests_of(rule: Rule | None) -> dict[Field, ValueSet]:
    """Return the values that a rule asks for, by field."""
    return {step.field: step.values for step in rule.steps if isinstance(step, FieldTest)} if rule is not None else {}


def only_other(change: RuleChange) -> Field | None:
    """Return the one field of which two rules ask for other values, where nothing else is different."""
    old, new = (sited.rule if sited is not None else None for sited in (change.old, change.new))
    if old is None or new is None or old.verdict != new.verdict:
        return None
    before, after = tests_of(old), tests_of(new)
    others = [field for field in before if field in after and before[field] != after[field]]
    rest = [[step for step in rule.steps if not isinstance(step, FieldTest)] for rule in (old, new)]
    return others[0] if before.keys() == after.keys() and len(others) == 1 and rest[0] == rest[1] else None


def set_change_words(found: Sequence[SetChange]) -> str:
    """Return the elements that came and went."""
    parts: list[str] = []
    for item in found:
        named = item.new or item.old
        if named is None or len(named.fields) != 1:
            parts.append(f"{len(item.added)} elements added, {len(item.removed)} removed")
            continue
        field = named.fields[0]
        for sign, one, other in (("+", item.new, item.old), ("-", item.old, item.new)):
            values = elements_without(field, one, other)
            if values is not None:
                parts.append(f"{sign}{values_words(field, values)}")
    return ", ".join(dict.fromkeys(parts)) or "other properties"


def elements_without(field: Field, one: object, other: object) -> ValueSet | None:
    """Return the values that one set has and another has not, None where there are none."""
    mine, theirs = _elements(field, one), _elements(field, other)
    if isinstance(mine, IntervalSet) and isinstance(theirs, IntervalSet):
        left = mine.difference(theirs)
        return None if left.is_empty else left
    if isinstance(mine, NameSet) and isinstance(theirs, NameSet):
        names = mine.difference(theirs)
        return None if names.is_empty else names
    return None


def _elements(field: Field, item: object) -> ValueSet | None:
    parts = [element.key[0] for element in getattr(item, "elements", ()) if len(element.key) == 1]
    if field.kind is FieldKind.NAME:
        return NameSet.of(part for part in parts if isinstance(part, NamePattern))
    if field.kind is FieldKind.BITS:
        return None
    return IntervalSet.of(field.width, (part for part in parts if not isinstance(part, NamePattern)))
