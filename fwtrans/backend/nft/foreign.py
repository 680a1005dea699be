"""Statements that we do not model, as text: from the JSON of libnftables-json(5), in which they were read or put.

    {"dnat": {"addr": {"map": {"key": ..., "data": ...}}, "type_flags": "concat"}}      dnat ip addr . port to tcp dport map { ... }

Nothing is taken over unseen: each word is a name of nft's own, a number, an address, or stands between quotation marks.
What has another shape than those here is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeAlias

from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft.foreign_state import state_text
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_WORD = re.compile(r"[a-z][a-z0-9_-]*", re.IGNORECASE)
_BARE = re.compile(r"[a-z0-9][a-z0-9_.:/-]*", re.IGNORECASE)
_SET = re.compile(r"@[a-z_][a-z0-9_./\\-]*", re.IGNORECASE)
# their values are names, and a name may be one of nft's own words
_NAMED = {"iif", "oif", "iifname", "oifname", "ibrname", "obrname", "sdifname", "iifkind", "oifkind"}
_UNQUALIFIED = _NAMED - {"sdifname", "iifkind", "oifkind"}
_BINARY = {"|", "&", "^", "<<", ">>"}
_OPERATORS = {"==", "!=", "<", ">", "<=", ">=", "in"}
_TRANSLATIONS = {"snat", "dnat", "masquerade", "redirect"}
ENDING = {*_TRANSLATIONS, "queue"}
"""Statements behind which nothing of a rule is carried out, as the packet is accepted."""


def foreign_text(text: str) -> str:
    """Return the statement of which the text is the JSON, as nft reads it."""
    content = json.loads(text)
    if isinstance(content, dict) and len(content) == 1:
        ((kind, inner),) = content.items()
        printer = _STATEMENTS.get(kind)
        if printer is not None:
            return printer(kind, inner)
    raise _no_form(content)


def _no_form(content: Json) -> Refused:
    return Refused("FWT200", f"`{json.dumps(content)}` has no exact nftables form")


def _object(content: Json, *known: str) -> dict[str, Json]:
    """Return an object that has no property beyond the known ones."""
    if not isinstance(content, dict) or not set(content) <= set(known):
        raise _no_form(content)
    return content


def _word(content: Json) -> str:
    if not isinstance(content, str) or not _WORD.fullmatch(content):
        raise _no_form(content)
    return content


def _number(content: Json) -> str:
    if isinstance(content, bool) or not isinstance(content, int):
        raise _no_form(content)
    return str(content)


# --- statements ---


def _match(_kind: str, content: Json) -> str:
    found = _object(content, "op", "left", "right")
    operator = found.get("op", "==")
    if operator not in _OPERATORS:
        raise _no_form(content)
    left, right = found.get("left"), found.get("right")
    meta = left.get("meta") if isinstance(left, dict) else None
    if isinstance(meta, dict) and meta.get("key") in _NAMED and isinstance(right, str) and not right.startswith("@"):
        value = f'"{literals.string(right, "name", literals.STRING_LIMIT)}"'
    else:
        value = expression(right)
    # `in` is what nft says where no operator stands: any of the flags
    is_implied = operator == "in" or (
        operator == "==" and isinstance(meta, dict) and not isinstance(right, (list, dict))
    )
    return f"{expression(left)} {value}" if is_implied else f"{expression(left)} {operator} {value}"


def _assignment(_kind: str, content: Json) -> str:
    found = _object(content, "key", "value")
    if found.get("key") == {"meta": {"key": "secmark"}}:
        return _of_object("secmark", found.get("value"))
    return f"{expression(found.get('key'))} set {expression(found.get('value'))}"


def _translation(kind: str, content: Json) -> str:
    found = _object(content or {}, "addr", "port", "family", "flags", "type_flags")
    words = [kind]
    if "family" in found:
        words.append(_word(found["family"]))
    kinds = found.get("type_flags", [])
    for flag in kinds if isinstance(kinds, list) else [kinds]:
        words.append({"prefix": "prefix", "concat": "addr . port", "interval": "interval"}.get(_word(flag), ""))
        if not words[-1]:
            raise _no_form(content)
    if "addr" in found or "port" in found:
        address = expression(found["addr"]) if "addr" in found else ""
        port = f":{expression(found['port'])}" if "port" in found else ""
        in_brackets = port and ":" in address and isinstance(found["addr"], str)  # a map has colons, too
        words.append(f"to {f'[{address}]' if in_brackets else address}{port}")
    flags = found.get("flags", [])
    # `netmap` is what libnftables adds where addresses are translated by prefix
    flags = [flag for flag in (flags if isinstance(flags, list) else [flags]) if flag != "netmap"]
    if flags:
        words.append(",".join(map(_word, flags)))
    return " ".join(words)


def _map_update(_kind: str, content: Json) -> str:
    found = _object(content, "op", "elem", "data", "map")
    key, value = _changed(found.get("elem")), expression(found.get("data"))
    return f"{_word(found.get('op'))} {_reference(found.get('map'))} {{ {key} : {value} }}"


def _set_update(_kind: str, content: Json) -> str:
    found = _object(content, "op", "elem", "set", "stmt")
    kept = found.get("stmt", [])
    words = [_changed(found.get("elem")), *map(state_text, kept if isinstance(kept, list) else [kept])]
    return f"{_word(found.get('op'))} {_reference(found.get('set'))} {{ {' '.join(words)} }}"


def _changed(content: Json) -> str:
    """Return an element that a rule puts into a set or map, with its time."""
    if not isinstance(content, dict) or set(content) != {"elem"}:
        return expression(content)
    found = _object(content["elem"], "val", "timeout")
    time = f" timeout {_number(found['timeout'])}s" if "timeout" in found else ""
    return f"{expression(found.get('val'))}{time}"


def _verdict_map(_kind: str, content: Json) -> str:
    found = _object(content, "key", "data")
    data = _object(found.get("data"), "set").get("set")
    words = []
    for item in data if isinstance(data, list) else [None]:
        if not isinstance(item, list) or len(item) != 2:
            raise _no_form(content)
        words.append(f"{expression(item[0])} : {_verdict(item[1])}")
    return f"{expression(found.get('key'))} vmap {{ {', '.join(words)} }}"


def _verdict(content: Json) -> str:
    found = _object(content, "accept", "drop", "return", "continue", "jump", "goto")
    if len(found) != 1:
        raise _no_form(content)
    ((kind, inner),) = found.items()
    if kind not in {"jump", "goto"}:
        return kind
    target = _object(inner, "target").get("target")
    if not isinstance(target, str):
        raise _no_form(content)
    return f"{kind} {names.checked(target, names.NameKind.CHAIN)}"


def _flow(_kind: str, content: Json) -> str:
    found = _object(content, "op", "flowtable")
    return f"flow {_word(found.get('op'))} {_reference(found.get('flowtable'))}"


def _of_object(kind: str, content: Json) -> str:
    """Return `limit name tcp dport map { 80 : "slow" }` and the like: the object of that name, or that a map has for a packet."""
    if isinstance(content, str):
        return f"{_BY_NAME[kind]} {object_name(content)}"
    found = _object(_object(content, "map").get("map"), "key", "data")
    data = found.get("data")
    entries = data.get("set") if isinstance(data, dict) and set(data) == {"set"} else None
    if not isinstance(entries, list):
        return f"{_BY_NAME[kind]} {expression(content)}"
    words = []
    for item in entries:
        if not isinstance(item, list) or len(item) != 2:
            raise _no_form(content)
        words.append(f"{expression(item[0])} : {object_name(item[1])}")
    return f"{_BY_NAME[kind]} {expression(found.get('key'))} map {{ {', '.join(words)} }}"


def object_name(content: Json) -> str:
    """Return the name of a limit, a helper or the like between quotation marks."""
    if not isinstance(content, str):
        raise _no_form(content)
    return f'"{names.checked(content, names.NameKind.OBJECT)}"'


# how a statement begins that takes an object by its name
_BY_NAME = {
    "counter": "counter name",
    "limit": "limit name",
    "quota": "quota name",
    "synproxy": "synproxy name",
    "secmark": "meta secmark set",
    "ct helper": "ct helper set",
    "ct timeout": "ct timeout set",
    "ct expectation": "ct expectation set",
}


def _queue(_kind: str, content: Json) -> str:
    found = _object(content, "num", "flags")
    flags = found.get("flags", [])
    words = ",".join(map(_word, flags if isinstance(flags, list) else [flags]))
    return f"queue {f'flags {words} ' if words else ''}to {expression(found.get('num'))}"


def _duplicate(_kind: str, content: Json) -> str:
    found = _object(content, "addr", "dev")
    device = f" device {_device(found['dev'])}" if "dev" in found else ""
    return f"dup to {expression(found.get('addr'))}{device}"


def _device(content: Json) -> str:
    if isinstance(content, str):
        return f'"{literals.string(content, "interface", literals.INTERFACE_LIMIT)}"'
    return expression(content)


_STATEMENTS: dict[str, Callable[[str, Json], str]] = {
    "match": _match,
    "mangle": _assignment,
    "map": _map_update,
    "queue": _queue,
    "set": _set_update,
    "dup": _duplicate,
    "tproxy": _translation,
    "flow": _flow,
    "vmap": _verdict_map,
    **dict.fromkeys(_BY_NAME, _of_object),
    **dict.fromkeys(_TRANSLATIONS, _translation),
}


# --- expressions ---


def expression(content: Json) -> str:
    """Return an expression as nft reads it."""
    if isinstance(content, bool):
        return "exists" if content else "missing"
    if isinstance(content, int):
        return str(content)
    if isinstance(content, str):
        return _text(content)
    if isinstance(content, list):
        return ",".join(map(expression, content))
    if isinstance(content, dict) and len(content) == 1:
        ((kind, inner),) = content.items()
        if kind in _BINARY and isinstance(inner, list) and len(inner) > 1:
            return "(" + f" {kind} ".join(map(expression, inner)) + ")"
        printer = _EXPRESSIONS.get(kind)
        if printer is not None:
            return printer(inner)
    raise _no_form(content)


def _text(content: str) -> str:
    if content.startswith("@"):
        return _reference(content)
    if content == "*" or _BARE.fullmatch(content) or re.fullmatch(r"[0-9a-f:]*::?[0-9a-f:.]*", content):
        return content
    return f'"{literals.string(content, "value", literals.STRING_LIMIT)}"'


def _reference(content: Json) -> str:
    if not isinstance(content, str) or not _SET.fullmatch(content):
        raise _no_form(content)
    return content


def _meta(content: Json) -> str:
    key = _word(_object(content, "key").get("key"))
    return key if key in _UNQUALIFIED else f"meta {key}"


def _payload(content: Json) -> str:
    found = _object(content, "protocol", "field", "base", "offset", "len")
    if "base" in found:
        return f"@{_word(found['base'])},{_number(found.get('offset'))},{_number(found.get('len'))}"
    return f"{_word(found.get('protocol'))} {_word(found.get('field'))}"


def _connection(content: Json) -> str:
    found = _object(content, "key", "dir", "family")
    words = ["ct", *([_word(found["dir"])] if "dir" in found else [])]
    key = found.get("key")
    if not isinstance(key, str) or not all(map(_WORD.fullmatch, key.split(" "))):
        raise _no_form(content)
    words += [*([_word(found["family"])] if "family" in found else []), key]
    return " ".join(words)


def _prefix(content: Json) -> str:
    found = _object(content, "addr", "len")
    return f"{expression(found.get('addr'))}/{_number(found.get('len'))}"


def _range(content: Json) -> str:
    if not isinstance(content, list) or len(content) != 2:
        raise _no_form(content)
    return "-".join(map(expression, content))


def _tuple(content: Json) -> str:
    if not isinstance(content, list):
        raise _no_form(content)
    return " . ".join(map(expression, content))


def _elements(content: Json) -> str:
    if not isinstance(content, list):
        raise _no_form(content)
    words = []
    for item in content:
        if isinstance(item, list):
            key, value = item if len(item) == 2 else (None, None)
            words.append(f"{expression(key)} : {expression(value)}")
        else:
            words.append(expression(item))
    return f"{{ {', '.join(words)} }}"


def _look_up(content: Json) -> str:
    found = _object(content, "key", "data")
    return f"{expression(found.get('key'))} map {expression(found.get('data'))}"


def _number_generator(content: Json) -> str:
    found = _object(content, "mode", "mod", "offset")
    offset = f" offset {_number(found['offset'])}" if found.get("offset") else ""
    return f"numgen {_word(found.get('mode'))} mod {_number(found.get('mod'))}{offset}"


def _hash(content: Json) -> str:
    found = _object(content, "mod", "offset", "expr", "seed")
    seed = f" seed {_number(found['seed'])}" if "seed" in found else ""
    offset = f" offset {_number(found['offset'])}" if found.get("offset") else ""
    return f"jhash {expression(found.get('expr'))} mod {_number(found.get('mod'))}{seed}{offset}"


def _symmetric_hash(content: Json) -> str:
    found = _object(content, "mod", "offset")
    offset = f" offset {_number(found['offset'])}" if found.get("offset") else ""
    return f"symhash mod {_number(found.get('mod'))}{offset}"


def _fib(content: Json) -> str:
    found = _object(content, "flags", "result")
    flags = found.get("flags", [])
    words = [_word(flag) for flag in (flags if isinstance(flags, list) else [flags])]
    return f"fib {' . '.join(words)} {_word(found.get('result'))}"


def _tcp_option(content: Json) -> str:
    found = _object(content, "name", "field")
    return " ".join(["tcp option", _word(found.get("name")), *([_word(found["field"])] if "field" in found else [])])


def _extension(content: Json) -> str:
    found = _object(content, "name", "field")
    return f"{_word(found.get('name'))} {_word(found.get('field'))}"


def _ip_option(content: Json) -> str:
    return f"ip option {_extension(content)}"


def _socket(content: Json) -> str:
    found = _object(content, "key", "level")
    level = f" level {_number(found['level'])}" if "level" in found else ""
    return f"socket {_word(found.get('key'))}{level}"


def _route(content: Json) -> str:
    found = _object(content, "key", "family")
    return " ".join(["rt", *([_word(found["family"])] if "family" in found else []), _word(found.get("key"))])


_EXPRESSIONS: dict[str, Callable[[Json], str]] = {
    "meta": _meta,
    "payload": _payload,
    "ct": _connection,
    "prefix": _prefix,
    "range": _range,
    "concat": _tuple,
    "set": _elements,
    "map": _look_up,
    "numgen": _number_generator,
    "jhash": _hash,
    "symhash": _symmetric_hash,
    "fib": _fib,
    "tcp option": _tcp_option,
    "exthdr": _extension,
    "ip option": _ip_option,
    "socket": _socket,
    "rt": _route,
}


# --- what a statement rests on ---


def named_sets(text: str) -> frozenset[str]:
    """Return the names of the sets and maps that the statement asks or fills."""
    found: set[str] = set()
    left: list[Json] = [json.loads(text)]
    while left:
        item = left.pop()
        if isinstance(item, str) and item.startswith("@"):
            found.add(item[1:])
        elif isinstance(item, (dict, list)):
            left.extend(item.values() if isinstance(item, dict) else item)
    return frozenset(found)


def headers_asked(text: str) -> frozenset[str]:
    """Return the headers that the statement looks into."""
    found: set[str] = set()
    left: list[Json] = [json.loads(text)]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            payload = item.get("payload")
            if isinstance(payload, dict) and isinstance(payload.get("protocol"), str):
                found.add(str(payload["protocol"]))
        if isinstance(item, (dict, list)):
            left.extend(item.values() if isinstance(item, dict) else item)
    return frozenset(found)


def negated_match(text: str) -> str:
    """Return the opposite question. Only of an interface's index: of all else a packet may have nothing to compare."""
    content = json.loads(text)
    found = content.get("match", {})
    if found.get("op") != "==" or found.get("left") not in ({"meta": {"key": "iif"}}, {"meta": {"key": "oif"}}):
        raise _no_form(content)
    return json.dumps({"match": {**found, "op": "!="}})


def kind_of(text: str) -> str:
    """Return which statement it is."""
    content: dict[str, Json] = json.loads(text)
    return next(iter(content))
