"""What a translation comes to: the result itself, its report for a person, its values for a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.report.intended import intended_text, intended_value
from fwtrans.report.table import coverage_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.backend.nft.lower import Renaming
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.report.coverage import Coverage
    from fwtrans.semantics.bridged.reading import Intended


class LineOrigin(NamedTuple):
    """One output rule and where it came from: a row of the map that `--map` writes."""

    line: int
    table: str
    chain: str
    origins: tuple[str, ...]


class Stage(NamedTuple):
    """A ruleset on the way: as it was read, behind the change to bridged form, behind each pass that changed it."""

    name: str
    about: str
    ruleset: Ruleset


class Translation(NamedTuple):
    """Everything a translation comes to. `output` is empty where an error forbids a result."""

    output: str
    ruleset: Ruleset | None
    coverage: Coverage
    renamings: tuple[Renaming, ...]
    assumptions: tuple[str, ...]
    line_map: tuple[LineOrigin, ...]
    intended: tuple[Intended, ...] = ()
    history: tuple[Stage, ...] = ()


def translation_report(result: Translation) -> str:
    """Return coverage, renamings and assumptions."""
    return "\n".join([coverage_text(result.coverage), *translation_remarks(result)])


def translation_remarks(result: Translation) -> list[str]:
    """Return what else is to be known: renamings, what the translation rests on, what is different on purpose."""
    parts: list[str] = []
    if result.renamings:
        rows = [f"  {item.kind} {item.wanted} -> {item.given}" for item in result.renamings]
        parts.append("\n".join(["renamed, because nftables does not take the name:", *rows]) + "\n")
    if result.assumptions:
        rows = [f"  - {text}" for text in result.assumptions]
        parts.append("\n".join(["the translation is exact if:", *rows]) + "\n")
    if result.intended:
        parts.append(intended_text(result.intended))
    return parts


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
        "intended": [intended_value(item) for item in result.intended],
    }


def line_map_json(rows: Sequence[LineOrigin]) -> str:
    """Return the map of output lines to input lines, one JSON object a line."""
    return "".join(json.dumps(row._asdict()) + "\n" for row in rows)
