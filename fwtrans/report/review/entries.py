"""Regions of a difference -> the lines of a review: put together by cause, then by guests with whom it is the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import CT_STATE, MARK
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.pprint import print_rule, print_values
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.report.packets import packet_text, packet_values
from fwtrans.report.review.causes import Causes, origin_of, rule_text
from fwtrans.report.review.model import Category, Cut, Entry, RuleText, Step, Witness, counted, listed, plain
from fwtrans.report.review.moves import elements_without, only_other, tests_of
from fwtrans.report.review.words import REST, rule_words, size_words
from fwtrans.semantics.bridged.topology import guest_port
from fwtrans.semantics.changes import Nature, matters
from fwtrans.semantics.outcome import DifferenceKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.semantics.boxes import Boxes
    from fwtrans.semantics.changes import RuleChange, SetChange, Sited
    from fwtrans.semantics.outcome import SideResult
    from fwtrans.semantics.packet import Packet
    from fwtrans.semantics.path import Path
    from fwtrans.semantics.regions import Part, Region, Regions

_GUEST = re.compile(r"^guest \d+")
# Of a dump, a rule for every port of a guest names the port's chain.
_PORT = re.compile(r"\b(?:tap|veth)\d+i\d+(?=-)")
_MOST_STEPS = 60
_TELLING = (
    known.L4PROTO, known.ICMP_TYPE, known.ICMP6_TYPE, known.IP_SADDR, known.IP6_SADDR, known.IP_DADDR, known.IP6_DADDR,
    known.SPORT, known.DPORT,
)  # fmt: skip
_MOST_WITNESSES = 3
_GROUP = re.compile(r"GROUP-(.+)-(?:IN|OUT)")
_FAMILIES = {"ip": "IPv4", "ip6": "IPv6", "bridge": "frames", "arp": "ARP", "netdev": "frames"}
_KINDS = {
    DifferenceKind.LOG: Category.LOGGED,
    DifferenceKind.LOG_ORDER: Category.LOG_ORDER,
    DifferenceKind.FIELD: Category.MARKED,
    DifferenceKind.STATEFUL: Category.LIMITED,
    DifferenceKind.EFFECT: Category.EFFECT,
}
# Chains that PVE makes, by what they are for.
_CHECKS = {
    "PVEFW-blacklist": "the blacklist", "PVEFW-smurfs": "the smurf check", "PVEFW-tcpflags": "the TCP flag check",
    "PVEFW-DropBroadcast": "broadcasts", "PVEFW-reject": "rejects", "PVEFW-Drop": "what PVE always drops",
    "PVEFW-Reject": "what PVE always rejects",
}  # fmt: skip


def category_of(kind: DifferenceKind, subject: str, *, passed: bool, passes: bool) -> Category:
    """Return what has become of packets."""
    if kind is not DifferenceKind.VERDICT:
        return Category.TRANSLATED if subject == "nat" else _KINDS[kind]
    return Category.ALLOWED if passes else Category.DENIED if passed else Category.ANSWERED


def _category(region: Region) -> Category:
    """Return what a region is; the limit of a rule that does nothing but log limits its lines in the log, not packets."""
    if region.kind is DifferenceKind.STATEFUL and region.change is not None and region.change.nature is Nature.LOGS:
        return Category.LOGGED
    return category_of(region.kind, region.subject, passed=region.passed_before, passes=region.passes_now)


class _Line(NamedTuple):
    """A region's part on the way to an entry."""

    cause: Hashable
    region: Region
    part: Part
    category: Category


def entries_of(found: Regions) -> tuple[Entry, ...]:
    """Return the lines of a review, the riskiest first."""
    sets = {item.name: item for item in found.changes.sets}
    causes = Causes(found)
    lines = [
        _Line(causes.of(region.change), region, part, category)
        for region in found.regions
        for category in (_category(region),)
        for part in region.parts
    ]
    by_cause: dict[tuple[Hashable, Hashable, str], list[_Line]] = {}
    for line in lines:
        whole = line.cause if isinstance(line.cause, tuple) and line.cause[:1] == ("guest",) else None
        by_cause.setdefault((line.cause, whole or line.category, line.part.way.text), []).append(line)
    by_way: dict[Hashable, list[Entry]] = {}
    for (cause, _, way), alike in by_cause.items():
        by_way.setdefault((cause, way), []).append(_entry(alike, causes, sets))
    return sorted_by_risk(joined(entry for alike in by_way.values() for entry in _folded(alike)))


def _folded(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield what one cause brings about on one way as lines: what is let through, what no longer is, and the rest with them."""
    ordered = sorted(entries, key=lambda entry: list(Category).index(entry.category))
    leading = [entry for entry in ordered if entry.category in {Category.ALLOWED, Category.DENIED}] or ordered[:1]
    lesser = tuple(entry for entry in ordered if entry not in leading)
    yield leading[0]._replace(also=lesser)
    yield from leading[1:]


def sorted_by_risk(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries in the order of their categories, those of many guests first."""
    order = list(Category)
    return tuple(
        sorted(entries, key=lambda entry: (order.index(entry.category), -len(entry.guests), entry.way, entry.what))
    )


def joined(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries with those that say the same of several guests as one."""
    alike: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        cause = _PORT.sub("port", _GUEST.sub("guest", entry.cause)) if not entry.explained else ""
        alike.setdefault((entry.category, entry.way, entry.what, cause, entry.group, entry.explained), []).append(entry)
    return [_together(group) for group in alike.values()]


def _together(group: Sequence[Entry]) -> Entry:
    if len(group) == 1:
        return group[0]
    first = group[0]
    causes = list(dict.fromkeys(entry.cause for entry in group))
    guests = {guest for entry in group for guest in entry.guests}
    if _GUEST.match(first.cause):
        of_many = _GUEST.sub(f"{counted(len(guests), 'guest')}", first.cause).replace(" is ", " are ")
    else:
        of_many = f"{first.cause} (and {counted(len(causes) - 1, 'rule')} like it)"
    return first._replace(
        cause=first.cause if len(causes) == 1 or first.explained else of_many,
        guests=tuple(sorted({guest for entry in group for guest in entry.guests}, key=_by_number)),
        before=tuple(dict.fromkeys(text for entry in group for text in entry.before)),
        now=tuple(dict.fromkeys(text for entry in group for text in entry.now)),
        context=tuple(dict.fromkeys(text for entry in group for text in entry.context)),
        families=tuple(dict.fromkeys(text for entry in group for text in entry.families)),
        witnesses=tuple(witness for entry in group for witness in entry.witnesses)[:_MOST_WITNESSES],
        cuts=tuple(cut for entry in group for cut in entry.cuts),
        also=tuple(_alike_also(group)),
    )


def _alike_also(group: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the lesser consequences of lines that become one: one for each kind, as they name what is a guest's own."""
    for category in Category:
        found = [entry for line in group for entry in line.also if entry.category is category]
        if found:
            yield _together(found)._replace(what=tuple(dict.fromkeys(text for entry in found for text in entry.what)))


def _by_number(guest: str) -> tuple[int, str]:
    return int(re.match(r"\d*", guest)[0] or 0), guest  # type: ignore[index] # matches always


# --- one entry ---


def _entry(lines: Sequence[_Line], causes: Causes, sets: Mapping[str, SetChange]) -> Entry:
    category = min((line.category for line in lines), key=list(Category).index)
    leading = [line for line in lines if line.category is category]
    changes = list(dict.fromkeys(id(line.region.change) for line in leading))
    by_id = {id(line.region.change): line for line in leading}
    first = leading[0].region.change
    chosen = [by_id[number] for number in changes]
    guests = {_shown_guest(guest.vmid, guest.number, line.part) for line in leading for guest in line.part.way.guests}
    return Entry(
        category,
        leading[0].part.way.text,
        tuple(sorted(guests, key=_by_number)),
        _whats(chosen, leading, sets, guests),
        causes.words(first, sets) if len({id(line.region.change) for line in chosen}) == 1 or first is None else _of_all(chosen, causes, sets),
        tuple(dict.fromkeys(_rule_text(line.region.change.old) for line in chosen if line.region.change and line.region.change.old)),
        tuple(dict.fromkeys(_rule_text(line.region.change.new) for line in chosen if line.region.change and line.region.change.new)),
        tuple(dict.fromkeys(text for line in chosen for text in _context(line.region))),
        _size(chosen, leading, sets),
        tuple(dict.fromkeys(_FAMILIES[line.region.path.visit.family.value] for line in leading)),
        tuple(witness_of(line.region.path, line.part.packet, line.part.old, line.part.new, confirmed=line.part.confirmed) for line in leading[:_MOST_WITNESSES]),
        tuple(_cut(line.region.path, line.part.boxes) for line in leading),
        _group_of(chosen),
    )  # fmt: skip


_NEW = ", new connections"


def _whats(
    chosen: Sequence[_Line], alike: Sequence[_Line], sets: Mapping[str, SetChange], guests: set[str]
) -> tuple[str, ...]:
    """Return what the region is, rule by rule; with its guests, where it is not the same for all of them."""
    found: dict[str, set[str]] = {}
    for line in chosen:
        change = line.region.change
        concerned = {
            _shown_guest(guest.vmid, guest.number, each.part)
            for each in alike
            if each.region.change is change
            for guest in each.part.way.guests
        }
        found.setdefault(_what(line, alike, sets), set()).update(concerned)
    for text in [text for text in found if text + _NEW in found]:
        found[text] |= found.pop(text + _NEW)
    return tuple(
        text
        if concerned == guests
        else f"{text} ({counted(len(concerned), 'guest')}: {listed(sorted(concerned, key=_by_number), 12)})"
        for text, concerned in found.items()
    )


def _shown_guest(vmid: int, number: int, part: Part) -> str:
    several = sum(guest.vmid == vmid for guest in part.way.guests) != len(
        {guest.number for guest in part.way.guests if guest.vmid == vmid}
    )
    return str(vmid) if not several else f"{vmid} net{number}"


def _group_of(lines: Sequence[_Line]) -> str:
    names = {line.region.change.sited.chain.name if line.region.change else "" for line in lines}
    found = _GROUP.fullmatch(next(iter(names))) if len(names) == 1 else None
    return found[1] if found is not None else ""


def _of_all(lines: Sequence[_Line], causes: Causes, sets: Mapping[str, SetChange]) -> str:
    """Return one line for rules of one cause: what the first says, unless they were made of one line of the input."""
    words = list(dict.fromkeys(causes.words(line.region.change, sets) for line in lines))
    if len(words) == 1:
        return words[0]
    old, new = (
        list(
            dict.fromkeys(rule_text(sited) for line in lines if (sited := _side(line.region.change, side)) is not None)
        )
        for side in ("old", "new")
    )
    if old and new:
        return f"rule changed: {listed(old)} -> {listed(new)}"
    return f"rule added: {listed(new)}" if new else f"rule removed: {listed(old)}"


def _side(change: RuleChange | None, side: str) -> Sited | None:
    return (change.old if side == "old" else change.new) if change is not None else None


def _rule_text(sited: Sited | None) -> RuleText:
    assert sited is not None  # noqa: S101 -- asked for where there is one
    origin = origin_of(sited)
    return RuleText(rule_text(sited), origin.location if origin is not None else "", sited.chain.name)


def _what(line: _Line, alike: Sequence[_Line], sets: Mapping[str, SetChange]) -> str:
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


def _of_new_connections(change: RuleChange, alike: Sequence[_Line]) -> str:
    states = {state for each in alike if each.region.change is change for state in each.part.states}
    return _NEW if "new" in states and "established or related" not in states else ""


def _called(change: RuleChange) -> str:
    """Return the group or chain whose rules a changed rule calls, where it asks for nothing itself.

    PVE calls a group by two rules: a jump, and one for the mark that the group's rules accept with.
    """
    sited = change.sited
    rule = sited.rule
    if change.whole:  # of any other chain, its packets say more than its name
        return _chain_words(sited.chain.name) if _GROUP.fullmatch(sited.chain.name) else ""
    if rule is None or (change.old is not None and change.new is not None):
        return ""
    if isinstance(rule.verdict, (Jump, Goto)):
        return "" if any(map(is_pure, rule.steps)) else _chain_words(rule.verdict.chain)
    if len(rule.steps) != 1 or not isinstance(rule.steps[0], FieldTest) or rule.steps[0].field is not MARK:
        return ""
    near = (sited.chain.rules[at] for at in (sited.number - 1, sited.number + 1) if 0 <= at < len(sited.chain.rules))
    targets = (each.verdict.chain for each in near if isinstance(each.verdict, Jump))
    return next((_chain_words(target) for target in targets if _GROUP.fullmatch(target)), "")


def _chain_words(name: str) -> str:
    group = _GROUP.fullmatch(name)
    return f"group {group[1]}" if group is not None else "" if name.startswith("PVEFW-") else f"chain {name}"


def _what_called_does(called: str, line: _Line, alike: Sequence[_Line]) -> str:
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


def _of_guest(line: _Line) -> str:
    if line.category is Category.DENIED:
        return "everything that its own rules do not allow"
    if line.category is Category.ALLOWED:
        return "everything that its rules denied"
    return "what its own rules say"


def _logs(alike: Sequence[_Line], change: RuleChange) -> str:
    told = [
        line.region.subject for line in alike if line.region.change is change and line.region.kind is DifferenceKind.LOG
    ]
    subjects = list(dict.fromkeys(f"`{plain(text)}`" for text in told))
    return listed(subjects)


def _meant(
    line: _Line, alike: Sequence[_Line], sets: Mapping[str, SetChange]
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


def _size(chosen: Sequence[_Line], alike: Sequence[_Line], sets: Mapping[str, SetChange]) -> str:
    found: list[str] = []
    for line in chosen:
        if line.region.change is not None and not line.region.change.whole:
            rule, narrowed = _meant(line, alike, sets)
            if rule is not None:
                found.append(size_words(rule, narrowed))
    return "; ".join(dict.fromkeys(filter(None, found)))


def _context(region: Region) -> Iterator[str]:
    """Yield what earlier rules take away, by name."""
    others = 0
    for sited in region.context:
        rule = sited.rule
        target = getattr(rule.verdict, "chain", "") if rule is not None else ""
        group = _GROUP.fullmatch(target)
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


_SHORT = 60


# --- witnesses and boxes ---


def witness_of(path: Path, packet: Packet, old: SideResult, new: SideResult, *, confirmed: bool) -> Witness:
    """Return a packet with what both sides do with it."""
    return Witness(
        path.name, packet_text(packet), packet_values(packet), side_words(old), side_words(new),
        tuple(_trace(old)), tuple(_trace(new)), confirmed,
    )  # fmt: skip


def side_words(side: SideResult) -> str:
    """Return a side's verdict and the rules that decided."""
    places = [
        f"{'policy' if place.number < 0 else f'rule {place.number + 1}'} of {place.chain}"
        + (f" [{place.origins[0].location}]" if place.origins else "")
        for place in side.decided_by
    ]
    return f"{side.outcome.decision.value}" + (f" by {'; '.join(places)}" if places else "")


def _trace(side: SideResult) -> Iterator[Step]:
    passed = side.outcome.trace
    held = [item for item in passed if item.held and matters(item.rule)]
    for item in held[-_MOST_STEPS:]:
        origin = item.rule.origins[0] if item.rule.origins else None
        text = plain(origin.text) if origin is not None else print_rule(item.rule)
        yield Step(item.chain.name, text, item.held, origin.location if origin is not None else "")


def _cut(path: Path, found: Boxes) -> Cut:
    shown = tuple(
        {
            **{field.name: print_values(field, values) for field, values in box.values.items()},
            **{
                f"{unknown.kind.value} {unknown.identity}": "yes" if answer else "no"
                for unknown, answer in box.answers.items()
            },
        }
        for box in found.boxes
    )
    return Cut(path.name, shown, found.complete)
