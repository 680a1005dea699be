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
from fwtrans.lower.nft.json_types import Json, JsonObject, NotModelled, as_list, asking
from fwtrans.lower.nft.kept import objects_named
from fwtrans.lower.nft.sets import lower_verdict
from fwtrans.lower.nft.statements import limit_of, quota_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.fields import Family
    from fwtrans.ir.rule import Step

Ending = tuple[tuple["Step", ...], "verdicts.Verdict | None"]

# Statements that always go on, whatever the packet is.
_NEVER_BREAK = {"log", "counter", "last", "ct helper", "ct timeout", "ct expectation", "notrack", "secmark"}
# What of a set or map, and what of an object, tells it from another: no count of what has passed, no place.
_TELLING = {"type", "map", "elem", "flags", "timeout", "size"}
_OBJECTS_TELLING = {
    "type", "hook", "prio", "dev", "protocol", "l3proto", "dport", "timeout", "size", "policy", "context", "rate", "per",
    "rate_unit", "burst", "burst_unit", "inv", "mss", "wscale", "flags", "bytes",
}  # fmt: skip
_TRANSLATIONS = {"snat", "dnat", "masquerade", "redirect"}
_ANYTHING: tuple[verdicts.Verdict, ...] = (verdicts.Accept(), verdicts.Drop())


def identity(statement: Json, sets: Mapping[str, JsonObject], family: Family) -> str:
    """Return what makes two unknowns the same: the statement, and what is in the sets that it names."""
    objects = {f"{kind} {name}" for kind, name in objects_named(statement)}
    named: JsonObject = {name: _contents(sets[name]) for name in sorted(named_sets(statement)) if name in sets}
    named |= {name: _object(name, sets[name], family) for name in sorted(objects) if name in sets}
    plain = as_listed(statement)
    kind = next(iter(plain)) if isinstance(plain, dict) else ""
    inner = plain.get(kind) if isinstance(plain, dict) else None
    if kind in _TRANSLATIONS and isinstance(inner, dict) and inner.get("family") == family.value:
        plain = {kind: {key: value for key, value in inner.items() if key != "family"}}
    return json.dumps([plain, named] if named else plain, sort_keys=True)


def as_listed(value: Json) -> Json:
    """Return a statement without what a listing leaves out or says in other words."""
    if isinstance(value, list):
        return [as_listed(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: JsonObject = {key: as_listed(item) for key, item in value.items()}
    if set(found) == {"set"}:
        return {"set": _sorted(found["set"])}
    if set(found) <= {"limit", "quota"} and found:
        return {kind: _amounts(kind, item) for kind, item in found.items()}
    if "mod" in found and found.get("offset") == 0:
        del found["offset"]
    event = found.get("mangle")
    if isinstance(event, dict) and event.get("key") == {"ct": {"key": "event"}}:
        return {"mangle": {**event, "value": [*sorted(_words_of(event.get("value")))]}}
    return found


def _amounts(kind: str, content: Json) -> Json:
    """Return a rate or an amount of bytes in one unit, without what has passed; an object's name as it is."""
    if not isinstance(content, dict) or "map" in content:
        return content
    if kind == "limit":
        rate, over = limit_of(content)
        return {"limit": repr(rate), "over": over}
    amount, over = quota_of(content)
    return {"quota": repr(amount), "over": over}


def _words_of(value: Json) -> Iterator[str]:
    """Yield the words of a list of flags, however they are joined."""
    if isinstance(value, (str, int)):
        yield str(value)
    elif isinstance(value, dict):
        for joined in value.values():
            yield from _words_of(joined)
    elif isinstance(value, list):
        for item in value:
            yield from _words_of(item)


def _contents(found: JsonObject) -> JsonObject:
    # JSON does not say `dynamic`, and a listing sorts flags and elements
    flags = [flag for flag in as_list(found.get("flags")) if flag != "dynamic"]
    kept: JsonObject = {key: value for key, value in found.items() if key in _TELLING}
    kept |= {"flags": _sorted(flags), "elem": _sorted([_bare(item) for item in as_list(found.get("elem"))])}
    questions = asking(found.get("stmt"))
    return {**kept, "stmt": questions} if questions else kept


def _sorted(items: Json) -> list[Json]:
    return sorted(as_list(items), key=lambda item: json.dumps(item, sort_keys=True))


def _bare(item: Json) -> Json:
    """Return an element without what is left of its time, and without what it has counted."""
    if isinstance(item, list):
        return [_bare(part) for part in item]
    extras = item.get("elem") if isinstance(item, dict) else None
    if not isinstance(extras, dict):
        return item
    kept: JsonObject = {key: value for key, value in extras.items() if key in {"val", "timeout"}}
    return {"elem": kept} if set(kept) > {"val"} else kept.get("val")


def _object(name: str, found: JsonObject, family: Family) -> JsonObject:
    """Return what tells an object from another; a listing says for which family a helper is, a file may not."""
    kept: JsonObject = {key: value for key, value in found.items() if key in _OBJECTS_TELLING and value is not False}
    if name.startswith("ct "):
        kept.setdefault("l3proto", family.value)
    if name.startswith("limit "):
        rate, over = limit_of(found)
        return {"limit": repr(rate), "over": over}  # in one unit, whichever it is written in
    if name.startswith(("counter ", "flowtable ")):
        # the bytes of a counter are what it has counted; JSON has no flags of flow tables
        kept = {key: value for key, value in kept.items() if key not in {"bytes", "flags"}}
    return kept


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
    if kind in _NEVER_BREAK and not (isinstance(content, dict) and "map" in content):
        return (((effect,), None),)  # a map that holds nothing for the packet ends the rule
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
