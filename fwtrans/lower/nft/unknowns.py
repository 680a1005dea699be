"""What is nft's but has no model: opaque unknowns that may do all that the statement may do, and no rule is dropped.

A test becomes an unknown answer. A statement that may end the rule by itself (a look-up that finds nothing, a socket
that is not there) is an unknown answer and an effect. One that may decide in several ways becomes one rule for each way,
each behind an unknown answer of its own. Two unknowns are the same only where text and contents of named sets are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.effect import OpaqueEffect
from fwtrans.ir.match import OpaqueTest
from fwtrans.lower.nft.json_types import Json, JsonObject, NotModelled, as_list
from fwtrans.lower.nft.sets import lower_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.rule import Step

Ending = tuple[tuple["Step", ...], "verdicts.Verdict | None"]

# Statements that always go on, whatever the packet is.
_NEVER_BREAK = {"log", "counter", "last", "ct helper", "ct timeout", "ct expectation", "notrack", "secmark"}
_TRANSLATIONS = {"snat", "dnat", "masquerade", "redirect"}
_ANYTHING: tuple[verdicts.Verdict, ...] = (verdicts.Accept(), verdicts.Drop())


def identity(statement: Json, sets: Mapping[str, JsonObject]) -> str:
    """Return what makes two unknowns the same: the statement, and what is in the sets that it names."""
    named = {name: _contents(sets[name]) for name in sorted(named_sets(statement)) if name in sets}
    return json.dumps([statement, named] if named else statement, sort_keys=True)


def _contents(found: JsonObject) -> JsonObject:
    return {key: value for key, value in found.items() if key in {"type", "map", "elem", "flags", "timeout", "size"}}


def named_sets(value: Json) -> Iterator[str]:
    """Yield the names behind an `@` anywhere in a statement."""
    if isinstance(value, str) and value.startswith("@"):
        yield value[1:]
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from named_sets(item)


def endings(kind: str, content: Json, text: str, maps: Mapping[str, JsonObject]) -> tuple[Ending, ...]:
    """Return the ways in which the statement may go, each as steps and a verdict; `text` is its identity."""
    words = json.dumps({kind: content})
    question, effect = OpaqueTest(text), OpaqueEffect(text, words)
    if kind == "match":
        return (((OpaqueTest(text, words),), None),)
    if kind in _NEVER_BREAK:
        return (((effect,), None),)
    if kind in _TRANSLATIONS:
        return (((question, effect), verdicts.Accept()),)
    if kind == "queue":
        return (((question, effect), verdicts.Queue()),)
    if kind == "fwd":
        return (((question, effect), verdicts.Drop()),)  # the packet is gone, as one that was dropped
    ways = _ways(kind, content, maps)
    if not ways:
        return (((question, effect), None),)
    steps: tuple[Step, ...] = () if kind == "vmap" else (effect,)
    return tuple(((OpaqueTest(f"{text} => {way}"), *steps), way) for way in ways)


def _ways(kind: str, content: Json, maps: Mapping[str, JsonObject]) -> tuple[verdicts.Verdict, ...]:
    """Return the verdicts that a statement may come to."""
    if kind == "xt" or kind.startswith(("jump ", "goto ")):
        return _ANYTHING
    if kind != "vmap" or not isinstance(content, dict):
        return ()
    data = content.get("data")
    if isinstance(data, str):
        entries = as_list(maps.get(data.removeprefix("@"), {}).get("elem"))
    else:
        entries = as_list(data.get("set")) if isinstance(data, dict) else []
    found: dict[verdicts.Verdict, None] = {}
    for entry in entries:
        pair = as_list(entry)
        try:
            found[lower_verdict(pair[-1])] = None
        except (NotModelled, Refused, IndexError):
            return _ANYTHING
    return tuple(found) or _ANYTHING
