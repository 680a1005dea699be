"""What stands between the braces of sets, maps, chains and named objects, as libnftables-json(5) has it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lark import Token

from fwtrans.parsers.nft_text.elements import read_elements
from fwtrans.parsers.nft_text.expressions import build, text_of, tokens, trees
from fwtrans.parsers.nft_text.faults import BadStatement, closest
from fwtrans.parsers.nft_text.shapes import ShapeReader, parse
from fwtrans.parsers.nft_text.values import number, seconds, settled, unquoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lark import Tree

Json = Any
Content = dict[str, Json]

_UNITS = {"bytes": 1, "kbytes": 1024, "mbytes": 1024**2, "gbytes": 1024**3}
_NAME = re.compile(r'\s*("[^"\n]*"|[A-Za-z_][-\w/.]*)\s*$')


def read_part(kind: str, text: str, content: Content, reader: ShapeReader) -> None:
    """Add what one statement of a block says to the object's content."""
    word = re.match(r"\s*([a-z0-9-]+|\")", text)
    name = word[1] if word else ""
    if name == "comment":
        content["comment"] = _quoted(text[word.end() :] if word else text, text)
        return
    parts = _PARTS[kind]
    read = _statement("quota") if kind == "quota" else parts.get(name)  # a quota may begin with its number
    if read is None or word is None:
        start = len(text) - len(text.lstrip())
        hint = closest(name, parts) or f"here may stand {', '.join(sorted(item for item in parts if item != chr(34)))}"
        message = f"`{text.split(maxsplit=1)[0]}` does not belong to a {kind}"
        raise BadStatement("FWT150", message, start, start + len(text.split(maxsplit=1)[0]), hint=hint)
    read(text, word.end(), content, reader)


def _quoted(text: str, whole: str) -> str:
    found = _NAME.match(text)
    if found is None:
        raise BadStatement("FWT150", "a comment is one string", len(whole) - len(text.lstrip()), len(whole))
    return unquoted(found[1])


@lru_cache(maxsize=1024)
def _parsed(text: str, start: str) -> Tree[Token]:
    """Return the tree of what is written in few ways: types of sets, hooks. Nobody changes it."""
    return parse(text, start)


# --- sets and maps ---


def _type(text: str, _end: int, content: Content, _reader: ShapeReader) -> None:
    tree = _parsed(text, "set_type")
    names = [str(part.children[0]) for part in trees(tree.children) if part.data == "type_part"]
    if tree.data == "set_type":
        content["type"] = names[0] if len(names) == 1 else names
        for part in trees(tree.children):
            if part.data == "map_type":
                held = [str(item) for item in part.children if not _is_interval(item)]
                content["map"] = held[0] if len(held) == 1 else held
                if any(map(_is_interval, part.children)):
                    content["holds ranges"] = True
        return
    for part in trees(tree.children):
        values = [settled(build(item)) for item in trees(part.children)]
        found = {"typeof": {"concat": values} if len(values) > 1 else values[0]}
        content["type" if part.data == "typeof_key" else "map"] = found
        if any(map(_is_interval, part.children)):
            content["holds ranges"] = True
    if isinstance(content.get("map"), dict) and isinstance(content["map"]["typeof"], str):
        content["map"] = content["map"]["typeof"]  # `typeof ip saddr : verdict`


def _is_interval(item: Tree[Token] | Token) -> bool:
    """Tell whether it is the word for ranges as values of a map, which libnftables' JSON does not have."""
    return isinstance(item, Token) and item.type == "INTERVAL"


def _map_type(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    content["map"] = text[end:].strip()


def _flags(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    known = {"constant", "dynamic", "interval", "timeout", "offload", "dormant", "owner", "persist"}
    flags = [item.strip() for item in text[end:].split(",")]
    for item in flags:
        if item not in known:
            start = max(text.find(item, end), 0)
            hint = closest(item, known) or "nft knows " + ", ".join(sorted(known))
            raise BadStatement("FWT151", f"`{item}` is no flag", start, start + max(len(item), 1), hint=hint)
    content["flags"] = flags


def _time(key: str) -> Callable[[str, int, Content, ShapeReader], None]:
    def read(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
        value = text[end:].strip()
        if not re.fullmatch(r"\d+|(?:\d+(?:ms|[dhms]))+", value):
            raise BadStatement("FWT151", f"`{value}` is no time", end, len(text), hint="a time is written `1h30m`")
        content[key] = seconds(value)

    return read


def _time_in_json(text: str, end: int, content: Content, reader: ShapeReader) -> None:
    """Read the time of an expectation, which libnftables' JSON has in milliseconds."""
    _time("timeout")(text, end, content, reader)
    content["timeout"] = round(content["timeout"] * 1000)


def _count(key: str) -> Callable[[str, int, Content, ShapeReader], None]:
    def read(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
        value = text[end:].strip()
        if not re.fullmatch(r"0[xX][0-9a-fA-F]+|\d+", value):
            raise BadStatement("FWT151", f"`{value}` is no number", end, len(text))
        content[key] = number(value)

    return read


def _word(key: str) -> Callable[[str, int, Content, ShapeReader], None]:
    def read(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
        found = _NAME.match(text, end)
        if found is None:
            raise BadStatement("FWT150", f"behind `{key}` stands one word", end, len(text))
        content[key] = unquoted(found[1])

    return read


def _auto_merge(_text: str, _end: int, content: Content, _reader: ShapeReader) -> None:
    content["auto-merge"] = True


_BRACES = re.compile(r"\s*=?\s*\{(.*)\}\s*$", re.DOTALL)


def _elements(text: str, end: int, content: Content, reader: ShapeReader) -> None:
    found = _BRACES.match(text, end)
    if found is None:
        raise BadStatement("FWT150", "elements are written between braces", end, len(text), hint="`elements = { ... }`")
    content["elem"] = [*content.get("elem", []), *within(found.start(1), found[1], reader)]


def within(start: int, text: str, reader: ShapeReader) -> list[Json]:
    """Return elements whose text starts at an offset of its statement."""
    try:
        return read_elements(text, reader)
    except BadStatement as fault:
        raise BadStatement(fault.code, fault.message, fault.start + start, fault.end + start, hint=fault.hint) from None


def _kept_state(text: str, _end: int, content: Content, reader: ShapeReader) -> None:
    content["stmt"] = [*content.get("stmt", []), *reader.rule(text)["expr"]]


# --- named objects ---


def _statement(keyword: str) -> Callable[[str, int, Content, ShapeReader], None]:
    """Read a line that is what follows the keyword in a rule."""

    def read(text: str, _end: int, content: Content, reader: ShapeReader) -> None:
        shift = len(keyword) + 1
        try:
            found = reader.rule(f"{keyword} {text}")["expr"][0][keyword]
        except BadStatement as fault:
            start, end = max(fault.start - shift, 0), max(fault.end - shift, 1)
            raise BadStatement(fault.code, fault.message, start, end, hint=fault.hint) from None
        if keyword == "quota":
            content["bytes"] = found["val"] * _UNITS[found["val_unit"]]
            content["inv"] = bool(found.get("inv"))
            if "used" in found:
                content["used"] = found["used"] * _UNITS[found["used_unit"]]
        elif keyword == "synproxy":
            flags = [*content.get("flags", []), *found.pop("flags", [])]
            content.update(found)
            if flags:
                content["flags"] = flags
        else:
            content.update(found)

    return read


_HELPER = re.compile(r'\s*type\s+("[^"\n]*"|[-\w]+)\s+protocol\s+(\w+)\s*$')
_POLICY = re.compile(r"\s*=\s*\{(.*)\}\s*$", re.DOTALL)
_STATE = re.compile(r"\s*([a-z_0-9]+)\s*:\s*((?:\d+(?:ms|[dhms]))+|\d+)\s*")


def _helper_type(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    found = _HELPER.match(text)
    if found is None:
        hint = '`type "ftp" protocol tcp`'
        raise BadStatement("FWT150", "a helper has a type and a protocol", end, len(text), hint=hint)
    content.update(type=unquoted(found[1]), protocol=found[2])


def _policy(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    found = _POLICY.match(text, end)
    if found is None:
        hint = "`policy = { established : 100 }`"
        raise BadStatement("FWT150", "a policy is a list of states", end, len(text), hint=hint)
    policy = {}
    for item in filter(str.strip, found[1].split(",")):
        state = _STATE.fullmatch(item)
        if state is None:
            start = max(text.find(item), 0)
            raise BadStatement("FWT151", f"`{item.strip()}` is no state with its time", start, start + len(item))
        policy[state[1]] = seconds(state[2])
    content["policy"] = policy


def _context(text: str, _end: int, content: Content, _reader: ShapeReader) -> None:
    content["context"] = _quoted(text, text)


_FLOW_HOOK = re.compile(r"\s*hook\s+(ingress)\s+priority\s+(?:(filter)(?:\s*([-+])\s*(\d+))?|(-?\s*\d+))\s*;?\s*$")
_DEVICES = re.compile(r'\s*devices\s*=\s*(?:\{([^;]*)\}|("[^"\n]*"|[\w.:@*-]+))\s*;?\s*$')
_DEVICE = re.compile(r'"([^"\n]*)"|([^\s,{}"]+)')


def _flow_hook(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    """Read where a flow table looks at packets; of priorities that have names there is `filter` alone, which is 0."""
    found = _FLOW_HOOK.match(text)
    if found is None:
        hint = "`hook ingress priority filter`"
        raise BadStatement(
            "FWT150", "this is no hook of a flow table", end, max(len(text.rstrip()), end + 1), hint=hint
        )
    content["hook"] = found[1]
    content["prio"] = int((found[5] or f"{found[3] or ''}{found[4] or 0}").replace(" ", ""))


def _devices(text: str, end: int, content: Content, _reader: ShapeReader) -> None:
    found = _DEVICES.match(text)
    if found is None:
        hint = "`devices = { eth0, eth1 }`"
        raise BadStatement("FWT150", "devices are a list of names", end, max(len(text.rstrip()), end + 1), hint=hint)
    named = found[1] if found[1] is not None else found[2]
    names: list[Json] = [quoted or plain for quoted, plain in _DEVICE.findall(named)]
    content["dev"] = names[0] if len(names) == 1 else names  # as libnftables tells them


def _counting(_text: str, _end: int, content: Content, _reader: ShapeReader) -> None:
    content["counter"] = True


_SET_PARTS = {
    "type": _type, "typeof": _type, "flags": _flags, "timeout": _time("timeout"), "gc-interval": _time("gc-interval"),
    "size": _count("size"), "policy": _word("policy"), "auto-merge": _auto_merge, "elements": _elements,
    "counter": _kept_state, "limit": _kept_state, "quota": _kept_state, "ct": _kept_state, "last": _kept_state,
}  # fmt: skip
_PARTS: dict[str, dict[str, Callable[[str, int, Content, ShapeReader], None]]] = {
    "set": _SET_PARTS,
    "map": {**_SET_PARTS, "map": _map_type},
    "meter": _SET_PARTS,
    "counter": {"packets": _statement("counter")},
    "quota": {},
    "limit": {"rate": _statement("limit")},
    "synproxy": dict.fromkeys(("mss", "wscale", "timestamp", "sack-perm"), _statement("synproxy")),
    "secmark": {'"': _context},
    "ct helper": {"type": _helper_type, "l3proto": _word("l3proto")},
    "ct timeout": {"protocol": _word("protocol"), "l3proto": _word("l3proto"), "policy": _policy},
    "ct expectation": {
        "protocol": _word("protocol"), "l3proto": _word("l3proto"), "dport": _count("dport"),
        "timeout": _time_in_json, "size": _count("size"),
    },
    "flowtable": {"hook": _flow_hook, "devices": _devices, "flags": _flags, "counter": _counting},
}  # fmt: skip


def object_kinds() -> frozenset[str]:
    """Return what may be declared in a table, chains apart."""
    return frozenset(_PARTS)


# --- chains ---


def read_base(text: str) -> Content:
    """Return what `type filter hook input priority 0` says."""
    tree = _parsed(text, "base")
    kind, hook = (str(item) for item in tokens(tree.children, "WORD"))
    content: Content = {"type": kind, "hook": hook}
    devices: list[str] = []
    for part in trees(tree.children):
        if part.data == "priority":
            content["prio"] = _priority(part.children)
        else:
            devices += [settled(text_of(item.children)) for item in trees(part.children)]
    if devices:
        content["dev"] = devices[0] if len(devices) == 1 else devices
    return content


def _priority(parts: list[Any]) -> Json:
    sign = next((str(item) for item in parts if isinstance(item, Token) and item.type == "SIGN"), "+")
    amount = next((number(str(item)) for item in parts if isinstance(item, Token) and item.type == "NUMBER"), 0)
    offset = -amount if sign == "-" else amount
    named = trees(parts)
    if not named:
        return offset
    name = settled(text_of(named[0].children))
    return f"{name} {sign} {amount}" if amount else name
