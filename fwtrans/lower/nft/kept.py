"""Objects of a table that have no model: flow tables, maps that rules fill, what only an unknown statement names.

They are carried along as the JSON in which they were read, without their place, and printed again in these words. What a
statement that has no model says of them is part of its identity (`unknowns.identity`), so that a proof sees a change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.ir.ruleset import KeptObject
from fwtrans.lower.nft.json_types import Json, JsonObject, as_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.lower.nft.scope import Scope

OBJECTS = ("counter", "quota", "limit", "ct helper", "ct timeout", "ct expectation", "synproxy", "secmark", "flowtable")
"""What a table may declare beside chains, sets and maps. A statement that names one is called as it is."""
_PLACE = {"family", "table", "name", "handle", "line", "source"}
_KEYED = {"set", "map", "meter"}


def kept_object(kind: str, name: str, content: JsonObject) -> KeptObject:
    """Return an object as it was read."""
    return KeptObject(kind, name, json.dumps({key: value for key, value in content.items() if key not in _PLACE}))


def kept_objects(scope: Scope, maps: Mapping[str, JsonObject]) -> tuple[KeptObject, ...]:
    """Return all that is declared and is printed by no rule that we understand: unused objects too."""
    objects = (
        kept_object(kind, name, content)
        for (kind, name), content in scope.objects.items()
        if (kind, name) not in scope.understood or kind == "synproxy"  # rules that name one are printed without it
    )
    keyed = {**scope.sets, **maps}
    named = (
        kept_object("map" if name in maps else "set", name, content)
        for name, content in keyed.items()
        if name in scope.unmodelled
    )
    return (*objects, *named)


def objects_named(statement: Json) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the objects that a statement names, by itself or in the values of a map in it."""
    if not isinstance(statement, dict):
        return
    for kind, content in statement.items():
        found = _marked(content) if kind == "mangle" else (kind, content)
        if found is None or found[0] not in OBJECTS:
            continue
        for name in _names(found[1]):
            yield found[0], name
    flow = statement.get("flow")
    if isinstance(flow, dict) and isinstance(flow.get("flowtable"), str):
        yield "flowtable", str(flow["flowtable"]).removeprefix("@")


def _marked(content: Json) -> tuple[str, Json] | None:
    """Return what `meta secmark set` sets: the name of an object, where all other assignments set numbers."""
    if isinstance(content, dict) and content.get("key") == {"meta": {"key": "secmark"}}:
        return "secmark", content.get("value")
    return None


def _names(content: Json) -> Iterable[str]:
    if isinstance(content, str):
        return (content,)
    found = content.get("map") if isinstance(content, dict) else None
    data = found.get("data") if isinstance(found, dict) else None
    entries = as_list(data.get("set")) if isinstance(data, dict) else []
    values = (as_list(entry)[-1] for entry in entries if as_list(entry))
    return [value for value in values if isinstance(value, str)]


def objects_held(content: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the objects that a named map holds, but for limits and quotas, of which maps have a model."""
    kind = content.get("map")
    if isinstance(kind, str) and kind in OBJECTS and kind not in {"limit", "quota"}:
        values = (as_list(entry)[-1] for entry in as_list(content.get("elem")) if as_list(entry))
        yield from ((kind, value) for value in values if isinstance(value, str))


def is_asked_by_map(statement: Json) -> bool:
    """Tell whether a statement takes its object from a map that is written inside it."""
    if not isinstance(statement, dict):
        return False
    ((kind, content), *_) = statement.items()
    return kind in OBJECTS and isinstance(content, dict) and isinstance(content.get("map"), dict)


def is_filled(content: JsonObject, *, by_rules: bool) -> bool:
    """Tell whether a map's elements are put there while packets pass, so that those of now decide nothing.

    Verdicts with a time of their own are put there by programs, as others are; no pass rests on them.
    """
    flags = {flag for flag in as_list(content.get("flags")) if isinstance(flag, str)}
    # a time alone is enough: nft makes the flag of it
    has_times = "timeout" in flags or "timeout" in content
    return by_rules or "dynamic" in flags or (has_times and content.get("map") != "verdict")


def leads_away(content: JsonObject) -> bool:
    """Tell whether a map of verdicts leads to chains, which passes have to see."""
    values = (as_list(entry)[-1:] for entry in as_list(content.get("elem")))
    return any(isinstance(value, dict) and set(value) & {"jump", "goto"} for found in values for value in found)
