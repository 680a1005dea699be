"""Results as plain values for the JSON envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwtrans.translate import Translation


def translation_value(result: Translation, *, ruleset_written_to: str = "") -> dict[str, object]:
    """Return what `translate --json` says: the ruleset, the fate of each rule, renamings, assumptions."""
    return {
        "ruleset": None if ruleset_written_to or not result.output else result.output,
        "written_to": ruleset_written_to or None,
        "counts": result.coverage.counts,
        "rules": [
            {
                "file": item.origin.source.name,
                "line": item.origin.line,
                "text": item.origin.text,
                "fate": item.fate.value,
                "printed": item.printed,
                "code": item.code or None,
            }
            for item in result.coverage.fates
        ],
        "renamings": [
            {"family": item.family.value, "kind": item.kind, "from": item.wanted, "to": item.given}
            for item in result.renamings
        ],
        "assumptions": list(result.assumptions),
    }
