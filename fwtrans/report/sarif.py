"""Findings as SARIF 2.1.0, which code hosts show beside the lines that they are about."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_PLACE = re.compile(r"(.+):(\d+)")


class Kind(NamedTuple):
    """A kind of finding: its id, what it means."""

    id: str
    text: str


class Found(NamedTuple):
    """One finding. `locations` are file:line; the first is where it is shown, the others are related."""

    kind: Kind
    level: str
    text: str
    locations: tuple[str, ...] = ()


def sarif_text(findings: Sequence[Found]) -> str:
    """Return a SARIF log of one run."""
    kinds = list(dict.fromkeys(item.kind for item in findings))
    driver = {
        "name": "fwtrans",
        "rules": [{"id": kind.id, "shortDescription": {"text": kind.text}} for kind in kinds],
    }
    results = [_result(item, kinds.index(item.kind)) for item in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(item: Found, index: int) -> dict[str, object]:
    found: dict[str, object] = {
        "ruleId": item.kind.id,
        "ruleIndex": index,
        "level": item.level,
        "message": {"text": item.text},
    }
    places = list(_places(item.locations))
    if places:
        found["locations"] = places[:1]
    if len(places) > 1:
        found["relatedLocations"] = [{**place, "id": number} for number, place in enumerate(places[1:])]
    return found


def _places(locations: Iterable[str]) -> Iterable[dict[str, object]]:
    for location in dict.fromkeys(locations):
        match = _PLACE.fullmatch(location)
        # what we made ourselves is in no file that anybody could open
        if match is not None and not location.startswith("pve-firewall:"):
            artifact = {"uri": quote(match[1], safe="/._-~")}
            yield {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": int(match[2])}}}
