"""A verdict map whose key has no model, as one test for each element: the tests have words, and the map has none.

Only what every look at the packet answers alike is asked several times; a number generator draws anew each time. A packet
that comes back from a jump goes on behind the map and must not meet its other elements: jumps come last, a catch-all element
is not for them, and more than one of these needs a key that lasts while chains are passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.lower.nft.json_types import Json, JsonObject, as_list

if TYPE_CHECKING:
    from collections.abc import Iterator

GOES_ON: Json = {"continue": None}
_COUNTED = {"counter", "packets", "bytes"}
# what no rule changes
_LASTING = {"iif", "oif", "iifgroup", "oifgroup", "iiftype", "oiftype"}


def tests_and_verdicts(content: Json, behind: list[Json]) -> list[tuple[Json, Json]] | None:
    """Return a match statement and a verdict statement for each element; None where that would not be the same.

    `behind` are the statements that packets meet for which the map says `continue`. A catch-all element has no test
    (None in its place), unless others jump, and comes last.
    """
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(data, dict) or set(data) != {"set"}:
        return None
    key = content.get("key")
    pairs = [item for item in as_list(data["set"]) if isinstance(item, list) and len(item) == 2]
    if len(pairs) != len(as_list(data["set"])) or any(isinstance(one, dict) and "elem" in one for one, _ in pairs):
        return None
    goes_on = any(verdict == GOES_ON for _, verdict in pairs)
    others = [verdict for one, verdict in pairs if one == "*"]
    jumping = [one for one, verdict in pairs if _jumps(verdict) and one != "*"]
    if "numgen" in _kinds(key) or (jumping and len(jumping) + len(others) > 1 and not _lasts(key)):
        return None
    if goes_on and any(map(does_more, behind)):
        return None
    left_out = [one for one, verdict in pairs if one in jumping or verdict == GOES_ON]
    found: list[tuple[Json, Json]] = [
        (_match("==", key, [one]), verdict)
        for one, verdict in sorted(pairs, key=lambda pair: _jumps(pair[1]))
        if one != "*" and verdict != GOES_ON
    ]
    return [*found, *((_match("!=", key, left_out) if left_out else None, verdict) for verdict in others)]


def without_idle_elements(content: Json, behind: list[Json]) -> Json:
    """Return a map without elements that go on where nothing is left to do: a packet that finds none goes on as well.

    With a catch-all element behind them they keep packets from that, and only the catch-all itself may go.
    """
    data = content.get("data") if isinstance(content, dict) else None
    entries = data.get("set") if isinstance(data, dict) else None
    if not isinstance(content, dict) or not isinstance(entries, list) or any(map(does_more, behind)):
        return content
    pairs = [item for item in entries if isinstance(item, list) and len(item) == 2]
    if len(pairs) != len(entries):
        return content
    decided = any(one == "*" and verdict != GOES_ON for one, verdict in pairs)
    kept: list[Json] = [[one, verdict] for one, verdict in pairs if verdict != GOES_ON or decided]
    return {**content, "data": {"set": kept}} if kept and len(kept) < len(pairs) else content


def does_more(statement: Json) -> bool:
    """Tell whether a statement does more than count."""
    return bool(set(_kinds(statement)) - _COUNTED)


def _jumps(verdict: Json) -> bool:
    return isinstance(verdict, dict) and "jump" in verdict


def _lasts(key: Json) -> bool:
    """Tell whether a key is the same behind a chain that was jumped to, whatever that does."""
    parts = as_list(key["concat"]) if isinstance(key, dict) and "concat" in key else [key]
    metas = (part.get("meta") if isinstance(part, dict) else None for part in parts)
    return all(isinstance(meta, dict) and meta.get("key") in _LASTING for meta in metas)


def _match(operator: str, key: Json, values: list[Json]) -> Json:
    single = len(values) == 1 and not (isinstance(key, dict) and "concat" in key)
    found: JsonObject = {"op": operator, "left": key, "right": values[0] if single else {"set": values}}
    return {"match": found}


def _kinds(value: Json) -> Iterator[str]:
    """Yield the names of all objects in an expression."""
    if isinstance(value, dict):
        for kind, inner in value.items():
            yield kind
            yield from _kinds(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _kinds(item)
