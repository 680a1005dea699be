"""The review as SARIF: each difference beside the line of the rule that brings it about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.review.text import also_words
from fwtrans.report.sarif import Found, Kind, sarif_text

if TYPE_CHECKING:
    from fwtrans.report.review.model import Entry, Review

_LEVELS = {"high": "error", "medium": "warning", "low": "note"}


def review_sarif(found: Review) -> str:
    """Return the review as a SARIF log."""
    undecided = Kind("not-decided", "This could not be compared")
    return sarif_text(
        [
            *(_found(entry) for entry in found.entries),
            *(Found(undecided, "warning", f"{name}: {reason}") for name, reason in found.undecided),
        ]
    )


def _found(entry: Entry) -> Found:
    kind = Kind(entry.category.value.replace(" ", "-"), f"Traffic is {entry.category.value}")
    text = f"{entry.category.value} {entry.where}: {entry.region} ({entry.cause})"
    text += "".join(f"; also {also_words(entry, lesser)}" for lesser in entry.also)
    locations = (*(rule.location for rule in entry.now), *(rule.location for rule in entry.before))
    return Found(kind, _LEVELS[entry.category.severity], text, locations)
