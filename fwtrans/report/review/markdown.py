"""The review as markdown for a pull request: a table first, details folded, everything from files as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.review.model import plain
from fwtrans.report.review.text import also_words, headline, summary_of_structure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.report.review.model import Entry, Review, RuleText

# GitHub refuses comments of more than 65,536 characters.
_MOST_ENTRIES = 60
_MOST_RULES = 5
_MARKS = {"high": "**!**", "medium": "!", "low": ""}


def review_markdown(found: Review) -> str:
    """Return the review as markdown."""
    lines = ["## Firewall review", "", headline(found), ""]
    if found.entries:
        lines.extend(["| | | where | what | cause |", "|---|---|---|---|---|"])
        lines.extend(_row(entry) for entry in found.entries[:_MOST_ENTRIES])
        if len(found.entries) > _MOST_ENTRIES:
            lines.extend(["", f"and {len(found.entries) - _MOST_ENTRIES} more"])
        lines.append("")
        for number, entry in enumerate(found.entries[:_MOST_ENTRIES], 1):
            lines.extend(_details(number, entry))
    if found.structure:
        lines.extend([f"In the rulesets themselves: {summary_of_structure(found.structure)}.", ""])
    lines.extend(_ending(found))
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(entry: Entry) -> str:
    mark, category = _MARKS[entry.category.severity], entry.category.value
    return f"| {mark} | {category} | {_cell(entry.where)} | {_cell(entry.region)} | {_cell(entry.cause)} |"


def _cell(text: str) -> str:
    """Return a text that is nothing but text: no markup, no link, no mention, no end of a cell."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+!|~$^:=-" else letter for letter in plain(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def _code(text: str) -> str:
    """Return a text in a code span that it cannot end."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * (longest + 1)
    return f"{fence} {plain(text)} {fence}"


def _details(number: int, entry: Entry) -> Iterator[str]:
    yield f"<details><summary>{number}. {entry.category.value} {_html(entry.where)}: {_html(entry.region)}</summary>"
    yield ""
    yield f"- {_cell(entry.cause)}" + (f" ({_cell(entry.size)})" if entry.size else "")
    if entry.context:
        yield f"- after {_cell(', '.join(entry.context))}"
    yield from (f"- also {_cell(also_words(entry, lesser))}" for lesser in entry.also)
    yield from _rules("before", entry.before)
    yield from _rules("now", entry.now)
    for witness in entry.witnesses[:1]:
        yield f"- packet: {_code(witness.packet)}"
        yield f"  - old: {_code(witness.old)}"
        yield f"  - new: {_code(witness.new)}"
    yield from ("", "</details>", "")


def _html(text: str) -> str:
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def _rules(word: str, rules: Sequence[RuleText]) -> Iterator[str]:
    for rule in rules[:_MOST_RULES]:
        yield f"- {word}: {_code(rule.text)} at {_code(rule.location or rule.chain)}"
    if len(rules) > _MOST_RULES:
        yield f"- {word}: and {len(rules) - _MOST_RULES} more"


def _ending(found: Review) -> Iterator[str]:
    if found.undecided:
        yield from ("Not decided:", "", *(f"- {_cell(name)}: {_cell(reason)}" for name, reason in found.undecided), "")
    if found.assumptions:
        yield from ("This rests on:", "", *(f"- {_cell(text)}" for text in found.assumptions), "")
    if found.intended:
        yield from ("Different on purpose:", "", *(f"- {_cell(text)}" for _, text in found.intended), "")
