"""What a region of a difference is, in words: from the rule that changed, narrowed to what only one side has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import CT_STATE, MARK
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.report.packets import packet_text
from fwtrans.report.review.model import Category, counted, listed, plain
from fwtrans.report.review.moves import elements_without, only_other, tests_of
from fwtrans.report.review.words import REST, rule_words, size_words
from fwtrans.semantics.bridged.topology import guest_port
from fwtrans.semantics.outcome import DifferenceKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.semantics.changes import RuleChange, SetChange
    from fwtrans.semantics.regions import Part, Region

GROUP = re.compile(r"GROUP-(.+)-(?:IN|OUT)")
_TELLING = (
    known.L4PROTO, known.ICMP_TYPE, known.ICMP6_TYPE, known.IP_SADDR, known.IP6_SADDR, known.IP_DADDR, known.IP6_DADDR,
    known.SPORT, known.DPORT,
)  # fmt: skip
# Chains that PVE makes, by what they are for.
_CHECKS = {
    "PVEFW-blacklist": "the blacklist", "PVEFW-smurfs": "the smurf check", "PVEFW-tcpflags": "the TCP flag check",
    "PVEFW-DropBroadcast": "broadcasts", "PVEFW-reject": "rejects", "PVEFW-Drop": "what PVE always drops",
    "PVEFW-Reject": "what PVE always rejects",
}  # fmt: skip
_SHORT = 60
NEW = ", new connections"


class Line(NamedTuple):
    """A region's part on the way to an entry."""

    cause: Hashable
    region: Region
    part: Part
    category: Category


def what_of(line: Line, alike: Sequence[Line], sets: Mapping[str, SetChange]) -> str:
    """Return which packets a line is about."""
    change = line.region.change
    if change is None:
        return packet_text(line.part.packet)
    if change.whole and guest_port(change.sited.chain.name.partition("-")[0]) is not None:
        return _of_guest(line)
    called = _called(change)
    if called:
        return _what_called_does(called, line, alike)
    rule, narrowed = _meant(line, alike, sets)
    if rule is None:
        return REST
    if change.whole or isinstance(rule.verdict, Dispatch):
        parts = [each.part for each in alike if each.region.change is change]
        if not all(part.boxes.complete for part in parts):
            return f"packets such as {packet_text(line.part.packet)}"
        rule, narrowed = _hull(parts), {}
    words = rule_words(rule, narrowed)
    if line.category is Category.LOGGED and (logs := _logs(alike, change)):
        words = f"{words}: {logs}"
    if line.category is Category.MARKED:
        words = f"{words}: {line.region.subject}"
    asks_state = any(isinstance(step, FieldTest) and step.field is CT_STATE for step in rule.steps)
    return words + ("" if asks_state else _of_new_connections(change, alike))


def _of_new_connections(change: RuleChange, alike: Sequence[Line]) -> str:
    states = {state for each in alike if each.region.change is change for state in each.part.states}
    return NEW if "new" in states and "established or related" not in states else ""


def _called(change: RuleChange) -> str:
    """Return the group or chain whose rules a changed rule calls, where it asks for nothing itself.

    PVE calls a group by two rules: a jump, and one for the mark that the group's rules accept with.
    """
    sited = change.sited
    rule = sited.rule
    if change.whole:  # of any other chain, its packets say more than its name
        return _chain_words(sited.chain.name) if GROUP.fullmatch(sited.chain.name) else ""
    if rule is None or (change.old is not None and change.new is not None):
        return ""
    if isinstance(rule.verdict, (Jump, Goto)):
        return "" if any(map(is_pure, rule.steps)) else _chain_words(rule.verdict.chain)
    if len(rule.steps) != 1 or not isinstance(rule.steps[0], FieldTest) or rule.steps[0].field is not MARK:
        return ""
    near = (sited.chain.rules[at] for at in (sited.number - 1, sited.number + 1) if 0 <= at < len(sited.chain.rules))
    targets = (each.verdict.chain for each in near if isinstance(each.verdict, Jump))
    return next((_chain_words(target) for target in targets if GROUP.fullmatch(target)), "")


def _chain_words(name: str) -> str:
    group = GROUP.fullmatch(name)
    return f"group {group[1]}" if group is not None else "" if name.startswith("PVEFW-") else f"chain {name}"


def _what_called_does(called: str, line: Line, alike: Sequence[Line]) -> str:
    change = line.region.change
    assert change is not None  # noqa: S101 -- `called` is of it
    verb = "accept" if line.category is Category.ALLOWED else "deny" if line.category is Category.DENIED else "decide"
    is_there = change.new is not None
    if not is_there:  # what it did is undone
        verb = {"accept": "denied", "deny": "accepted", "decide": "decided"}[verb]
    else:
        verb = {"accept": "accepts", "deny": "denies", "decide": "decides"}[verb]
    return f"what {called} {verb}{_of_new_connections(change, alike)}"


def _hull(parts: Sequence[Part]) -> Rule:
    """Return what all boxes of a region have in common, as a rule: how it is made of maps and chains says nothing to people."""
    boxes = [box.values for part in parts for box in part.boxes.boxes]
    tests: list[FieldTest] = []
    for field in _TELLING:
        found = [box[field] for box in boxes if field in box]
        if len(found) == len(boxes) and found:
            values = found[0]
            for other in found[1:]:
                values = values.union(other)  # type: ignore[arg-type] # of one field, so of one kind
            if not values.is_full:
                tests.append(FieldTest(field, values))
    return Rule(tuple(tests))


def _of_guest(line: Line) -> str:
    if line.category is Category.DENIED:
        return "everything that its own rules do not allow"
    if line.category is Category.ALLOWED:
        return "everything that its rules denied"
    return "what its own rules say"


def _logs(alike: Sequence[Line], change: RuleChange) -> str:
    told = [
        line.region.subject for line in alike if line.region.change is change and line.region.kind is DifferenceKind.LOG
    ]
    subjects = list(dict.fromkeys(f"`{plain(text)}`" for text in told))
    return listed(subjects)


def _meant(
    line: Line, alike: Sequence[Line], sets: Mapping[str, SetChange]
) -> tuple[Rule | None, dict[Field, ValueSet]]:
    """Return the rule that says what a region is, and the values that only one side has where that is what is meant."""
    change = line.region.change
    assert change is not None  # noqa: S101 -- asked for where there is one
    flags = [(each.region.gained, each.region.lost) for each in alike if each.region.change is change]
    gained = any(one and not other for one, other in flags)
    lost = any(other and not one for one, other in flags)
    sited = change.old if (lost and not gained) or change.new is None else change.new
    rule = sited.rule if sited is not None else None
    if rule is None or gained == lost or change.old is None or change.new is None:
        return rule, {}
    field = only_other(change)
    if field is not None and change.old.rule is not None and change.new.rule is not None:
        before, after = tests_of(change.old.rule)[field], tests_of(change.new.rule)[field]
        one, other = (after, before) if gained else (before, after)
        left = one.difference(other)  # type: ignore[arg-type] # both are of the field's kind
        return rule, {} if left.is_empty else {field: left}
    return rule, dict(_of_sets(rule, sets, gained=gained))


def _of_sets(rule: Rule, sets: Mapping[str, SetChange], *, gained: bool) -> Iterator[tuple[Field, ValueSet]]:
    for step in rule.steps:
        if isinstance(step, MemberTest) and step.set_name in sets and len(step.key) == 1:
            item = sets[step.set_name]
            one, other = (item.new, item.old) if gained == step.inside else (item.old, item.new)
            values = elements_without(step.key[0].field, one, other)
            if values is not None:
                yield step.key[0].field, values


def size_of(chosen: Sequence[Line], alike: Sequence[Line], sets: Mapping[str, SetChange]) -> str:
    """Return how many addresses or ports the lines are about, where that says something."""
    found: list[str] = []
    for line in chosen:
        if line.region.change is not None and not line.region.change.whole:
            rule, narrowed = _meant(line, alike, sets)
            if rule is not None:
                found.append(size_words(rule, narrowed))
    return "; ".join(dict.fromkeys(filter(None, found)))


def context_of(region: Region) -> Iterator[str]:
    """Yield what earlier rules take away, by name."""
    others = 0
    for sited in region.context:
        rule = sited.rule
        target = getattr(rule.verdict, "chain", "") if rule is not None else ""
        group = GROUP.fullmatch(target)
        if target in _CHECKS:
            yield _CHECKS[target]
        elif group is not None:
            yield f"group {group[1]}"
        elif rule is not None and any(isinstance(step, FieldTest) and step.field is MARK for step in rule.steps):
            yield "what its security groups decide"
        elif rule is not None and not target and 0 < len(rule_words(rule)) <= _SHORT:
            yield f"{rule_words(rule)} ({type(rule.verdict).__name__.lower()})"
        else:
            others += 1
    if others:
        yield counted(others, "other rule")
