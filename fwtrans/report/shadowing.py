"""What `verify --lint` found, in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.equivalence import place_text
from fwtrans.semantics.shadowing import FindingKind

if TYPE_CHECKING:
    from fwtrans.semantics.outcome import Place
    from fwtrans.semantics.shadowing import Finding, Lint

_MOST_BLAMED = 5
_WIDTH = 110


def lint_text(found: Lint) -> str:
    """Return how many there are of each kind, then each with its rule and those to blame, then what it rests on."""
    lines = [_headline(found)]
    for kind in FindingKind:
        of_kind = [item for item in found.findings if item.kind is kind]
        if of_kind:
            lines.extend(["", f"{kind.value}: {len(of_kind)}"])
        for item in of_kind:
            lines.extend(_finding_lines(item))
    if any(item.kind is FindingKind.NEVER_MATTERS for item in found.findings):
        lines.extend(["", "take away one rule that never matters at a time: two may stand in for each other"])
    if found.counting:
        lines.extend(["", f"{found.counting} rules only count packets or hold a comment; they are not listed"])
    for unknown in found.undecided:
        names = f" ({', '.join(unknown.names[:5])})" if unknown.names else ""
        lines.append(f"cannot decide: {unknown.visit.family.value} {unknown.visit.hook.value}: {unknown.reason}{names}")
    if found.assumptions:
        lines.extend(["", "this rests on:", *(f"  - {text}" for text in found.assumptions)])
    return "\n".join(lines) + "\n"


def _headline(found: Lint) -> str:
    if found.findings:
        things = "finding" if len(found.findings) == 1 else "findings"
        return f"{len(found.findings)} {things} in {found.rules} rules"
    if found.undecided:
        return f"cannot decide about all of {found.rules} rules"
    return f"every one of {found.rules} rules can match and matters"


def _finding_lines(item: Finding) -> list[str]:
    blamed = [_named(place) for place in item.because[:_MOST_BLAMED]]
    if len(item.because) > _MOST_BLAMED:
        blamed.append(f"{len(item.because) - _MOST_BLAMED} more")
    found = [f"  {_named(item.place)}"]
    text = _text(item.place)
    if text:
        found.append(f"      {text}")
    found.append(f"      {item.reason}{': ' if blamed else ''}{'; '.join(blamed)}")
    return found


def _named(place: Place) -> str:
    if place.number >= 0:
        return place_text(place)
    origin = f" [{place.origins[0].location}]" if place.origins else ""
    return f"chain {place.chain}{origin}"


def _text(place: Place) -> str:
    text = place.origins[0].text if place.origins else ""
    safe = "".join(letter if letter.isprintable() else "?" for letter in text)
    return safe if len(safe) <= _WIDTH else safe[: _WIDTH - 3] + "..."


def lint_value(found: Lint) -> dict[str, object]:
    """Return the findings for the JSON envelope."""
    return {
        "rules": found.rules,
        "counting": found.counting,
        "findings": [
            {
                "kind": item.kind.value,
                **_place_value(item.place),
                "text": item.place.origins[0].text if item.place.origins else "",
                "reason": item.reason,
                "because": [_place_value(place) for place in item.because],
            }
            for item in found.findings
        ],
        "undecided": [
            {
                "hook": f"{item.visit.family.value} {item.visit.hook.value}",
                "reason": item.reason,
                "names": list(item.names),
            }
            for item in found.undecided
        ],
        "assumptions": list(found.assumptions),
    }


def _place_value(place: Place) -> dict[str, object]:
    return {
        "table": place.table,
        "chain": place.chain,
        "rule": place.number + 1 if place.number >= 0 else None,
        "origins": [origin.location for origin in place.origins],
    }
