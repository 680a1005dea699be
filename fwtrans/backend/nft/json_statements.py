"""Statements as libnftables-json(5) has them. Each class of statements.py has one small printer here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft import statements as st
from fwtrans.backend.nft.expressions import QuotedString
from fwtrans.backend.nft.foreign import foreign_text
from fwtrans.backend.nft.json_expressions import Json, expression_json, raw_tcp_option, verdict_json
from fwtrans.backend.nft.restrictions import check_rate, check_string
from fwtrans.backend.nft.text_statements import refuse_xt
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fwtrans.backend.nft.expressions import Expression
    from fwtrans.backend.nft.target import Target

_JSON_MAP_UPDATE = (1, 1, 0)


def statements_json(statements: Iterable[st.Statement], target: Target) -> list[Json]:
    """Return statements in a row."""
    return [_statement(statement, target) for statement in statements]


def _statement(statement: st.Statement, target: Target) -> Json:
    if isinstance(statement, st.SetUpdate):
        return _set_update(statement, target)
    if isinstance(statement, st.MapUpdate):
        return _map_update(statement, target)
    return _PRINTERS[type(statement)](statement)


def rate_json(rate: st.Rate) -> dict[str, Json]:
    """Return a rate's properties, as the statement and the named object share them."""
    check_rate(rate)
    words: dict[str, Json] = {"per": rate.period.value}
    if rate.in_bytes:
        words["rate"], words["rate_unit"] = literals.byte_amount(rate.amount)
        words["burst"], words["burst_unit"] = literals.byte_amount(rate.burst or 0)
    else:
        words["rate"] = rate.amount
        words["burst"] = st.DEFAULT_PACKET_BURST if rate.burst is None else rate.burst
    if rate.over:
        words["inv"] = True
    return words


def _given(**properties: Json) -> dict[str, Json] | None:
    """Return the properties that are given; libnftables wants null where there are none."""
    return {name.replace("_", "-"): value for name, value in properties.items() if value not in ("", None, [])} or None


def flag_list(*flags: tuple[str, bool]) -> list[Json]:
    """Return the names of flags that are set."""
    return [name for name, given in flags if given]


def _match(statement: st.Match) -> Json:
    if isinstance(statement.right, QuotedString):
        check_string(statement.left, statement.right)
    operator = statement.operator.value or "in"
    left, right = expression_json(statement.left), expression_json(statement.right)
    return {"match": {"op": operator, "left": left, "right": right}}


def _quota(statement: st.Quota) -> Json:
    words: dict[str, Json] = {}
    words["val"], words["val_unit"] = literals.byte_amount(statement.bytes)
    if statement.used:
        words["used"], words["used_unit"] = literals.byte_amount(statement.used)
    if statement.over:
        words["inv"] = True
    return {"quota": words}


def _connection_count(statement: st.ConnectionCount) -> Json:
    return {"ct count": {"val": statement.count, "inv": True} if statement.over else {"val": statement.count}}


def _object(statement: st.ObjectStatement) -> Json:
    if isinstance(statement.name, str):
        name: Json = names.checked(statement.name, names.NameKind.OBJECT)
    else:
        name = expression_json(statement.name)
    if statement.kind is st.ObjectKind.SECMARK:
        return {"mangle": {"key": {"meta": {"key": "secmark"}}, "value": name}}
    return {statement.kind.value: name}


def _log(statement: st.Log) -> Json:
    return {
        "log": _given(
            prefix=literals.log_prefix(statement.prefix),
            group=statement.group,
            snaplen=statement.snap_length,
            queue_threshold=statement.queue_threshold,
            level=statement.level,
            flags=list(statement.flags),
        )
    }


def _reject(statement: st.Reject) -> Json:
    return {"reject": _given(type=statement.kind.value, expr=statement.code)}


def _queue(statement: st.Queue) -> Json:
    flags = flag_list(("bypass", statement.bypass), ("fanout", statement.fanout))
    return {"queue": _given(num=expression_json(statement.number), flags=flags)}


def _optional(expression: Expression | None) -> Json:
    return None if expression is None else expression_json(expression)


def _nat(statement: st.Nat) -> Json:
    flags: list[Json] = [flag.value for flag in statement.flags]
    words = _given(
        family=statement.family,
        addr=_optional(statement.address),
        port=_optional(statement.port),
        flags=["netmap", *flags] if statement.is_prefix else flags,
    )
    if words and statement.is_prefix:
        words["type_flags"] = "prefix"
    return {statement.kind.value: words}


def _reset_tcp_option(statement: st.ResetTcpOption) -> Json:
    if isinstance(statement.option, int):
        return {"reset": raw_tcp_option(statement.option, 0, 8)}
    return {"reset": {"tcp option": {"name": statement.option}}}


def _element(key: Expression, timeout: int | None) -> Json:
    if timeout is None:
        return expression_json(key)
    return {"elem": {"val": expression_json(key), "timeout": literals.seconds(timeout)}}


def _set_update(statement: st.SetUpdate, target: Target) -> Json:
    words: dict[str, Json] = {
        "op": statement.kind.value,
        "elem": _element(statement.key, statement.timeout),
        "set": f"@{names.checked(statement.name, names.NameKind.SET)}",
    }
    if statement.statements:
        words["stmt"] = statements_json(statement.statements, target)
    return {"set": words}


def _map_update(statement: st.MapUpdate, target: Target) -> Json:
    if target.nft < _JSON_MAP_UPDATE:
        raise Refused("FWT502", f"nft {'.'.join(map(str, target.nft))} has no JSON for a rule that updates a map")
    words: dict[str, Json] = {
        "op": statement.kind.value,
        "elem": _element(statement.key, statement.timeout),
        "data": expression_json(statement.value),
        "map": f"@{names.checked(statement.name, names.NameKind.SET)}",
    }
    if statement.statements:
        words["stmt"] = statements_json(statement.statements, target)
    return {"map": words}


def _tproxy(statement: st.Tproxy) -> Json:
    address, port = _optional(statement.address), _optional(statement.port)
    return {"tproxy": _given(family=statement.family, addr=address, port=port)}


def _synproxy(statement: st.Synproxy) -> Json:
    flags = flag_list(("timestamp", statement.timestamp), ("sack-perm", statement.sack_permitted))
    return {"synproxy": _given(mss=statement.mss, wscale=statement.window_scale, flags=flags)}


def _duplicate(statement: st.Duplicate) -> Json:
    if statement.address is None:  # the netdev family has no address; its device stands in that place
        return {"dup": {"addr": _optional(statement.device)}}
    return {"dup": _given(addr=expression_json(statement.address), dev=_optional(statement.device))}


def _forward(statement: st.Forward) -> Json:
    device, address = expression_json(statement.device), _optional(statement.address)
    return {"fwd": _given(dev=device, family=statement.family, addr=address)}


def _flow_offload(statement: st.FlowOffload) -> Json:
    name = names.checked(statement.flowtable, names.NameKind.FLOWTABLE)
    return {"flow": {"op": "add", "flowtable": f"@{name}"}}


def _foreign(statement: st.Foreign) -> Json:
    foreign_text(statement.json)  # refuses what is in no form that is known
    found: Json = json.loads(statement.json)
    return found


def _pair(word: str, first: str, left: Expression, second: str, right: Expression) -> Json:
    return {word: {first: expression_json(left), second: expression_json(right)}}


_PRINTERS: dict[type, Callable[[Any], Json]] = {
    st.Match: _match,
    st.Verdict: verdict_json,
    st.VerdictMap: lambda value: _pair("vmap", "key", value.key, "data", value.mapping),
    st.Counter: lambda value: {"counter": {"packets": value.packets, "bytes": value.bytes}},
    st.Limit: lambda value: {"limit": rate_json(value.rate)},
    st.Quota: _quota,
    st.ConnectionCount: _connection_count,
    st.ObjectStatement: _object,
    st.Log: _log,
    st.Reject: _reject,
    st.Queue: _queue,
    st.Nat: _nat,
    st.Assignment: lambda value: _pair("mangle", "key", value.target, "value", value.value),
    st.Notrack: lambda _: {"notrack": None},
    st.ResetTcpOption: _reset_tcp_option,
    st.Tproxy: _tproxy,
    st.Synproxy: _synproxy,
    st.Duplicate: _duplicate,
    st.Forward: _forward,
    st.FlowOffload: _flow_offload,
    st.Foreign: _foreign,
    st.XtStatement: refuse_xt,
}
