"""Trees of expressions, sets and maps to the JSON of libnftables-json(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lark import Token, Tree

from fwtrans.parsers.nft_text.faults import BadStatement
from fwtrans.parsers.nft_text.selectors import selector
from fwtrans.parsers.nft_text.values import leaf, number, seconds, unquoted

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any
Node = Any

_OPERATORS = {"and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>"}


def build(node: Node) -> Json:
    """Return an expression, set, map, verdict or piece of state as JSON."""
    if isinstance(node, Token):
        return leaf(node)
    return _BUILDERS[node.data](node.children)


def tokens(nodes: list[Node], kind: str) -> list[Token]:
    """Return the children that are tokens of one kind."""
    return [item for item in nodes if isinstance(item, Token) and item.type == kind]


def trees(nodes: list[Node]) -> list[Tree[Token]]:
    """Return the children that are trees."""
    return [item for item in nodes if isinstance(item, Tree)]


def text_of(nodes: list[Node]) -> Json:
    """Return the name that a `name` node holds."""
    return leaf(nodes[0], unquoted)


def selected(token: Token) -> Json:
    """Return a selector; a fault in it is located in the whole statement."""
    try:
        return selector(str(token))
    except BadStatement as fault:
        start = token.start_pos or 0
        raise BadStatement(fault.code, fault.message, start + fault.start, start + fault.end, hint=fault.hint) from None


def _one(nodes: list[Node]) -> Json:
    return build(nodes[0])


def _list(nodes: list[Node]) -> Json:
    found = [build(item) for item in nodes]
    return found[0] if len(found) == 1 else found


def _binary(nodes: list[Node]) -> Json:
    left, operator, right = nodes
    return {_OPERATORS.get(str(operator), str(operator)): [build(left), build(right)]}


def _concat(nodes: list[Node]) -> Json:
    return {"concat": [build(item) for item in nodes]}


def _concat_or_one(nodes: list[Node]) -> Json:
    return _concat(nodes) if len(nodes) > 1 else build(nodes[0])


def prefix(address: Node, length: Token) -> Json:
    """Return address/length."""
    return {"prefix": {"addr": build(address), "len": leaf(length, number)}}


def _modulus(content: dict[str, Json], nodes: list[Node]) -> dict[str, Json]:
    content["mod"] = number(tokens(nodes, "NUMBER")[0])
    for item in trees(nodes):
        if item.data in {"offset", "seed"}:
            content[str(item.data)] = number(str(item.children[0]))
    return content


def _numgen(nodes: list[Node]) -> Json:
    return {"numgen": {"offset": 0, **_modulus({"mode": str(nodes[0])}, nodes)}}


def _jhash(nodes: list[Node]) -> Json:
    return {"jhash": _modulus({"expr": _concat_or_one(nodes[0].children)}, nodes)}


def _symhash(nodes: list[Node]) -> Json:
    return {"symhash": _modulus({}, nodes)}


# --- sets, maps and their elements ---


def _set(nodes: list[Node]) -> Json:
    found: list[Json] = []
    for item in nodes[0].children:
        inner = build(item)
        # a set inside a set, as a variable makes it, is the elements themselves
        found.extend(inner["set"] if item.data == "set" else [inner])
    return {"set": found}


def _element(nodes: list[Node]) -> Json:
    return _with_extras(build(nodes[0]), nodes[1:])


def _map_element(nodes: list[Node]) -> Json:
    data = next(index for index, item in enumerate(nodes) if isinstance(item, Tree) and item.data == "data")
    return [_with_extras(build(nodes[0]), [*nodes[1:data], *nodes[data + 1 :]]), build(nodes[data])]


def _with_extras(value: Json, extras: list[Node]) -> Json:
    if not extras:
        return value
    content: dict[str, Json] = {"val": value}
    for extra in extras:
        content.update(build(extra))
    return {"elem": content}


def _map(nodes: list[Node]) -> Json:
    return {"map": {"key": build(nodes[0]), "data": build(nodes[1])}}


def _verdict(nodes: list[Node]) -> Json:
    kind = str(nodes[0])
    return {kind: {"target": build(nodes[1])} if len(nodes) > 1 else None}


# --- state ---


def _counter(nodes: list[Node]) -> Json:
    if not nodes:
        return {"counter": None}
    packets, octets = (leaf(item, number) for item in nodes)
    return {"counter": {"packets": packets, "bytes": octets}}


def _named(kind: str) -> Callable[[list[Node]], Json]:
    return lambda nodes: {kind: build(nodes[0])}


def _inverted(nodes: list[Node]) -> dict[str, Json]:
    over = any(item.data == "sense" and str(item.children[0]) == "over" for item in trees(nodes))
    return {"inv": True} if over else {}


_PERIODS = {"second", "minute", "hour", "day", "week"}
_UNITS = {"bytes", "kbytes", "mbytes", "gbytes"}


def _limit(nodes: list[Node]) -> Json:
    rate, unit = tokens(nodes, "NUMBER")[0], tokens(nodes, "WORD")[0]
    amount, _, period = str(unit).rpartition("/")
    content: dict[str, Json] = {"rate": leaf(rate, number), "per": _one_of(unit, period, _PERIODS)}
    if amount:
        content["rate_unit"] = _one_of(unit, amount, _UNITS)
    content["burst"] = 0 if amount else 5
    if amount:
        content["burst_unit"] = "bytes"
    for item in trees(nodes):
        if item.data == "burst":
            content["burst"] = leaf(item.children[0], number)  # type: ignore[arg-type]
            if len(item.children) > 1:
                named = item.children[1]
                found = _one_of(named, str(named), _UNITS | {"packets"})
                content.update({} if found == "packets" else {"burst_unit": found})
    return {"limit": {**content, **_inverted(nodes)}}


def _one_of(token: Node, word: str, known: set[str]) -> str:
    if word not in known:
        start = token.start_pos or 0
        hint = "one of " + ", ".join(sorted(known))
        raise BadStatement("FWT151", f"`{word}` is no unit here", start, start + len(token), hint=hint)
    return word


def _quota(nodes: list[Node]) -> Json:
    amount, unit = tokens(nodes, "NUMBER")[0], tokens(nodes, "WORD")[0]
    content: dict[str, Json] = {"val": leaf(amount, number), "val_unit": _one_of(unit, str(unit), _UNITS)}
    for item in trees(nodes):
        if item.data == "used":
            used, used_unit = item.children
            content["used"] = leaf(used, number)  # type: ignore[arg-type]
            content["used_unit"] = _one_of(used_unit, str(used_unit), _UNITS)
    return {"quota": {**content, **_inverted(nodes)}}


def _connections(nodes: list[Node]) -> Json:
    return {"ct count": {"val": leaf(tokens(nodes, "NUMBER")[0], number), **_inverted(nodes)}}


_BUILDERS: dict[str, Callable[[list[Node]], Json]] = {
    "left": _one,
    "right": _one,
    "right_list": _list,
    "argument": _one,
    "argument_list": _list,
    "selector": lambda nodes: selected(nodes[0]),
    "generator": _one,
    "value": _one,
    "reference": _one,
    "name": text_of,
    "key": _one,
    "data": _one,
    "data_concat": _concat,
    "concat": _concat,
    "binary": _binary,
    "range": lambda nodes: {"range": [build(item) for item in nodes]},
    "prefix": lambda nodes: prefix(nodes[0], nodes[1]),
    "anything": lambda _nodes: "*",
    "changed_key": _concat_or_one,
    "hashed": _concat_or_one,
    "numgen": _numgen,
    "jhash": _jhash,
    "symhash": _symhash,
    "set": _set,
    "element": _element,
    "map_element": _map_element,
    "map": _map,
    "verdict": _verdict,
    "counter": _counter,
    "named_counter": _named("counter"),
    "limit": _limit,
    "named_limit": _named("limit"),
    "quota": _quota,
    "named_quota": _named("quota"),
    "connections": _connections,
    "last": lambda _nodes: {"last": None},
    "timeout": lambda nodes: {"timeout": leaf(nodes[0], seconds)},
    "expires": lambda nodes: {"expires": leaf(nodes[0], seconds)},
    "comment": lambda nodes: {"comment": build(nodes[0])},
}
