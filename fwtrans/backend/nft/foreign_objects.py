"""Sets, maps, flow tables and named objects that have no model, as text: from the JSON in which they were read.

    {"map": "inet_service", "type": "ipv4_addr", "flags": ["dynamic"]}      type ipv4_addr : inet_service
                                                                            flags dynamic

As in foreign.py nothing is taken over unseen, and what has another shape than those here is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft.foreign import Json, expression, object_name
from fwtrans.backend.nft.foreign_state import state_text
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.backend.nft.objects import ForeignObject

Content: TypeAlias = "dict[str, Json]"

_KEYED = {"set", "map"}
_OBJECT_KINDS = {"counter", "limit", "quota", "ct helper", "ct timeout", "ct expectation", "synproxy", "secmark"}


def foreign_block(item: ForeignObject) -> tuple[str, list[str]]:
    """Return the head of an object's block, and the lines in it."""
    content: Content = json.loads(item.json)
    kind = names.NameKind.SET if item.kind in _KEYED else names.NameKind.OBJECT
    if item.kind == "flowtable":
        kind = names.NameKind.FLOWTABLE
    body = _BODIES.get(item.kind)
    if body is None:
        raise Refused("FWT200", f"`{item.kind}` has no exact nftables form")
    comment = content.pop("comment", None)
    lines = body(content)
    if content:
        raise Refused("FWT200", f"`{next(iter(content))}` of {item.kind} {item.name} has no exact nftables form")
    if comment:
        lines.append(f'comment "{literals.comment(_string(comment))}"')
    return f"{item.kind} {names.checked(item.name, kind)}", lines


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise Refused("FWT200", f"`{json.dumps(value)}` is no word that nft has here")
    return value


def _word(value: Json) -> str:
    return literals.word(_string(value))


def _count(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused("FWT200", f"`{json.dumps(value)}` is no number that nft has here")
    return value


def _time(value: Json) -> str:
    """Return seconds, which a listing tells with their milliseconds, as nft writes a time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("FWT200", f"`{json.dumps(value)}` is no time")
    return literals.duration(round(value * 1000)) if value else "0s"


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


# --- sets and maps ---


def _keyed(content: Content) -> list[str]:
    kind = content.pop("map", None)
    head = _type(content.pop("type", None))
    is_interval = content.pop("holds ranges", False)
    if kind is not None:
        held = "verdict" if kind == "verdict" else _type(kind).removeprefix("typeof ").removeprefix("type ")
        head = f"{head} : {'interval ' if is_interval else ''}{held}"
    lines = [head]
    for word, printer in _SET_WORDS.items():
        if (value := content.pop(word, None)) is not None:
            lines.append(printer(value))
    if content.pop("auto-merge", None):
        lines.append("auto-merge")
    objects = kind if isinstance(kind, str) and kind in _OBJECT_KINDS else ""
    if elements := _list(content.pop("elem", [])):
        lines += ["elements = {", *(f"\t{_element(item, objects)}," for item in elements), "}"]
    return lines


def _type(value: Json) -> str:
    if isinstance(value, dict):
        found = value.get("typeof", value)
        return f"typeof {expression(found)}"
    return f"type {' . '.join(_data_type(name) for name in _list(value))}"


def _data_type(name: Json) -> str:
    return _string(name) if name in _OBJECT_KINDS else _word(name)


def _kept_state(value: Json) -> str:
    return " ".join(state_text(item) for item in _list(value))


_SET_WORDS: dict[str, Callable[[Json], str]] = {
    "size": lambda value: f"size {_count(value)}",
    "policy": lambda value: f"policy {_word(value)}",
    "flags": lambda value: f"flags {','.join(map(_word, _list(value)))}",
    "stmt": _kept_state,
    "timeout": lambda value: f"timeout {_time(value)}",
    "gc-interval": lambda value: f"gc-interval {_time(value)}",
}


_STATES = ("limit", "quota", "ct count", "counter")


def _element(item: Json, objects: str) -> str:
    key, *held = item if isinstance(item, list) else (item,)
    extras: Content = {}
    if isinstance(key, dict) and set(key) == {"elem"} and isinstance(key["elem"], dict):
        extras = dict(key["elem"])
        key = extras.pop("val", None)
    words = [expression(key)]
    words += [state_text({kind: extras.pop(kind)}) for kind in _STATES if kind in extras]
    words += [f"{word} {_time(extras.pop(word))}" for word in ("timeout", "expires") if word in extras]
    if "comment" in extras:
        words.append(f'comment "{literals.comment(_string(extras.pop("comment")))}"')
    if extras or len(held) > 1:
        raise Refused("FWT200", f"`{json.dumps(item)}` has no exact nftables form")
    words += [f": {object_name(value) if objects else _value(value)}" for value in held]
    return " ".join(words)


def _value(value: Json) -> str:
    if isinstance(value, dict) and len(value) == 1 and set(value) & {"accept", "drop", "continue", "return"}:
        return next(iter(value))
    return expression(value)


# --- the others ---


def _flowtable(content: Content) -> list[str]:
    priority = content.pop("prio", 0)
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise Refused("FWT200", "the priority of a flow table is a number")
    lines = [f"hook {_word(content.pop('hook', 'ingress'))} priority {priority}"]
    devices = [f'"{literals.interface(_string(name), is_prefix=False)}"' for name in _list(content.pop("dev", []))]
    if devices:
        lines.append(f"devices = {{ {', '.join(devices)} }}")
    if flags := content.pop("flags", None):
        lines.append(f"flags {','.join(map(_word, _list(flags)))}")
    if content.pop("counter", None):
        lines.append("counter")
    return lines


def _counter(content: Content) -> list[str]:
    return [f"packets {_count(content.pop('packets', 0))} bytes {_count(content.pop('bytes', 0))}"]


def _quota(content: Content) -> list[str]:
    over = "over " if content.pop("inv", False) else ""
    used = _count(content.pop("used", 0)) * _BYTES.get(_string(content.pop("used_unit", "bytes")), 1)
    return [f"{over}{_count(content.pop('bytes', 0))} bytes" + (f" used {used} bytes" if used else "")]


_BYTES = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20, "gbytes": 1 << 30}


def _limit(content: Content) -> list[str]:
    over = "over " if content.pop("inv", False) else ""
    unit = _word(content.pop("rate_unit", "packets"))
    amount = f" {unit}" if unit != "packets" else ""
    burst_unit = _word(content.pop("burst_unit", unit))
    burst = _count(content.pop("burst", 0 if amount else 5))
    rate = f"rate {over}{_count(content.pop('rate', 0))}{amount}/{_word(content.pop('per', None))}"
    return [f"{rate} burst {burst} {burst_unit}" if burst else rate]


def _helper(content: Content) -> list[str]:
    name = literals.string(_string(content.pop("type", None)), "helper", literals.HELPER_LIMIT)
    return [f'type "{name}" protocol {_word(content.pop("protocol", None))}', *_layer(content)]


def _layer(content: Content) -> list[str]:
    return [f"l3proto {_word(content.pop('l3proto'))}"] if "l3proto" in content else []


def _timeout(content: Content) -> list[str]:
    policy = content.pop("policy", {})
    if not isinstance(policy, dict):
        raise Refused("FWT200", "a timeout's policy is a list of states")
    states = ", ".join(f"{_word(state)} : {_count(value)}" for state, value in policy.items())
    return [f"protocol {_word(content.pop('protocol', None))}", *_layer(content), f"policy = {{ {states} }}"]


def _expectation(content: Content) -> list[str]:
    return [
        f"protocol {_word(content.pop('protocol', None))}",
        f"dport {_count(content.pop('dport', 0))}",
        f"timeout {literals.duration(_count(content.pop('timeout', 0)))}",
        f"size {_count(content.pop('size', 0))}",
        *_layer(content),
    ]


def _synproxy(content: Content) -> list[str]:
    lines = [f"{word} {_count(content.pop(word))}" for word in ("mss", "wscale") if word in content]
    if flags := content.pop("flags", None):
        lines.append(" ".join(map(_word, _list(flags))))
    return lines


def _security_mark(content: Content) -> list[str]:
    context = literals.string(_string(content.pop("context", None)), "security context", literals.STRING_LIMIT)
    return [f'"{context}"']


_BODIES: dict[str, Callable[[Content], list[str]]] = {
    "set": _keyed,
    "map": _keyed,
    "flowtable": _flowtable,
    "counter": _counter,
    "quota": _quota,
    "limit": _limit,
    "ct helper": _helper,
    "ct timeout": _timeout,
    "ct expectation": _expectation,
    "synproxy": _synproxy,
    "secmark": _security_mark,
}
