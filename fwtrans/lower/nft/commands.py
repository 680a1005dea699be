"""The commands of a ruleset (`add`, `insert`, `delete`, `flush`, ...) carried out in order: what is there behind the last of them.

Nothing is understood here beyond the place that each object, element and rule has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fwtrans.diagnostics import Refused
from fwtrans.lower.nft.json_types import Json, JsonObject, as_list, as_object, as_text
from fwtrans.lower.nft.kept import OBJECTS, is_asked_by_map, objects_held, objects_named


@dataclass(slots=True)
class RawChain:
    """A chain and its rules, each with its number in the input."""

    content: JsonObject
    rules: list[tuple[JsonObject, int]] = field(default_factory=list)


@dataclass(slots=True)
class RawTable:
    """A table and what is in it, by name."""

    chains: dict[str, RawChain] = field(default_factory=dict)
    sets: dict[str, JsonObject] = field(default_factory=dict)
    maps: dict[str, JsonObject] = field(default_factory=dict)
    objects: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    switched_off: JsonObject | None = None
    owned: JsonObject | None = None


Tables = dict[tuple[str, str], RawTable]


def carry_out(tables: Tables, item: JsonObject, number: int) -> None:
    """Do to the tables what a listed object or a command says."""
    for kind, content in item.items():
        if kind == "metainfo":
            continue
        if kind in {"add", "create", "insert"}:
            inner = as_object(content, kind)
            for what, value in inner.items():
                _add(tables, what, as_object(value, what), number, at_front=kind == "insert")
        elif kind in {"delete", "destroy", "flush"}:
            for what, value in as_object(content, kind).items():
                _remove(tables, kind, what, value)
        elif kind == "rename":
            _rename(tables, as_object(as_object(content, kind).get("chain"), "chain"))
        elif kind in {"reset", "list", "replace"}:
            raise Refused("FWT102", f"`{kind}` has no place in a ruleset to read")
        else:
            _add(tables, kind, as_object(content, kind), number, at_front=False)


def _table(tables: Tables, content: JsonObject) -> RawTable:
    key = (as_text(content.get("family", "ip"), "family"), as_text(content.get("table", content.get("name")), "table"))
    return tables.setdefault(key, RawTable())


def _add(tables: Tables, what: str, content: JsonObject, number: int, *, at_front: bool) -> None:
    if what == "table":
        found = _table(tables, {"family": content.get("family", "ip"), "table": content.get("name")})
        # who names a table without the flag wakes it
        flags = _flags(content)
        found.switched_off = content if "dormant" in flags else None
        found.owned = content if {"owner", "persist"} & flags else None
        return
    table = _table(tables, content)
    name = as_text(content.get("name", ""), "name")
    if what == "chain":
        known = table.chains.get(name)
        if known is None:
            table.chains[name] = RawChain(content)
        elif "hook" in content:
            known.content = content
    elif what == "rule":
        chain = table.chains.setdefault(as_text(content.get("chain"), "chain"), RawChain({}))
        chain.rules.insert(_rule_place(content, len(chain.rules), at_front=at_front), (content, number))
    elif what in {"set", "map", "meter"}:
        _add_set(table.maps if what == "map" else table.sets, name, content)
    elif what == "element":
        _add_elements(table, name, content)
    elif what in OBJECTS:
        table.objects[what, name] = content
    else:
        raise Refused("FWT102", f"`{what}` is not known")


def _flags(content: JsonObject) -> frozenset[str]:
    flags = [as_text(flag, "flag") for flag in as_list(content.get("flags"))]
    for flag in flags:
        if flag not in {"dormant", "owner", "persist"}:
            hint = "nft 1.0.6 writes table flags wrongly into JSON: read its listing as text"
            raise Refused("FWT112", f"`{flag}` is no flag of a table", hint=hint)
    return frozenset(flags)


def _rule_place(content: JsonObject, length: int, *, at_front: bool) -> int:
    if "position" in content:
        message = "a place behind a rule's handle is known to the running kernel alone"
        raise Refused("FWT102", message, hint="read `nft list ruleset` instead")
    index = content.get("index")
    if isinstance(index, int):
        if not 0 <= index < length:
            raise Refused("FWT112", f"there is no rule number {index} in this chain")
        return index if at_front else index + 1
    return 0 if at_front else length


def _add_set(known: dict[str, JsonObject], name: str, content: JsonObject) -> None:
    before = known.get(name)
    if before is None:
        known[name] = dict(content)
    else:
        before["elem"] = [*as_list(before.get("elem")), *as_list(content.get("elem"))]


def _add_elements(table: RawTable, name: str, content: JsonObject) -> None:
    owner = table.sets.get(name) or table.maps.get(name)
    if owner is None:
        raise Refused("FWT102", f"elements are added to `{name}`, which is not declared")
    owner["elem"] = [*as_list(owner.get("elem")), *as_list(content.get("elem"))]


def _remove(tables: Tables, command: str, what: str, value: Json) -> None:
    if what == "ruleset":
        _flush(tables, as_object(value or {}, what).get("family"))
        return
    content = as_object(value, what)
    key = (
        as_text(content.get("family", "ip"), "family"),
        as_text(content.get("table", content.get("name", "")), "table"),
    )
    table = tables.get(key)
    if table is None:
        return
    name = as_text(content.get("name", ""), "name")
    if what == "table":
        if command == "flush":
            for chain in table.chains.values():
                chain.rules.clear()
        else:
            del tables[key]
    elif what == "chain":
        if command == "flush" and name in table.chains:
            table.chains[name].rules.clear()
        elif command != "flush":
            table.chains.pop(name, None)
    elif what in {"set", "map"}:
        owner = table.sets if what == "set" else table.maps
        if command == "flush" and name in owner:
            owner[name]["elem"] = []
        elif command != "flush":
            owner.pop(name, None)
    elif what == "element" and (name in table.sets or name in table.maps):
        owned = table.sets.get(name) or table.maps[name]
        gone = [_bare_key(item) for item in as_list(content.get("elem"))]
        owned["elem"] = [item for item in as_list(owned.get("elem")) if _bare_key(item) not in gone]
    else:
        raise Refused("FWT102", f"`{command} {what}` cannot be carried out on a ruleset that is only read")


def _flush(tables: Tables, family: Json) -> None:
    """Take all tables away, those of one family where one is named."""
    for key in [key for key in tables if family in (None, key[0])]:
        del tables[key]


def _rename(tables: Tables, content: JsonObject) -> None:
    """Give a chain another name, by which all that lead to it know it from then on."""
    table = _table(tables, content)
    old, new = as_text(content.get("name"), "name"), as_text(content.get("newname"), "newname")
    if old not in table.chains:
        raise Refused("FWT112", f"there is no chain `{old}` to be renamed")
    if new in table.chains:
        raise Refused("FWT112", f"there is a chain `{new}` already")
    table.chains = {new if name == old else name: chain for name, chain in table.chains.items()}
    for chain in table.chains.values():
        chain.rules = [(as_object(_leading_to(rule, old, new), "rule"), number) for rule, number in chain.rules]
    table.maps = {name: as_object(_leading_to(found, old, new), "map") for name, found in table.maps.items()}


def _leading_to(value: Json, old: str, new: str) -> Json:
    if isinstance(value, list):
        return [_leading_to(item, old, new) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {**inner, "target": new}
        if key in {"jump", "goto"} and isinstance(inner, dict) and inner.get("target") == old
        else _leading_to(inner, old, new)
        for key, inner in value.items()
    }


def _bare_key(item: Json) -> Json:
    """Return an element's key: without its value in a map, its timeout, its comment."""
    key = item[0] if isinstance(item, list) and item else item
    about = key.get("elem") if isinstance(key, dict) else None
    return about.get("val") if isinstance(about, dict) else key


# --- what rules say of other objects ---


def asked_by_maps(raw: RawTable) -> frozenset[tuple[str, str]]:
    """Return the objects that statements take from maps of which we have no model."""
    statements = (
        statement
        for chain in raw.chains.values()
        for content, _ in chain.rules
        for statement in as_list(content.get("expr"))
    )
    inside = (named for item in statements if is_asked_by_map(item) for named in objects_named(item))
    return frozenset((*inside, *(named for content in raw.maps.values() for named in objects_held(content))))


def changed_by_rules(raw: RawTable) -> frozenset[str]:
    """Return the sets and maps that rules add to or delete from."""
    found: set[str] = set()
    for chain in raw.chains.values():
        for content, _ in chain.rules:
            for statement in as_list(content.get("expr")):
                if isinstance(statement, dict):
                    for kind in ("set", "map"):
                        inner = statement.get(kind)
                        if isinstance(inner, dict) and isinstance(inner.get(kind), str):
                            found.add(str(inner[kind]).removeprefix("@"))
    return frozenset(found)


def declared_dynamic(raw: RawTable) -> frozenset[str]:
    """Return the sets that are declared so, whether rules change them or not."""
    return frozenset(name for name, content in raw.sets.items() if "dynamic" in as_list(content.get("flags")))
