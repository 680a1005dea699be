"""Trees of rules to the JSON of libnftables-json(5), statement by statement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lark import Token, Tree

from fwtrans.parsers.nft_text.expressions import build, prefix, selected, tokens, trees
from fwtrans.parsers.nft_text.faults import BadStatement, closest
from fwtrans.parsers.nft_text.selectors import tcp_option
from fwtrans.parsers.nft_text.values import leaf, number

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any
Node = Any

_RELATIONS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "not": "!"}
# nft compares these with any of the bits where no operator is written
_FLAGS = (
    {"ct": {"key": "state"}},
    {"ct": {"key": "status"}},
    {"ct": {"key": "label"}},
    {"ct": {"key": "event"}},
    {"payload": {"protocol": "tcp", "field": "flags"}},
)


def build_rule(tree: Tree[Token]) -> dict[str, Json]:
    """Return {"expr": [...]} and, if there is one, the comment."""
    found: dict[str, Json] = {"expr": []}
    for node in trees(tree.children):
        if node.data == "comment":
            found.update(build(node))
        else:
            found["expr"].append(build_statement(node))
    return found


def build_statement(node: Tree[Token]) -> Json:
    """Return one statement."""
    special = _STATEMENTS.get(node.data)
    return special(node.children) if special is not None else build(node)


def _relation(nodes: list[Node]) -> str:
    found = tokens(nodes, "RELATION")
    return _RELATIONS.get(str(found[0]), str(found[0])) if found else ""


def _match(nodes: list[Node]) -> Json:
    relation, left, right = _relation(nodes), build(nodes[0]), build(nodes[-1])
    _check_words(nodes[0], nodes[-1])
    if isinstance(right, list) and relation in {"==", "!="}:
        right = {"|": right}
    if not relation:
        plain = isinstance(right, list) or nodes[-1].children[0].data == "right_list"
        relation = "in" if plain and left in _FLAGS else "=="
    return {"match": {"op": relation, "left": left, "right": right}}


_KNOWN_WORDS: dict[str, frozenset[str]] = {
    "ct state": frozenset({"invalid", "new", "established", "related", "untracked"}),
    "tcp flags": frozenset({"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"}),
}


def _check_words(left: Tree[Token], right: Tree[Token]) -> None:
    """Refuse words that are none of the selector's, where all of those are known and closed."""
    asked = list(left.scan_values(lambda item: isinstance(item, Token) and item.type == "SELECTOR"))
    name = " ".join(str(asked[0]).split()) if len(asked) == 1 else ""
    known = _KNOWN_WORDS.get(name)
    if known is None:
        return
    is_word = lambda item: isinstance(item, Token) and item.type == "WORD"  # noqa: E731 -- used twice below
    for token in (*left.scan_values(is_word), *right.scan_values(is_word)):
        if str(token) not in known:
            start = token.start_pos or 0
            message = f"`{token}` is no value of {name}"
            hint = closest(str(token), known) or "nft knows " + ", ".join(sorted(known))
            raise BadStatement("FWT151", message, start, start + len(token), hint=hint)


def _masked_match(nodes: list[Node]) -> Json:
    """Read `flags / mask`, which looks like a prefix."""
    left, (values, mask) = build(nodes[0]), nodes[-2:]
    relation = _relation(nodes) or "=="
    if left not in _FLAGS and len(values.children) == len(mask.children) == 1:
        length = mask.children[0]
        if isinstance(length, Tree) and length.data == "value" and length.children[0].type == "NUMBER":  # type: ignore[union-attr]
            right = prefix(values.children[0], length.children[0])  # type: ignore[arg-type]
            return {"match": {"op": relation, "left": left, "right": right}}
        start = _first_token(mask).start_pos or 0
        raise BadStatement("FWT150", "behind the slash stands no prefix length", start, hint="write a number of bits")
    return {"match": {"op": relation, "left": {"&": [left, build(mask)]}, "right": build(values)}}


def _first_token(node: Tree[Token]) -> Token:
    return next(node.scan_values(lambda item: isinstance(item, Token)))


def _verdict_map(nodes: list[Node]) -> Json:
    return {"vmap": {"key": build(nodes[0]), "data": build(nodes[1])}}


_OBJECT_KEYS = {"helper": "ct helper", "timeout": "ct timeout", "expectation": "ct expectation"}


def _assign(nodes: list[Node]) -> Json:
    target, value = build(nodes[0]), build(nodes[1])
    key = target.get("ct", {}).get("key")
    if key in _OBJECT_KEYS:
        return {_OBJECT_KEYS[key]: value}
    if target == {"meta": {"key": "secmark"}} and not isinstance(value, dict):
        return {"secmark": value}
    if key == "event":
        value = [_event(item) for item in value] if isinstance(value, list) else _event(value)
    return {"mangle": {"key": target, "value": value}}


def _event(value: Json) -> Json:
    """Return an event's word: `mark` and `secmark` look like selectors."""
    return value["meta"]["key"] if isinstance(value, dict) and "meta" in value else value


# --- effects ---


def _log(nodes: list[Node]) -> Json:
    content: dict[str, Json] = {}
    for option in nodes:
        words = option.children
        if option.data == "log_prefix":
            content["prefix"] = build(words[0])
        elif option.data == "log_number":
            content[str(words[0])] = leaf(words[1], number)
        elif option.data == "log_level":
            content["level"] = _LEVELS.get(str(words[0]), str(words[0]))
        else:
            flags = content.setdefault("flags", [])
            flags.extend(item for item in _log_flags(str(words[0])) if item not in flags)
    flags = content.get("flags")
    if flags:
        everything = {"tcp sequence", "tcp options", "ip options", "skuid", "ether"}
        content["flags"] = "all" if set(flags) >= everything or "all" in flags else flags
    return {"log": content or None}


_LEVELS = {"warning": "warn", "error": "err", "panic": "emerg"}


def _log_flags(text: str) -> list[str]:
    first, _, rest = text.partition(" ")
    if first != "tcp":
        return [" ".join(text.split())]
    return [f"tcp {item}" for item in re.split(r"[\s,]+", rest.strip())]


def _reject(nodes: list[Node]) -> Json:
    if not nodes:
        return {"reject": None}
    kind = str(nodes[0]).split()
    if kind[0] == "tcp":
        return {"reject": {"type": "tcp reset"}}
    if len(nodes) < 2:
        start = nodes[0].end_pos or 0
        raise BadStatement("FWT150", f"`reject with {kind[0]}` needs the message's type", start, start + 1)
    return {"reject": {"type": kind[0], "expr": build(nodes[1])}}


def _queue(nodes: list[Node]) -> Json:
    content: dict[str, Json] = {"num": 0}
    for node in trees(nodes):
        if node.data == "queue_flags":
            content["flags"] = [*content.get("flags", []), *map(str, tokens(node.children, "QUEUE_FLAG"))]
        else:
            content["num"] = build(node)
            if isinstance(content["num"], list):
                start = _first_token(node).start_pos or 0
                hint = "nft takes one queue or a range: `queue num 1-3`"
                raise BadStatement("FWT150", "a list of queues", start, hint=hint)
    return {"queue": content}


def _nat(nodes: list[Node]) -> Json:
    name = str(nodes[0])
    content: dict[str, Json] = {}
    flags: list[str] = []
    for node in trees(nodes[1:]):
        if node.data == "nat_flags":
            flags += map(str, node.children)
        elif node.data == "nat_port":
            *kind, port = trees(node.children)
            content["port"] = build(port)
            for part in kind:
                _add_family(content, part)
        else:
            _add_target(content, node, flags)
    if name == "redirect" and "addr" in content and "port" not in content:
        content["port"] = content.pop("addr")  # `redirect to 8080`: there is no address that it could be
    if flags:
        content["flags"] = flags[0] if len(flags) == 1 else flags
    return {name: content or None}


def _add_family(content: dict[str, Json], node: Tree[Token]) -> None:
    for token in node.children:
        if isinstance(token, Token) and token.type == "FAMILY":
            content["family"] = str(token)


def _add_target(content: dict[str, Json], node: Tree[Token], flags: list[str]) -> None:
    values = []
    for part in trees(node.children):
        if part.data == "nat_kind":
            _add_family(content, part)
            for token in tokens(part.children, "NAT_KIND"):
                if str(token) == "prefix":
                    content["type_flags"] = "prefix"
                    flags.append("netmap")
        else:
            values.append(build(part))
    content["addr"] = values[0]
    if len(values) > 1:
        content["port"] = values[1]


def _tproxy(nodes: list[Node]) -> Json:
    values = [build(item) for item in trees(nodes)]
    content: dict[str, Json] = {}
    family = tokens(nodes, "FAMILY")
    if family:
        content["family"] = str(family[0])
    content["addr"] = values[0]
    if len(values) > 1:
        content["port"] = values[1]
    return {"tproxy": content}


def _tproxy_port(nodes: list[Node]) -> Json:
    content = _tproxy(nodes)["tproxy"]
    content["port"] = content.pop("addr")
    return {"tproxy": content}


def _synproxy(nodes: list[Node]) -> Json:
    content: dict[str, Json] = {}
    for option in nodes:
        if option.data == "synproxy_number":
            content[str(option.children[0])] = leaf(option.children[1], number)
        else:
            content.setdefault("flags", []).append(str(option.children[0]))
    return {"synproxy": content or None}


def _duplicate(nodes: list[Node]) -> Json:
    values = [build(item) for item in nodes]
    return {"dup": dict(zip(("addr", "dev"), values, strict=False))}


def _forward(nodes: list[Node]) -> Json:
    values = [build(item) for item in trees(nodes)]
    family = tokens(nodes, "FAMILY")
    if not family and len(values) == 1:
        return {"fwd": {"dev": values[0]}}
    content: dict[str, Json] = {"family": str(family[0])} if family else {}
    content["addr"] = values[0]
    if len(values) > 1:
        content["dev"] = values[1]
    return {"fwd": content}


# --- changes of sets ---

_STATE = {"counter", "limit", "quota", "connections", "last", "named_counter", "named_limit", "named_quota"}


def _changed(nodes: list[Node]) -> tuple[Json, list[Json]]:
    """Return the element and the statements that it keeps."""
    key: Json = None
    extras: dict[str, Json] = {}
    statements = []
    for node in trees(nodes):
        if node.data == "changed_key":
            key = build(node)
        elif node.data in _STATE:
            statements.append(build(node))
        elif node.data in {"timeout", "expires", "comment"}:
            extras.update(build(node))
    return {"elem": {"val": key, **extras}} if extras else key, statements


def _change(nodes: list[Node]) -> Json:
    operation = next(
        str(item) for item in nodes if isinstance(item, Token) and item.type in {"ADD", "UPDATE", "DELETE"}
    )
    name = leaf(tokens(nodes, "REFERENCE")[0])
    element, statements = _changed(nodes)
    content: dict[str, Json] = {"op": operation, "elem": element}
    data = [node for node in trees(nodes) if node.data in {"argument", "map"}]
    if data:
        content.update({"data": build(data[0]), "map": name})
        return {"map": content}
    content["set"] = name
    if statements:
        content["stmt"] = statements
    return {"set": content}


def _meter(nodes: list[Node]) -> Json:
    element, statements = _changed(nodes)
    content: dict[str, Json] = {"key": element, "stmt": statements[0] if len(statements) == 1 else statements}
    size = tokens(nodes, "NUMBER")
    if size:
        content["size"] = leaf(size[0], number)
    content["name"] = build(nodes[0])
    return {"meter": content}


def _reset(nodes: list[Node]) -> Json:
    words = str(nodes[0]).split()
    if words[:2] != ["tcp", "option"]:
        start = nodes[0].start_pos or 0
        message = "`reset` takes a TCP option away, nothing else"
        raise BadStatement("FWT151", message, start, start + len(nodes[0]), hint="`reset tcp option sack-perm`")
    if words[2].isdigit():
        return {"reset": {"tcp option": tcp_option(str(nodes[0]), words)["tcp option"]}}
    return {"reset": selected(nodes[0])}


def _flow(nodes: list[Node]) -> Json:
    return {"flow": {"op": "add", "flowtable": leaf(nodes[1])}}


_STATEMENTS: dict[str, Callable[[list[Node]], Json]] = {
    "match": _match,
    "masked_match": _masked_match,
    "verdict_map": _verdict_map,
    "assign": _assign,
    "log": _log,
    "reject": _reject,
    "queue": _queue,
    "nat": _nat,
    "tproxy": _tproxy,
    "tproxy_port": _tproxy_port,
    "synproxy": _synproxy,
    "named_synproxy": lambda nodes: {"synproxy": build(nodes[0])},
    "duplicate": _duplicate,
    "forward": _forward,
    "change": _change,
    "old_change": _change,
    "meter": _meter,
    "flow": _flow,
    "reset": _reset,
    "notrack": lambda _nodes: {"notrack": None},
    "foreign": lambda nodes: {"xt": {"type": str(nodes[0]), "name": build(nodes[1])}},
}
