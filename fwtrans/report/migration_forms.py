"""The account of a translation as text for a terminal, as Markdown, and as plain values for JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.report.migration import Became

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.optimizer.size import Size
    from fwtrans.optimizer.steps import HookCost
    from fwtrans.report.migration import Migration, Placed, Row

SCHEMA = 1
"""The version of the JSON form (docs/reference/schemas/migration.schema.json)."""
_MOST_ROWS = 40
_WIDTH = 110
_COUNTS = ("rules", "chains", "sets", "maps", "elements")


def migration_text(found: Migration, *, most: int = _MOST_ROWS) -> str:
    """Return counts and costs before and after, then the rules that did not become rules of their own, `most` of them."""
    lines = [f"{len(found.rows)} rules read", *(f"  {number:6}  {name}" for name, number in found.counts.items())]
    size = size_rows(found)
    if size:
        lines += ["", *_aligned([("", "before", "after"), *size])]
    if found.paths:
        rows = [(path.name, f"{path.before}", f"{path.after}") for path in found.paths]
        lines += ["", *_aligned([("steps of the dearest packet", "before", "after"), *rows])]
    notable = [row for row in found.rows if row.became is not Became.EXACT]
    if notable:
        lines.append("")
    for row in notable[:most]:
        lines += [f"  {row.origin.location}: {row.became.value}", f"      {_shortened(row.origin.text)}"]
        lines += [f"      {_shortened(text)}" for text in (*map(place_text, row.places[:3]), reason_text(row)) if text]
    if len(notable) > most:
        lines.append(f"  and {len(notable) - most} more (--report FILE.html or FILE.json tells all)")
    return "\n".join(lines) + "\n"


def migration_markdown(found: Migration) -> str:
    """Return the tables as Markdown, with every rule."""
    lines = ["# Migration report", "", f"{len(found.rows)} rules read.", "", "| became | rules |", "| --- | ---: |"]
    lines += [f"| {name} | {number} |" for name, number in found.counts.items()]
    size = size_rows(found)
    if size:
        lines += ["", "| | before | after |", "| --- | ---: | ---: |", *(f"| {' | '.join(row)} |" for row in size)]
    if found.paths:
        lines += ["", "| steps of the dearest packet | before | after |", "| --- | ---: | ---: |"]
        lines += [f"| {path.name} | {path.before} | {path.after} |" for path in found.paths]
    lines += ["", "| rule | became | where | why |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {_cell(row.origin.location)}<br>{_cell(row.origin.text)} | {row.became.value} "
        f"| {'<br>'.join(_cell(place_text(place)) for place in row.places)} | {_cell(reason_text(row))} |"
        for row in found.rows
    ]
    return "\n".join(lines) + "\n"


def migration_json(found: Migration) -> str:
    """Return the account as JSON text."""
    return json.dumps(migration_value(found), indent=1) + "\n"


def migration_value(found: Migration) -> dict[str, object]:
    """Return the account as plain values."""
    return {
        "schema": SCHEMA,
        "translated": found.translated,
        "counts": found.counts,
        "size": {"before": _size(found.size_before), "after": _size(found.size_after)},
        "chains": {"before": _costs(found.chains_before), "after": _costs(found.chains_after)},
        "paths": [path._asdict() for path in found.paths],
        "rules": [_row_value(row) for row in found.rows],
    }


def place_text(place: Placed) -> str:
    """Return where in the output a rule is, in words."""
    parts = [f"{place.table} {place.chain}".rstrip()]
    if place.lines:
        shown = ", ".join(map(str, place.lines[:5])) + (", ..." if len(place.lines) > 5 else "")
        parts.append(f"line {shown}" if len(place.lines) == 1 else f"lines {shown}")
    if place.others:
        parts.append(f"with {place.others} other{'s' if place.others > 1 else ''}")
    if place.objects:
        parts.append(f"by {', '.join(place.objects[:3])}{', ...' if len(place.objects) > 3 else ''}")
    return ", ".join(parts)


def reason_text(row: Row) -> str:
    """Return why a rule became what it became, and by which rules; nothing where it is exact."""
    code = f"{row.code}: " if row.code else ""
    because = f" ({', '.join(row.because)})" if row.because else ""
    return f"{code}{row.how}{because}"


def _row_value(row: Row) -> dict[str, object]:
    return {
        "file": row.origin.source.name,
        "line": row.origin.line,
        "text": row.origin.text,
        "became": row.became.name.lower().replace("_", "-"),
        "places": [
            {
                "table": place.table,
                "chain": place.chain or None,
                "lines": list(place.lines),
                "others": place.others,
                "objects": list(place.objects),
            }
            for place in row.places
        ],
        "how": row.how,
        "because": list(row.because),
        "code": row.code or None,
    }


def _costs(costs: Sequence[HookCost]) -> list[dict[str, object]]:
    return [
        {
            "table": cost.table,
            "chain": cost.chain,
            "hook": cost.hook.value,
            "steps": cost.worst.steps,
            "nanoseconds": round(cost.worst.nanoseconds),
        }
        for cost in costs
    ]


def _size(size: Size | None) -> dict[str, int] | None:
    return None if size is None else dict(zip(_COUNTS, size[:5], strict=True))


def size_rows(found: Migration) -> list[tuple[str, str, str]]:
    """Return how many rules, chains and so on there were and are; nothing where nothing was written."""
    if found.size_before is None or found.size_after is None:
        return []
    pairs = zip(_COUNTS, found.size_before[:5], found.size_after[:5], strict=True)
    return [(name, f"{before}", f"{after}") for name, before, after in pairs]


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    width = max(len(row[0]) for row in rows)
    return [f"  {name:{width}}  {before:>7}  {after:>7}" for name, before, after in rows]


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _shortened(text: str) -> str:
    safe = _plain(text)
    return safe if len(safe) <= _WIDTH else safe[: _WIDTH - 3] + "..."


def _cell(text: str) -> str:
    """Return text that stays text in a cell of a Markdown table."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|!~&" else letter for letter in _plain(text))
