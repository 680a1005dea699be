"""Regions of a difference -> the lines of a review: put together by cause, then by guests with whom it is the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.report.review.causes import Causes, origin_of, rule_text
from fwtrans.report.review.model import Category, Entry, RuleText, counted, listed
from fwtrans.report.review.region_words import GROUP, NEW, Line, context_of, size_of, what_of
from fwtrans.report.review.witnesses import cut_of, witness_of
from fwtrans.semantics.changes import Nature
from fwtrans.semantics.outcome import DifferenceKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from fwtrans.semantics.changes import RuleChange, SetChange, Sited
    from fwtrans.semantics.regions import Part, Region, Regions

_GUEST = re.compile(r"^guest \d+")
# Of a dump, a rule for every port of a guest names the port's chain.
_PORT = re.compile(r"\b(?:tap|veth)\d+i\d+(?=-)")

_MOST_WITNESSES = 3
_FAMILIES = {"ip": "IPv4", "ip6": "IPv6", "bridge": "frames", "arp": "ARP", "netdev": "frames"}
_KINDS = {
    DifferenceKind.LOG: Category.LOGGED,
    DifferenceKind.LOG_ORDER: Category.LOG_ORDER,
    DifferenceKind.FIELD: Category.MARKED,
    DifferenceKind.STATEFUL: Category.LIMITED,
    DifferenceKind.EFFECT: Category.EFFECT,
}


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


def entries_of(found: Regions) -> tuple[Entry, ...]:
    """Return the lines of a review, the riskiest first."""
    sets = {item.name: item for item in found.changes.sets}
    causes = Causes(found)
    lines = [
        Line(causes.of(region.change), region, part, category)
        for region in found.regions
        for category in (_category(region),)
        for part in region.parts
    ]
    by_cause: dict[tuple[Hashable, Hashable, str], list[Line]] = {}
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


def _entry(lines: Sequence[Line], causes: Causes, sets: Mapping[str, SetChange]) -> Entry:
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
        tuple(dict.fromkeys(text for line in chosen for text in context_of(line.region))),
        size_of(chosen, leading, sets),
        tuple(dict.fromkeys(_FAMILIES[line.region.path.visit.family.value] for line in leading)),
        tuple(witness_of(line.region.path, line.part.packet, line.part.old, line.part.new, confirmed=line.part.confirmed) for line in leading[:_MOST_WITNESSES]),
        tuple(cut_of(line.region.path, line.part.boxes) for line in leading),
        _group_of(chosen),
    )  # fmt: skip


def _whats(
    chosen: Sequence[Line], alike: Sequence[Line], sets: Mapping[str, SetChange], guests: set[str]
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
        found.setdefault(what_of(line, alike, sets), set()).update(concerned)
    for text in [text for text in found if text + NEW in found]:
        found[text] |= found.pop(text + NEW)
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


def _group_of(lines: Sequence[Line]) -> str:
    names = {line.region.change.sited.chain.name if line.region.change else "" for line in lines}
    found = GROUP.fullmatch(next(iter(names))) if len(names) == 1 else None
    return found[1] if found is not None else ""


def _of_all(lines: Sequence[Line], causes: Causes, sets: Mapping[str, SetChange]) -> str:
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
