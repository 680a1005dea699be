"""The review for a terminal: what it comes to, then each line with its packet and its rules, then the rulesets' own changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.review.model import Category, counted, listed, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.report.review.model import Entry, Review, RuleText, StructureItem

_COLORS = {"high": "31", "medium": "33", "low": "36"}
_MOST_RULES = 3
_MOST_ELEMENTS = 20
_MOST_ITEMS = 30


def review_text(found: Review, *, color: bool = False) -> str:
    """Return the review as text, with colours or without."""
    lines = [headline(found)]
    for number, entry in enumerate(found.entries, 1):
        lines.extend(["", *_entry(number, entry, color=color)])
    if found.structure:
        lines.extend(["", f"In the rulesets themselves: {summary_of_structure(found.structure)}"])
        for item in found.structure[:_MOST_ITEMS]:
            lines.extend(_item(item))
        if len(found.structure) > _MOST_ITEMS:
            lines.append(f"  and {len(found.structure) - _MOST_ITEMS} more, in the other forms of this review")
    lines.extend(_ending(found))
    return "\n".join(lines) + "\n"


def headline(found: Review) -> str:
    """Return the answer in one line."""
    if found.equal:
        return "No difference: both treat every packet alike, proved."
    counts = [
        f"{sum(entry.category is category for entry in found.entries)} {category.value}"
        for category in Category
        if any(entry.category is category for entry in found.entries)
    ]
    if not counts:
        return "Not decided: no difference was found, but not everything could be compared."
    proof = " Proved to be all." if found.exact else " There may be more: not everything could be compared."
    return f"{counted(len(found.entries), 'difference')}: {', '.join(counts)}.{proof}"


def summary_of_structure(items: Sequence[StructureItem]) -> str:
    """Return how many of what came, went and changed."""
    counts: dict[tuple[str, str], int] = {}
    for item in items:
        counts[item.kind, item.action] = counts.get((item.kind, item.action), 0) + 1
    return ", ".join(f"{counted(number, kind)} {action}" for (kind, action), number in counts.items())


def _entry(number: int, entry: Entry, *, color: bool) -> Iterator[str]:
    title = entry.category.value.upper()
    shown = f"\x1b[1;{_COLORS[entry.category.severity]}m{title}\x1b[0m" if color else title
    if entry.explained:
        yield f"{number}. {shown} [{entry.explained}] {entry.where}: {plain(entry.region)}"
    else:
        yield f"{number}. {shown} {entry.where}: {plain(entry.region)}"
    notes = [*([entry.size] if entry.size else []), listed(entry.families)]
    yield f"   {plain(entry.cause)} ({'; '.join(notes)})"
    if entry.context:
        yield f"   after {plain(listed(entry.context))}"
    for lesser in entry.also:
        yield f"   also {plain(also_words(entry, lesser))}"
    yield from _rules("before", entry.before)
    yield from _rules("now", entry.now)
    for witness in entry.witnesses[:1]:
        yield f"   packet: {plain(witness.packet)}"
        yield f"     old: {plain(witness.old)}"
        yield f"     new: {plain(witness.new)}"
        if not witness.confirmed:
            yield "     the concrete evaluator does not see this difference: a fault of fwtrans"


def also_words(entry: Entry, lesser: Entry) -> str:
    """Return a lesser consequence of a line in a few words."""
    some = (
        ""
        if lesser.guests == entry.guests
        else f" for {counted(len(lesser.guests), 'guest')} ({listed(lesser.guests, 8)})"
    )
    what = "" if lesser.what == entry.what else f": {listed(lesser.what, _MOST_RULES)}"
    return f"{lesser.category.value}{some if lesser.guests else ''}{what}"


def _rules(word: str, rules: Sequence[RuleText]) -> Iterator[str]:
    for rule in rules[:_MOST_RULES]:
        yield f"   {word}: {plain(rule.location or rule.chain)}: {plain(rule.text)}"
    if len(rules) > _MOST_RULES:
        yield f"   {word}: and {counted(len(rules) - _MOST_RULES, 'more rule')}"


def _item(item: StructureItem) -> Iterator[str]:
    where = f" [{item.locations[-1]}]" if item.locations else ""
    yield plain(f"  {item.kind} {item.action}: {item.name}{where}")
    for sign, texts in (("-", item.before), ("+", item.now)):
        yield from (plain(f"    {sign} {text}") for text in texts[:_MOST_ELEMENTS])
        if len(texts) > _MOST_ELEMENTS:
            yield f"    {sign} and {len(texts) - _MOST_ELEMENTS} more"


def _ending(found: Review) -> Iterator[str]:
    for name, reason in found.undecided:
        yield plain(f"cannot decide: {name}: {reason}")
    if found.omitted:
        yield f"and more: {counted(found.omitted, 'path')} with more differences than were looked for"
    if found.assumptions:
        yield from ("", "This rests on:", *(f"  - {plain(text)}" for text in found.assumptions))
    if found.intended:
        yield from ("", "Different on purpose:", *(f"  - {name}: {plain(text)}" for name, text in found.intended))
