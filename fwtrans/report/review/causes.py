"""What is behind a difference: which changed rules have one cause, and the cause in people's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.report.review.model import plain
from fwtrans.report.review.moves import elements_without, moved_values, moves_of
from fwtrans.report.review.words import set_words, values_words
from fwtrans.semantics.bridged.topology import guest_port

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from fwtrans.semantics.changes import RuleChange, SetChange, Sited
    from fwtrans.semantics.regions import Regions
    from fwtrans.source import Origin

_COUNTERS = re.compile(r"^\[\d+:\d+\] ")


class Causes:
    """Which changed rules have one cause: one line of the input, one set, one address that became another, one guest.

    An alias stands in rules and in sets, so what became another address there is one cause with what became it here.
    """

    def __init__(self, found: Regions) -> None:
        self._moves = moves_of(found.changes)
        self._sets = {item.name: item for item in found.changes.sets}
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
            move = next(
                (move for move in self._moves if all(move.is_behind(self._sets[name]) for name in change.sets)), None
            )
            return ("set", set_words(change.sets[0])) if move is None else ("value", *move.words)
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
