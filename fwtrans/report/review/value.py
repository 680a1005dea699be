"""The review as plain values for the JSON envelope; docs/reference/schemas/review.schema.json says what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.review.model import Category

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.report.review.model import Entry, Review, RuleText, Step, Witness


def review_value(found: Review) -> dict[str, object]:
    """Return the review as values that JSON has."""
    return {
        "equal": found.equal,
        "exact": found.exact,
        "method": "rules" if found.by_rule else "pairs",
        "summary": {category.value: len(found.of(category)) for category in Category},
        "differences": [_entry(entry) for entry in found.entries],
        "structure": [
            {
                "kind": item.kind, "action": item.action, "name": item.name, "removed": list(item.before),
                "added": list(item.now), "locations": list(item.locations),
            }
            for item in found.structure
        ],
        "undecided": [{"hook": name, "reason": reason} for name, reason in found.undecided],
        "assumptions": list(found.assumptions),
        "intended": [{"name": name, "text": text} for name, text in found.intended],
        "omitted": found.omitted,
    }  # fmt: skip


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "category": entry.category.value,
        "severity": entry.category.severity,
        "way": entry.way,
        "guests": list(entry.guests),
        "group": entry.group,
        "known": entry.explained,
        "region": list(entry.what),
        "text": f"{entry.where}: {entry.region}",
        "cause": entry.cause,
        "size": entry.size,
        "context": list(entry.context),
        "families": list(entry.families),
        "before": _rules(entry.before),
        "now": _rules(entry.now),
        "witnesses": [_witness(witness) for witness in entry.witnesses],
        "boxes": [
            {"hook": cut.hook, "complete": cut.complete, "boxes": [dict(box) for box in cut.boxes]}
            for cut in entry.cuts
        ],
        "also": [_entry(lesser) for lesser in entry.also],
    }


def _rules(rules: Sequence[RuleText]) -> list[dict[str, str]]:
    return [{"text": rule.text, "location": rule.location, "chain": rule.chain} for rule in rules]


def _witness(witness: Witness) -> dict[str, object]:
    return {
        "hook": witness.hook,
        "packet": dict(witness.values),
        "text": witness.packet,
        "old": witness.old,
        "new": witness.new,
        "trace": {"old": _trace(witness.old_trace), "new": _trace(witness.new_trace)},
        "confirmed": witness.confirmed,
    }


def _trace(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [{"chain": step.chain, "text": step.text, "location": step.location} for step in steps]
