"""A ruleset as a libnftables-json(5) document, for programs; people and the loader take the text.

    {"nftables": [{"metainfo": {...}}, {"add": {"table": {...}}}, ..., {"add": {"rule": {...}}}]}

Chains come before the maps that jump to them, and rules come last, for libnftables takes the commands one by one.
nft 1.0.6 does not know some objects in JSON that it knows in text, and leaves others out without a word (seen: the
policy of a ct timeout, the counters of elements, auto-merge, `flags dormant`). Whatever would be lost is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft import objects as ob
from fwtrans.backend.nft import statements as st
from fwtrans.backend.nft.foreign_objects import foreign_block
from fwtrans.backend.nft.json_expressions import Json, data_json, expression_json
from fwtrans.backend.nft.json_statements import flag_list, rate_json, statements_json
from fwtrans.backend.nft.names import NameKind
from fwtrans.backend.nft.restrictions import check_map_types, check_set_key
from fwtrans.backend.nft.target import DEBIAN_12
from fwtrans.backend.nft.text import rule_place
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.backend.nft.target import Target

# from here on nft's JSON has typeof, ct timeout policies, expectations, synproxy objects, dynamic and merging sets
_FULL_JSON = (1, 1, 3)
_SCHEMA_VERSION = 1


def print_json(ruleset: ob.Ruleset, target: Target = DEBIAN_12) -> str:
    """Return the document as text, a command a line; raises `Refused` at the first thing that it cannot say."""
    commands = [json.dumps(command, ensure_ascii=False) for command in _commands(ruleset, target)]
    return '{"nftables": [\n' + ",\n".join(commands) + "\n]}\n"


def json_document(ruleset: ob.Ruleset, target: Target = DEBIAN_12) -> dict[str, Json]:
    """Return the document as plain data; raises `Refused` at the first thing that it cannot say."""
    return {"nftables": list(_commands(ruleset, target))}


def _commands(ruleset: ob.Ruleset, target: Target) -> Iterator[dict[str, Json]]:
    yield {"metainfo": {"json_schema_version": _SCHEMA_VERSION}}
    for table in ruleset.tables:
        yield from ({"add": command} for command in _table(table, target))


def _table(table: ob.Table, target: Target) -> Iterator[Json]:
    name = names.checked(table.name, NameKind.TABLE)
    head = _commented({"family": table.family.value, "name": name}, table.comment)
    if table.dormant:
        _need(target, "a dormant table")
        head["flags"] = "dormant"
    yield {"table": head}
    updated = _updated_sets(table)
    for kind, words in _contents(table, target, updated):
        yield {kind: {"family": table.family.value, "table": name, **words}}


def _contents(table: ob.Table, target: Target, updated: frozenset[str]) -> Iterator[tuple[str, dict[str, Json]]]:
    yield from ((_word(item), _object(item, target)) for item in table.objects)
    yield from (("chain", _chain(chain, target)) for chain in table.chains)
    yield from (("set", _set(item, target, updated)) for item in table.sets)
    yield from (("map", _map(item, target, updated)) for item in table.maps)
    yield from (("flowtable", _flowtable(item)) for item in table.flowtables)
    yield from ((item.kind, _foreign(item, target)) for item in table.foreign)
    for chain in table.chains:
        for position, rule in enumerate(chain.rules):
            try:
                yield "rule", {"chain": chain.name, **rule_json(rule, target)}
            except Refused as refused:
                refused.note = refused.note or rule_place(chain, position)
                raise


def _need(target: Target, what: str) -> None:
    if target.nft < _FULL_JSON:
        version = ".".join(map(str, target.nft))
        raise Refused("FWT502", f"nft {version} has no JSON for {what}", hint="print the ruleset as nft text instead")


def _commented(words: dict[str, Json], comment: str) -> dict[str, Json]:
    return {**words, "comment": literals.comment(comment)} if comment else words


def rule_json(rule: ob.Rule, target: Target = DEBIAN_12) -> dict[str, Json]:
    """Return a rule's statements and comment, without its place."""
    if not rule.statements:
        raise Refused("FWT300", "a rule without statements cannot be printed")
    return _commented({"expr": statements_json(rule.statements, target)}, rule.comment)


def _chain(chain: ob.Chain, target: Target) -> dict[str, Json]:
    words: dict[str, Json] = {"name": names.checked(chain.name, NameKind.CHAIN)}
    if chain.base is not None:
        words |= {
            "type": chain.base.type.value,
            "hook": chain.base.hook.value,
            "prio": chain.base.priority,
            "policy": chain.base.policy.value,
        }
        devices = [literals.interface(name, is_prefix=False) for name in chain.base.devices]
        if len(devices) > 1:
            _need(target, "a chain on several devices")
            words["dev"] = [*devices]
        elif devices:
            words["dev"] = devices[0]
    return _commented(words, chain.comment)


# --- sets and maps ---


def _updated_sets(table: ob.Table) -> frozenset[str]:
    """Return the names of sets that rules update."""
    return frozenset(
        statement.name
        for chain in table.chains
        for rule in chain.rules
        for statement in rule.statements
        if isinstance(statement, (st.SetUpdate, st.MapUpdate))
    )


def _key(key: ob.DataTypes | ob.TypeOf, target: Target) -> Json:
    check_set_key(key)
    if isinstance(key, ob.TypeOf):
        _need(target, "typeof")
        return {"typeof": expression_json(key.expression)}
    words: list[Json] = [literals.word(name) for name in key.names]
    return words[0] if len(words) == 1 else words


def _set(item: ob.Set, target: Target, updated: frozenset[str]) -> dict[str, Json]:
    words = _set_words(item, target, updated)
    if item.auto_merge:
        _need(target, "auto-merge")
        words["auto-merge"] = True
    return words


def _map(item: ob.Map, target: Target, updated: frozenset[str]) -> dict[str, Json]:
    check_map_types(item)
    if item.value_is_interval:
        # up to 1.1.3 at least: the values' ranges are refused as no single values
        raise Refused("FWT502", "nft has no JSON for a map to ranges or prefixes", hint="print the ruleset as nft text")
    match item.value:
        case ob.VerdictType():
            if isinstance(item.key, ob.TypeOf):  # nft 1.1.3 then lists `type 0`, which does not load
                raise Refused("FWT502", "nft's JSON loses the type of a verdict map declared with typeof")
            value: Json = "verdict"
        case st.ObjectKind():
            value = item.value.value
        case kind:
            value = _key(kind, target)
            if isinstance(value, list):
                _need(target, "a map to concatenated values")
    return {**_set_words(item, target, updated), "map": value}


def _set_words(item: ob.Set | ob.Map, target: Target, updated: frozenset[str]) -> dict[str, Json]:
    words: dict[str, Json] = {"name": names.checked(item.name, NameKind.SET), "type": _key(item.key, target)}
    if flags := _flags(item, target, updated):
        words["flags"] = flags
    if item.prefers_memory:
        words["policy"] = "memory"
    if item.size is not None:
        words["size"] = item.size
    if item.timeout is not None:
        words["timeout"] = literals.seconds(item.timeout)
    if item.gc_interval is not None:
        words["gc-interval"] = literals.seconds(item.gc_interval)
    if item.statements:
        words["stmt"] = statements_json(item.statements, target)
    if item.elements:
        words["elem"] = [_element(element) for element in item.elements]
    return _commented(words, item.comment)


def _flags(item: ob.Set | ob.Map, target: Target, updated: frozenset[str]) -> list[Json]:
    """Return the flags; nft 1.0.6 has no `dynamic` in JSON, but makes a set that rules update dynamic by itself."""
    if target.nft >= _FULL_JSON:
        return [flag.value for flag in item.flags]
    if ob.SetFlag.DYNAMIC in item.flags and item.name not in updated:
        _need(target, "a dynamic set that no rule updates")
    return [flag.value for flag in item.flags if flag is not ob.SetFlag.DYNAMIC]


def _element(element: ob.Element) -> Json:
    key = expression_json(element.key)
    words: dict[str, Json] = {}
    if element.timeout is not None:
        words["timeout"] = literals.seconds(element.timeout)
    if element.expires is not None:
        words["expires"] = literals.seconds(element.expires)
    words = _commented(words, element.comment)
    if element.statements:
        raise Refused("FWT502", "nft's JSON drops an element's counters", hint="print the ruleset as nft text instead")
    item: Json = {"elem": {"val": key, **words}} if words else key
    return item if element.value is None else [item, data_json(element.value)]


def _flowtable(item: ob.Flowtable) -> dict[str, Json]:
    devices: list[Json] = [literals.interface(name, is_prefix=False) for name in item.devices]
    if item.offload:
        raise Refused("FWT502", "nft has no JSON for `flags offload`", hint="print the ruleset as nft text instead")
    name = names.checked(item.name, NameKind.FLOWTABLE)
    return {"name": name, "hook": "ingress", "prio": item.priority, "dev": devices}


def _foreign(item: ob.ForeignObject, target: Target) -> dict[str, Json]:
    """Return an object in the JSON in which it was read; what JSON has no words for is refused."""
    foreign_block(item)  # refuses what is in no form that is known
    words: dict[str, Json] = json.loads(item.json)
    if item.kind not in {"flowtable", "counter", "quota", "limit", "ct helper"}:
        _need(target, f"a {item.kind} that is kept as it was read")
    if "holds ranges" in words or (item.kind == "flowtable" and {"flags", "counter"} & set(words)):
        raise Refused(
            "FWT502", f"nft has no JSON for all of {item.kind} {item.name}", hint="print it as nft text instead"
        )
    return {"name": item.name, **words}


# --- named objects ---


def _word(item: ob.NamedObject) -> str:
    return _OBJECTS[type(item)][0]


def _object(item: ob.NamedObject, target: Target) -> dict[str, Json]:
    word, since_full, words = _OBJECTS[type(item)]
    if since_full:
        _need(target, f"a named {word}")
    name = names.checked(item.name, NameKind.OBJECT)
    return _commented({"name": name, **words(item)}, item.comment)


def _quota(item: ob.QuotaObject) -> dict[str, Json]:
    words: dict[str, Json] = {"bytes": item.bytes, "used": item.used}
    return {**words, "inv": True} if item.over else words


def _ct_helper(item: ob.CtHelperObject) -> dict[str, Json]:
    helper = literals.string(item.helper, "helper", literals.HELPER_LIMIT)
    return {"type": helper, "protocol": literals.word(item.protocol), "l3proto": item.l3_protocol.value}


def _ct_timeout(item: ob.CtTimeoutObject) -> dict[str, Json]:
    policy: dict[str, Json] = {literals.word(state): seconds for state, seconds in item.policy}
    return {"protocol": literals.word(item.protocol), "l3proto": item.l3_protocol.value, "policy": policy}


def _ct_expectation(item: ob.CtExpectationObject) -> dict[str, Json]:
    return {
        "protocol": literals.word(item.protocol),
        "l3proto": item.l3_protocol.value,
        "dport": item.port,
        "timeout": item.timeout,
        "size": item.size,
    }


def _synproxy(item: ob.SynproxyObject) -> dict[str, Json]:
    flags = flag_list(("timestamp", item.timestamp), ("sack-perm", item.sack_permitted))
    words: dict[str, Json] = {"mss": item.mss, "wscale": item.window_scale}
    return {**words, "flags": flags} if flags else words


def _secmark(item: ob.SecmarkObject) -> dict[str, Json]:
    return {"context": literals.string(item.context, "security context", literals.STRING_LIMIT)}


# by type: JSON's word, whether it takes a later nft than 1.0.6, and its properties
_OBJECTS: dict[type, tuple[str, bool, Callable[[Any], dict[str, Json]]]] = {
    ob.CounterObject: ("counter", False, lambda item: {"packets": item.packets, "bytes": item.bytes}),
    ob.QuotaObject: ("quota", False, _quota),
    ob.LimitObject: ("limit", False, lambda item: rate_json(item.rate)),
    ob.CtHelperObject: ("ct helper", False, _ct_helper),
    ob.CtTimeoutObject: ("ct timeout", True, _ct_timeout),
    ob.CtExpectationObject: ("ct expectation", True, _ct_expectation),
    ob.SynproxyObject: ("synproxy", True, _synproxy),
    ob.SecmarkObject: ("secmark", False, _secmark),
}
